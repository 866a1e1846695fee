"""What the server takes of an offer: codecs, feedback and header extensions, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rtc.wire import extensions as ext
from rtc.wire.sdp.answer import AnsweredMedia
from rtc.wire.sdp.lines import SdpError
from rtc.wire.sdp.offer import Codec, Direction, Offer, OfferedMedia

OPUS_FMTP = "minptime=10;useinbandfec=1"  # what a publisher should send: in-band FEC, frames down to 10 ms
STEREO = ("stereo", "sprop-stereo")  # parameters that are mirrored when offered as 1 (RFC 7587 section 6.1)

# NACK is never offered for audio, but an answer with it makes Chromium's receiver ask. transport-cc would
# have the sender's pacer hold retransmissions back until they are too late.
AUDIO_FEEDBACK = ("nack",)
REMB = "goog-remb"
VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", REMB, "transport-cc")  # kept where offered
# libwebrtc's own estimate, kbit/s, to begin with: what it is told by REMB counts only as far as it is lower, and from
# its usual 300 it may stay below what the path carries for as long as its encoder sends less than that. With 1200 the
# first picture over 400 kbit/s takes five seconds instead of one.
START = "x-google-start-bitrate=600"

AUDIO_EXTENSIONS = frozenset({ext.MID, ext.AUDIO_LEVEL})
VIDEO_EXTENSIONS = frozenset(
    {ext.MID, ext.RID, ext.REPAIRED_RID, ext.TRANSPORT_CC, ext.ABS_SEND_TIME, ext.TOFFSET, ext.PLAYOUT_DELAY}
    | {ext.VIDEO_ORIENTATION, ext.COLOR_SPACE, ext.CONTENT_TYPE, ext.VIDEO_TIMING, ext.DEPENDENCY_DESCRIPTOR}
)

# Codecs whose layers stand in the dependency descriptor alone. Where it is agreed on, libwebrtc leaves temporal layers
# and picture ids out of VP8's own descriptor: listeners could then only be given all frames or none. On what a client
# only receives it does no harm: there it comes with what is described, and nothing else changes.
DESCRIBED_CODECS = ("AV1",)

# The parameters of each video codec that an answer repeats; others tell what the client can receive, not us.
VIDEO_PARAMETERS = {
    "VP8": (),
    "VP9": ("profile-id",),
    "H264": ("level-asymmetry-allowed", "packetization-mode", "profile-level-id"),
    "AV1": ("level-idx", "profile", "tier"),
}
VP9_PROFILES = ("0", "2")  # 8 and 10 bits a sample, 4:2:0: what browsers encode
H264_PACKETIZATION_MODES = ("0", "1")  # mode 2 interleaves (RFC 6184 section 6.4): no browser has it

SCTP_PORT = 5000
MAX_MESSAGE_SIZE = 65536  # bytes that the server takes in one data channel message

_REVERSED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


def reverse(direction: Direction) -> Direction:
    """The same direction seen from the other end."""
    return _REVERSED[direction]


def answer_setup(offer: Offer) -> Literal["active", "passive"]:
    """The server's DTLS role: client wherever it may be, as that saves a round trip."""
    return "passive" if offer.setup == "active" else "active"


def common_codecs(offered: OfferedMedia) -> tuple[Codec, ...]:
    """The codecs that the server takes, as the answer has them, in the client's order; () for application."""
    if offered.kind == "audio":
        return _audio_codecs(offered.codecs)
    if offered.kind == "video":
        return tuple(_video_codec(codec) for codec in offered.codecs if _takes_video(codec))
    return ()


def refused_mids(offer: Offer) -> frozenset[str]:
    """The mids of live m-lines that the answer must reject; WHIP refuses the whole offer for one.

    These are m-lines without a codec in common and every data m-line but the first. Raises SdpError where the
    first m-line of the bundle is one: Chromium (156, max-bundle) takes no answer that rejects that one.
    """
    refused = set()
    has_data = False
    for media in offer.media:
        if media.rejected:
            continue
        if media.kind != "application":
            taken = bool(common_codecs(media))
        else:
            taken = media.sctp_port is not None and not has_data
            has_data = has_data or taken
        if not taken:
            refused.add(media.mid)
    if offer.bundle[0] in refused:
        raise SdpError(f"mid {offer.bundle[0]!r} opens the bundle but has nothing in common with the server")
    return frozenset(refused)


def answer_media(
    offered: OfferedMedia,
    *,
    send: bool = True,
    receive: bool = True,
    ssrc: int | None = None,
    rtx_ssrc: int | None = None,
    cname: str = "",
    stream_id: str = "",
    track_id: str = "",
    rids: tuple[str, ...] | None = None,
    reject: bool = False,
) -> AnsweredMedia:
    """Answer one m-line.

    `send` and `receive` False narrow the direction that the offer allows. `ssrc`, `rtx_ssrc` and the names
    are of what the server sends there, and left out where it does not send. `rids` are the simulcast layers
    to take, None for all. `reject` is for what `refused_mids` names; an m-line with nothing in common is
    rejected in any case.
    """
    codecs = common_codecs(offered)
    is_data = offered.kind == "application"
    if reject or offered.rejected or (offered.sctp_port is None if is_data else not codecs):
        return AnsweredMedia(
            kind=offered.kind,
            mid=offered.mid,
            direction="inactive",
            rejected=True,
            protocol=offered.protocol,
            formats=offered.formats,
        )
    if is_data:
        return AnsweredMedia(
            kind=offered.kind,
            mid=offered.mid,
            direction=reverse(offered.direction),
            rejected=False,
            protocol=offered.protocol,
            formats=("webrtc-datachannel",),
            sctp_port=SCTP_PORT,
            max_message_size=MAX_MESSAGE_SIZE,
        )
    sends, receives = send and offered.receives, receive and offered.sends
    kept = AUDIO_EXTENSIONS if offered.kind == "audio" else VIDEO_EXTENSIONS
    extensions = {
        uri: identifier
        for uri, identifier in offered.extensions.items()
        if uri in kept and offered.extension_directions.get(uri) != "inactive"
    }
    if receives and codecs[0].name not in DESCRIBED_CODECS:
        extensions.pop(ext.DEPENDENCY_DESCRIPTOR, None)
    has_rtx = any(codec.rtx_payload_type is not None for codec in codecs)
    return AnsweredMedia(
        kind=offered.kind,
        mid=offered.mid,
        direction=_direction(sends, receives),
        rejected=False,
        protocol=offered.protocol,
        formats=offered.formats,
        codecs=codecs,
        extensions=extensions,
        extension_directions={
            uri: reverse(direction)
            for uri, direction in offered.extension_directions.items()
            if uri in extensions
        },
        ssrc=ssrc if sends else None,
        rtx_ssrc=rtx_ssrc if sends and has_rtx else None,
        cname=cname if sends else "",
        stream_id=stream_id if sends else "",
        track_id=track_id if sends else "",
        rids=tuple(rid for rid in offered.rids if rids is None or rid in rids) if receives else (),
        rtcp_reduced_size=offered.rtcp_reduced_size,
        measures_rtt=offered.measures_rtt,
    )


def _direction(sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _audio_codecs(offered: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """Opus, and RED of it (RFC 2198): its fmtp lists the payload type of each block."""
    opus = {str(c.payload_type) for c in offered if (c.name, c.clock_rate, c.channels) == ("opus", 48000, 2)}
    taken = []
    for codec in offered:
        if str(codec.payload_type) in opus:
            mirrored = (f"{name}=1" for name in STEREO if codec.parameters.get(name) == "1")
            fmtp = ";".join([OPUS_FMTP, *mirrored])
        elif (codec.name, codec.clock_rate, codec.channels) == ("red", 48000, 2):
            blocks = set(codec.fmtp.split("/"))
            if len(blocks) != 1 or not blocks <= opus:
                continue
            fmtp = codec.fmtp
        else:
            continue
        taken.append(replace(codec, fmtp=fmtp, feedback=AUDIO_FEEDBACK, rtx_payload_type=None))
    return tuple(taken)


def _takes_video(codec: Codec) -> bool:
    if codec.name not in VIDEO_PARAMETERS or codec.clock_rate != 90000:
        return False
    parameters = codec.parameters
    if codec.name == "VP9":
        return parameters.get("profile-id", "0") in VP9_PROFILES
    if codec.name == "H264":
        return parameters.get("packetization-mode", "0") in H264_PACKETIZATION_MODES
    return True


def _video_codec(codec: Codec) -> Codec:
    parameters = codec.parameters
    kept = [f"{name}={parameters[name]}" for name in VIDEO_PARAMETERS[codec.name] if name in parameters]
    feedback = tuple(feedback for feedback in VIDEO_FEEDBACK if feedback in codec.feedback)
    if REMB in feedback:
        kept.append(START)
    return replace(codec, channels=1, fmtp=";".join(kept), feedback=feedback)
