from __future__ import annotations

import gc
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Error, Policy, Session

from rtc.transport.batch import OUTBOX_ROW, Inbox, Outbox
from rtc.transport.srtp import (
    MAX_PLAINTEXT,
    PROFILES,
    PROTECT_OVERHEAD,
    WINDOW,
    SrtpSession,
    protect_rows,
    srtp_pair,
)

profiles = pytest.mark.parametrize("profile", list(PROFILES))
SSRC = 0x12345678


def rtp(sequence_number: int = 1, payload: bytes = b"payload") -> bytes:
    return (
        bytes([0x80, 111])
        + (sequence_number & 0xFFFF).to_bytes(2, "big")
        + bytes(4)
        + SSRC.to_bytes(4, "big")
        + payload
    )


RTCP = bytes([0x80, 201, 0, 1]) + SSRC.to_bytes(4, "big")  # an empty receiver report


def original(profile: str, key: bytes, *, inbound: bool) -> Session:
    """pylibsrtp's own session, as aiortc makes it."""
    ssrc_type = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    policy = Policy(key=key, ssrc_type=ssrc_type, srtp_profile=PROFILES[profile][0])
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)


def new_key(profile: str) -> bytes:
    return secrets.token_bytes(PROFILES[profile][1])


def unprotect(session: SrtpSession, data: bytes, *, rtcp: bool = False) -> bytes | None:
    """In place, in a row of an inbox between two that must stay as they are."""
    inbox = Inbox(capacity=3)
    inbox.buffer[:] = 0xAA
    inbox.rows[1][: len(data)] = data
    inbox.length_pointers[1][0] = len(data)
    function = session.unprotect_rtcp if rtcp else session.unprotect
    good = function(inbox.pointers[1], inbox.length_pointers[1])
    assert (inbox.buffer[::2] == 0xAA).all()
    return bytes(inbox.rows[1][: inbox.lengths[1]]) if good else None


@profiles
def test_in_place_is_what_pylibsrtp_itself_makes_of_it(profile: str) -> None:
    key = new_key(profile)
    ours = SrtpSession.from_key(profile, key, inbound=False)
    theirs = original(profile, key, inbound=False)
    receiver = original(profile, key, inbound=True)
    outbox = Outbox()
    for i in range(20):
        packet = rtp(65530 + i, bytes([i]) * (i * 60))
        outbox.append(packet, 5)
        protected = theirs.protect(packet)
        assert receiver.unprotect(protected) == packet
        assert len(protected) <= len(packet) + PROTECT_OVERHEAD
        if i % 2:
            assert ours.protect(packet) == protected
            outbox.lengths[i] = 0
        else:
            assert protect_rows([ours.context], outbox, i) == 0
            assert outbox.datagrams()[-1] == (protected, 5)
    assert ours.protect_rtcp(RTCP) == theirs.protect_rtcp(RTCP)


@profiles
def test_a_receiver_understands_its_sender(profile: str) -> None:
    sender, receiver = srtp_pair(profile)
    for i in range(5):
        packet = rtp(i, b"x" * i)
        assert unprotect(receiver, sender.protect(packet)) == packet
    assert unprotect(receiver, sender.protect_rtcp(RTCP), rtcp=True) == RTCP


@profiles
def test_what_a_pylibsrtp_session_protects_is_understood_by_one_made_from_its_session(profile: str) -> None:
    key = new_key(profile)
    receiver = SrtpSession(original(profile, key, inbound=True))
    assert unprotect(receiver, original(profile, key, inbound=False).protect(rtp())) == rtp()


@profiles
def test_each_row_is_protected_with_its_own_key(profile: str) -> None:
    pairs = [srtp_pair(profile) for _ in range(10)]
    outbox = Outbox()
    outbox.append(b"not ours", 99)
    for i in range(10):
        outbox.append(rtp(i, b"the same"), i)
    assert protect_rows([sender.context for sender, _ in pairs], outbox, 1) == 0
    datagrams = outbox.datagrams()
    assert datagrams[0] == (b"not ours", 99)
    for i, ((_, receiver), (data, destination)) in enumerate(zip(pairs, datagrams[1:], strict=True)):
        assert destination == i
        assert unprotect(pairs[i - 1][1], data) is None
        assert unprotect(receiver, data) == rtp(i, b"the same")


@profiles
def test_a_replayed_packet_is_refused(profile: str) -> None:
    sender, receiver = srtp_pair(profile)
    first, second = sender.protect(rtp(1)), sender.protect(rtp(2))
    assert unprotect(receiver, second) == rtp(2)
    assert unprotect(receiver, first) == rtp(1)
    assert unprotect(receiver, second) is None
    assert unprotect(receiver, first) is None
    report = sender.protect_rtcp(RTCP)
    assert unprotect(receiver, report, rtcp=True) == RTCP
    assert unprotect(receiver, report, rtcp=True) is None


@profiles
def test_a_packet_may_be_sent_again_within_the_window_and_not_after_it(profile: str) -> None:
    sender, receiver = srtp_pair(profile)
    first = sender.protect(rtp(1))
    for i in range(2, WINDOW + 1):
        sender.protect(rtp(i))
    assert sender.protect(rtp(1)) == first
    assert unprotect(receiver, first) == rtp(1)
    sender.protect(rtp(WINDOW + 1))
    outbox = Outbox()
    for sequence_number in (1, 2):
        outbox.append(rtp(sequence_number), sequence_number)
    assert protect_rows([sender.context, sender.context], outbox, 0) == 1
    assert [destination for _, destination in outbox.datagrams()] == [2]


@profiles
def test_a_forged_packet_is_refused_and_the_true_one_still_taken(profile: str) -> None:
    sender, receiver = srtp_pair(profile)
    stranger, _ = srtp_pair(profile)
    protected = sender.protect(rtp())
    for i in (1, 4, 12, len(protected) - 1):  # header, timestamp, payload, tag
        forged = bytearray(protected)
        forged[i] ^= 1
        assert unprotect(receiver, bytes(forged)) is None
    assert unprotect(receiver, stranger.protect(rtp())) is None
    assert unprotect(receiver, protected) == rtp()
    report = sender.protect_rtcp(RTCP)
    assert unprotect(receiver, report[:-1] + bytes([report[-1] ^ 1]), rtcp=True) is None
    assert unprotect(receiver, report, rtcp=True) == RTCP


@pytest.mark.parametrize("profile", list(PROFILES))
@given(head=st.sampled_from([0x80, 0x90, 0x9F, 0xB0, 0x00]), data=st.binary(max_size=80), rtcp=st.booleans())
def test_garbage_is_refused_not_crashing(profile: str, head: int, data: bytes, rtcp: bool) -> None:
    _, receiver = srtp_pair(profile)
    assert unprotect(receiver, bytes([head]) + data, rtcp=rtcp) is None
    assert unprotect(receiver, data, rtcp=rtcp) is None


@profiles
@pytest.mark.parametrize(
    "bad", [b"", b"\x80", b"not RTP", rtp()[:11], b"\x9f" + rtp()[1:], bytes(OUTBOX_ROW)]
)
def test_a_row_that_is_no_rtp_is_not_sent_and_hurts_no_neighbour(profile: str, bad: bytes) -> None:
    senders = [srtp_pair(profile) for _ in range(3)]
    outbox = Outbox()
    for destination, data in enumerate([rtp(1), bad, rtp(2)]):
        outbox.append(data, destination)
    assert protect_rows([sender.context for sender, _ in senders], outbox, 0) == 1
    (first, _), (last, destination) = outbox.datagrams()
    assert destination == 2
    assert unprotect(senders[0][1], first) == rtp(1)
    assert unprotect(senders[2][1], last) == rtp(2)


@profiles
def test_the_longest_packet_fits_and_a_longer_one_leaves_the_next_row_alone(profile: str) -> None:
    sender, receiver = srtp_pair(profile)
    outbox = Outbox()
    longest = rtp(1, bytes(MAX_PLAINTEXT - 12))
    outbox.append(longest, 0)
    outbox.append(rtp(2, bytes(MAX_PLAINTEXT - 11)), 1)
    outbox.append(b"\xaa" * OUTBOX_ROW, 2)
    assert protect_rows([sender.context] * 2, outbox, 0) == 1
    (protected, _), untouched = outbox.datagrams()
    assert unprotect(receiver, protected) == longest
    assert untouched == (b"\xaa" * OUTBOX_ROW, 2)


def test_no_rows_are_no_failure() -> None:
    assert protect_rows([], Outbox(), 0) == 0


def test_a_scalar_packet_that_cannot_be_protected_raises() -> None:
    sender, _ = srtp_pair("SRTP_AEAD_AES_128_GCM")
    for protect in (sender.protect, sender.protect_rtcp):
        with pytest.raises(ValueError, match="too long"):
            protect(rtp(1, bytes(2048)))
        with pytest.raises(Error):
            protect(b"short")
    assert len(sender.protect(rtp(1, bytes(2048 - 16 - 12)))) == 2048


@pytest.mark.parametrize(
    ("profile", "key"),
    [("SRTP_NULL", bytes(30)), ("SRTP_AES128_CM_SHA1_80", bytes(29)), ("SRTP_AEAD_AES_128_GCM", bytes(30))],
)
def test_unusable_key_material_is_refused(profile: str, key: bytes) -> None:
    with pytest.raises(ValueError):
        SrtpSession.from_key(profile, key, inbound=True)


@profiles
def test_a_context_lives_as_long_as_the_session_made_from_it(profile: str) -> None:
    """The Session alone owns libsrtp's context: SrtpSession must keep it when nobody else does."""
    key = new_key(profile)
    session = original(profile, key, inbound=False)
    ours = SrtpSession(session)
    del session
    gc.collect()
    for _ in range(50):  # so that freed memory would be written over
        srtp_pair(profile)
    outbox = Outbox()
    outbox.append(rtp(), 0)
    assert protect_rows([ours.context], outbox, 0) == 0
    assert outbox.datagrams() == [(original(profile, key, inbound=False).protect(rtp()), 0)]
