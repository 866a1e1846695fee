"""SDP fragments of trickle ICE (RFC 8840)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.sdp import Fragment, SdpError, host_candidates, parse_fragment, write_fragment

UFRAG, PWD = "EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"
CANDIDATE = "1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"
CREDENTIALS = f"a=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PWD}\r\n"
MEDIA = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CREDENTIALS + MEDIA + f"a=candidate:{CANDIDATE}\r\n", Fragment(UFRAG, PWD, (CANDIDATE,))),
        (MEDIA + CREDENTIALS + f"a=candidate:{CANDIDATE}\r\n", Fragment(UFRAG, PWD, (CANDIDATE,))),
        (CREDENTIALS + MEDIA + CREDENTIALS, Fragment(UFRAG, PWD)),
        (CREDENTIALS.replace("\r\n", "\n"), Fragment(UFRAG, PWD)),
        (MEDIA + "a=end-of-candidates\r\n", Fragment(end_of_candidates=True)),
        (MEDIA + f"a=candidate:{CANDIDATE}", Fragment(candidates=(CANDIDATE,))),
        ("a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n" + CREDENTIALS, Fragment(UFRAG, PWD)),
    ],
)
def test_fragments_are_read(text: str, expected: Fragment) -> None:
    assert parse_fragment(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither credentials nor candidates"),
        (MEDIA, "neither credentials nor candidates"),
        ("hello", "not of the form"),
        (f"a=ice-ufrag:{UFRAG}\r\n", "no valid pair"),
        (f"a=ice-pwd:{PWD}\r\n", "no valid pair"),
        ("a=ice-ufrag\r\na=ice-pwd\r\n", "neither credentials"),
        (CREDENTIALS.replace(PWD, "short"), "no valid pair"),
        (CREDENTIALS.replace(UFRAG, "a:bc"), "no valid pair"),
        (CREDENTIALS + MEDIA + CREDENTIALS.replace(UFRAG, "other"), "more than one ICE session"),
        (CREDENTIALS + MEDIA + "a=candidate:1 1 udp\r\n", "malformed candidate"),
        (CREDENTIALS + MEDIA + "a=candidate\r\n", "malformed candidate"),
        ("\0", "control characters"),
        (MEDIA * 65, "media sections"),
        ("a=candidate:x\r\n" * 600, "more than 512 lines"),
    ],
)
def test_a_bad_fragment_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(SdpError, match=why):
        parse_fragment(text)


LINES = st.sampled_from([*CREDENTIALS.split(), *MEDIA.split("\r\n"), f"a=candidate:{CANDIDATE}", "a=", "m="])


@given(st.text(max_size=400) | st.lists(LINES).map("\n".join))
def test_anything_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdpError):
        parse_fragment(text)


def test_what_is_written_can_be_read() -> None:
    text = write_fragment(UFRAG, PWD, host_candidates(["192.0.2.1", "2001:db8::1"], 7882), kind="video", mid="a")
    assert "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\n" in text
    assert text.startswith("a=ice-lite\r\na=ice-options:trickle\r\n")
    read = parse_fragment(text)
    assert (read.ufrag, read.pwd, len(read.candidates), read.end_of_candidates) == (UFRAG, PWD, 2, True)
