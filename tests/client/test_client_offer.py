from __future__ import annotations

import pytest

from rtc.client.offer import LocalTransport, OfferedLine, read_answer, write_offer
from rtc.wire import extensions
from rtc.wire.sdp import SdpError, parse_offer

TRANSPORT = LocalTransport(
    ufrag="abcd",
    pwd="p" * 22,
    fingerprints=(("sha-256", ":".join(["AB"] * 32)),),
    candidates=("1 1 udp 2130706431 127.0.0.1 5000 typ host",),
)
LINES = [
    OfferedLine("0", "audio", (11,)),
    OfferedLine("1", "video", (12, 13)),
    OfferedLine("2", "audio"),
    OfferedLine("3", "video"),
]
ANSWER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=ice-lite
m=audio 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=ice-ufrag:serv
a=ice-pwd:serverpassword12345678
a=fingerprint:sha-256 AB:CD
a=setup:active
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:96 opus/48000/2
a=rtcp-fb:96 nack
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:2/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host
a=candidate:2 1 tcp 2130706431 127.0.0.1 7882 typ host tcptype passive
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 97 98
a=mid:1
a=setup:active
a=ice-ufrag:serv
a=ice-pwd:serverpassword12345678
a=fingerprint:sha-256 AB:CD
a=sendonly
a=rtpmap:97 VP8/90000
a=rtpmap:98 rtx/90000
a=fmtp:98 apt=97
a=ssrc-group:FID 71 72
a=ssrc:71 cname:x
a=ssrc:72 cname:x
m=audio 0 UDP/TLS/RTP/SAVPF 96
a=mid:2
"""


def test_the_server_understands_the_offer() -> None:
    offer = parse_offer(write_offer(TRANSPORT, LINES, session_id=1, cname="me"))
    assert [media.mid for media in offer.media] == ["0", "1", "2", "3"]
    assert [media.kind for media in offer.media] == ["audio", "video", "audio", "video"]
    assert [media.direction for media in offer.media] == ["sendonly", "sendonly", "recvonly", "recvonly"]


def test_an_answer_is_read() -> None:
    answer = read_answer(ANSWER)
    assert (answer.ufrag, answer.pwd, answer.dtls_role) == ("serv", "serverpassword12345678", "server")
    assert [(c.host, c.port) for c in answer.candidates] == [("127.0.0.1", 7882)], "TCP is not offered"
    audio, video, refused = (answer.lines[mid] for mid in "012")
    assert audio.codecs == {96: "OPUS"}
    assert audio.nack == {96}
    assert audio.extension_ids["urn:ietf:params:rtp-hdrext:ssrc-audio-level"] == 2
    assert video.ssrcs == (71, 72)
    assert video.rtx == {98: 97}
    assert not refused.accepted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=ice-pwd:serverpassword12345678\n", ""),
        ("a=fingerprint:sha-256 AB:CD\n", ""),
        ("a=setup:active\n", ""),
        ("a=mid:1\n", ""),
        ("a=rtpmap:96 opus/48000/2", "a=rtpmap:x opus"),
        ("a=ssrc:71 cname:x", "a=ssrc:"),
        ("a=extmap:1 ", "a=extmap:"),
        ("a=fmtp:98 apt=97", "a=fmtp:98 apt=x"),
        ("a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host", "a=candidate:1 1"),
        ("v=0", "w=0"),
    ],
)
def test_a_broken_answer_is_refused_with_a_sentence(old: str, new: str) -> None:
    with pytest.raises(SdpError, match=r"\w+ \w+"):
        read_answer(ANSWER.replace(old, new))


def test_every_truncation_of_an_answer_is_read_or_refused() -> None:
    for end in range(0, len(ANSWER), 7):
        try:
            read_answer(ANSWER[:end])
        except SdpError:
            continue


def test_a_camera_in_two_sizes_is_offered_with_rids_and_without_ssrcs() -> None:
    lines = [OfferedLine("0", "video", rids=("q", "h")), OfferedLine("1", "video", (12, 13)), OfferedLine("2", "video")]
    text = write_offer(TRANSPORT, lines, session_id=1, cname="me")
    camera, screen, slot = parse_offer(text).media
    assert (camera.rids, camera.direction, camera.ssrcs) == (("q", "h"), "sendonly", ())
    assert {extensions.RID, extensions.REPAIRED_RID} <= camera.extensions.keys()
    assert (screen.rids, screen.ssrcs) == ((), (12,))
    assert extensions.RID not in screen.extensions and slot.direction == "recvonly"
    assert "a=simulcast:send q;h\r\n" in text


def test_what_the_server_takes_of_two_sizes_is_read() -> None:
    taken = ANSWER.replace("a=mid:1\n", "a=mid:1\na=rid:q recv\na=rid:h recv\na=simulcast:recv q;h\n")
    assert read_answer(taken).lines["1"].rids == ("q", "h")
    assert read_answer(ANSWER).lines["1"].rids == ()
