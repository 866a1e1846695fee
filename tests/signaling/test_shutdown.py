"""Stopping: calls may end, nobody new comes in, and everybody is told."""

from __future__ import annotations

import asyncio

from conftest import Serve, eventually
from fakes import FakeNode

from signaling.app import create_app
from signaling.config import load
from signaling.keys import NODE, SESSIONS
from signaling.server import Stop, drain
from signaling.server import serve as run_server


async def test_while_draining_calls_go_on_and_nobody_comes_in(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    stop = Stop()
    draining = asyncio.create_task(drain(service.app, 3600, stop))
    await eventually(lambda: service.directory.draining)
    assert (await service.client.get("/readyz")).status == 503
    assert (await service.client.get("/healthz")).status == 200
    assert "clarion_draining 1.0" in await (await service.client.get("/metrics")).text()
    assert (await service.refusal(type="join", room="hall", name="Bob"))["code"] == "server-full"
    assert (await ann.command("ping"))["type"] == "reply"
    await ann.socket.close()
    again = await service.resume(ann.joined["session"], ack=1)
    await again.receive_type("resumed")
    assert not draining.done()
    await again.send(type="leave", id=2)
    await asyncio.wait_for(draining, 5)


async def test_the_deadline_and_the_second_signal_end_the_draining(serve: Serve) -> None:
    service = await serve()
    await service.join("Ann")
    await asyncio.wait_for(drain(service.app, 0.01, Stop()), 5)
    stop = Stop()
    stop.order()
    stop.order()
    await asyncio.wait_for(drain(service.app, 3600, stop), 5)


async def test_at_the_end_everybody_is_told_and_the_media_stop(serve: Serve) -> None:
    service = await serve()
    guests = [await service.join(name) for name in ("Ann", "Bob")]
    peers = [service.peer(guest) for guest in guests]
    closing = asyncio.create_task(service.client.server.close())
    for guest in guests:
        assert (await guest.until("closed"))["reason"] == "shutdown"
        assert await guest.close_code() == 1012
    await asyncio.wait_for(closing, 10)
    assert all(peer.closed for peer in peers)
    assert service.node.closed
    assert not service.node.rooms


async def test_the_server_runs_until_it_is_told_to_stop() -> None:
    settings = load({"http_port": "0", "udp_port": "0", "data_dir": ""})
    app = create_app(settings, start_node=FakeNode.start)  # type: ignore[arg-type]
    started: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    stop = Stop()
    running = asyncio.create_task(
        run_server(app, settings, stop=stop, started=lambda http, udp: started.set_result((http, udp)))
    )
    http_port, _ = await asyncio.wait_for(started, 5)
    assert http_port
    assert len(app[SESSIONS]) == 0
    stop.order()
    await asyncio.wait_for(running, 5)
    node: object = app[NODE]
    assert isinstance(node, FakeNode)
    assert node.closed
