"""Reading offers: real ones from four clients, tables of refusals, and everything else that may arrive."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.extensions import ABS_SEND_TIME, AUDIO_LEVEL, MID, TRANSPORT_CC
from rtc.wire.sdp import MAX_MEDIA_SECTIONS, MAX_OFFER_BYTES, Codec, Offer, SdpError, parse_offer

OFFERS = {path.stem: path.read_bytes().decode() for path in (Path(__file__).parent / "offers").glob("*.sdp")}

FINGERPRINT = ":".join(["0A"] * 32)
SESSION = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
"""
AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111 63
a=mid:0
a=sendonly
a=rtcp-mux
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:111 OPUS/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=ssrc:11 cname:c
"""
VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=mid:1
a=recvonly
a=rtcp-mux
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=rtpmap:96 vp8/90000
a=rtcp-fb:96 nack pli
a=rtcp-fb:* nack
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""
GOOD = SESSION + AUDIO + VIDEO


def only(offer: Offer, kind: str) -> list[str]:
    return [media.mid for media in offer.media if media.kind == kind]


def test_the_fixtures_are_there() -> None:
    assert set(OFFERS) >= {"aiortc", "chromium_page", "chromium_simulcast", "chromium_whip", "ffmpeg_whip"}


def test_a_page_of_chromium_shows_its_tracks_slots_and_channel() -> None:
    offer = parse_offer(OFFERS["chromium_page"])
    assert offer.setup == "actpass"
    assert offer.bundle == tuple(str(mid) for mid in range(12))
    assert offer.extmap_allow_mixed
    assert offer.ice_options == ("trickle",)
    assert not offer.ice_lite
    assert [algorithm for algorithm, _ in offer.fingerprints] == ["sha-256"]
    assert [media.mid for media in offer.media if media.sends and media.kind != "application"] == [
        "0",
        "1",
        "2",
    ]
    assert only(offer, "audio") == ["0", "3", "4", "5", "6"]
    assert only(offer, "video") == ["1", "2", "7", "8", "9", "10"]
    assert all(media.receives for media in offer.media[3:])
    audio, video, data = offer.media[0], offer.media[1], offer.media[11]
    assert audio.codecs[:2] == (
        Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1", ("transport-cc",)),
        Codec("red", 63, 48000, 2, "111/111"),
    )
    assert audio.extensions == {AUDIO_LEVEL: 1, ABS_SEND_TIME: 2, TRANSPORT_CC: 3, MID: 4}
    assert len(audio.ssrcs) == 1
    assert audio.rtcp_reduced_size
    assert video.codecs[0].name == "VP8"
    assert video.codecs[0].rtx_payload_type == 97
    assert video.codecs[0].feedback == ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
    assert len(video.ssrcs) == 1
    assert set(video.rtx_ssrcs) == set(video.ssrcs)
    assert not any(codec.name == "rtx" for media in offer.media for codec in media.codecs)
    assert (data.kind, data.sctp_port, data.max_message_size) == ("application", 5000, 262144)


def test_simulcast_is_read_in_the_client_s_order() -> None:
    video = parse_offer(OFFERS["chromium_simulcast"]).media[1]
    assert video.rids == ("q", "h", "f")
    assert video.ssrcs == ()
    assert video.stream_id
    assert video.track_id


def test_a_stock_aiortc_offer_is_read() -> None:
    offer = parse_offer(OFFERS["aiortc"])
    assert [media.direction for media in offer.media] == ["sendrecv"] * 2 + ["recvonly"] * 3 + ["sendrecv"]
    assert [algorithm for algorithm, _ in offer.fingerprints] == ["sha-256", "sha-384", "sha-512"]
    assert offer.media[1].rtx_ssrcs.keys() == set(offer.media[1].ssrcs)


def test_an_ffmpeg_offer_names_its_rtx_ssrc_in_the_group_only() -> None:
    offer = parse_offer(OFFERS["ffmpeg_whip"])
    assert offer.setup == "passive"
    audio, video = offer.media
    assert audio.extensions == {}
    assert audio.stream_id == "FFmpeg"
    assert len(video.ssrcs) == 1
    assert list(video.rtx_ssrcs) == list(video.ssrcs)
    assert video.codecs[0].rtx_payload_type == 105


def test_session_attributes_hold_for_every_section_and_names_have_one_spelling() -> None:
    offer = parse_offer(GOOD)
    assert (offer.ufrag, offer.pwd) == ("abcd", "0123456789012345678901")
    assert offer.fingerprints == (("sha-256", FINGERPRINT),)
    assert [codec.name for media in offer.media for codec in media.codecs] == ["opus", "red", "VP8"]
    assert offer.media[1].codecs[0].feedback == ("nack pli", "nack")
    assert set(offer.media[1].extension_directions.values()) == {"recvonly"}


@pytest.mark.parametrize("name", sorted(OFFERS))
def test_the_same_text_twice_gives_equal_offers(name: str) -> None:
    assert parse_offer(OFFERS[name]) == parse_offer(OFFERS[name])
    assert parse_offer(OFFERS[name]) == parse_offer(OFFERS[name].replace("\r\n", "\n"))


def test_of_what_is_said_twice_the_first_counts() -> None:
    again = f"a=mid:9\na=extmap:9 {MID}\na=rtpmap:96 H264/90000\na=rtpmap:97 VP9/90000\n"
    media = parse_offer(GOOD + again).media[1]
    assert (media.mid, media.extensions[MID]) == ("1", 4)
    assert [(codec.name, codec.rtx_payload_type) for codec in media.codecs] == [("VP8", 97)]


@pytest.mark.parametrize("apt", ["apt=97", "apt=95", "apt=x", "", "96"])
def test_an_rtx_that_repairs_nothing_offered_is_passed_over(apt: str) -> None:
    codecs = parse_offer(GOOD.replace("apt=96", apt)).media[1].codecs
    assert [(codec.payload_type, codec.rtx_payload_type) for codec in codecs] == [(96, None)]


@pytest.mark.parametrize(
    ("simulcast", "rids"),
    [
        ("", ("a", "b", "c")),  # no a=simulcast: the order of a=rid
        ("a=simulcast:send c;b;a", ("c", "b", "a")),
        ("a=simulcast:recv x send c;b", ("c", "b")),
        ("a=simulcast:send ~c,a;b", ("c", "b")),  # paused at first; an alternative
        ("a=simulcast:send c;c;unknown;x", ("c",)),
        ("a=simulcast:recv x", ("a", "b", "c")),
        ("a=simulcast:", ("a", "b", "c")),
        ("a=simulcast:send", ("a", "b", "c")),
    ],
)
def test_layers(simulcast: str, rids: tuple[str, ...]) -> None:
    lines = "a=rid:a send\na=rid:b send pt=96\na=rid:x recv\na=rid:c send\n"
    assert parse_offer(f"{GOOD}{lines}{simulcast}\n").media[1].rids == rids


@pytest.mark.parametrize(
    ("lines", "rejected"),
    [("m=video 0 UDP/TLS/RTP/SAVPF 96", True), ("m=video 0 UDP/TLS/RTP/SAVPF 96\na=bundle-only", False)],
)
def test_port_0_rejects_unless_bundle_only(lines: str, rejected: bool) -> None:
    text = GOOD.replace("m=video 9 UDP/TLS/RTP/SAVPF 96 97", lines)
    offer = parse_offer(text)
    assert offer.media[1].rejected is rejected
    assert offer.media[1].receives is not rejected
    assert offer.bundle == (("0",) if rejected else ("0", "1"))


def test_a_rejected_section_needs_no_mid_and_may_have_stood_outside_the_bundle() -> None:
    text = GOOD.replace("m=video 9", "m=video 0").replace("a=mid:1\n", "").replace("BUNDLE 0 1", "BUNDLE 0")
    assert parse_offer(text).media[1].mid == ""


def test_the_first_of_the_group_speaks_for_the_transport() -> None:
    text = GOOD.replace("BUNDLE 0 1", "BUNDLE 1 0") + "a=ice-ufrag:tagged\na=setup:active\n"
    offer = parse_offer(text)
    assert (offer.ufrag, offer.setup, offer.bundle) == ("tagged", "active", ("1", "0"))


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (GOOD, False),
        (GOOD.replace("a=group", "a=extmap-allow-mixed\na=group"), True),
        (GOOD.replace("a=extmap", "a=x"), False),
        (GOOD + "a=extmap-allow-mixed\n", False),  # one section only
        (GOOD.replace("a=rtcp-mux", "a=rtcp-mux\na=extmap-allow-mixed"), True),
    ],
)
def test_mixed_header_forms_are_allowed_for_all_sections_or_none(text: str, allowed: bool) -> None:
    assert parse_offer(text).extmap_allow_mixed is allowed


def test_payload_types_that_look_like_rtcp_are_passed_over() -> None:
    assert parse_offer(GOOD.replace("96", "72")).media[1].codecs == ()


def test_a_second_data_section_or_an_old_one_is_read_and_left_to_the_policy() -> None:
    old = "m=application 9 DTLS/SCTP 5000\na=mid:d\n"
    offer = parse_offer(GOOD.replace("BUNDLE 0 1", "BUNDLE 0 1 d") + old)
    assert offer.media[2].sctp_port is None


REFUSALS = {
    "empty": ("", "v=0"),
    "no version": ("o=- 1 1 IN IP4 0.0.0.0\n", "v=0"),
    "version 1": (GOOD.replace("v=0", "v=1"), "v=0"),
    "html": ("<html>", "v=0"),
    "not a line": (GOOD + "hello\n", "line 31"),
    "NUL byte": (GOOD.replace("abcd", "ab\0cd"), "control"),
    "bare carriage return": (GOOD.replace("a=mid:0", "a=mid:0\ra=mid:1"), "control"),
    "unicode line end": (GOOD.replace("minptime", "\u2028minptime"), "control"),
    "lone surrogate": (GOOD + "a=x:\ud800\n", "UTF-8"),
    "too long": (GOOD + "a=x:" + "x" * MAX_OFFER_BYTES + "\n", "longer"),
    "too long in UTF-8 only": (GOOD + "a=x:" + "é" * (MAX_OFFER_BYTES // 2) + "\n", "longer"),
    "no media": (SESSION, "no media section"),
    "all rejected": (SESSION + AUDIO.replace("audio 9", "audio 0"), "no media section"),
    "too many sections": (SESSION + AUDIO * (MAX_MEDIA_SECTIONS + 1), "64 media sections"),
    "too many lines": (GOOD + "a=ssrc:1 cname:x\n" * 600, "512 lines"),
    "malformed m line": (GOOD.replace("m=audio 9 ", "m=audio "), "malformed m="),
    "other kind": (GOOD.replace("m=audio", "m=text"), "neither"),
    "plain RTP": (GOOD.replace("UDP/TLS/RTP/SAVPF 111", "RTP/AVP 111"), "DTLS-SRTP"),
    "no mux": (GOOD.replace("a=rtcp-mux\n", ""), "rtcp-mux"),
    "no mid": (GOOD.replace("a=mid:1\n", ""), "no mid"),
    "long mid": (GOOD.replace("a=mid:1", "a=mid:12345678901234567"), "no mid"),
    "mid that is no token": (GOOD.replace("a=mid:1", "a=mid:a b"), "no mid"),
    "same mid twice": (GOOD.replace("a=mid:1", "a=mid:0"), "same mid"),
    "no bundle": (GOOD.replace("a=group:BUNDLE 0 1\n", ""), "BUNDLE"),
    "other group": (GOOD.replace("a=group:BUNDLE 0 1", "a=group:LS 0 1"), "BUNDLE"),
    "empty group": (GOOD.replace("a=group:BUNDLE 0 1", "a=group"), "BUNDLE"),
    "outside the bundle": (GOOD.replace("BUNDLE 0 1", "BUNDLE 0"), "BUNDLE"),
    "no ufrag": (GOOD.replace("a=ice-ufrag:abcd\n", ""), "ice-ufrag"),
    "short ufrag": (GOOD.replace("ufrag:abcd", "ufrag:abc"), "ice-ufrag"),
    "colon in ufrag": (GOOD.replace("ufrag:abcd", "ufrag:ab:cd"), "ice-ufrag"),
    "short pwd": (GOOD.replace("pwd:0123456789012345678901", "pwd:012345678901234567890"), "ice-pwd"),
    "no fingerprint": (GOOD.replace(f"a=fingerprint:sha-256 {FINGERPRINT}\n", ""), "fingerprint"),
    "weak fingerprint": (GOOD.replace("sha-256", "sha-1"), "no sha-256"),
    "cut fingerprint": (GOOD.replace(FINGERPRINT, FINGERPRINT[:-3]), "malformed sha-256"),
    "no setup": (GOOD.replace("a=setup:actpass\n", ""), "a=setup"),
    "holdconn": (GOOD.replace("actpass", "holdconn"), "a=setup"),
    "payload type": (GOOD.replace("SAVPF 96", "SAVPF 128"), "payload type"),
    "payload type in words": (GOOD.replace("SAVPF 96", "SAVPF x"), "payload type"),
    "other digits": (GOOD.replace("SAVPF 96", "SAVPF ٩٦"), "payload type"),
    "clock rate": (GOOD.replace("vp8/90000", "vp8/" + "9" * 5000), "clock rate"),
    "no clock rate": (GOOD.replace("vp8/90000", "vp8"), "clock rate"),
    "channels": (GOOD.replace("OPUS/48000/2", "OPUS/48000/x"), "channels"),
    "ssrc": (GOOD + "a=ssrc:4294967296 cname:c\n", "SSRC"),
    "ssrc of two sections": (GOOD + "a=ssrc:11 cname:c\n", "SSRC stands twice"),
    "ssrc that repairs itself": (GOOD + "a=ssrc-group:FID 5 5\na=ssrc-group:FID 6 5\n", "SSRC stands twice"),
    "extension id": (GOOD + "a=extmap:x urn:x\n", "header extension id"),
    "id of two extensions": (GOOD + "a=extmap:4 urn:x\n", "header extension id 4"),
    "rid": (GOOD + "a=rid:a/b send\n", "rid"),
    "sctp port": (
        GOOD.replace("BUNDLE 0 1", "BUNDLE 0 1 2")
        + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:70000\n",
        "sctp-port",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_say_why(name: str) -> None:
    text, why = REFUSALS[name]
    with pytest.raises(SdpError, match=why) as raised:
        parse_offer(text)
    message = str(raised.value)
    assert isinstance(raised.value, WireError)
    assert message.isprintable()
    assert len(message) < 160


HEAVY = {
    "wildcard feedback for every payload type": SESSION.replace(
        "BUNDLE 0 1", "BUNDLE " + " ".join("abcdefgh")
    )
    + "".join(
        f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join(str(pt) for pt in range(128))}\na=mid:{mid}\na=rtcp-mux\n"
        + "".join(f"a=rtpmap:{pt} VP8/90000\n" for pt in range(128))
        + "".join(f"a=rtcp-fb:* x{index}\n" for index in range(370))
        for mid in "abcdefgh"
    ),
    "a line of formats": GOOD.replace("SAVPF 96", "SAVPF" + " 96" * 80_000),
    "a line of mids": GOOD.replace("BUNDLE 0 1", "BUNDLE 0 1" + " 1" * 100_000),
    "a line of parameters": GOOD.replace("apt=96", "apt=96" + ";a=b" * 50_000),
    "a line of colons": GOOD + "a=" + ":" * 200_000 + "\n",
    "a line of rids": GOOD + "a=rid:a send\na=simulcast:send " + "a;" * 100_000 + "\n",
    "a fingerprint": GOOD.replace(FINGERPRINT, "AA:" * 80_000),
    "blank lines": GOOD + "\n" * 200_000,
    "a megabyte": "v=0\r\n" * 200_000,
}


@pytest.mark.parametrize("name", HEAVY)
def test_no_offer_within_the_limits_holds_up_the_loop(name: str) -> None:
    started = time.process_time()
    with contextlib.suppress(SdpError):
        parse_offer(HEAVY[name])
    assert time.process_time() - started < 0.5  # seconds; a few ms when measured alone


def read(text: str) -> None:
    """Gives an Offer or SdpError; anything else fails the test."""
    try:
        offer = parse_offer(text)
    except SdpError as error:
        assert str(error).isprintable()
    else:
        assert offer == parse_offer(text)
        assert offer.bundle


LINES = sorted({line for text in OFFERS.values() for line in text.split("\r\n")})


@pytest.mark.parametrize("name", sorted({line[2:].split(":")[0] for line in LINES if line.startswith("a=")}))
@pytest.mark.parametrize(
    "value", ["", ":", ": ", ":0", ":0 ", ": 0", ":0/", ":0 /", ":0 0/0/0", ":x", ":-1", ":é 0"]
)
def test_an_attribute_with_its_value_cut_short(name: str, value: str) -> None:
    read(f"{GOOD}a={name}{value}\n")
    read(f"{SESSION}a={name}{value}\n{AUDIO}a={name}{value}\n{VIDEO}")
    read(GOOD.replace(f"a={name}:", f"a={name}{value}\na=x:"))


@given(st.text())
def test_any_text_is_an_offer_or_an_error(text: str) -> None:
    read(text)
    read("v=0\n" + text)


@given(st.lists(st.sampled_from(LINES), max_size=60), st.sampled_from(["\n", "\r\n"]))
def test_any_lines_of_real_offers_in_any_order(lines: list[str], end: str) -> None:
    read(end.join(["v=0", *lines]))


@settings(max_examples=300)
@given(st.sampled_from(sorted(OFFERS)), st.data())
def test_real_offers_with_lines_lost_doubled_moved_or_edited(name: str, data: st.DataObject) -> None:
    lines = OFFERS[name].split("\r\n")
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["lose", "double", "move", "edit", "cut", "swap"])):
            case "lose":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "edit":
                line = lines[at]
                start = data.draw(st.integers(0, len(line)))
                stop = data.draw(st.integers(start, len(line)))
                lines[at] = line[:start] + data.draw(st.text(max_size=6)) + line[stop:]
            case "cut":
                lines[at] = lines[at].split(data.draw(st.sampled_from([":", " ", "/", "="])))[0]
            case _:
                lines[at] = data.draw(st.sampled_from(LINES))
        if not lines:
            break
    read("\r\n".join(lines))


@settings(max_examples=100)
@given(st.sampled_from(sorted(OFFERS)), st.integers(0), st.binary(max_size=8), st.integers(0, 8))
def test_real_offers_with_bytes_overwritten(name: str, at: int, new: bytes, old: int) -> None:
    encoded = OFFERS[name].encode()
    at %= len(encoded)
    read((encoded[:at] + new + encoded[at + old :]).decode("utf-8", errors="surrogateescape"))
