"""Data channels between clients that know nothing of Clarion but its WebSocket: Chromium's and aiortc's own."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from rig import until

from bench.people import PATIENCE, chromium
from bench.service import service

ROOM = "channels"
LABEL = "chat"
CHROMIUM = """({ room, label }) => new Promise((resolve) => {
    const connection = new RTCPeerConnection();
    const channel = connection.createDataChannel(label);
    const socket = new WebSocket(location.href.replace("http", "ws").replace(/\\/$/, "") + "/ws");
    window.messages = [];
    window.channel = channel;
    channel.onmessage = ({ data }) => messages.push(data);
    channel.onopen = () => resolve();
    socket.onopen = () => socket.send(JSON.stringify({ type: "join", room, name: "Chromium" }));
    socket.onmessage = async ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "joined") {
            await connection.setLocalDescription();
            socket.send(JSON.stringify({ type: "offer", id: 1, sdp: connection.localDescription.sdp }));
        }
        if (message.re === 1) await connection.setRemoteDescription({ type: "answer", sdp: message.sdp });
    };
})"""


async def connect(connection: RTCPeerConnection, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Join and negotiate as a stock aiortc client would."""
    await socket.send_json({"type": "join", "room": ROOM, "name": "aiortc"})
    await connection.setLocalDescription(await connection.createOffer())
    await socket.send_json({"type": "offer", "id": 1, "sdp": connection.localDescription.sdp})
    async for received in socket:
        message: dict[str, Any] = received.json()
        if message.get("re") == 1:
            await connection.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
            return


async def test_what_one_stock_client_sends_another_gets() -> None:
    async with service() as running, chromium() as browser, aiohttp.ClientSession() as http:
        page = await browser.new_page()
        await page.goto(running.url)
        connection = RTCPeerConnection()
        channel = connection.createDataChannel(LABEL)
        opened, received = asyncio.Event(), asyncio.Queue[str | bytes]()
        channel.on("open", opened.set)
        channel.on("message", received.put_nowait)
        try:
            async with asyncio.timeout(PATIENCE), http.ws_connect(f"{running.url}/ws") as socket:
                await asyncio.gather(
                    page.evaluate(CHROMIUM, {"room": ROOM, "label": LABEL}), connect(connection, socket)
                )
                await opened.wait()
                await page.evaluate("channel.send('from Chromium')")
                assert await received.get() == "from Chromium"
                await page.evaluate("channel.send(new Uint8Array([1, 2, 3]))")
                assert await received.get() == b"\x01\x02\x03"
                channel.send("from aiortc")
                await until(page, "messages.length > 0")
                assert await page.evaluate("messages") == ["from aiortc"]
                assert received.empty(), "what one sends does not come back"
        finally:
            await connection.close()
