"""Python clients in a room of a real server, over loopback: recognised sound and pictures, files, breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from aiortc.mediastreams import MediaStreamError
from rich.console import Console

from bench.people import RATE, Bars, Tone
from bench.video.stock import HEIGHT, Film
from rtc.client import (
    Call,
    CallError,
    ConnectionChanged,
    JoinError,
    LobbyChanged,
    MuteChanged,
    ParticipantJoined,
    ParticipantLeft,
    PublicationEnded,
    Published,
    RemoteAudioTrack,
    RemoteTrack,
    SpeakersChanged,
    Unpublished,
    join,
)
from rtc.client.cli import as_object, run, summary
from rtc.client.events import EventStream
from rtc.client.media import Media
from rtc.client.recorder import FileWriter
from rtc.sfu import demand
from signaling.app import create_app
from signaling.config import Settings

EventT = TypeVar("EventT")
SECONDS = 15.0
"""Longest wait for anything."""


@pytest.fixture
async def server() -> AsyncIterator[str]:
    http = TestServer(create_app(Settings(http_port=0, udp_port=0, data_dir=None)))
    await http.start_server()
    yield str(http.make_url("/")).rstrip("/")
    await http.close()


@pytest.fixture(autouse=True)
async def everything_is_stopped() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task.get_name() for task in asyncio.all_tasks() - before]
    assert not [name for name in left if name.startswith(("signalling", "media", "publish", "recorder"))]


async def until(events: EventStream, kind: type[EventT]) -> EventT:
    """The next event of a kind."""
    async with asyncio.timeout(SECONDS):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the call has ended")


async def test_a_host_lets_in_silences_and_puts_out(server: str) -> None:
    async with join(server, "r", name="Ann") as host:
        events = host.events()
        await host.governance.change(lobby=True)
        knocking = asyncio.create_task(_visit(server), name="visitor")
        waiter = (await until(events, LobbyChanged)).waiters[0]
        await host.governance.admit(waiter.id)
        guest = (await until(events, Published)).participant
        assert (guest.name, guest.role) == ("Bob", "speaker")
        await host.governance.silence(guest.id)
        assert (await until(events, MuteChanged)).publication.muted
        assert guest.silenced == ("audio",)
        await host.governance.set_role(guest.id, "listener")
        await until(events, Unpublished)
        await host.governance.remove(guest.id)
        assert await asyncio.wait_for(knocking, SECONDS) == (True, "removed")
        assert [ban.identity for ban in await host.governance.bans()] == ["bob"]
        with pytest.raises(JoinError, match="removed you"):
            async with join(server, "r", name="Bob"):
                pass


async def _visit(server: str) -> tuple[bool, str]:
    """Publish until put out: whether a host muted the publication, and why the call ended."""
    async with join(server, "r", name="Bob") as call:
        events = call.events()
        publication = await call.publish(Tone(440))
        ended = await until(events, PublicationEnded)
        assert (ended.source, call.publications) == ("microphone", {})
        return publication.muted, await call.wait_ended()


def strongest_hertz(wave: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * RATE / len(wave))


def bars_seen(frame: av.VideoFrame) -> tuple[int, ...]:
    picture = frame.to_ndarray(format="rgb24").astype(int)
    third = picture.shape[1] // 3
    bars = [picture[40:120, i * third + 20 : (i + 1) * third - 20] for i in range(3)]
    colours = [bar.reshape(-1, 3).mean(axis=0) for bar in bars]
    return tuple(int(np.argmax(colour)) if colour.max() > 120 else -1 for colour in colours)


async def hear(track: RemoteTrack, hertz: float) -> None:
    """Read until the tone is there, pure, for half a second."""
    window: list[np.ndarray] = []
    async with asyncio.timeout(SECONDS):
        while True:
            frame = await track.recv()
            window = [*window[-24:], frame.to_ndarray().reshape(-1, 2)[:, 0]]
            wave = np.concatenate(window).astype(float)
            if len(window) == 25 and np.abs(wave).mean() > 2000 and abs(strongest_hertz(wave) - hertz) < 4:
                return


async def see(track: RemoteTrack, colours: tuple[int, int, int]) -> None:
    async with asyncio.timeout(SECONDS):
        while bars_seen(await track.recv()) != colours:
            pass


async def remote(call: Call, source: str) -> RemoteTrack:
    """The track of the first publication of this source by somebody else."""
    stream = call.events()
    async with asyncio.timeout(SECONDS):
        while True:
            for participant in call.participants.values():
                for publication in participant.publications.values():
                    if publication.source == source:
                        return await call.track(publication)
            await anext(stream)


async def test_two_programs_hear_and_see_each_other(server: str) -> None:
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        await asyncio.gather(
            ada.publish(Tone(440)), ada.publish(Bars((0, 1, 2))),
            grace.publish(Tone(880)), grace.publish(Bars((2, 0, 1))),
        )
        await asyncio.gather(
            hear(await remote(ada, "microphone"), 880), hear(await remote(grace, "microphone"), 440),
            see(await remote(ada, "camera"), (2, 0, 1)), see(await remote(grace, "camera"), (0, 1, 2)),
        )
        assert [p.name for p in ada.participants.values()] == ["Grace"]
        assert [p.name for p in grace.participants.values()] == ["Ada"]
        statistics = ada.statistics()
        assert statistics.connected
        assert statistics.first_audio is not None
        assert statistics.first_video is not None
        assert statistics.wire.malformed == 0
        assert all(slot.packets_lost == 0 for slot in statistics.audio.values())
        assert statistics.rtt is not None
        assert "first picture" in summary(statistics)


async def test_a_camera_is_sent_in_two_sizes_until_nobody_wants_the_small_one(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "UNUSED_SECONDS", 0.5)
    async with join(server, "r", name="Ann") as ann, join(server, "r", name="Bob") as bob:
        events = bob.events()
        camera = await ann.publish(Film(grain=False))
        track = await bob.track((await until(events, Published)).publication)
        heights = []
        async with asyncio.timeout(SECONDS):
            while True:
                picture = await track.recv()
                assert isinstance(picture, av.VideoFrame)
                heights.append(picture.height)
                video = camera.statistics().video
                assert video is not None
                if picture.height == HEIGHT and not video.layers[0].active:
                    break
        assert set(heights) <= {HEIGHT // 2, HEIGHT}
        small, large = video.layers
        assert 0 < small.frames_encoded < large.frames_encoded and large.active


async def test_events_tell_who_comes_publishes_speaks_mutes_and_leaves(server: str) -> None:
    async with join(server, "r", name="Ada") as ada:
        seen = []
        stream = ada.events()
        async with join(server, "r", name="Grace") as grace:
            microphone = await grace.publish(Tone(440))
            async with asyncio.timeout(SECONDS):
                async for event in stream:
                    seen.append(event)
                    if isinstance(event, SpeakersChanged) and event.speakers:
                        break
            assert ada.speakers[0][0] == grace.id
            await microphone.mute()
            assert microphone.muted
            async with asyncio.timeout(SECONDS):
                async for event in stream:
                    if isinstance(event, MuteChanged):
                        break
            assert event.publication.muted
            await microphone.unmute()
            await microphone.unpublish()
        async with asyncio.timeout(SECONDS):
            async for event in stream:
                seen.append(event)
                if isinstance(event, ParticipantLeft):
                    break
        kinds = [type(event) for event in seen]
        assert kinds.index(ParticipantJoined) < kinds.index(Published) < kinds.index(SpeakersChanged)
        assert kinds.index(Unpublished) < kinds.index(ParticipantLeft)
        assert not ada.participants
        assert not ada.tracks


async def test_a_muted_microphone_is_not_heard(server: str) -> None:
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        microphone = await grace.publish(Tone(440))
        track = await remote(ada, "microphone")
        await hear(track, 440)
        await microphone.mute()
        quiet = 0
        async with asyncio.timeout(2.0):
            while quiet < 10:
                frame = await track.recv()
                quiet = quiet + 1 if np.abs(frame.to_ndarray()).max() == 0 else 0
        await microphone.unmute()
        await hear(track, 440)


async def test_a_track_that_ends_is_unpublished_by_itself(server: str) -> None:
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        tone = Tone(440)
        await grace.publish(tone)
        track = await remote(ada, "microphone")
        stream = grace.events()
        tone.stop()
        async with asyncio.timeout(SECONDS):
            async for event in stream:
                if isinstance(event, PublicationEnded):
                    break
            assert event.error == ""
            with pytest.raises(MediaStreamError):
                while True:
                    await track.recv()
        assert "microphone" not in grace.publications
        assert [sent.source for sent in grace.statistics().sent] == ["microphone"]


class Broken(Tone):
    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.05)
        raise RuntimeError("the sound card is on fire")


async def test_a_track_that_fails_is_told_and_the_call_goes_on(server: str) -> None:
    async with join(server, "r", name="Ada") as ada:
        stream = ada.events()
        await ada.publish(Broken(1))
        async with asyncio.timeout(SECONDS):
            async for event in stream:
                if isinstance(event, PublicationEnded):
                    break
        assert "on fire" in event.error
        await ada.publish(Bars((0, 1, 2)))
        assert ada.connected


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_new_media_path_keeps_the_sound_and_the_picture(server: str, fresh: bool) -> None:
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        await asyncio.gather(ada.publish(Tone(440)), grace.publish(Tone(880)), grace.publish(Bars((2, 0, 1))))
        await hear(await remote(ada, "microphone"), 880)
        await see(await remote(ada, "camera"), (2, 0, 1))
        for call in (ada, grace):
            stream = call.events()
            call.reconnect(fresh=fresh)
            async with asyncio.timeout(SECONDS):
                async for event in stream:
                    if event == ConnectionChanged("connected", "media"):
                        break
        await hear(await remote(ada, "microphone"), 880)
        await hear(await remote(grace, "microphone"), 440)
        await see(await remote(ada, "camera"), (2, 0, 1))
        assert ada.statistics().reconnects == 1


class Proxy:
    """A TCP proxy whose connections can be cut: the signalling breaks, the media does not."""

    def __init__(self, target: str) -> None:
        self._host, port = target.removeprefix("http://").split(":")
        self._port = int(port)
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        self._server.close()
        self.cut()


async def test_a_server_that_is_restarted_while_one_enters_is_entered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = 0
    interrupted = asyncio.Event()

    async def exchange(_offer: str) -> str:
        raise NotImplementedError

    async def connect(*, fresh: bool) -> None:
        nonlocal attempts
        attempts += 1
        assert fresh
        if attempts == 1:  # the answer to the offer was lost with the server; a moment later it is there again
            asyncio.get_running_loop().call_later(0.02, interrupted.set)
            raise CallError("gone", "the server was restarted")
        if attempts == 2:  # nobody answers any more where the offer had been answered
            asyncio.get_running_loop().call_soon(interrupted.set)
            await asyncio.Event().wait()

    media = Media(
        loopback=True, audio_slots=1, video_slots=0, exchange=exchange, answered=lambda: None, failed=lambda: None
    )
    monkeypatch.setattr(media, "connect", connect)
    async with asyncio.timeout(5):
        await media.begin(interrupted)
    assert attempts == 3
    await media.close()


async def test_events_begin_with_who_and_what_is_there(server: str) -> None:
    async with join(server, "r", name="Ada") as ada:
        await ada.publish(Tone(440))
        async with join(server, "r", name="Grace") as grace:
            stream = grace.events()
            first, second = await anext(stream), await anext(stream)
            assert isinstance(first, ParticipantJoined)
            assert first.participant.name == "Ada"
            assert isinstance(second, Published)
            assert second.publication.source == "microphone"


async def test_a_broken_websocket_comes_back_and_nothing_is_missed(server: str) -> None:
    proxy = Proxy(server)
    address = await proxy.start()
    async with join(address, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        await grace.publish(Tone(440))
        track = await remote(ada, "microphone")
        await hear(track, 440)
        stream = ada.events()
        proxy.cut()
        publishing = asyncio.create_task(ada.publish(Bars((0, 1, 2))))
        await grace.publish(Bars((2, 1, 0)))
        await hear(track, 440)
        async with asyncio.timeout(SECONDS):
            seen = []
            async for event in stream:
                seen.append(event)
                if isinstance(event, Published) and event.publication.source == "camera":
                    break
            await publishing
        assert ConnectionChanged("reconnecting", "signalling") in seen
        await asyncio.gather(
            see(await remote(ada, "camera"), (2, 1, 0)), see(await remote(grace, "camera"), (0, 1, 2))
        )
        assert len(ada.participants) == 1
    await proxy.stop()


def write_film(path: Path, seconds: float, hertz: float) -> Path:
    writer = FileWriter(path)
    for tick in range(int(seconds * 50)):
        time = (np.arange(960) + tick * 960) / RATE
        wave = (np.sin(2 * np.pi * hertz * time) * 9000).astype(np.int16)
        picture = np.zeros((360, 640, 3), dtype=np.uint8)
        picture[..., 1] = 200
        green = av.VideoFrame.from_ndarray(picture, format="rgb24")
        writer.write(tick, np.repeat(wave[:, None], 2, axis=1), green)
    writer.close()
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".wav"])
async def test_a_file_is_played_into_a_room_and_recorded_from_it(
    server: str, tmp_path: Path, suffix: str
) -> None:
    film = write_film(tmp_path / "film.mkv", 2.0, 660)
    recording = tmp_path / f"recording{suffix}"
    console = Console(file=(tmp_path / "progress.txt").open("w"))
    playing, recorded = await asyncio.gather(
        run(server, "cinema", film, None, 3.5, name="Player", token="", loop=True, console=console),
        run(server, "cinema", None, recording, 3.0, name="Recorder", token="", loop=False, console=console),
    )
    assert {publication.source for publication in playing.sent} == {"microphone", "camera"}
    assert recorded.first_audio is not None
    assert as_object(recorded)["wire"]["packets_received"] > 100
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(recording)) as container:
        parts = [r.to_ndarray()[0] for f in container.decode(audio=0) for r in resampler.resample(f)]
    sound = np.concatenate(parts)
    assert len(sound) / RATE == pytest.approx(3.0, abs=1.0)
    assert abs(strongest_hertz(sound.astype(float)) - 660) < 8  # the film begins anew, with a jump of phase
    if suffix != ".wav":
        with av.open(str(recording)) as container:
            pictures = list(container.decode(video=0))
        red, green, blue = pictures[-10].to_ndarray(format="rgb24")[180, 320]
        assert green > 140
        assert max(red, blue) < 90


async def test_a_reader_that_never_reads_costs_bounded_memory(server: str) -> None:
    """The track is there, nobody reads it, and later reading gives the present."""
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        await grace.publish(Tone(440))
        track = await remote(ada, "microphone")
        assert isinstance(track, RemoteAudioTrack)
        await asyncio.sleep(1.5)  # what is not read
        await hear(track, 440)
        (counts,) = [slot for slot in ada.statistics().audio.values() if slot.packets]
        assert counts.target_seconds < 0.3
