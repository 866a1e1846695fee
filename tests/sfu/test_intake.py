"""From RTP of a peer to packets of its sources: which m-line, which codec, what is dropped."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.sfu.intake import MAX_READ, MAX_SSRCS, Intake
from rtc.sfu.media import PublishedMedia
from rtc.wire.extensions import AUDIO_LEVEL, MID, REPAIRED_RID, RID, VIDEO_ORIENTATION
from rtc.wire.red import RedBlock, pack
from rtc.wire.rtp import RtpPacket
from rtc.wire.sdp import answer_media, parse_offer

SESSION = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE mic cam
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 {":".join(["0A"] * 32)}
a=setup:actpass
"""
MIC = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 63
a=mid:mic
a=sendonly
a=rtcp-mux
a=extmap:1 {AUDIO_LEVEL}
a=extmap:4 {MID}
a=rtpmap:111 opus/48000/2
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
"""
CAM = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=mid:cam
a=sendonly
a=rtcp-mux
a=extmap:4 {MID}
a=extmap:13 {VIDEO_ORIENTATION}
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""
MIC_SSRC, CAM_SSRC, RTX_SSRC = 11, 22, 23
SIMULCAST = f"a=extmap:6 {RID}\na=extmap:7 {REPAIRED_RID}\na=rid:q send\na=rid:f send\na=simulcast:send q;f\n"
DECLARED = f"a=ssrc-group:FID {CAM_SSRC} {RTX_SSRC}\na=ssrc:{CAM_SSRC} cname:c\na=ssrc:{RTX_SSRC} cname:c\n"


def agree(intake: Intake, text: str) -> None:
    agreed = []
    for offered in parse_offer(text).media:
        answered = answer_media(
            offered, send=False, receive=True, ssrc=None, rtx_ssrc=None, cname="", stream_id="", track_id="",
            rids=offered.rids, reject=False,
        )
        agreed.append(PublishedMedia.agree(offered, answered))
    intake.configure(agreed)


@pytest.fixture
def intake() -> Intake:
    made = Intake(Counter(), copies=False)
    agree(made, SESSION + MIC + f"a=ssrc:{MIC_SSRC} cname:c\n" + CAM + DECLARED)
    return made


@pytest.fixture
def silent() -> Intake:
    """Of a client that declares no SSRCs."""
    made = Intake(Counter(), copies=False)
    agree(made, SESSION + MIC + CAM)
    return made


def take(
    intake: Intake, payload_type: int, sequence: int, ssrc: int, payload: bytes = b"x", *,
    extensions: dict[int, bytes] | None = None,
) -> list[tuple[str, int, bytes]] | None:
    """Mid, place after the first and payload of all that a packet brings."""
    packet = RtpPacket(payload_type, sequence, sequence * 960, ssrc, False, payload, extensions or {})
    received = intake.receive(memoryview(packet.serialize()), now=0.0)
    if received is None:
        return None
    return [(received.source.mid, one.sequence - 65536, one.payload) for one in received.packets]


def test_declared_ssrcs_are_known(intake: Intake) -> None:
    assert take(intake, 111, 1, MIC_SSRC) == [("mic", 0, b"x")]
    assert take(intake, 96, 9, CAM_SSRC, b"y") == [("cam", 0, b"y")]


def test_a_retransmission_takes_the_place_of_what_was_lost(intake: Intake) -> None:
    take(intake, 96, 1, CAM_SSRC)
    take(intake, 96, 3, CAM_SSRC)
    lost = (2).to_bytes(2, "big") + b"lost"
    assert take(intake, 97, 500, RTX_SSRC, lost) == [("cam", 1, b"lost")]
    assert take(intake, 97, 501, RTX_SSRC, lost) is None, "twice"
    assert take(intake, 97, 502, RTX_SSRC, (9).to_bytes(2, "big") + b"future") is None
    for padding in (b"", b"\0"):
        assert take(intake, 97, 503, RTX_SSRC, padding) is None
    assert intake.sources["cam", ""].packets == 3


@pytest.mark.parametrize(("mid", "payload_type"), [("mic", 111), ("cam", 96)])
def test_an_ssrc_is_learned_by_its_mid_and_stays_known(silent: Intake, mid: str, payload_type: int) -> None:
    assert take(silent, payload_type, 1, 77, extensions={4: mid.encode()}) == [(mid, 0, b"x")]
    assert take(silent, payload_type, 2, 77) == [(mid, 1, b"x")]
    agree(silent, SESSION + MIC + CAM)
    assert take(silent, payload_type, 3, 77) == [(mid, 2, b"x")], "browsers stop sending the MID"


def test_without_mid_the_payload_type_tells_if_only_one_m_line_has_it(silent: Intake) -> None:
    assert take(silent, 96, 1, 77) == [("cam", 0, b"x")]
    agree(silent, SESSION.replace("mic cam", "mic cam two") + MIC + CAM + CAM.replace("mid:cam", "mid:two"))
    assert take(silent, 96, 1, 78) is None


@pytest.mark.parametrize(
    ("payload_type", "extensions"),
    [(96, {4: b"nobody"}), (96, {4: b"mic"}), (111, {4: b"cam"}), (50, {}), (96, {4: b"\xff\xfe"})],
)
def test_what_fits_no_m_line_is_dropped_and_not_learned(
    silent: Intake, payload_type: int, extensions: dict[int, bytes]
) -> None:
    before = silent.ssrcs
    assert take(silent, payload_type, 1, 77, extensions=extensions) is None
    assert silent.ssrcs == before


def test_a_peer_that_invents_ssrcs_costs_bounded_memory(silent: Intake) -> None:
    for ssrc in range(1000):
        take(silent, 96, 1, 100 + ssrc)
    assert len(silent.ssrcs) == MAX_SSRCS


def test_a_voice_whose_extensions_never_repeat_costs_bounded_memory() -> None:
    made = Intake(Counter(), copies=False)
    (offered,) = parse_offer(SESSION + MIC + f"a=ssrc:{MIC_SSRC} cname:c\n").media
    answered = answer_media(
        offered, send=False, receive=True, ssrc=None, rtx_ssrc=None, cname="", stream_id="", track_id="",
        rids=(), reject=False,
    )
    media = PublishedMedia.agree(offered, answered)
    made.configure([media])
    for number in range(3 * MAX_READ):
        assert take(made, 111, number, MIC_SSRC, extensions={9: number.to_bytes(2, "big")}) is not None
    assert 0 < len(media.read) <= MAX_READ


def test_a_straggler_of_the_former_ssrc_does_not_take_the_stream_back(silent: Intake) -> None:
    take(silent, 96, 100, 77)
    take(silent, 96, 5000, 78)
    assert take(silent, 96, 101, 77) is None
    assert take(silent, 96, 5001, 78) == [("cam", 2, b"x")]


def test_red_is_taken_apart_and_brings_back_what_was_lost(intake: Intake) -> None:
    for sequence in (3, 4, 7):
        blocks = [RedBlock(111, 960 * ago, bytes([sequence - ago])) for ago in (2, 1)]
        brought = take(intake, 63, sequence, MIC_SSRC, pack(111, bytes([sequence]), blocks))
    assert brought == [("mic", 2, b"\x05"), ("mic", 3, b"\x06"), ("mic", 4, b"\x07")]
    assert take(intake, 111, 6, MIC_SSRC, b"late") is None, "it is there already"


@pytest.mark.parametrize("payload", [pack(96, b"x"), pack(111, b"x", [RedBlock(63, 960, b"y")]), b"\xff", b"\x80\0\0"])
def test_red_with_something_else_in_it_is_dropped(intake: Intake, payload: bytes) -> None:
    assert take(intake, 63, 1, MIC_SSRC, payload) is None


@pytest.mark.parametrize(
    ("extensions", "level", "carried"),
    [
        ({1: b"\x94"}, -20, ((AUDIO_LEVEL, b"\x94"),)),
        ({1: b"\x7f"}, -127, ((AUDIO_LEVEL, b"\x7f"),)),
        ({1: b"\x94\x00"}, None, ()),
        ({1: b"\x94", 9: b"secret"}, -20, ((AUDIO_LEVEL, b"\x94"),)),
        ({4: b"mic"}, None, ()),
    ],
)
def test_only_agreed_extensions_of_the_right_length_pass(
    intake: Intake, extensions: dict[int, bytes], level: int | None, carried: tuple[tuple[str, bytes], ...]
) -> None:
    packet = RtpPacket(111, 1, 1, MIC_SSRC, False, b"x", extensions)
    received = intake.receive(memoryview(packet.serialize()), now=0.0)
    assert received is not None
    assert (received.level, received.packets[0].extensions) == (level, carried)


def test_sources_outlive_an_offer_and_end_with_their_m_line(intake: Intake) -> None:
    mic, cam = intake.sources["mic", ""], intake.sources["cam", ""]
    agreed = SESSION.replace("mic cam", "cam") + CAM
    agree(intake, agreed)
    assert intake.sources == {("cam", ""): cam}
    assert intake.by_ssrc(MIC_SSRC) is None
    assert take(intake, 111, 1, MIC_SSRC) is None
    agree(intake, SESSION + MIC + CAM)
    assert intake.sources["cam", ""] is cam and intake.sources["mic", ""] is not mic


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda rest: b"\x90\x6f" + rest)))
def test_whatever_authenticates_raises_nothing(data: bytes) -> None:
    drops: Counter[str] = Counter()
    made = Intake(drops, copies=False)
    agree(made, SESSION + MIC + CAM)
    received = made.receive(memoryview(data), now=0.0)
    assert received is not None or drops.total() <= 1


@given(st.sampled_from([111, 63, 96, 97]), st.binary(max_size=60), st.binary(max_size=8))
def test_whatever_payload_a_known_stream_has_raises_nothing(payload_type: int, payload: bytes, value: bytes) -> None:
    made = Intake(Counter(), copies=False)
    agree(made, SESSION + MIC + CAM)
    for sequence in (1, 3, 2):
        take(made, payload_type, sequence, 5, payload, extensions={1: value} if value else {})


@pytest.fixture
def simulcast() -> Intake:
    made = Intake(Counter(), copies=False)
    agree(made, SESSION + MIC + CAM + SIMULCAST)
    return made


def test_encodings_are_told_apart_by_rid_and_their_repairs_by_the_repaired_rid(simulcast: Intake) -> None:
    low, high = simulcast.encodings("cam")
    for sequence in (1, 3):
        take(simulcast, 96, sequence, 71, extensions={4: b"cam", 6: b"q"})
        take(simulcast, 96, 500 + sequence, 72, extensions={4: b"cam", 6: b"f"})
    for ssrc, rid, lost, source in ((81, b"q", 2, low), (82, b"f", 502, high)):
        before = source.packets
        take(simulcast, 97, 9, ssrc, lost.to_bytes(2, "big") + b"lost", extensions={4: b"cam", 7: rid})
        assert source.packets == before + 1 == 3
    assert (low.rid, low.ssrc, high.rid, high.ssrc) == ("q", 71, "f", 72)
    agree(simulcast, SESSION + CAM + SIMULCAST)  # the learned SSRCs outlive a renegotiation
    take(simulcast, 96, 4, 71)
    assert low.packets == 4


@pytest.mark.parametrize(
    "extensions",
    [{}, {4: b"cam"}, {4: b"cam", 6: b"x"}, {4: b"cam", 6: b""}, {4: b"cam", 6: b"\xff\xfe"}, {4: b"cam", 7: b"q"}],
)  # fmt: skip
def test_an_encoding_that_was_not_agreed_on_is_dropped_and_counted(
    simulcast: Intake, extensions: dict[int, bytes]
) -> None:
    drops = simulcast._drops
    for ssrc in range(1000, 1000 + 3 * MAX_SSRCS):
        assert take(simulcast, 96, 1, ssrc, extensions=extensions) is None
    assert drops["rtp-unknown-rid"] + drops["rtp-malformed"] == 3 * MAX_SSRCS
    assert simulcast.ssrcs == ()


def test_a_publisher_who_claims_an_encoding_with_ever_new_ssrcs_is_bounded(simulcast: Intake) -> None:
    for ssrc in range(1000, 1000 + 3 * MAX_SSRCS):
        take(simulcast, 96, 1, ssrc, extensions={4: b"cam", 6: b"q"})
    assert len(simulcast.ssrcs) == MAX_SSRCS
    assert [source.rid for source in simulcast.encodings("cam")] == ["q", "f"]
