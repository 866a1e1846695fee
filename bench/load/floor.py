"""What the kernel alone takes for a datagram, and what the kernel and libsrtp take together: the least that any
forwarder on this machine can cost that only sends, and that any can which protects with libsrtp before.

Runs as a program of its own where the servers run (`python -m bench.load.floor PORT…`), and is measured
like one.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from rtc.transport.addresses import AddressTable, pack_sockaddr
from rtc.transport.batch import Outbox
from rtc.transport.srtp import protect_rows, srtp_pair
from rtc.transport.udp import UdpSocket, open_udp

from .endpoint import prepared_socket
from .server import CLIENT_HOST, SERVER_HOST, server_process

SIZES = {"audio": 140, "video": 1136}  # bytes of a datagram: payload, RTP header, extensions, tag
ROUNDS = 40
ROUND_SECONDS = 0.02  # as often as a packet of audio comes
FRAME = 8  # packets of a frame of video
VIEWERS = 20  # who is sent them
FRAME_SECONDS = 0.04  # as often as a frame comes
FEW = 10  # who hears in a small call
HEADER = 12  # bytes before the payload, which are not encrypted
TAG = 16  # bytes that AES-GCM adds to a packet; AES-CM adds 10
PROFILES = {"GCM": "SRTP_AEAD_AES_128_GCM", "CM": "SRTP_AES128_CM_SHA1_80"}
DRAIN_SECONDS = 0.004


def measure(ports: Sequence[int]) -> dict[str, float]:
    """µs of processor a packet by `sendto`, `sendmmsg` and GSO, to each of these ports of the client's host.

    With the name of a profile before it: protected first, with a key for each port, at the pace of a call.
    """
    addresses = AddressTable()
    rows = [addresses.add(pack_sockaddr(CLIENT_HOST, port, family=socket.AF_INET)) for port in ports]
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    batched = open_udp(SERVER_HOST, 0, batched=True)
    outbox = Outbox()
    found: dict[str, float] = {}
    for kind, size in SIZES.items():
        data = bytes(size)

        def sendto(data: bytes = data) -> int:
            for port in ports:
                plain.sendto(data, (CLIENT_HOST, port))
            return len(ports)

        def sendmmsg(size: int = size, frame: int = 1) -> int:
            for at in range(0, len(ports), outbox.capacity // frame):
                some = rows[at : at + outbox.capacity // frame]
                count = len(some) * frame
                outbox.destinations[:count] = np.tile(np.array(some, np.int32), frame)
                outbox.lengths[:count] = size
                outbox.count = count
                batched.send(outbox, addresses)
            return len(ports) * frame

        def gso(size: int = size) -> int:
            return sendmmsg(size, FRAME)

        found[f"sendto {kind}"] = _microseconds(sendto)
        found[f"sendmmsg {kind}"] = _microseconds(sendmmsg)
        found[f"gso {kind}"] = _microseconds(gso)
    for name, profile in PROFILES.items():
        audio, few = (forwarder(profile, some, 1, SIZES["audio"]) for some in (rows, rows[:FEW]))
        video = forwarder(profile, rows[:VIEWERS], FRAME, SIZES["video"])
        for title, forward, seconds in (
            (f"{name} + sendmmsg audio", audio, ROUND_SECONDS),
            (f"{name} + sendmmsg audio to {FEW}", few, ROUND_SECONDS),
            (f"{name} + gso video", video, FRAME_SECONDS),
        ):
            found[title] = _microseconds(partial(forward, batched, addresses), seconds)
    return found


def forwarder(
    profile: str, rows: Sequence[int], frame: int, size: int
) -> Callable[[UdpSocket, AddressTable], int]:
    """A server that does nothing but protect and send what is ready: so many packets to each, as often as they come."""
    sessions = [srtp_pair(profile)[0] for _ in rows]
    contexts = [session.context for session in sessions for _ in range(frame)]
    outbox = Outbox()
    destinations = np.repeat(np.array(rows, np.int32), frame)
    count = len(contexts)
    outbox.buffer[:count, :HEADER] = np.frombuffer(bytes([0x80, 111]) + bytes(HEADER - 3) + b"\1", np.uint8)
    numbers = outbox.buffer[:count, 2:4].view(">u2")[:, 0]
    numbers[:] = np.tile(np.arange(frame), len(sessions))
    outbox.destinations[:count] = destinations

    def forward(sender: UdpSocket, addresses: AddressTable) -> int:
        numbers[:] += frame
        outbox.lengths[:count] = size - TAG
        outbox.count = count
        if protect_rows(contexts, outbox, 0):
            raise RuntimeError("libsrtp refuses to protect")
        sender.send(outbox, addresses)
        return len(sessions) * frame  # named here, so that they live as long as this: they own the contexts

    return forward


def _microseconds(send: Callable[[], int], seconds: float = ROUND_SECONDS) -> float:
    packets = 0
    used = 0.0
    for _ in range(ROUNDS):
        begun = time.process_time()
        packets += send()
        used += time.process_time() - begun
        time.sleep(seconds)
    return used / packets * 1e6


async def floor(sockets: int) -> dict[str, float]:
    """Measure it in the namespace of the servers, on their core, to so many sockets of clients."""
    receivers = [prepared_socket(CLIENT_HOST) for _ in range(sockets)]
    stop = threading.Event()

    def drain() -> None:
        while not stop.wait(DRAIN_SECONDS):
            for receiver in receivers:
                try:
                    while receiver.recv(2048):
                        pass
                except BlockingIOError:
                    pass

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    ports = [str(receiver.getsockname()[1]) for receiver in receivers]
    try:
        async with server_process([sys.executable, "-m", __name__, *ports], ready="{") as (_, line, _):
            found: dict[str, float] = json.loads(line)
            return found
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
        for receiver in receivers:
            receiver.close()


if __name__ == "__main__":
    print(json.dumps(measure([int(port) for port in sys.argv[1:]])), flush=True)
