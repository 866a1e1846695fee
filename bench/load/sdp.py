"""The SDP of a load client: what it offers or answers, and the few facts that it needs of the other side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["audio", "video"]

OPUS, RED, VP8, VP8_RTX = 111, 63, 96, 97
MID, LEVEL, SEND_TIME, TRANSPORT_CC = 4, 1, 2, 3
"""Ids of the header extensions, as Chromium numbers them."""

_CODECS: dict[Kind, tuple[str, ...]] = {
    "audio": (
        f"a=rtpmap:{OPUS} opus/48000/2",
        f"a=fmtp:{OPUS} minptime=10;useinbandfec=1",
        f"a=rtpmap:{RED} red/48000/2",
        f"a=fmtp:{RED} {OPUS}/{OPUS}",
        f"a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    ),
    "video": (
        f"a=rtpmap:{VP8} VP8/90000",
        *(f"a=rtcp-fb:{VP8} {feedback}" for feedback in ("goog-remb", "ccm fir", "nack", "nack pli")),
        f"a=rtpmap:{VP8_RTX} rtx/90000",
        f"a=fmtp:{VP8_RTX} apt={VP8}",
        f"a=extmap:{SEND_TIME} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    ),
}
_PAYLOAD_TYPES: dict[Kind, tuple[int, ...]] = {"audio": (OPUS, RED), "video": (VP8, VP8_RTX)}


@dataclass(frozen=True, slots=True)
class Line:
    """One m-line of ours: with an SSRC it sends, without one it receives."""

    mid: str
    kind: Kind
    ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """Our end of the transport."""

    ufrag: str
    pwd: str
    fingerprint: str
    """SHA-256, as SDP writes it."""
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Remote:
    """The server's end of the transport."""

    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    address: tuple[str, int]
    lines: tuple[tuple[str, Kind], ...]
    """MID and kind of its m-lines."""


def write(local: Local, lines: Sequence[Line], *, answer: bool = False) -> str:
    """An offer, or an answer of one who waits for the DTLS handshake, with these m-lines in one bundle."""
    setup = "passive" if answer else "actpass"
    out = [
        "v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0",
        "a=group:BUNDLE " + " ".join(line.mid for line in lines),
        "a=extmap-allow-mixed", "a=msid-semantic: WMS *",
    ]
    for line in lines:
        host, port = local.address
        out += [
            f"m={line.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, _PAYLOAD_TYPES[line.kind]))}",
            "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0",
            f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.pwd}",
            f"a=fingerprint:sha-256 {local.fingerprint}", f"a=setup:{setup}", f"a=mid:{line.mid}",
            "a=recvonly" if line.ssrc is None else "a=sendonly", "a=rtcp-mux", "a=rtcp-rsize",
            f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid",
            *_CODECS[line.kind],
        ]
        if line.ssrc is not None:
            out += [f"a=msid:load {line.mid}", f"a=ssrc:{line.ssrc} cname:load"]
        out += [f"a=candidate:1 1 udp 2130706431 {host} {port} typ host", "a=end-of-candidates"]
    return "\r\n".join(out) + "\r\n"


def read(text: str) -> Remote:
    """What the server said. Raises ValueError when something needed is missing."""
    candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", text, re.IGNORECASE)
    if not candidates:
        raise ValueError("the server named no IPv4 address")
    sections = re.findall(r"m=(audio|video) (\d+).*?a=mid:(\S+)", text, re.DOTALL)
    return Remote(
        ufrag=_first(r"a=ice-ufrag:(\S+)", text),
        pwd=_first(r"a=ice-pwd:(\S+)", text),
        fingerprints=tuple({(m[0].lower(), m[1]) for m in re.findall(r"a=fingerprint:(\S+) (\S+)", text)}),
        address=(candidates[0][0], int(candidates[0][1])),
        lines=tuple((mid, kind) for kind, _, mid in sections),
    )


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"the server's description has no {pattern}")
    return found[1]
