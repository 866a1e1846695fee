"""A client's SDP offer as values: one bundled transport and its media sections (RFC 8829, 8843, 8866)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from rtc.wire.sdp.lines import SdpError, Section, number, read_sections

Kind = Literal["audio", "video", "application"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

DEFAULT_MAX_MESSAGE_SIZE = 65536  # bytes, where the offer names none (RFC 8841 section 6.1)
FINGERPRINT_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}  # the hashes that aiortc's DTLS checks
MAX_TOKEN = 16  # characters of a mid or rid: what a one-byte header extension can carry (RFC 8285)
CODEC_NAMES = {  # canonical spelling: RFC 4855 compares names without case
    name.lower(): name
    for name in ("opus", "red", "VP8", "VP9", "AV1", "H264", "H265", "rtx", "ulpfec", "G722", "PCMU", "PCMA")
}

_MEDIA = re.compile(r"([a-z]+) (\d{1,5})(?:/\d+)? ([A-Z/]+) (\S.*)", re.ASCII)
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")  # RFC 8866 section 9, `token`
_RID = re.compile(r"[0-9A-Za-z_-]+")  # RFC 8851 section 10
# Lengths of RFC 8839 section 5.4, more characters than it has; a colon would break the STUN username.
UFRAG = re.compile(r"[!-9;-~]{4,256}")
PWD = re.compile(r"[!-~]{22,256}")
_HEX_PAIRS = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*")
# RFC 8829 section 5.1.2 has an answerer take all these for the same.
_RTP_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "RTP/SAVPF", "RTP/SAVP")
_SCTP_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")  # RFC 8841
_MAX_PAYLOAD_TYPE = 127
_RTCP_PAYLOAD_TYPES = range(64, 96)  # read as RTCP once RTP and RTCP share a port (RFC 5761 section 4)
_MAX_EXTENSION_ID = 255  # two-byte header (RFC 8285 section 4.3)


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type. RTX is no codec of its own here: it is the `rtx_payload_type` of what it repairs."""

    name: str
    payload_type: int
    clock_rate: int  # Hz
    channels: int = 1
    fmtp: str = ""  # as written; see `parameters`
    feedback: tuple[str, ...] = ()  # values of a=rtcp-fb, such as "nack pli"
    rtx_payload_type: int | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The fmtp as key (lower case) and value, for the codecs that write it as `key=value;...`."""
        pairs = (part.partition("=") for part in self.fmtp.split(";"))
        return {key.strip().lower(): value.strip() for key, _, value in pairs if key.strip()}


@dataclass(frozen=True, slots=True)
class OfferedMedia:
    """One m-line of an offer. Directions are the client's: `sendonly` means that it publishes."""

    kind: Kind
    mid: str
    direction: Direction
    rejected: bool  # port 0 without bundle-only: the client has stopped it; nothing else below need be set
    protocol: str
    formats: tuple[str, ...]  # the end of the m= line, which a rejecting answer repeats
    codecs: tuple[Codec, ...] = ()
    extensions: Mapping[str, int] = field(default_factory=dict)  # URI -> id
    extension_directions: Mapping[str, Direction] = field(default_factory=dict)  # those not sendrecv
    ssrcs: tuple[int, ...] = ()  # of media, in order; where nothing is sent aiortc names its RTCP's here
    rtx_ssrcs: Mapping[int, int] = field(default_factory=dict)  # media SSRC -> RTX SSRC (ssrc-group FID)
    rids: tuple[str, ...] = ()  # simulcast layers the client sends, in its order
    stream_id: str = ""  # MediaStream of a=msid; "" for none
    track_id: str = ""
    rtcp_reduced_size: bool = False  # RFC 5506
    measures_rtt: bool = False  # with XR where it only receives (RFC 3611 section 5.1: rcvr-rtt)
    sctp_port: int | None = None  # application only
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE  # bytes; 0 is no limit

    @property
    def sends(self) -> bool:
        """Whether the client offers to send: a publishing m-line."""
        return not self.rejected and self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the client offers to receive: a slot."""
        return not self.rejected and self.direction in ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole offer. Its ICE and DTLS attributes are those of the bundle, the only transport there is."""

    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]  # (algorithm in lower case, "AB:CD:..." in upper case)
    setup: Literal["actpass", "active", "passive"]
    media: tuple[OfferedMedia, ...]
    bundle: tuple[str, ...]  # mids in the order of a=group:BUNDLE, of live m-lines only
    ice_options: tuple[str, ...] = ()
    ice_lite: bool = False
    extmap_allow_mixed: bool = False  # one-byte and two-byte headers may alternate (RFC 8285 section 6)


def parse_offer(text: str) -> Offer:
    """Read a client's offer.

    Raises SdpError, with one sentence for the client, for whatever is not an offer of bundled,
    RTCP-multiplexed media over one DTLS-SRTP transport. Candidates are passed over: an ICE-lite agent learns
    addresses from checks.
    """
    session, *sections = read_sections(text)
    media = tuple(_read_media(section, session, index) for index, section in enumerate(sections))
    live = {m.mid: section for m, section in zip(media, sections, strict=True) if not m.rejected}
    if not live:
        raise SdpError("the offer has no media section that is not rejected")
    _check_unique(media)
    groups = [value.split() for value in session.all("group")]
    offered_bundle = next((mids for semantics, *mids in filter(None, groups) if semantics == "BUNDLE"), [])
    bundle = tuple(mid for mid in dict.fromkeys(offered_bundle) if mid in live)
    outside = [mid for mid in live if mid not in bundle]
    if outside:
        raise SdpError(
            f"the m-line with mid {outside[0]!r} is not in the BUNDLE group: there is one transport"
        )

    # The offerer-tagged m-line speaks for the transport of the whole group (RFC 8843 section 7.2).
    tagged = live[bundle[0]]
    ufrag, pwd = _inherited(tagged, session, "ice-ufrag"), _inherited(tagged, session, "ice-pwd")
    if not (UFRAG.fullmatch(ufrag) and PWD.fullmatch(pwd)):
        raise SdpError("the offer has no valid ice-ufrag and ice-pwd")
    setup = _inherited(tagged, session, "setup")
    if setup not in ("actpass", "active", "passive"):
        raise SdpError("the offer's a=setup is not actpass, active or passive")
    rtp = [live[m.mid] for m in media if not m.rejected and m.kind != "application"]
    mixed = {section.has("extmap-allow-mixed") for section in rtp}
    return Offer(
        ufrag=ufrag,
        pwd=pwd,
        fingerprints=_read_fingerprints(tagged.all("fingerprint") or session.all("fingerprint")),
        setup=cast(Literal["actpass", "active", "passive"], setup),
        media=media,
        bundle=bundle,
        ice_options=tuple(_inherited(tagged, session, "ice-options").split()),
        ice_lite=session.has("ice-lite"),
        extmap_allow_mixed=session.has("extmap-allow-mixed") or mixed == {True},
    )


def _inherited(section: Section, session: Section, name: str) -> str:
    """The attribute of the section, or else of the session, or else ""."""
    return section.first(name) or session.first(name) or ""


def _check_unique(media: tuple[OfferedMedia, ...]) -> None:
    """Refuse what would make packets ambiguous: a mid, SSRC or extension id that stands for two things."""
    mids = [m.mid for m in media if m.mid]
    if len(set(mids)) < len(mids):
        raise SdpError("two media sections have the same mid")
    ssrcs = [ssrc for m in media if not m.rejected for ssrc in (*m.ssrcs, *m.rtx_ssrcs.values())]
    if len(set(ssrcs)) < len(ssrcs):
        raise SdpError("an SSRC stands twice in the offer")
    uris: dict[int, str] = {}
    for uri, key in ((uri, key) for m in media if not m.rejected for uri, key in m.extensions.items()):
        if uris.setdefault(key, uri) != uri:
            raise SdpError(f"header extension id {key} stands for two extensions")


def _read_media(section: Section, session: Section, index: int) -> OfferedMedia:
    where = f"media section {index}"
    match = _MEDIA.fullmatch(section.media)
    if match is None:
        raise SdpError(f"{where} has a malformed m= line")
    kind, protocol, formats = match[1], match[3], tuple(dict.fromkeys(match[4].split()))
    if kind not in get_args(Kind):
        raise SdpError(f"{where} is neither audio, video nor application")
    mid = section.first("mid") or ""
    rejected = int(match[2]) == 0 and not section.has("bundle-only")
    if not (_TOKEN.fullmatch(mid) and len(mid) <= MAX_TOKEN) and (mid or not rejected):
        raise SdpError(f"{where} has no mid of 1 to {MAX_TOKEN} characters")
    direction = next((d for s in (section, session) for d in get_args(Direction) if s.has(d)), "sendrecv")
    stream_id, _, track_id = (section.first("msid") or "").partition(" ")
    common = OfferedMedia(
        kind=cast(Kind, kind),
        mid=mid,
        direction=cast(Direction, direction),
        rejected=rejected,
        protocol=protocol,
        formats=formats,
        stream_id="" if stream_id == "-" else stream_id,
        track_id=track_id.strip(),
    )
    if rejected:
        return common
    if kind == "application":
        return _read_data(common, section, where)
    return _read_rtp(common, section, where)


def _read_data(common: OfferedMedia, section: Section, where: str) -> OfferedMedia:
    port = section.first("sctp-port")
    size = section.first("max-message-size")
    supported = common.protocol in _SCTP_PROTOCOLS and "webrtc-datachannel" in common.formats
    return replace(
        common,
        sctp_port=number(port or "5000", 65535, f"the sctp-port of {where}") if supported else None,
        max_message_size=DEFAULT_MAX_MESSAGE_SIZE
        if size is None
        else number(size, 2**63 - 1, f"the max-message-size of {where}"),
    )


def _read_rtp(common: OfferedMedia, section: Section, where: str) -> OfferedMedia:
    if common.protocol not in _RTP_PROTOCOLS:
        raise SdpError(f"{where} does not use DTLS-SRTP (UDP/TLS/RTP/SAVPF)")
    if not section.has("rtcp-mux"):
        raise SdpError(f"{where} has no a=rtcp-mux: RTP and RTCP share one port here")
    extensions, extension_directions = _read_extensions(section, where)
    ssrcs, rtx_ssrcs = _read_ssrcs(section, where)
    return replace(
        common,
        codecs=_read_codecs(section, common.formats, where),
        extensions=extensions,
        extension_directions=extension_directions,
        ssrcs=ssrcs,
        rtx_ssrcs=rtx_ssrcs,
        rids=_read_rids(section, where),
        rtcp_reduced_size=section.has("rtcp-rsize"),
        measures_rtt=any("rcvr-rtt=" in value for value in section.all("rtcp-xr")),
    )


def _read_fingerprints(values: list[str]) -> tuple[tuple[str, str], ...]:
    """RFC 8122 section 5, of the hashes that can be checked."""
    fingerprints = []
    for value in values:
        algorithm, _, digest = value.partition(" ")
        algorithm, digest = algorithm.lower(), digest.strip().upper()
        if algorithm not in FINGERPRINT_BYTES:
            continue
        if not _HEX_PAIRS.fullmatch(digest) or len(digest) != 3 * FINGERPRINT_BYTES[algorithm] - 1:
            raise SdpError(f"the offer has a malformed {algorithm} fingerprint")
        fingerprints.append((algorithm, digest))
    if not fingerprints:
        raise SdpError("the offer has no sha-256, sha-384 or sha-512 fingerprint")
    return tuple(dict.fromkeys(fingerprints))


def _read_codecs(section: Section, formats: tuple[str, ...], where: str) -> tuple[Codec, ...]:
    """The codecs in the order of the m= line. Formats without an rtpmap are left out: none is forwarded."""
    what = f"a payload type of {where}"
    offered = dict.fromkeys(number(f, _MAX_PAYLOAD_TYPE, what) for f in formats)
    fmtps = _by_payload_type(section.all("fmtp"))
    feedback = _by_payload_type(section.all("rtcp-fb"))
    everyone = tuple(feedback.get("*", ()))
    mapped: dict[int, Codec] = {}
    for key, values in _by_payload_type(section.all("rtpmap")).items():
        payload_type = number(key, _MAX_PAYLOAD_TYPE, what)
        name, _, rest = values[0].partition("/")
        rate, _, channels = rest.partition("/")
        if payload_type in _RTCP_PAYLOAD_TYPES or not _TOKEN.fullmatch(name):
            continue
        mapped[payload_type] = Codec(
            name=CODEC_NAMES.get(name.lower(), name),
            payload_type=payload_type,
            clock_rate=number(rate, 2**32 - 1, f"a clock rate of {where}"),
            channels=number(channels or "1", 255, f"a number of channels of {where}"),
            fmtp=fmtps.get(key, [""])[0],
            feedback=(*feedback[key], *everyone) if key in feedback else everyone,
        )
    codecs = [mapped[payload_type] for payload_type in offered if payload_type in mapped]
    rtx: dict[tuple[str, int], int] = {}  # (payload type repaired, clock rate) -> its own
    for codec in codecs:
        if codec.name == "rtx":
            rtx.setdefault((codec.parameters.get("apt", ""), codec.clock_rate), codec.payload_type)
    return tuple(
        replace(codec, rtx_payload_type=rtx.get((str(codec.payload_type), codec.clock_rate)))
        for codec in codecs
        if codec.name != "rtx"
    )


def _by_payload_type(values: list[str]) -> dict[str, list[str]]:
    """Group `<payload type> <rest>` by the payload type."""
    grouped: dict[str, list[str]] = {}
    for value in values:
        key, _, rest = value.partition(" ")
        grouped.setdefault(key, []).append(rest.strip())
    return grouped


def _read_extensions(section: Section, where: str) -> tuple[dict[str, int], dict[str, Direction]]:
    """a=extmap (RFC 8285 section 5); of an extension offered twice the first counts."""
    ids: dict[str, int] = {}
    directions: dict[str, Direction] = {}
    for value in section.all("extmap"):
        head, _, rest = value.partition(" ")
        key, _, direction = head.partition("/")
        uri = rest.split(" ", 1)[0]
        identifier = number(key, 2**16 - 1, f"a header extension id of {where}")
        if not uri or uri in ids or not 1 <= identifier <= _MAX_EXTENSION_ID:
            continue
        ids[uri] = identifier
        if direction in get_args(Direction) and direction != "sendrecv":
            directions[uri] = cast(Direction, direction)
    return ids, directions


def _read_ssrcs(section: Section, where: str) -> tuple[tuple[int, ...], dict[int, int]]:
    """SSRCs of media, and the RTX SSRC of each (RFC 5576, RFC 4588 section 8.1)."""
    what = f"an SSRC of {where}"
    rtx: dict[int, int] = {}
    repair: set[int] = set()
    for value in section.all("ssrc-group"):
        semantics, *members = value.split() or [""]
        if semantics in ("FID", "FEC-FR") and len(members) == 2:
            media, repairing = (number(member, 2**32 - 1, what) for member in members)
            repair.add(repairing)
            if semantics == "FID":
                rtx.setdefault(media, repairing)
    named = dict.fromkeys(number(value.split(" ", 1)[0], 2**32 - 1, what) for value in section.all("ssrc"))
    return tuple(ssrc for ssrc in named if ssrc not in repair), rtx


def _read_rids(section: Section, where: str) -> tuple[str, ...]:
    """The rids that the client sends, in the order of a=simulcast (RFC 8853), or else of a=rid (RFC 8851)."""
    sent: dict[str, None] = {}
    for value in section.all("rid"):
        rid, _, rest = value.partition(" ")
        if not _RID.fullmatch(rid) or len(rid) > MAX_TOKEN:
            raise SdpError(f"{where} has a malformed rid")
        if rest.split(" ", 1)[0] == "send":
            sent[rid] = None
    words = (section.first("simulcast") or "").split()
    listed = dict(zip(words[::2], words[1::2], strict=False)).get("send")
    if listed is None:
        return tuple(sent)
    # Of alternatives for one layer ("a,b") the first counts; "~" marks one that starts paused.
    ordered = (layer.split(",", 1)[0].lstrip("~") for layer in listed.split(";"))
    return tuple(dict.fromkeys(rid for rid in ordered if rid in sent))
