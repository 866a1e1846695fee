"""SDP: reading a client's offer and writing the server's answer (RFC 8829, 8839, 8843, 8866). No IO.

Read by a small line reader of our own rather than aiortc.sdp: that one raises half a dozen kinds of exception
on bad input, is quadratic in places, and drops rids, rejected m-lines, extmap directions and the fmtp of RED.
"""

from rtc.wire.sdp.answer import Answer, AnsweredMedia, Candidate, host_candidates
from rtc.wire.sdp.fragment import Fragment, parse_fragment, write_fragment
from rtc.wire.sdp.lines import MAX_MEDIA_SECTIONS, MAX_OFFER_BYTES, SdpError
from rtc.wire.sdp.offer import Codec, Direction, Kind, Offer, OfferedMedia, parse_offer
from rtc.wire.sdp.policy import answer_media, answer_setup, common_codecs, refused_mids, reverse

__all__ = [
    "MAX_MEDIA_SECTIONS",
    "MAX_OFFER_BYTES",
    "Answer",
    "AnsweredMedia",
    "Candidate",
    "Codec",
    "Direction",
    "Fragment",
    "Kind",
    "Offer",
    "OfferedMedia",
    "SdpError",
    "answer_media",
    "answer_setup",
    "common_codecs",
    "host_candidates",
    "parse_fragment",
    "parse_offer",
    "refused_mids",
    "reverse",
    "write_fragment",
]
