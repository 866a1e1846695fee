"""The least that a server must cost that protects with libsrtp: what is measured is sent, and to everybody."""

from __future__ import annotations

import gc
import socket

import pytest

from bench.load.floor import FRAME, SIZES, forwarder
from rtc.transport.addresses import AddressTable, pack_sockaddr
from rtc.transport.udp import open_udp


@pytest.mark.parametrize(("kind", "frame"), [("audio", 1), ("video", FRAME)])
def test_everybody_is_sent_protected_packets_each_time(kind: str, frame: int) -> None:
    receivers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    addresses = AddressTable()
    rows = []
    for receiver in receivers:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        rows.append(addresses.add(pack_sockaddr(*receiver.getsockname(), family=socket.AF_INET)))
    sender = open_udp("127.0.0.1", 0)
    forward = forwarder("SRTP_AEAD_AES_128_GCM", rows, frame, SIZES[kind])
    gc.collect()
    for turn in range(3):
        assert forward(sender, addresses) == frame * len(receivers)
        for receiver in receivers:
            packets = [receiver.recv(2048) for _ in range(frame)]
            assert {len(packet) for packet in packets} == {SIZES[kind]}
            numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
            assert numbers == [frame * (turn + 1) + place for place in range(frame)]
            assert all(any(packet[12:-16]) for packet in packets)  # zeros were encrypted
    assert (sender.dropped, sender.errors) == (0, 0)
    sender.close()
    for receiver in receivers:
        receiver.close()
