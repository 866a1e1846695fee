"""Fails, and names the symbol, when a new aiortc or aioice changes what rtc.transport leans on."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import struct
from collections.abc import Callable
from typing import Any

import aioice.stun
import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, rtcdtlstransport, rtcsctptransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpTransport
from hypothesis import given
from hypothesis import strategies as st
from stock_peer import DEADLINE, Stock

from rtc.transport import aiortc_private
from rtc.transport.aiortc_private import MAX_HELD_CHUNKS, sctp_chunks_are_sane
from rtc.transport.dtls import MAX_CHANNELS, DatagramPipe
from rtc.transport.records import pack_records

CALLABLES = {
    # Overridden: aiortc must still call them, with these parameters.
    "RTCDtlsTransport._do_handshake": "self",
    "RTCDtlsTransport._recv_next": "self",
    "RTCDtlsTransport._setup_srtp": "self",
    "RTCDtlsTransport._write_ssl": "self",
    "RTCDtlsTransport._send_data": "self, data",
    "RTCSctpTransport._handle_data": "self, data",
    "RTCSctpTransport._receive_chunk": "self, chunk",
    "RTCSctpTransport._receive_data_chunk": "self, chunk",
    "RTCSctpTransport._get_inbound_stream": "self, stream_id",
    "RTCSctpTransport._update_rto": "self, R",
    # Called.
    "RTCDtlsTransport._set_role": "self, role",
    "RTCDtlsTransport._set_state": "self, state",
    "rtcsctptransport.tsn_plus_one": "a",
    "stun.parse_message": "data",
    "stun.Message.check_message_integrity": "self, key",
    "stun.message_integrity": "data, key",
    "stun.message_fingerprint": "data",
    "stun.set_body_length": "data, length",
    "stun.pack_error_code": "value",
    "stun.pack_xor_address": "value, transaction_id",
}

VALUES = {
    "stun.HEADER_LENGTH": 20,
    "stun.FINGERPRINT_LENGTH": 8,
    "stun.COOKIE": 0x2112A442,
    "rtcsctptransport.SCTP_COMMON_HEADER_LENGTH": 12,
    "rtcsctptransport.SCTP_RTO_MAX": 60,
    "rtcsctptransport.InitChunk.type": 1,
    "rtcsctptransport.InitAckChunk.type": 2,
    "rtcsctptransport.SackChunk.type": 3,
    "rtcsctptransport.HeartbeatChunk.type": 4,
    "rtcsctptransport.HeartbeatAckChunk.type": 5,
    "rtcsctptransport.AbortChunk.type": 6,
    "rtcsctptransport.ErrorChunk.type": 9,
    "rtcsctptransport.ReconfigChunk.type": 130,
    "rtcdtlstransport.SRTP_AEAD_AES_128_GCM.openssl_profile": b"SRTP_AEAD_AES_128_GCM",
    "rtcdtlstransport.SRTP_AEAD_AES_256_GCM.openssl_profile": b"SRTP_AEAD_AES_256_GCM",
    "rtcdtlstransport.SRTP_AES128_CM_SHA1_80.openssl_profile": b"SRTP_AES128_CM_SHA1_80",
    "rtcdtlstransport.State.CONNECTED.name": "CONNECTED",
    "rtcdtlstransport.State.FAILED.name": "FAILED",
}

ATTRIBUTES: dict[str, dict[str, object]] = {
    "RTCDtlsTransport": {
        "_data_receiver": None,
        "_rx_srtp": None,
        "_tx_srtp": None,
        "_srtp_profiles": rtcdtlstransport.SRTP_PROFILES,
        "_ssl": None,
        "_state": rtcdtlstransport.State.NEW,
        "encrypted": False,
        "state": "new",
    },
    "RTCSctpTransport": {
        "_advertised_rwnd": 1024 * 1024,
        "_data_channels": {},
        "_inbound_streams": {},
        "_last_received_tsn": None,
        "_rto": 3.0,
        "_rttvar": None,
        "_sack_misordered": set(),
        "_srtt": None,
    },
}


def _find(path: str) -> Any:
    first, *rest = path.split(".")
    found: Any = {
        "RTCDtlsTransport": RTCDtlsTransport,
        "RTCSctpTransport": RTCSctpTransport,
        "rtcdtlstransport": rtcdtlstransport,
        "rtcsctptransport": rtcsctptransport,
        "stun": aioice.stun,
    }[first]
    for name in rest:
        assert hasattr(found, name), f"{path} is gone: see rtc/transport/aiortc_private.py and ice.py"
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(("path", "parameters"), CALLABLES.items(), ids=CALLABLES)
def test_a_private_callable_takes_the_parameters_we_rely_on(path: str, parameters: str) -> None:
    assert ", ".join(inspect.signature(_find(path)).parameters) == parameters, f"{path} has changed"


@pytest.mark.parametrize(("path", "value"), VALUES.items(), ids=VALUES)
def test_a_private_constant_has_the_value_we_rely_on(path: str, value: object) -> None:
    assert _find(path) == value, f"{path} has changed"


def _ignore(_: bytes) -> None:
    """Send nothing."""


@pytest.mark.parametrize("owner", ATTRIBUTES)
async def test_private_attributes_start_as_we_rely_on(owner: str) -> None:
    dtls = RTCDtlsTransport(DatagramPipe(_ignore), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]  # a duck
    instance = dtls if owner == "RTCDtlsTransport" else RTCSctpTransport(dtls)
    for name, value in ATTRIBUTES[owner].items():
        assert hasattr(instance, name), f"{owner}.{name} is gone"
        assert getattr(instance, name) == value, f"{owner}.{name} has changed"


@given(st.lists(st.integers(0, 1400), max_size=12), st.integers(100, 1500))
def test_records_leave_whole_in_datagrams_that_fit(lengths: list[int], mtu: int) -> None:
    records = [b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", n) + b"x" * n for n in lengths]
    datagrams = list(pack_records(b"".join(records), mtu))
    assert b"".join(datagrams) == b"".join(records)
    for datagram in datagrams:
        assert len(datagram) <= mtu or datagram in records
    for first, second in itertools.pairwise(datagrams):
        head = 13 + int.from_bytes(second[11:13], "big")
        assert len(first) + head > mtu  # none is sent half empty


@given(st.binary(max_size=3000))
def test_any_bytes_from_openssl_are_passed_on(written: bytes) -> None:
    assert b"".join(pack_records(written, 1200)) == written


class RawChunk:
    """A chunk that says whatever we like."""

    def __init__(self, kind: int, body: bytes, *, flags: int = 0, length: int | None = None) -> None:
        self.data = struct.pack("!BBH", kind, flags, 4 + len(body) if length is None else length) + body
        self.data += bytes(-len(self.data) % 4)

    def __bytes__(self) -> bytes:
        return self.data


FIRST_FRAGMENT = 2


def _data(tsn: int, payload: bytes, *, flags: int) -> RawChunk:
    return RawChunk(0, struct.pack("!LHHL", tsn & 0xFFFFFFFF, 0, 0, 51) + payload, flags=flags)


def _open(label: bytes) -> bytes:
    return struct.pack("!BBHLHH", 3, 0, 0, 0, len(label), 0) + label


GAPS = struct.pack("!LLHHHH", 0, 0, 1, 0, 1, 4000)

ENDLESS = {
    "init": RawChunk(1, bytes(16) + bytes(8)),
    "init ack": RawChunk(2, bytes(16) + bytes(8)),
    "heartbeat": RawChunk(4, bytes(8)),
    "abort": RawChunk(6, bytes(8)),
    "error": RawChunk(9, struct.pack("!HH", 1, 3) + bytes(4)),
    "re-config": RawChunk(130, bytes(8)),
    "sack that names every tsn": RawChunk(3, struct.pack("!LLHH", 0, 0, 280, 0) + b"\x00\x00\xff\xff" * 280),
    "sacks that name every tsn together": RawChunk(3, GAPS).data * 20,
    "sack that lies about its gaps": RawChunk(3, struct.pack("!LLHH", 0, 0, 0xFFFF, 0)),
    "sack with a gap backwards": RawChunk(3, struct.pack("!LLHHHH", 0, 0, 1, 0, 5, 4)),
    "sack cut short": RawChunk(3, bytes(4)),
    "chunk of length 0": RawChunk(0, b"", length=0),
}

MALFORMED = {
    "init beside another chunk": RawChunk(11, b"").data + RawChunk(1, bytes(16)).data,
    "init cut short": RawChunk(1, bytes(3)),
    "data cut short": RawChunk(0, bytes(5)),
    "forward tsn cut short": RawChunk(192, bytes(3)),
    "forward tsn with half a stream": RawChunk(192, struct.pack("!LH", 0x7FFFFFFF, 1)),
    "re-config cut short": RawChunk(130, struct.pack("!HHH", 13, 6, 1)),
    "shutdown cut short": RawChunk(7, b"\x00"),
    "an unknown chunk": RawChunk(77, bytes(9)),
    "cookie echo of nothing": RawChunk(10, b""),
}


async def _send_raw(peer: Stock, chunk: Any) -> None:
    sctp = peer.sctp
    packet = rtcsctptransport.serialize_packet(5000, 5000, sctp._remote_verification_tag, chunk)
    await peer.dtls._send_data(packet)


@pytest.mark.parametrize("chunk", ENDLESS.values(), ids=ENDLESS)
async def test_an_sctp_chunk_that_would_stop_the_process_is_dropped(
    stock: Callable[..., Stock], chunk: RawChunk
) -> None:
    packet = rtcsctptransport.serialize_packet(5000, 5000, 0, chunk)  # type: ignore[arg-type]  # it has bytes()
    assert not sctp_chunks_are_sane(packet)  # asked first: were it let through, the rest would not end

    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    await _send_raw(peer, chunk)
    assert await peer.echo("after") == "after"
    assert peer.ours.malformed == 1


@pytest.mark.parametrize("chunk", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_sctp_chunk_leaves_the_association_alive(
    stock: Callable[..., Stock], chunk: RawChunk
) -> None:
    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    await _send_raw(peer, chunk)
    assert peer.ours.state == "connected"
    if chunk not in (MALFORMED["shutdown cut short"], MALFORMED["forward tsn with half a stream"]):
        assert await peer.echo("after") == "after"


@pytest.mark.parametrize("payload", [_open(b"\xff\xfe"), _open(b"echo"), b"\x02", b"\x03", b""])
async def test_a_malformed_channel_message_leaves_the_transport_alive(
    stock: Callable[..., Stock], payload: bytes
) -> None:
    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    await peer.sctp._send(0, 50, payload or b"\x00")  # 50 is DCEP, on the stream that is already a channel
    await peer.sctp._send(0, 51, b"\xff\xff not UTF-8")
    assert await peer.echo("after") == "after"
    assert peer.ours.state == "connected"


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give SCTP all the time it wants, so that the limits on memory are what is tested."""
    monkeypatch.setattr(aiortc_private, "SCTP_TIME_BURST", 100.0)
    monkeypatch.setattr(aiortc_private, "SCTP_TIME_SHARE", 1000.0)


@pytest.mark.usefixtures("unhurried")
async def test_a_message_without_end_ends_the_association(stock: Callable[..., Stock]) -> None:
    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    first = peer.sctp._local_tsn
    for index in range(MAX_HELD_CHUNKS + 1):
        await _send_raw(peer, _data(first + index, b"x", flags=0 if index else FIRST_FRAGMENT))
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        while peer.sctp.state != "closed":  # noqa: ASYNC110  # aiortc's SCTP has no event for it
            await asyncio.sleep(0)
    assert peer.ours.state == "connected"


@pytest.mark.usefixtures("unhurried")
async def test_chunks_past_a_hole_are_held_to_a_limit(stock: Callable[..., Stock]) -> None:
    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    first = peer.sctp._local_tsn + 1
    for index in range(MAX_HELD_CHUNKS + 40):
        await _send_raw(peer, _data(first + index, b"x", flags=0))
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        while peer.ours.malformed < 40:  # noqa: ASYNC110  # a counter, not an event
            await asyncio.sleep(0)
    assert peer.ours.malformed == 40
    assert peer.ours.state == "connected"


async def test_a_peer_that_costs_too_much_time_is_cut_short(
    stock: Callable[..., Stock], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = stock(role="server")
    await peer.connect()
    assert await peer.echo("before") == "before"
    monkeypatch.setattr(aiortc_private, "SCTP_TIME_BURST", 0.0)
    for _ in range(50):
        await _send_raw(peer, _data(peer.sctp._local_tsn, b"x", flags=0))
    async with asyncio.timeout(DEADLINE):
        while peer.ours.malformed < 50:  # noqa: ASYNC110  # a counter, not an event
            await asyncio.sleep(0)
    monkeypatch.undo()
    assert await peer.echo("after") == "after"


async def test_channels_past_the_limit_are_closed(stock: Callable[..., Stock]) -> None:
    peer = stock(role="server")
    await peer.connect()
    labels = map(str, range(MAX_CHANNELS + 1))
    opened = [RTCDataChannel(peer.sctp, RTCDataChannelParameters(label=label)) for label in labels]
    closed = asyncio.Event()
    opened[-1].on("close", closed.set)
    async with asyncio.timeout(DEADLINE):
        for _ in range(MAX_CHANNELS):
            await peer.channels.get()
        await closed.wait()
    assert peer.channels.empty()
