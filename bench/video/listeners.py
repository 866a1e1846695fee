"""Who gets which picture in a room of unequal links, and what fifty on bad ones cost: whole rooms in virtual time.

    python -m bench.video.listeners [--json]

One run a row, a round trip of 40 ms on each hop. Of three the listener on the widest link is there first and the other
two join it; each row stands beside the same listener alone. Then a link falls while somebody listens and looks. They
are programs that answer as browsers do (`bench.room`), the server is the real one, with its ICE, DTLS and SRTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import typer
from rich.table import Table

from bench.room.browser import Browser
from bench.room.camera import Camera, shown
from bench.room.network import Network, network, simulate
from bench.room.participant import Participant
from bench.room.svc import Svc, SvcParticipant
from bench.room.viewer import Viewer
from bench.video.verdict import conclude
from bench.virtual import VirtualLoop
from rtc.netem import LinkProfile

RTT = 0.04  # seconds, of each hop
QUEUE = 0.2  # seconds that a link holds at most
LINKS = (4_000_000, 900_000, 250_000)  # bit/s, in the order in which they join
FIRST, LASTS = 8.0, 20.0  # seconds: until the others join; from then on
RIGHT_SECONDS = 3.0
WINDOW = 1.0  # seconds of which nearly all must be of the right picture
NEARLY = 0.9
SAME = 0.9  # share of what it gets alone that a listener gets in company at least
FREEZE_SECONDS = 0.3
HEADERS = 60  # bytes of a packet beside its payload
CAMERAS = ("VP8 in two sizes", "AV1 in three layers")
RIGHT = {
    CAMERAS[0]: {250_000: (0, 13), 900_000: (0, 27), 4_000_000: (1, 27)},
    CAMERAS[1]: {250_000: (0, 27), 900_000: (1, 27), 4_000_000: (2, 27)},
}
"""Size, the smallest being 0, and frames a second at least: the best of what the camera sends that takes no more than
four fifths of the link, as sound and repair want a part of it. With headers VP8 is 280 and 1,600 kbit/s, and half of
that with half the frames; AV1 130, 690 and 1,930 kbit/s."""

FALLS = (700_000, 300_000)  # bit/s
NARROW = 12.0  # seconds
KNOWN = 2.0  # seconds after which it is known that a link has become narrow
SOUND = bytes(80)  # a frame of Opus at 32 kbit/s
SOUND_PACKETS = 50  # a second

FIFTY, LOSS = 50, 0.3
PACKETS = 3  # of each frame: 740 kbit/s
LEARN, MEASURE = 8.0, 10.0  # seconds of loss before it is measured, and measured


@dataclass(frozen=True, slots=True)
class Got:
    """What a listener got from three seconds after it joined."""

    right_after: float
    """Seconds from its joining until the right picture was there for a second; infinite where it never was."""
    kbits: float
    fps: float
    longest: float
    """Seconds for which one picture stood."""


@dataclass(frozen=True, slots=True)
class Result:
    """One listener, or one figure of fifty."""

    row: str
    figure: str
    value: float
    alone: float | None
    bar: str
    met: bool


def listen(camera: str, links: Sequence[int]) -> list[Got]:
    """Hold a call with listeners behind these links, each of which joins at the time of its place in LINKS."""
    found: list[Got] = []

    async def call() -> None:
        async with network() as net:
            sender = await _camera(net, camera, "video")
            filming = asyncio.create_task(_film(sender, FIRST + LASTS))
            begin = sender.now
            viewers: dict[int, tuple[Participant, float]] = {}
            for link in LINKS:
                if link in links:
                    viewers[link] = await _viewer(net, type(sender), link)
                if link == LINKS[0]:
                    await asyncio.sleep(begin + FIRST - sender.now)
            await filming
            for link in links:
                viewer, joined = viewers[link]
                found.append(_judge(viewer, sender, RIGHT[camera][link], joined))

    simulate(call, rtt=RTT)
    return found


async def _camera(net: Network, camera: str, *publish: str) -> Camera | SvcParticipant:
    sender: Camera | SvcParticipant
    if camera == CAMERAS[0]:
        sender = Camera(net, "camera", publish=publish, audio_slots=0, rids=("q", "h", "f"))
    else:
        sender = SvcParticipant(net, "camera", publish=publish, audio_slots=0)
    await sender.join()
    return sender


async def _film(sender: Camera | SvcParticipant, seconds: float) -> None:
    if isinstance(sender, Camera):
        await sender.film_encodings(seconds)
    else:
        await sender.film_layers(seconds, Svc(3, 3))


async def _viewer(
    net: Network, like: type[Participant], link: int, *, hears: bool = False
) -> tuple[Participant, float]:
    kind = SvcParticipant if like is SvcParticipant else Participant
    viewer = kind(net, f"viewer {link}", publish=(), audio_slots=int(hears), video_slots=1)
    joined = viewer.now
    joining = asyncio.create_task(viewer.join())
    await asyncio.sleep(0)
    viewer.narrow(down=_link(link))
    await joining
    return viewer, joined


def _link(bitrate: int) -> LinkProfile:
    return LinkProfile(bandwidth=bitrate, queue=QUEUE, delay=RTT / 2)


def _pictures(viewer: Participant, sender: Participant) -> list[tuple[float, int]]:
    """When a viewer could show pictures, and of which size."""
    if isinstance(viewer, SvcParticipant):
        return [(one.time, one.spatial) for one in viewer.screen.shown]
    sizes = {track.number: place for place, track in enumerate(sender.tracks)}
    (mid,) = (mid for mid, kind in viewer.slot_kinds.items() if kind == "video")
    return [(time, sizes[track]) for time, track in shown(viewer.heard[mid])]


def _judge(viewer: Participant, sender: Participant, right: tuple[int, int], joined: float) -> Got:
    pictures, end = _pictures(viewer, sender), sender.now
    size, least = right

    def is_right(since: float) -> bool:
        sizes = [each for time, each in pictures if since <= time < since + WINDOW]
        return sizes.count(size) >= max(least * WINDOW, NEARLY * len(sizes))

    since = joined + RIGHT_SECONDS
    times = [since, *(time for time, _ in pictures if time >= since), end]
    bits = 8 * sum(len(one.payload) + HEADERS for one in viewer.heard["0"] if one.time >= since)
    return Got(
        next((time - joined for time, each in pictures if each == size and is_right(time)), float("inf")),
        bits / (end - since) / 1000,
        (len(times) - 2) / (end - since),
        max(after - before for before, after in pairwise(times)),
    )


def three() -> list[Result]:
    """Three listeners in one room, and each alone."""
    results = []
    for camera in CAMERAS:
        together = listen(camera, LINKS)
        for link, got in zip(LINKS, together, strict=True):
            (alone,) = listen(camera, [link])
            row = f"{camera}, {link // 1000:,} kbit/s"
            results += [
                Result(row, "right picture after, s", got.right_after, alone.right_after, f"<= {RIGHT_SECONDS:.0f}",
                       got.right_after <= RIGHT_SECONDS),
                Result(row, "kbit/s", got.kbits, alone.kbits, f">= {SAME:.0%} of alone",
                       got.kbits >= SAME * alone.kbits),
                Result(row, "frames a second", got.fps, alone.fps, f">= {SAME:.0%} of alone",
                       got.fps >= SAME * alone.fps),
                Result(row, "longest gap, s", got.longest, alone.longest, f"<= {FREEZE_SECONDS}",
                       got.longest <= FREEZE_SECONDS),
            ]  # fmt: skip
    return results


def falls() -> list[Result]:
    """A listener with sound and picture whose link falls."""
    return [one for camera in CAMERAS for link in FALLS for one in _fall(camera, link)]


def _fall(camera: str, link: int) -> list[Result]:
    results: list[Result] = []

    async def call() -> None:
        async with network() as net:
            sender = await _camera(net, camera, "video", "audio")
            viewer, _ = await _viewer(net, type(sender), LINKS[0], hears=True)
            voice = next(place for place, track in enumerate(sender.tracks) if track.kind == "audio")
            both = asyncio.gather(
                _film(sender, FIRST + NARROW), sender.speak(FIRST + NARROW, track=voice, frame=SOUND)
            )
            await asyncio.sleep(FIRST)
            fell = sender.now
            viewer.narrow(down=_link(link))
            await both
            end = fell + NARROW
            times = [time for time, _ in _pictures(viewer, sender) if time < end]
            last = max((time for time in times if time < fell), default=fell)
            longest = max(b - a for a, b in pairwise([last, *(time for time in times if time >= fell), end]))
            fps = sum(time >= fell + KNOWN for time in times) / (NARROW - KNOWN)
            heard = {one.sequence for one in viewer.heard["0"] if fell <= one.time}
            lost = max(0.0, 1 - len(heard) / (SOUND_PACKETS * NARROW))
            asked = sum(time >= fell for track in sender.tracks for time in track.plis)
            row = f"{camera}, {LINKS[0] // 1000:,} to {link // 1000:,} kbit/s"
            results.extend([
                Result(row, "longest gap, s", longest, None, "<= 1", longest <= 1),
                Result(row, "frames a second, from 2 s after", fps, None, "", True),
                Result(row, "sound lost", lost, None, "<= 0.01", lost <= 0.01),
                Result(row, "key frames asked for", asked, None, "", True),
            ])  # fmt: skip

    simulate(call, rtt=RTT)
    return results


def fifty() -> list[Result]:
    """Fifty listeners who lose a third of what they are sent and send."""
    results: list[Result] = []

    async def call() -> None:
        async with network() as net:
            camera = Browser(net, "camera", publish=("video",), audio_slots=0)
            viewers = [Viewer(net, f"viewer {n}", publish=(), audio_slots=0, video_slots=1) for n in range(FIFTY)]
            for one in (camera, *viewers):
                await one.join()
            await camera.film30(1, packets=PACKETS, layers=True)
            net.shape(up=LOSS, down=LOSS, clients=viewers)
            await camera.film30(LEARN, packets=PACKETS, layers=True)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            down = [loop.link(net.server, viewer.address) for viewer in viewers]
            track = camera.tracks[0]
            begin, media, carried = camera.now, len(track.sent), sum(link.sent for link in down)
            await camera.film30(MEASURE, packets=PACKETS, layers=True)
            end = camera.now
            media = FIFTY * (len(track.sent) - media)
            repair = (sum(link.sent for link in down) - carried - media) / media
            asked = [time for time in track.plis if time >= begin - LEARN]
            shown = [
                [time for time, _ in viewer.decoders["0"].shown if begin <= time < end] for viewer in viewers
            ]
            fps = sorted(len(times) / MEASURE for times in shown)
            frozen = sorted(
                sum(gap for before, after in pairwise([begin, *times, end]) if (gap := after - before) > FREEZE_SECONDS)
                for times in shown
            )
            row = f"{FIFTY} listeners, {LOSS:.0%} lost both ways"
            rate = max((sum(time <= each < time + 1 for each in asked) for time in asked), default=0)
            results.extend([
                Result(row, "key frames asked for in any second", rate, None, "<= 1", rate <= 1),
                Result(row, "key frames asked for in all", len(asked), None, "", True),
                Result(row, "repair and reports, packets for each of media", repair, None, "<= 2", repair <= 2),
                Result(row, "frames a second, median", fps[FIFTY // 2], None, "", True),
                Result(row, "frames a second, worst", fps[0], None, "", True),
                Result(row, f"s of {MEASURE:.0f} with a picture older than {FREEZE_SECONDS} s, worst",
                       frozen[-1], None, "", True),
            ])  # fmt: skip

    simulate(call, rtt=RTT)
    return results


def main(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False) -> None:
    """Print what became of each bar; exit with 1 when one is missed."""
    results = [*three(), *falls(), *fifty()]
    table = Table("listener", "figure", "value", "alone", "bar", "", title="Listeners in one room, in virtual time")
    for one in results:
        alone = "" if one.alone is None else f"{one.alone:.3g}"
        verdict = ("pass" if one.met else "MISS") if one.bar else ""
        table.add_row(one.row, one.figure, f"{one.value:.3g}", alone, one.bar, verdict)
    conclude(table, "listeners", results, seed=1, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
