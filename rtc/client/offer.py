"""The client's side of SDP: writing its offer, reading the server's answer (RFC 8829, 8839, 8843). No IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aioice import Candidate
from aiortc.rtcdtlstransport import RTCDtlsFingerprint

from rtc.wire import extensions
from rtc.wire.sdp import SdpError
from rtc.wire.sdp.lines import Section, read_sections

Kind = Literal["audio", "video"]

OPUS, VP8, VP8_RTX, H264, H264_RTX = 96, 97, 98, 99, 100
RED = 63
"""Payload types offered; RED (RFC 2198) carries Opus frames with those before them."""

EXTENSION_IDS = {
    extensions.MID: 1, extensions.AUDIO_LEVEL: 2, extensions.ABS_SEND_TIME: 3, extensions.TRANSPORT_CC: 4,
    extensions.RID: 5, extensions.REPAIRED_RID: 6,
}  # fmt: skip
"""Header extensions offered, and their ids."""

_RTPMAPS = {
    "audio": {OPUS: "opus/48000/2", RED: "red/48000/2"},
    "video": {VP8: "VP8/90000", VP8_RTX: "rtx/90000", H264: "H264/90000", H264_RTX: "rtx/90000"},
}
_FMTPS = {
    OPUS: "minptime=10;useinbandfec=1;stereo=1",
    RED: f"{OPUS}/{OPUS}",
    VP8_RTX: f"apt={VP8}",
    H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    H264_RTX: f"apt={H264}",
}
_FEEDBACK = {
    OPUS: ("nack",),
    VP8: ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"),
    H264: ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"),
}
_EXTENSIONS = {
    "audio": (extensions.MID, extensions.AUDIO_LEVEL),
    "video": (extensions.MID, extensions.ABS_SEND_TIME, extensions.TRANSPORT_CC),
}
_SIMULCAST_EXTENSIONS = (extensions.RID, extensions.REPAIRED_RID)


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """This end of the connection, for the offer. Candidates are the values of `a=candidate`."""

    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfferedLine:
    """One m-line.

    A sender with its SSRCs (the second for retransmission) or the RIDs of its simulcast encodings, whose SSRCs their
    packets tell; without either a slot to receive on.
    """

    mid: str
    kind: Kind
    ssrcs: tuple[int, ...] = ()
    rids: tuple[str, ...] = ()
    """The smallest first."""

    @property
    def sends(self) -> bool:
        """Whether it is a sender."""
        return bool(self.ssrcs or self.rids)


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """What the server said of one m-line."""

    mid: str
    accepted: bool
    ssrcs: tuple[int, ...] = ()
    """The server's SSRCs: media, then retransmission."""
    codecs: dict[int, str] = field(default_factory=dict)
    """Codec name in upper case by payload type; RTX among them."""
    rtx: dict[int, int] = field(default_factory=dict)
    """Payload type of the original by that of its retransmission."""
    extension_ids: dict[str, int] = field(default_factory=dict)
    """Id by URI."""
    nack: frozenset[int] = frozenset()
    """Payload types whose loss may be reported with NACK."""
    rids: tuple[str, ...] = ()
    """Simulcast encodings that the server takes; empty where it takes but one."""

    def payload_type(self, codec: str) -> int | None:
        """The first payload type of a codec (upper case); None when the answer has none."""
        return next((number for number, name in self.codecs.items() if name == codec), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer."""

    ufrag: str
    pwd: str
    fingerprints: tuple[RTCDtlsFingerprint, ...]
    dtls_role: Literal["client", "server"]
    """Ours."""
    candidates: tuple[Candidate, ...]
    lines: dict[str, AnsweredLine]


def write_offer(transport: LocalTransport, lines: list[OfferedLine], *, session_id: int, cname: str) -> str:
    """Write an offer with all `lines` in one bundle."""
    mids = " ".join(line.mid for line in lines)
    out = [
        "v=0",
        f"o=- {session_id} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mids}",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS *",
    ]
    for index, line in enumerate(lines):
        out += _write_line(transport, line, cname=cname, first=index == 0)
    return "\r\n".join(out) + "\r\n"


def _write_line(transport: LocalTransport, line: OfferedLine, *, cname: str, first: bool) -> list[str]:
    payload_types = _RTPMAPS[line.kind]
    out = [
        f"m={line.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, payload_types))}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=ice-ufrag:{transport.ufrag}",
        f"a=ice-pwd:{transport.pwd}",
        *(f"a=fingerprint:{algorithm} {value}" for algorithm, value in transport.fingerprints),
        "a=setup:actpass",
        f"a=mid:{line.mid}",
        *(f"a=extmap:{EXTENSION_IDS[uri]} {uri}" for uri in _EXTENSIONS[line.kind]),
        *(f"a=extmap:{EXTENSION_IDS[uri]} {uri}" for uri in (_SIMULCAST_EXTENSIONS if line.rids else ())),
        "a=sendonly" if line.sends else "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
    ]
    if line.sends:
        out.append(f"a=msid:{cname} {line.mid}")
    for payload_type, rtpmap in payload_types.items():
        out.append(f"a=rtpmap:{payload_type} {rtpmap}")
        out += [f"a=rtcp-fb:{payload_type} {feedback}" for feedback in _FEEDBACK.get(payload_type, ())]
        if payload_type in _FMTPS:
            out.append(f"a=fmtp:{payload_type} {_FMTPS[payload_type]}")
    if len(line.ssrcs) > 1:
        out.append("a=ssrc-group:FID " + " ".join(map(str, line.ssrcs)))
    out += [f"a=ssrc:{ssrc} cname:{cname}" for ssrc in line.ssrcs]
    if line.rids:
        out += [f"a=rid:{rid} send" for rid in line.rids]
        out.append(f"a=simulcast:send {';'.join(line.rids)}")
    if first:
        out += [f"a=candidate:{candidate}" for candidate in transport.candidates]
        out.append("a=end-of-candidates")
    return out


def read_answer(text: str) -> Answer:
    """Read an answer. Raises SdpError with a sentence when something needed is missing or malformed."""
    sections = read_sections(text)
    session, media = sections[0], sections[1:]
    live = [section for section in media if not _rejected(section)]
    if not live:
        raise SdpError("the server's answer accepts no m-line")
    transport = live[0]
    ufrag, pwd = (transport.first(name) or session.first(name) for name in ("ice-ufrag", "ice-pwd"))
    if not ufrag or not pwd:
        raise SdpError("the server's answer has no ICE credentials")
    fingerprints = []
    for value in transport.all("fingerprint") or session.all("fingerprint"):
        algorithm, _, digest = value.partition(" ")
        fingerprints.append(RTCDtlsFingerprint(algorithm=algorithm, value=digest.strip()))
    if not fingerprints:
        raise SdpError("the server's answer has no fingerprint")
    setup = transport.first("setup") or session.first("setup")
    if setup not in {"active", "passive"}:
        raise SdpError("the server's answer does not say which side opens DTLS")
    return Answer(
        ufrag=ufrag,
        pwd=pwd,
        fingerprints=tuple(fingerprints),
        dtls_role="server" if setup == "active" else "client",
        candidates=_candidates([session, *live]),
        lines={line.mid: line for line in map(_read_line, media)},
    )


def _rejected(section: Section) -> bool:
    words = section.media.split()
    return len(words) < 2 or words[1] == "0" or section.has("inactive")


def _candidates(sections: list[Section]) -> tuple[Candidate, ...]:
    candidates = {}
    for section in sections:
        for value in section.all("candidate"):
            try:
                candidates[value] = Candidate.from_sdp(value)
            except (ValueError, IndexError):
                raise SdpError("the server's answer has a malformed candidate") from None
    return tuple(c for c in candidates.values() if c.transport.lower() == "udp" and c.component == 1)


def _read_line(section: Section) -> AnsweredLine:
    mid = section.first("mid")
    if mid is None:
        raise SdpError("the server's answer has an m-line without mid")
    if _rejected(section):
        return AnsweredLine(mid, accepted=False)
    try:
        codecs = {}
        for value in section.all("rtpmap"):
            payload_type, name = value.split(maxsplit=1)
            codecs[int(payload_type)] = name.partition("/")[0].upper()
        rtx = {}
        for value in section.all("fmtp"):
            payload_type, _, parameters = value.partition(" ")
            if codecs.get(int(payload_type)) == "RTX":
                rtx[int(payload_type)] = int(parameters.strip().removeprefix("apt="))
        ids = {}
        for value in section.all("extmap"):
            number, uri = value.split()[:2]
            ids[uri] = int(number.partition("/")[0])
        groups = [value.split() for value in section.all("ssrc-group")]
        fid = next((group[1:] for group in groups if group and group[0] == "FID"), [])
        declared = dict.fromkeys(value.split()[0] for value in section.all("ssrc"))
        nack = frozenset(
            int(words[0]) for words in map(str.split, section.all("rtcp-fb")) if words[1:] == ["nack"]
        )
        ssrcs = tuple(int(ssrc) for ssrc in (fid or declared))
        direction, _, rids = (section.first("simulcast") or "").partition(" ")
        taken = tuple(rids.split(";")) if direction == "recv" else ()
    except (ValueError, IndexError):
        raise SdpError(f"m-line {mid} of the server's answer is malformed") from None
    return AnsweredLine(mid, True, ssrcs, codecs, rtx, ids, nack, taken)
