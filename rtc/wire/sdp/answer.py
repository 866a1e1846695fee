"""The server's SDP answer, as values and as text (RFC 8829 section 5.3, RFC 8839, RFC 8843)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rtc.wire.sdp.offer import Codec, Direction, Kind

_HOST_PREFERENCE = 126  # type preference of a host candidate (RFC 8445 section 5.1.2.2)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address where the server receives, UDP, component 1 (RFC 8839 section 5.1)."""

    address: str
    port: int
    priority: int
    foundation: str = "1"
    type: str = "host"

    def serialize(self) -> str:
        """The value of a=candidate."""
        return f"{self.foundation} 1 udp {self.priority} {self.address} {self.port} typ {self.type}"


def host_candidates(addresses: Sequence[str], port: int) -> tuple[Candidate, ...]:
    """Host candidates of one port, most wanted address first. Raises ValueError for what is no IP address."""
    return tuple(
        Candidate(
            address=str(ipaddress.ip_address(address)),
            port=port,
            priority=(_HOST_PREFERENCE << 24) | ((0xFFFF - index) << 8) | 255,  # RFC 8445 section 5.1.2.1
            foundation=str(index + 1),
        )
        for index, address in enumerate(addresses)
    )


@dataclass(frozen=True, slots=True)
class AnsweredMedia:
    """One m-line of an answer; `rtc.wire.sdp.answer_media` makes it. The direction is the server's."""

    kind: Kind
    mid: str
    direction: Direction
    rejected: bool
    protocol: str
    formats: tuple[str, ...]
    codecs: tuple[Codec, ...] = ()
    extensions: Mapping[str, int] = field(default_factory=dict)  # URI -> id
    extension_directions: Mapping[str, Direction] = field(default_factory=dict)  # those not sendrecv
    ssrc: int | None = None  # what the server sends with; None when it does not send
    rtx_ssrc: int | None = None
    cname: str = ""
    stream_id: str = ""
    track_id: str = ""
    rids: tuple[str, ...] = ()  # simulcast layers that the server takes
    rtcp_reduced_size: bool = False
    measures_rtt: bool = False  # receiver reference times (XR) are answered
    sctp_port: int | None = None
    max_message_size: int = 0  # bytes that the server takes

    @property
    def sends(self) -> bool:
        """Whether the server may send."""
        return not self.rejected and self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the server takes what the client sends."""
        return not self.rejected and self.direction in ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: one ICE and DTLS transport and an m-line for each one offered, in the same order."""

    session_id: int  # below 2^63
    version: int  # one higher with every new answer of the session
    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]  # (algorithm, "AB:CD:...")
    setup: Literal["active", "passive"]
    candidates: tuple[Candidate, ...]
    media: tuple[AnsweredMedia, ...]
    lite: bool = True
    end_of_candidates: bool = True
    ice_options: tuple[str, ...] = ("trickle",)
    extmap_allow_mixed: bool = False  # only if offered

    def serialize(self) -> str:
        """The answer as text with CRLF line ends."""
        accepted = [media.mid for media in self.media if not media.rejected]
        lines = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            *(["a=ice-lite"] if self.lite else []),
            *([f"a=group:BUNDLE {' '.join(accepted)}"] if accepted else []),
            *(["a=extmap-allow-mixed"] if self.extmap_allow_mixed else []),
            "a=msid-semantic: WMS *",
        ]
        # In every m-line: stock aiortc refuses one without ICE and DTLS attributes, even a rejected one, and
        # with max-bundle takes the candidates of the last. Others pass over all but those of the first.
        transport = self._transport_lines()
        for media in self.media:
            lines += [*_head_lines(media), *transport]
            if not media.rejected:
                lines += _data_lines(media) if media.kind == "application" else _rtp_lines(media)
        return "\r\n".join(lines) + "\r\n"

    def _transport_lines(self) -> list[str]:
        return [
            *(f"a=candidate:{candidate.serialize()}" for candidate in self.candidates),
            *(["a=end-of-candidates"] if self.end_of_candidates else []),
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.pwd}",
            *([f"a=ice-options:{' '.join(self.ice_options)}"] if self.ice_options else []),
            *(f"a=fingerprint:{algorithm} {value}" for algorithm, value in self.fingerprints),
            f"a=setup:{self.setup}",
        ]


def _head_lines(media: AnsweredMedia) -> list[str]:
    formats = media.formats
    if media.codecs:
        formats = tuple(str(payload_type) for codec in media.codecs for payload_type in _payload_types(codec))
    lines = [
        f"m={media.kind} {0 if media.rejected else 9} {media.protocol} {' '.join(formats)}",
        "c=IN IP4 0.0.0.0",
    ]
    if media.mid:
        lines.append(f"a=mid:{media.mid}")
    if media.kind != "application":
        lines += [f"a={media.direction}", "a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux"]
    return lines


def _payload_types(codec: Codec) -> tuple[int, ...]:
    if codec.rtx_payload_type is None:
        return (codec.payload_type,)
    return (codec.payload_type, codec.rtx_payload_type)


def _data_lines(media: AnsweredMedia) -> list[str]:
    return [f"a=sctp-port:{media.sctp_port}", f"a=max-message-size:{media.max_message_size}"]


def _rtp_lines(media: AnsweredMedia) -> list[str]:
    lines = ["a=rtcp-rsize"] if media.rtcp_reduced_size else []
    if media.measures_rtt:
        lines.append("a=rtcp-xr:rcvr-rtt=all")
    for uri, identifier in media.extensions.items():
        direction = media.extension_directions.get(uri)
        lines.append(f"a=extmap:{identifier}{f'/{direction}' if direction else ''} {uri}")
    for codec in media.codecs:
        lines += _codec_lines(codec)
    if media.rids:
        lines += [f"a=rid:{rid} recv" for rid in media.rids]
        lines.append(f"a=simulcast:recv {';'.join(media.rids)}")
    if media.sends:
        lines += _sender_lines(media)
    return lines


def _codec_lines(codec: Codec) -> list[str]:
    channels = f"/{codec.channels}" if codec.channels != 1 else ""
    lines = [f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"]
    lines += [f"a=rtcp-fb:{codec.payload_type} {feedback}" for feedback in codec.feedback]
    if codec.fmtp:
        lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if codec.rtx_payload_type is not None:
        lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{codec.clock_rate}")
        lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
    return lines


def _sender_lines(media: AnsweredMedia) -> list[str]:
    lines = []
    msid = f"{media.stream_id or '-'} {media.track_id}"
    if media.track_id:
        lines.append(f"a=msid:{msid}")
    if media.ssrc is None:
        return lines
    # Stock aiortc reads the SSRCs by position: media first, then RTX, and no third.
    ssrcs = [media.ssrc] if media.rtx_ssrc is None else [media.ssrc, media.rtx_ssrc]
    if len(ssrcs) == 2:
        lines.append(f"a=ssrc-group:FID {media.ssrc} {media.rtx_ssrc}")
    for ssrc in ssrcs:
        lines.append(f"a=ssrc:{ssrc} cname:{media.cname}")
        if media.track_id:
            lines.append(f"a=ssrc:{ssrc} msid:{msid}")
    return lines
