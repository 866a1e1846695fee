"""The loads that servers are compared at, and how each is measured."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import numpy as np

from .endpoint import close_all
from .engine import Engine, Result, Seat
from .sdp import Kind
from .server import Client, Sfu, usage
from .track import AUDIO, VIDEO, Pace

WARM_SECONDS = 2.0
JOINS_AT_ONCE = 4
MOST_MISSING = 0.001
FLOOD_FACTOR = 10
RED_LOSS = 0.25
"""Share that listeners say they lose, so that they are sent redundancy of depth 4."""


@dataclass(frozen=True, slots=True)
class Work:
    """A load: in each of `rooms`, so many who publish and hear each other, and so many who only listen."""

    name: str
    title: str
    publishers: int = 1
    listeners: int = 0
    rooms: int = 1
    sends: tuple[Kind, ...] = ("audio",)
    lossy: int = 0
    """Listeners that report loss."""


@dataclass(slots=True)
class Figures:
    """What was found of one server at one load."""

    cpu: float = 0.0
    """µs of processor for each packet forwarded."""
    forwarded: int = 0
    missing: float = 0.0
    p50: float = 0.0
    """Forwarding delays, ms; of video, of the last packet of a frame."""
    p99: float = 0.0
    p999: float = 0.0
    memory: float = 0.0
    """kB for each listener."""
    join: float = 0.0
    """ms of processor for each join."""
    joins_a_second: float = 0.0
    profile: str = ""
    own_drops: int = 0
    """Datagrams that the generator itself lost: the row is worth nothing unless 0."""
    notes: dict[str, float] = field(default_factory=dict)


class Crowd:
    """Clients of a running server, with the engine that sends and receives for them."""

    def __init__(self, sfu: Sfu, *, lossy: int = 0) -> None:
        self.sfu = sfu
        self.engine = Engine()
        self.clients: list[Client] = []
        self.seats: dict[int, list[Seat]] = {}
        self._lossy = lossy

    async def join(
        self, room: str, *, sends: Sequence[Kind] = (), audio: int = 0, video: int = 0,
        paces: dict[Kind, Pace] | None = None,
    ) -> Client:
        """One more; `settle` has to follow."""
        client = await self.sfu.join(room, sends=sends, audio_slots=audio, video_slots=video)
        self.clients.append(client)
        if client.publisher is not None:
            seat = self.engine.add(client.publisher, list(client.ssrcs), paces or {"audio": AUDIO, "video": VIDEO})
            self.seats.setdefault(id(client), []).append(seat)
        return client

    async def settle(self, client: Client) -> None:
        """Begin to receive."""
        await self.sfu.settle(client)
        if client.subscriber is not None and client.subscriber is not client.publisher:
            loss = RED_LOSS if self._lossy > 0 else 0.0
            self._lossy -= 1
            seat = self.engine.add(client.subscriber, pretended_loss=loss)
            self.seats.setdefault(id(client), []).append(seat)

    async def leave(self, client: Client) -> None:
        """Leave; not while the engine runs."""
        self.clients.remove(client)
        for seat in self.seats.pop(id(client), []):
            self.engine.remove(seat)
        await self.sfu.leave(client)

    async def gather(self, work: Work, paces: dict[Kind, Pace] | None = None) -> Figures:
        """Everybody of a load; returns what joining took."""
        figures = Figures()
        audio = "audio" in work.sends
        video = "video" in work.sends
        others = work.publishers - 1 if not work.listeners else 0
        for room in range(work.rooms):
            for _ in range(work.publishers):
                slots = {"audio": others * audio, "video": others * video}
                await self.join(f"room-{room}", sends=work.sends, paces=paces, **slots)
        before, began = usage(self.sfu.pid), time.monotonic()
        gate = asyncio.Semaphore(JOINS_AT_ONCE)

        async def listen(room: int) -> None:
            async with gate:
                client = await self.join(
                    f"room-{room}", audio=work.publishers * audio, video=work.publishers * video
                )
                await self.settle(client)

        publishers = list(self.clients)
        await asyncio.gather(*(listen(room) for room in range(work.rooms) for _ in range(work.listeners)))
        if work.listeners:
            after = usage(self.sfu.pid)
            count = work.rooms * work.listeners
            figures.join = (after.cpu - before.cpu) / count * 1e3
            figures.joins_a_second = count / (time.monotonic() - began)
            figures.memory = (after.memory - before.memory) / count / 1e3
        for client in publishers:
            await self.settle(client)
        endpoint = next(c.subscriber or c.publisher for c in reversed(self.clients))
        assert endpoint is not None
        figures.profile = endpoint.profile
        return figures

    async def run(self, seconds: float, figures: Figures) -> Result:
        """Warm up, measure, fill in the figures."""
        await asyncio.to_thread(self.engine.run, WARM_SECONDS, measure=False)
        before = usage(self.sfu.pid)
        result = await asyncio.to_thread(self.engine.run, seconds)
        note(figures, result, usage(self.sfu.pid).cpu - before.cpu)
        return result


@contextlib.asynccontextmanager
async def crowd_of(server: AbstractAsyncContextManager[Sfu], *, lossy: int = 0) -> AsyncIterator[Crowd]:
    """A server, and a crowd whose connections end with it."""
    async with server as sfu:
        crowd = Crowd(sfu, lossy=lossy)
        try:
            yield crowd
        finally:
            endpoints = {c.publisher for c in crowd.clients} | {c.subscriber for c in crowd.clients}
            await close_all([endpoint for endpoint in endpoints if endpoint is not None])


def note(figures: Figures, result: Result, cpu: float) -> None:
    """Fill in what a run found, which took so many seconds of processor."""
    figures.forwarded, figures.missing = result.forwarded, result.missing
    figures.cpu = cpu / max(result.forwarded, 1) * 1e6
    figures.own_drops = result.own_drops
    delays = result.frame_delays if len(result.frame_delays) else result.delays
    if len(delays):
        figures.p50, figures.p99, figures.p999 = (float(q) * 1e3 for q in np.quantile(delays, (0.5, 0.99, 0.999)))


async def steady(server: AbstractAsyncContextManager[Sfu], work: Work, seconds: float) -> Figures:
    """A load as it is in calls."""
    async with crowd_of(server, lossy=work.lossy) as crowd:
        figures = await crowd.gather(work)
        result = await crowd.run(seconds, figures)
        figures.notes["sent late at most, ms"] = result.latest * 1e3
        return figures


async def most(
    server: AbstractAsyncContextManager[Sfu], work: Work, pace: Pace, steps: Sequence[int], seconds: float
) -> Figures:
    """Rising rates, packets a second forwarded, until some are missing; then 60 % of the last good one."""
    async with crowd_of(server) as crowd:
        first = _at(pace, steps[0], work)
        figures = await crowd.gather(work, {pace.kind: first})
        await asyncio.to_thread(crowd.engine.run, WARM_SECONDS, measure=False)
        best = 0.0
        for step in steps:
            crowd.engine.set_pace(_at(pace, step, work))
            found = Figures()
            before = usage(crowd.sfu.pid)
            result = await asyncio.to_thread(crowd.engine.run, seconds)
            note(found, result, usage(crowd.sfu.pid).cpu - before.cpu)
            reached = result.forwarded / seconds
            if found.missing >= MOST_MISSING or reached < 0.97 * step:
                figures.notes["stopped at"], figures.notes["missing there"] = step, found.missing
                figures.notes["sent late"] = result.latest
                break
            best, figures.cpu, figures.forwarded = reached, found.cpu, result.forwarded
            figures.notes["p99 at most"], figures.notes["most"] = found.p99, reached
        crowd.engine.set_pace(_at(pace, max(steps[0] // 2, 0.6 * best), work))
        found = Figures()
        await crowd.run(seconds, found)
        figures.p50, figures.p99, figures.p999, figures.missing = found.p50, found.p99, found.p999, found.missing
        return figures


def _at(pace: Pace, forwarded: float, work: Work) -> Pace:
    return Pace(pace.kind, forwarded / work.listeners / work.publishers, pace.size, pace.burst)


async def joins(server: AbstractAsyncContextManager[Sfu], count: int) -> Figures:
    """Joining a room in which a call is under way: what each join takes, and how long the call stands still for it."""
    work = Work("joins", "", listeners=20)
    async with crowd_of(server) as crowd:
        figures = await crowd.gather(work)
        await asyncio.to_thread(crowd.engine.run, WARM_SECONDS, measure=False)
        running = asyncio.create_task(asyncio.to_thread(crowd.engine.run, 6.0))
        await asyncio.sleep(1)
        before, began = usage(crowd.sfu.pid), time.monotonic()
        gate = asyncio.Semaphore(JOINS_AT_ONCE)

        async def one() -> None:
            async with gate:
                newcomer = await crowd.sfu.join("room-0", sends=(), audio_slots=1)
                crowd.clients.append(newcomer)
                await crowd.sfu.settle(newcomer)

        await asyncio.gather(*(one() for _ in range(count)))
        took = time.monotonic() - began
        figures.join = (usage(crowd.sfu.pid).cpu - before.cpu) / count * 1e3
        figures.joins_a_second = count / took
        note(figures, await running, 0.0)
        result = running.result()
        figures.notes["longest delay, ms"] = float(result.delays.max()) * 1e3 if len(result.delays) else 0.0
        return figures


async def flood(server: AbstractAsyncContextManager[Sfu], seconds: float) -> Figures:
    """A call of ten listeners, and ten times as many datagrams that have no business there."""
    work = Work("flood", "", listeners=10)
    async with crowd_of(server) as crowd:
        figures = await crowd.gather(work)
        publisher = crowd.clients[0].publisher
        assert publisher is not None
        assert publisher.remote is not None
        stop = threading.Event()
        sent = [0]
        rate = FLOOD_FACTOR * 50 * (1 + work.listeners)
        (seat,) = crowd.seats[id(crowd.clients[0])]
        datagrams = [
            bytes((0x80, 111)) + bytes(120),  # RTP that nobody's keys fit
            None,  # a packet of the publisher once more, from its own address, as a forger's would come
            bytes((0x80, 200)) + bytes(60),
            bytes(4000),  # longer than any packet
            bytes((22, 254, 253)) + bytes(100),  # DTLS from nowhere
            bytes((0, 1, 0, 0)) + bytes(60),  # a check without integrity
            b"",
        ]
        address = publisher.remote.address

        def pour() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                began = time.monotonic()
                while not stop.is_set():
                    while sent[0] < (time.monotonic() - began) * rate:
                        with contextlib.suppress(OSError):
                            data = datagrams[sent[0] % len(datagrams)]
                            if data is None:
                                publisher.socket.send(seat.newest)
                            else:
                                stranger.sendto(data, address)
                        sent[0] += 1
                    time.sleep(0.002)

        pouring = threading.Thread(target=pour, daemon=True)
        pouring.start()
        try:
            await crowd.run(seconds, figures)
        finally:
            stop.set()
            await asyncio.to_thread(pouring.join)
        figures.notes["flood datagrams"] = sent[0]
        return figures


async def churn(server: AbstractAsyncContextManager[Sfu], seconds: float) -> Figures:
    """People come and go all the time; what a minute of it leaves behind in memory and descriptors."""
    async with crowd_of(server) as crowd:
        figures = await crowd.gather(Work("churn", "", listeners=10))
        ends = time.monotonic() + seconds
        marks: list[tuple[float, int, int]] = []
        count = 0
        while time.monotonic() < ends or len(marks) < 4:
            for _ in range(25):
                guest = await crowd.join("room-0", sends=("audio",), audio=2)
                await crowd.settle(guest)
                await asyncio.to_thread(crowd.engine.run, 0.05, measure=False)
                await crowd.leave(guest)
                count += 1
            used = usage(crowd.sfu.pid)
            marks.append((count, used.memory, used.descriptors))
        half = marks[len(marks) // 2]
        figures.notes |= {
            "joins and leaves": count,
            "kB each, second half": (marks[-1][1] - half[1]) / max(1, marks[-1][0] - half[0]) / 1e3,
            "descriptors more": marks[-1][2] - half[2],
        }
        return figures
