"""Writing answers: the policy in tables, the text as others read it, aiortc and Chromium taking it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import SessionDescription
from playwright.async_api import async_playwright

from bench.chromium import CHROMIUM, FLAGS
from rtc.wire import extensions as ext
from rtc.wire.sdp import (
    Answer,
    Codec,
    Direction,
    Offer,
    OfferedMedia,
    SdpError,
    answer_media,
    answer_setup,
    common_codecs,
    host_candidates,
    parse_offer,
    refused_mids,
    reverse,
)

OFFERS = {path.stem: path.read_bytes().decode() for path in (Path(__file__).parent / "offers").glob("*.sdp")}

AUDIO = OfferedMedia(
    kind="audio",
    mid="a",
    direction="sendrecv",
    rejected=False,
    protocol="UDP/TLS/RTP/SAVPF",
    formats=("111",),
    codecs=(Codec("opus", 111, 48000, 2),),
)
VIDEO = replace(AUDIO, kind="video", mid="v", formats=("96", "97"), codecs=(Codec("VP8", 96, 90000),))
DATA = replace(AUDIO, kind="application", mid="d", formats=("webrtc-datachannel",), codecs=(), sctp_port=5000)



def offer_of(*media: OfferedMedia) -> Offer:
    bundle = tuple(m.mid for m in media if not m.rejected)
    return Offer("abcd", "p" * 22, (("sha-256", "AA"),), "actpass", media, bundle)


def answer_to(offer: Offer) -> Answer:
    """What a server writes for an offer whose every wish it grants."""
    refused = refused_mids(offer)
    media = tuple(
        answer_media(
            m,
            ssrc=1000 + 2 * index,
            rtx_ssrc=1001 + 2 * index,
            cname="clarion",
            stream_id=f"stream{index}",
            track_id=f"track{index}",
            reject=m.mid in refused,
        )
        for index, m in enumerate(offer.media)
    )
    return Answer(
        session_id=7,
        version=1,
        ufrag="srvr",
        pwd="s" * 24,
        fingerprints=(("sha-256", ":".join(["AB"] * 32)),),
        setup=answer_setup(offer),
        candidates=host_candidates(["127.0.0.1", "::1"], 7882),
        media=media,
        extmap_allow_mixed=offer.extmap_allow_mixed,
    )


def opus(payload_type: int = 111, fmtp: str = "") -> Codec:
    return Codec("opus", payload_type, 48000, 2, fmtp)


def red(fmtp: str, payload_type: int = 63) -> Codec:
    return Codec("red", payload_type, 48000, 2, fmtp)


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([opus()], [(111, "minptime=10;useinbandfec=1")]),
        ([opus(fmtp="useinbandfec=0;usedtx=1")], [(111, "minptime=10;useinbandfec=1")]),
        (
            [opus(fmtp="stereo=1; sprop-stereo=1")],
            [(111, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1")],
        ),
        ([opus(fmtp="stereo=0")], [(111, "minptime=10;useinbandfec=1")]),
        ([red("111/111"), opus()], [(63, "111/111"), (111, "minptime=10;useinbandfec=1")]),
        ([opus(), red("111/111/111")], [(111, "minptime=10;useinbandfec=1"), (63, "111/111/111")]),
        ([opus(), red("")], [(111, "minptime=10;useinbandfec=1")]),
        ([opus(), red("0/0")], [(111, "minptime=10;useinbandfec=1")]),
        ([opus(), opus(112), red("111/112")], [(111, OPUS := "minptime=10;useinbandfec=1"), (112, OPUS)]),
        ([red("111/111")], []),
        ([Codec("red", 63, 8000, 1, "111/111"), opus()], [(111, "minptime=10;useinbandfec=1")]),
        ([Codec("opus", 111, 48000, 1)], []),
        ([Codec("PCMU", 0, 8000), Codec("CN", 13, 8000), Codec("telephone-event", 110, 48000)], []),
        ([Codec("VP8", 96, 90000)], []),
        ([replace(opus(), rtx_payload_type=112)], [(111, "minptime=10;useinbandfec=1")]),
    ],
)
def test_audio_codecs(offered: list[Codec], taken: list[tuple[int, str]]) -> None:
    codecs = common_codecs(replace(AUDIO, codecs=tuple(offered)))
    assert [(codec.payload_type, codec.fmtp) for codec in codecs] == taken
    assert all(codec.feedback == ("nack",) and codec.rtx_payload_type is None for codec in codecs)


H264 = "level-asymmetry-allowed=1;packetization-mode={};profile-level-id=42e01f"


@pytest.mark.parametrize(
    ("name", "fmtp", "answered"),
    [
        ("VP8", "", ""),
        ("VP8", "max-fs=12288;max-fr=60", ""),  # the client's limits, not ours
        ("VP9", "", ""),
        ("VP9", "profile-id=0", "profile-id=0"),
        ("VP9", "profile-id=1", None),
        ("VP9", "profile-id=2", "profile-id=2"),
        ("VP9", "profile-id=3", None),
        ("H264", H264.format(0), H264.format(0)),
        ("H264", H264.format(1), H264.format(1)),
        ("H264", H264.format(2), None),
        ("H264", "profile-level-id=640c1f;sprop-parameter-sets=AA,BB", "profile-level-id=640c1f"),
        ("AV1", "level-idx=5;profile=0;tier=0", "level-idx=5;profile=0;tier=0"),
        ("H265", "", None),
        ("red", "", None),
        ("ulpfec", "", None),
        ("flexfec-03", "repair-window=10000000", None),
        ("opus", "", None),
    ],
)
def test_video_codecs(name: str, fmtp: str, answered: str | None) -> None:
    offered = replace(VIDEO, codecs=(Codec(name, 96, 90000, fmtp=fmtp, rtx_payload_type=97),))
    codecs = common_codecs(offered)
    assert [codec.fmtp for codec in codecs] == ([] if answered is None else [answered])
    assert all(codec.rtx_payload_type == 97 for codec in codecs)


def test_a_video_codec_at_another_clock_rate_is_another_codec() -> None:
    assert common_codecs(replace(VIDEO, codecs=(Codec("VP8", 96, 8000),))) == ()


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ((), ()),
        (("nack",), ("nack",)),
        (
            ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"),
            ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"),
        ),
        (("nack rpsi", "ccm tmmbr"), ()),
    ],
)
def test_video_feedback_is_what_both_have(offered: tuple[str, ...], answered: tuple[str, ...]) -> None:
    media = replace(VIDEO, codecs=(Codec("VP8", 96, 90000, feedback=offered),))
    assert common_codecs(media)[0].feedback == answered


@pytest.mark.parametrize(
    ("uri", "audio", "video"),
    [
        (ext.MID, True, True),
        (ext.AUDIO_LEVEL, True, False),
        (ext.RID, False, True),
        (ext.REPAIRED_RID, False, True),
        (ext.ABS_SEND_TIME, False, True),
        (ext.PLAYOUT_DELAY, False, True),
        (ext.TOFFSET, False, True),
        (ext.VIDEO_ORIENTATION, False, True),
        (ext.COLOR_SPACE, False, True),
        (ext.CONTENT_TYPE, False, True),
        (ext.VIDEO_TIMING, False, True),
        (ext.TRANSPORT_CC, False, True),
        (ext.ABS_CAPTURE_TIME, False, False),
        ("urn:ietf:params:rtp-hdrext:encrypt", False, False),
    ],
)
def test_header_extensions_keep_the_offer_s_ids(uri: str, audio: bool, video: bool) -> None:
    assert answer_media(replace(AUDIO, extensions={uri: 9})).extensions == ({uri: 9} if audio else {})
    assert answer_media(replace(VIDEO, extensions={uri: 9})).extensions == ({uri: 9} if video else {})


@pytest.mark.parametrize(
    ("codecs", "direction", "taken"),
    [
        (("VP8", "AV1"), "sendonly", False),
        (("VP9", "AV1"), "sendrecv", False),
        (("AV1", "VP8"), "sendonly", True),
        (("AV1", "VP8"), "sendrecv", True),
        (("VP8", "AV1"), "recvonly", True),  # what others send in AV1
    ],
)
def test_a_camera_in_vp8_says_its_temporal_layers_since_no_dependency_descriptor_replaces_them(
    codecs: tuple[str, ...], direction: Direction, taken: bool
) -> None:
    offered = replace(
        VIDEO, direction=direction, extensions={ext.DEPENDENCY_DESCRIPTOR: 9},
        codecs=tuple(Codec(name, number, 90000) for number, name in enumerate(codecs, 96)),
    )
    assert (ext.DEPENDENCY_DESCRIPTOR in answer_media(offered).extensions) == taken


@pytest.mark.parametrize(
    ("offered", "line"),
    [
        ("recvonly", f"a=extmap:6/sendonly {ext.PLAYOUT_DELAY}"),
        ("sendonly", f"a=extmap:6/recvonly {ext.PLAYOUT_DELAY}"),
        ("inactive", None),
        (None, f"a=extmap:6 {ext.PLAYOUT_DELAY}"),
    ],
)
def test_a_one_way_extension_is_answered_from_the_other_end(
    offered: Direction | None, line: str | None
) -> None:
    directions = {ext.PLAYOUT_DELAY: offered} if offered else {}
    media = replace(VIDEO, extensions={ext.PLAYOUT_DELAY: 6}, extension_directions=directions)
    lines = answer_to(offer_of(media)).serialize().split("\r\n")
    assert [found for found in lines if found.startswith("a=extmap:")] == ([line] if line else [])


@pytest.mark.parametrize(
    ("offered", "send", "receive", "answered"),
    [
        ("sendrecv", True, True, "sendrecv"),
        ("sendrecv", True, False, "sendonly"),
        ("sendrecv", False, True, "recvonly"),
        ("sendrecv", False, False, "inactive"),
        ("sendonly", True, True, "recvonly"),
        ("sendonly", True, False, "inactive"),
        ("recvonly", True, True, "sendonly"),
        ("recvonly", False, True, "inactive"),
        ("inactive", True, True, "inactive"),
    ],
)
def test_directions(offered: Direction, send: bool, receive: bool, answered: Direction) -> None:
    media = answer_media(replace(AUDIO, direction=offered), send=send, receive=receive, ssrc=5, cname="c")
    assert media.direction == answered
    assert media.sends == (media.ssrc is not None)
    if send and receive:
        assert answered == reverse(offered)


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "active"), ("passive", "active"), ("active", "passive")]
)
def test_the_server_is_dtls_client_wherever_it_may(offered: str, answered: str) -> None:
    assert answer_setup(replace(offer_of(AUDIO), setup=offered)) == answered


@pytest.mark.parametrize(
    ("media", "refused"),
    [
        ((AUDIO, VIDEO, DATA), set()),
        ((AUDIO, replace(VIDEO, codecs=())), {"v"}),
        ((AUDIO, replace(VIDEO, rejected=True, codecs=())), set()),
        ((AUDIO, DATA, replace(DATA, mid="e")), {"e"}),
        ((AUDIO, replace(DATA, sctp_port=None), replace(DATA, mid="e")), {"d"}),
    ],
)
def test_what_the_answer_must_reject(media: tuple[OfferedMedia, ...], refused: set[str]) -> None:
    offer = offer_of(*media)
    assert refused_mids(offer) == refused
    answer = answer_to(offer)
    assert {m.mid for m in answer.media if m.rejected} == refused | {m.mid for m in media if m.rejected}


def test_nothing_in_common_at_the_head_of_the_bundle_is_refused_as_chromium_would_fail_on_the_answer() -> (
    None
):
    with pytest.raises(SdpError, match="'v' opens the bundle"):
        refused_mids(offer_of(replace(VIDEO, codecs=()), AUDIO))


def test_a_rejected_section_keeps_its_place_and_leaves_the_bundle() -> None:
    text = answer_to(offer_of(AUDIO, replace(VIDEO, codecs=()), DATA)).serialize()
    assert "a=group:BUNDLE a d\r\n" in text
    assert "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=inactive\r\n" in text


def test_all_layers_or_those_chosen_are_accepted() -> None:
    media = replace(VIDEO, direction="sendonly", rids=("q", "h", "f"))
    text = answer_to(offer_of(media)).serialize()
    assert "a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n" in text
    assert answer_media(media, rids=("f", "q", "x")).rids == ("q", "f")
    assert answer_media(media, receive=False).rids == ()


def test_candidates_are_ordered_as_given_and_must_be_addresses() -> None:
    first, second = host_candidates(["203.0.113.5", "2001:DB8::1"], 7882)
    assert first.serialize() == "1 1 udp 2130706431 203.0.113.5 7882 typ host"
    assert second.serialize() == "2 1 udp 2130706175 2001:db8::1 7882 typ host"
    with pytest.raises(ValueError, match="does not appear to be"):
        host_candidates(["call.example"], 7882)


def test_without_rtx_no_rtx_ssrc_is_named() -> None:
    text = answer_to(offer_of(AUDIO, VIDEO)).serialize()
    assert "ssrc-group" not in text
    assert "a=ssrc:1001" not in text


@pytest.mark.parametrize("name", sorted(OFFERS))
def test_the_text_reads_back_as_what_was_meant(name: str) -> None:
    offer = parse_offer(OFFERS[name])
    answer = answer_to(offer)
    text = answer.serialize()
    assert text.endswith("\r\n")
    assert text.count("\n") == text.count("\r\n")
    lines = text.split("\r\n")
    assert lines[0] == "v=0"
    assert "a=ice-lite" in lines
    assert ("a=extmap-allow-mixed" in lines) == offer.extmap_allow_mixed
    assert "a=rtcp-mux-only" not in lines  # RFC 8858 section 4.3 keeps it out of answers
    read = SessionDescription.parse(text)
    assert [(m.kind, m.rtp.muxId) for m in read.media] == [(m.kind, m.mid) for m in offer.media]
    assert [(group.semantic, tuple(group.items)) for group in read.group] == [("BUNDLE", offer.bundle)]
    for offered, media, found in zip(offer.media, answer.media, read.media, strict=True):
        assert found.ice.iceLite
        assert (found.ice.usernameFragment, found.ice.password) == ("srvr", "s" * 24)
        assert found.dtls is not None
        assert [(f.algorithm, f.value) for f in found.dtls.fingerprints] == list(answer.fingerprints)
        assert found.dtls.role == ("client" if answer.setup == "active" else "server")
        assert [(c.ip, c.port) for c in found.ice_candidates] == [("127.0.0.1", 7882), ("::1", 7882)]
        assert found.ice_candidates_complete
        if media.kind == "application":
            assert found.sctp_port == 5000
            continue
        assert found.rtcp_mux
        assert ("a=rtcp-rsize" in lines) == any(m.rtcp_reduced_size for m in offer.media)
        assert found.direction == media.direction == reverse(offered.direction)
        assert {e.uri: e.id for e in found.rtp.headerExtensions} == media.extensions
        assert found.fmt == [codec.payloadType for codec in found.rtp.codecs]
        assert {c.payload_type for c in media.codecs} <= {c.payload_type for c in offered.codecs}
        ssrcs = [description.ssrc for description in found.ssrc]
        if not media.sends:
            assert ssrcs == []
            assert found.msid is None
        elif media.kind == "audio":
            assert ssrcs == [media.ssrc]
        else:
            assert ssrcs == [media.ssrc, media.rtx_ssrc]
            assert [(group.semantic, group.items) for group in found.ssrc_group] == [("FID", ssrcs)]


@pytest.mark.parametrize(
    ("policy", "slots"),
    [
        (RTCBundlePolicy.MAX_BUNDLE, ["video", "audio", "audio", "video"]),
        (RTCBundlePolicy.MAX_COMPAT, ["video", "audio", "audio", "video"]),
        (RTCBundlePolicy.BALANCED, ["video"]),  # leaves the second of a kind behind on its old transport
    ],
)
async def test_stock_aiortc_takes_the_answer(policy: RTCBundlePolicy, slots: list[str]) -> None:
    client = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=policy))
    try:
        client.addTrack(AudioStreamTrack())
        for kind in slots:
            client.addTransceiver(kind, direction="recvonly")
        client.createDataChannel("chat")
        await client.setLocalDescription(await client.createOffer())
        offer = parse_offer(client.localDescription.sdp)
        text = answer_to(offer).serialize()
        await client.setRemoteDescription(RTCSessionDescription(sdp=text, type="answer"))
        assert client.signalingState == "stable"
        transceivers = client.getTransceivers()
        assert [t.currentDirection for t in transceivers] == ["sendrecv", *["recvonly" for _ in slots]]
        assert [t.receiver.track.id for t in transceivers] == [
            f"track{index}" for index in range(len(transceivers))
        ]
        transports = {t.receiver.transport.transport for t in transceivers}
        assert len(transports) == 1
        assert [c.ip for c in transports.pop().getRemoteCandidates()] == ["127.0.0.1", "::1"]
    finally:
        await client.close()


PAGE = """
for (const kind of ['audio', 'video', 'video']) pc.addTransceiver(kind, {direction: 'sendonly'});
for (const kind of ['audio', 'audio', 'video', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
pc.createDataChannel('chat');
"""
SIMULCAST = """
pc.addTransceiver('audio');
pc.addTransceiver('video', {sendEncodings: [{rid: 'q', scaleResolutionDownBy: 4}, {rid: 'f'}]});
"""
RED_FIRST = """
const codecs = RTCRtpReceiver.getCapabilities('audio').codecs;
const isRed = (codec) => codec.mimeType === 'audio/red';
pc.addTransceiver('audio').setCodecPreferences([...codecs.filter(isRed), ...codecs.filter((c) => !isRed(c))]);
pc.addTransceiver('video');
"""
# Stops the second transceiver; then fills its place with another and restarts ICE.
STEPS = ["", "pc.getTransceivers()[1].stop();", "pc.addTransceiver('video'); pc.restartIce();"]

CREATE = "window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});"
OFFER = "async (step) => { eval(step); await pc.setLocalDescription(); return pc.localDescription.sdp; }"
TAKE = """async (sdp) => {
  await pc.setRemoteDescription({type: 'answer', sdp});
  return pc.getTransceivers().map((t) => ({
    direction: t.currentDirection,
    codec: t.sender.getParameters().codecs[0]?.mimeType ?? null,
    rids: t.sender.getParameters().encodings.map((e) => e.rid ?? ''),
  }));
}"""


async def test_chromium_takes_answers_first_renegotiated_and_after_an_ice_restart() -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await browser.new_page()
            taken: dict[str, list[list[dict[str, object]]]] = {}
            for setup in (PAGE, SIMULCAST, RED_FIRST):
                await page.evaluate(f"() => {{ {CREATE} {setup} }}")
                for step in STEPS:
                    answer = answer_to(parse_offer(await page.evaluate(OFFER, step)))
                    taken.setdefault(setup, []).append(await page.evaluate(TAKE, answer.serialize()))
                await page.evaluate("pc.close()")
        finally:
            await browser.close()
    first, stopped, refilled = taken[PAGE]
    assert [t["direction"] for t in first] == ["sendonly"] * 3 + ["recvonly"] * 4
    assert [t["codec"] for t in first] == ["audio/opus", "video/VP8", "video/VP8"] + [None] * 4
    assert [t["direction"] for t in stopped] == ["sendonly"] * 2 + ["recvonly"] * 4
    assert refilled[-1]["direction"] == "sendrecv"
    assert taken[SIMULCAST][0][1]["rids"] == ["q", "f"]
    assert taken[RED_FIRST][0][0]["codec"] == "audio/red"
    assert all(t["direction"] == "sendrecv" for t in taken[RED_FIRST][2])
