"""`clarion join`.

Enter a call from the command line, play a media file into it, record what is heard and seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from rtc.client.audio_receiver import AudioReceiverStatistics
from rtc.client.call import Call, join
from rtc.client.errors import CallError, JoinError
from rtc.client.player import MediaFile, PlayerError
from rtc.client.recorder import Recorder, RecorderError, output_format
from rtc.client.statistics import CallStatistics
from rtc.client.video_receiver import VideoReceiverStatistics

REFRESH_SECONDS = 0.5
"""How often the progress is drawn."""


def take_part(
    url: str,
    play: Path | None,
    record: Path | None,
    seconds: float | None,
    *,
    name: str,
    token: str,
    loop: bool,
    as_json: bool,
) -> None:
    """Hold a call as `clarion join` says; a problem ends the program. See `signaling.joining` for what each means."""
    console = Console(stderr=True)
    try:
        server, room, invited = parse_invite(url)
        statistics = asyncio.run(
            run(
                server,
                room,
                play,
                record,
                seconds,
                name=name,
                token=token or invited,
                loop=loop,
                console=console,
            )
        )
    except (CallError, PlayerError, RecorderError) as problem:
        console.print(f"clarion join: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(as_object(statistics)))
    else:
        Console().print(summary(statistics))


def parse_invite(url: str) -> tuple[str, str, str]:
    """Server address, room and token ("" without one) of an invite link, http://host/r/ROOM#token=TOKEN.

    Raises JoinError.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        parts = urlsplit("")
    before, marker, room = parts.path.rpartition("/r/")
    room = unquote(room.strip("/"))
    if parts.scheme not in {"http", "https"} or not parts.netloc or not marker or before or not room:
        raise JoinError("bad-address", f"{url!r} is not an invite link like http://host:8080/r/ROOM")
    token = parse_qs(parts.fragment).get("token", [""])[0]
    return f"{parts.scheme}://{parts.netloc}", room, token


async def run(
    server: str,
    room: str,
    play: Path | None,
    record: Path | None,
    seconds: float | None,
    *,
    name: str,
    token: str,
    loop: bool,
    console: Console,
) -> CallStatistics:
    """Hold the call until the time is up, the file has ended, the server ends it, or a signal comes."""
    if record is not None:
        output_format(record)
    media = MediaFile(play, loop=loop) if play is not None else None
    try:
        async with join(server, room, name=name, token=token) as call:
            recorder = Recorder(call, record) if record is not None else None
            if recorder is not None:
                recorder.start()
            try:
                tracks = [t for t in (media.audio, media.video) if t is not None] if media is not None else []
                for track in tracks:
                    await call.publish(track)
                await _until_over(call, seconds, bool(tracks) and not loop, console)
                return call.statistics()
            finally:
                if recorder is not None:
                    await recorder.stop()
    finally:
        if media is not None:
            media.close()


async def _until_over(call: Call, seconds: float | None, until_played: bool, console: Console) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # another thread, or Windows
            loop.add_signal_handler(number, stop.set)
    ended = asyncio.ensure_future(call.wait_ended())
    deadline = None if seconds is None else loop.time() + seconds
    before = 0, 0, loop.time()
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not stop.is_set() and not ended.done():
                left = REFRESH_SECONDS if deadline is None else min(REFRESH_SECONDS, deadline - loop.time())
                if left <= 0 or (until_played and seconds is None and not call.publications):
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await asyncio.wait((ended,))
                statistics = call.statistics()
                wire, now = statistics.wire, loop.time()
                rates = [
                    (count - old) * 8 / max(now - before[2], 1e-3)
                    for count, old in zip((wire.bytes_sent, wire.bytes_received), before[:2], strict=True)
                ]
                before = wire.bytes_sent, wire.bytes_received, now
                live.update(progress(call, statistics, rates[0], rates[1]), refresh=True)
    finally:
        ended.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(number)
    if ended.done() and not ended.cancelled() and ended.result() not in {"left", "shutdown"}:
        console.print(f"The server ended the call ({ended.result()}).", style="yellow", markup=False)


def progress(call: Call, statistics: CallStatistics, sent: float, received: float) -> Table:
    """Who is there, bit rates and loss, for the terminal. Rates in bit/s."""
    table = Table.grid(padding=(0, 2))
    state = "connected" if statistics.connected else "reconnecting"
    rtt = "" if statistics.rtt is None else f"  round trip {statistics.rtt * 1000:.0f} ms"
    table.add_row(f"{statistics.seconds:.0f} s  {state}{rtt}")
    rates = f"sending {sent / 1000:.0f} kbit/s, receiving {received / 1000:.0f} kbit/s"
    table.add_row(f"{rates}, {_loss(statistics)}")
    speaking = {participant for participant, _ in call.speakers}
    for participant in call.participants.values():
        sources = ", ".join(
            publication.source + (" (muted)" if publication.muted else "")
            for publication in participant.publications.values()
        )
        away = "" if participant.connected else "  away"
        row = f"{'●' if participant.id in speaking else '○'} {participant.name}  {sources}{away}"
        table.add_row(row)
    if not call.participants:
        table.add_row("nobody else is here")
    return table


def summary(statistics: CallStatistics) -> str:
    """The call in a few lines."""
    wire = statistics.wire
    lines = [
        f"{statistics.seconds:.1f} s in the call"
        + (f", {statistics.reconnects} reconnections" if statistics.reconnects else ""),
        f"sent {wire.bytes_sent / 1000:.0f} kB, received {wire.bytes_received / 1000:.0f} kB",
        _loss(statistics),
    ]
    for what, value in (("first sound", statistics.first_audio), ("first picture", statistics.first_video)):
        if value is not None:
            lines.append(f"{what} after {value * 1000:.0f} ms")
    return "\n".join(lines)


def as_object(statistics: CallStatistics) -> dict[str, Any]:
    """The statistics as plain values for JSON."""
    return dataclasses.asdict(statistics) | {"concealed_share": statistics.concealed_share}


def _loss(statistics: CallStatistics) -> str:
    sent = [publication.stream.fraction_lost for publication in statistics.sent]
    slots: list[AudioReceiverStatistics | VideoReceiverStatistics] = [*statistics.audio.values()]
    slots += statistics.video.values()
    packets, lost = sum(slot.packets for slot in slots), sum(slot.packets_lost for slot in slots)
    received = lost / (packets + lost) if packets + lost else 0.0
    return (
        f"loss {max(sent, default=0.0):.1%} up, {received:.1%} down, "
        f"{statistics.concealed_share:.1%} of the sound concealed"
    )
