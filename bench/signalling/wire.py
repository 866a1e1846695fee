"""A WebSocket client that takes next to nothing (RFC 6455), so that a bench measures the server."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Callable
from typing import Any, cast

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK = b"\0\0\0\0"  # allowed, and free


class Wire(asyncio.Protocol):
    """One connection; `heard` gets every message of the server as text."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self._heard = heard
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int, heard: Callable[[bytes], None], host: str = "127.0.0.1") -> Wire:
        """A connection to /ws. Raises OSError."""
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_connection(lambda: cls(heard), host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await wire.opened
        return wire

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._frame(TEXT, json.dumps(message, separators=(",", ":")).encode())

    def close(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("no WebSocket"))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        buffer = self._buffer
        buffer += data
        if not self.opened.done():
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in buffer[:end]:
                self.opened.set_exception(ConnectionError(buffer[:end].decode(errors="replace")))
                return
            del buffer[: end + 4]
            self.opened.set_result(None)
        start = 0
        while len(buffer) - start >= 2:
            length, body = buffer[start + 1], start + 2
            if length == 126:
                if len(buffer) < body + 2:
                    break
                length, body = struct.unpack_from("!H", buffer, body)[0], body + 2
            elif length == 127:
                if len(buffer) < body + 8:
                    break
                length, body = struct.unpack_from("!Q", buffer, body)[0], body + 8
            if len(buffer) < body + length:
                break
            kind = buffer[start] & 15
            if kind == TEXT:
                self._heard(bytes(buffer[body : body + length]))
            elif kind == PING:
                self._frame(PONG, bytes(buffer[body : body + length]))
            start = body + length
        del buffer[:start]

    def _frame(self, kind: int, body: bytes) -> None:
        if self._transport is None or self.closed:
            return
        size = len(body)
        head = bytes((128 | kind, 128 | size)) if size < 126 else struct.pack("!BBH", 128 | kind, 254, size)
        self._transport.write(head + MASK + body)
