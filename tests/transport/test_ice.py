from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from rtc.transport.addresses import pack_sockaddr
from rtc.transport.ice import MOVE_AFTER_SECONDS, SILENCE_SECONDS, IceLite, peek_username

PWD = "server-password-of-24-ch"
HOME = pack_sockaddr("192.0.2.7", 50000, family=socket.AF_INET)
MOBILE = pack_sockaddr("198.51.100.9", 40000, family=socket.AF_INET)


@dataclass(frozen=True)
class State:
    selected: bytes | None
    last_heard: float | None
    local_ufrags: tuple[str, ...]


def state(agent: IceLite) -> State:
    return State(agent.selected, agent.last_heard, agent.local_ufrags)


def agent() -> IceLite:
    lite = IceLite(ufrag="serv", pwd=PWD)
    lite.remote_ufrag, lite.remote_pwd = "clie", "client-password-of-24-ch"
    return lite


def request(
    *,
    username: str | None = "serv:clie",
    pwd: str | None = PWD,
    nominate: bool = False,
    role: str = "ICE-CONTROLLING",
    extra: bytes = b"",
    trailing: bytes = b"",
) -> bytes:
    """A binding request; `extra` are raw attributes covered by MESSAGE-INTEGRITY, `trailing` follow it."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, transaction_id=b"transaction!")
    if username is not None:
        message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes[role] = 7
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    data = bytes(message) + extra
    if pwd is not None:
        data += struct.pack("!HH", 0x0008, 20) + stun.message_integrity(data, pwd.encode())
    data += trailing
    data += struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(data))
    return stun.set_body_length(data, len(data) - stun.HEADER_LENGTH)


def parsed(response: bytes | None, pwd: str = PWD) -> stun.Message:
    assert response is not None
    message = stun.parse_message(response)
    assert message.check_message_integrity(pwd.encode())
    assert "FINGERPRINT" in message.attributes
    assert message.transaction_id == b"transaction!"
    return message


@pytest.mark.parametrize(
    ("host", "family", "seen"),
    [
        ("192.0.2.7", socket.AF_INET, "192.0.2.7"),
        ("2001:db8::7", socket.AF_INET6, "2001:db8::7"),
        ("fe80::7%3", socket.AF_INET6, "fe80::7"),
        ("192.0.2.7", socket.AF_INET6, "192.0.2.7"),  # an IPv4 peer of a dual-stack socket
    ],
)
def test_a_check_is_answered_with_the_address_it_came_from(host: str, family: int, seen: str) -> None:
    source = pack_sockaddr(host, 50000, family=family)
    lite = agent()
    response = parsed(lite.receive(request(), source, now=1.0))
    assert response.message_class == stun.Class.RESPONSE
    assert response.attributes["XOR-MAPPED-ADDRESS"] == (seen, 50000)
    assert (lite.selected, lite.last_heard) == (source, 1.0)


def _with(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


UNANSWERED = {
    "wrong password": request(pwd="another-password-of-24-c"),
    "no integrity": request(pwd=None),
    "no username": request(username=None),
    "username without colon": request(username="servclie"),
    "another local ufrag": request(username="othr:clie"),
    "another remote ufrag": request(username="serv:othr"),
    "username the wrong way round": request(username="clie:serv"),
    "bad fingerprint": _with(request(), len(request()) - 1, bytes([request()[-1] ^ 1])),
    "an indication": _with(request(), 0, b"\x00\x11"),
    "a response": _with(request(), 0, b"\x01\x01"),
    "an unknown method": _with(request(), 0, b"\x00\x0b"),
    "the wrong cookie": _with(request(), 4, bytes(4)),
    "truncated": request()[:-4],
    "too long": request() + bytes(4),
    "username that is not UTF-8": request(username="serv:clie").replace(b"clie", b"\xff\xfe\xfd\xfc"),
    "a header alone": stun.set_body_length(request()[:20], 0),
    "empty": b"",
    "hundreds of attributes": request(extra=struct.pack("!HH", 0x8100, 0) * 300),
}


@pytest.mark.parametrize("message", UNANSWERED.values(), ids=UNANSWERED)
def test_what_does_not_authenticate_gets_no_reply_and_changes_nothing(message: bytes) -> None:
    lite = agent()
    assert lite.receive(message, HOME, now=1.0) is None
    assert state(lite) == state(agent())


def test_a_check_before_the_offer_is_known_is_dropped() -> None:
    lite = IceLite(ufrag="serv", pwd=PWD)
    assert lite.receive(request(username="serv:"), HOME, now=1.0) is None
    assert lite.selected is None


def test_a_source_that_is_no_socket_address_is_dropped() -> None:
    lite = agent()
    assert lite.receive(request(), b"", now=1.0) is None
    assert lite.selected is None


def test_an_unknown_required_attribute_is_refused_with_420() -> None:
    lite = agent()
    refusal = lite.receive(request(extra=struct.pack("!HHI", 0x0031, 4, 0)), HOME, now=1.0)
    assert parsed(refusal).attributes["ERROR-CODE"][0] == 420
    assert refusal is not None and struct.pack("!HHH", 0x000A, 2, 0x0031) in refusal
    assert lite.selected is None


@pytest.mark.parametrize(
    "message",
    [
        request(extra=struct.pack("!HHI", 0xC057, 4, 0)),  # optional: Chromium's GOOG-NETWORK-INFO
        request(trailing=struct.pack("!HHI", 0x0031, 4, 0)),  # required, but after MESSAGE-INTEGRITY
    ],
    ids=["optional", "not authenticated"],
)
def test_an_attribute_that_may_be_ignored_is_ignored(message: bytes) -> None:
    assert parsed(agent().receive(message, HOME, now=1.0)).message_class == stun.Class.RESPONSE


def test_use_candidate_after_the_integrity_nominates_nothing() -> None:
    lite = agent()
    lite.receive(request(), HOME, now=1.0)
    lite.receive(request(trailing=struct.pack("!HH", 0x0025, 0)), MOBILE, now=1.1)
    assert lite.selected == HOME


def test_a_peer_that_claims_to_be_controlled_too_is_told_to_control() -> None:
    lite = agent()
    conflict = parsed(lite.receive(request(role="ICE-CONTROLLED"), HOME, now=1.0))
    assert conflict.attributes["ERROR-CODE"][0] == 487
    assert lite.selected is None


@pytest.mark.parametrize(
    ("nominate", "silence", "moves"),
    [
        (True, 0.0, True),
        (False, 0.0, False),
        (False, MOVE_AFTER_SECONDS, False),
        (False, MOVE_AFTER_SECONDS + 0.01, True),
    ],
)
def test_a_check_from_a_new_address_moves_the_selected_one(
    nominate: bool, silence: float, moves: bool
) -> None:
    lite = agent()
    lite.receive(request(nominate=True), HOME, now=1.0)
    parsed(lite.receive(request(nominate=nominate), MOBILE, now=1.0 + silence))
    assert lite.selected == (MOBILE if moves else HOME)


def test_nomination_replaces_the_first_address_at_once() -> None:
    lite = agent()
    lite.receive(request(), HOME, now=1.0)
    lite.receive(request(nominate=True), MOBILE, now=1.0)
    assert lite.selected == MOBILE


def test_media_from_the_selected_address_keeps_a_backup_check_from_moving_it() -> None:
    lite = agent()
    lite.receive(request(nominate=True), HOME, now=1.0)
    lite.last_heard = 5.0  # what the owner stores for each packet that authenticated
    lite.receive(request(), MOBILE, now=5.5)
    assert lite.selected == HOME


@pytest.mark.parametrize(("silence", "moves"), [(0.5, False), (1.5, True)])
def test_media_follows_a_nat_that_rebound(silence: float, moves: bool) -> None:
    lite = agent()
    lite.receive(request(nominate=True), HOME, now=1.0)
    assert lite.heard(MOBILE, now=1.0 + silence) is moves
    assert lite.selected == (MOBILE if moves else HOME)
    assert lite.heard(lite.selected, now=3.0) is False
    assert lite.last_heard == 3.0


def test_consent_lasts_as_long_as_something_is_heard() -> None:
    lite = agent()
    assert not lite.expired(1000.0)
    lite.receive(request(), HOME, now=1.0)
    assert not lite.expired(1.0 + SILENCE_SECONDS)
    assert lite.expired(1.1 + SILENCE_SECONDS)
    lite.receive(request(), HOME, now=20.0)
    assert not lite.expired(20.0 + SILENCE_SECONDS)


def test_old_credentials_serve_until_a_check_bears_the_new_ones() -> None:
    lite = agent()
    lite.receive(request(nominate=True), HOME, now=1.0)
    ufrag, pwd = lite.restart("next", "next-client-password-24c")
    assert lite.local_ufrags == (ufrag, "serv")
    assert lite.selected == HOME

    parsed(lite.receive(request(), HOME, now=2.0))
    assert lite.local_ufrags == (ufrag, "serv")

    assert lite.receive(request(username=f"{ufrag}:clie", pwd=pwd), HOME, now=2.0) is None
    parsed(lite.receive(request(username=f"{ufrag}:next", pwd=pwd, nominate=True), MOBILE, now=2.1), pwd)
    assert lite.selected == MOBILE
    assert list(lite.local_ufrags) == [ufrag]
    assert lite.receive(request(), HOME, now=2.2) is None


def test_a_second_restart_before_any_check_keeps_the_credentials_in_use() -> None:
    lite = agent()
    first, _ = lite.restart("nxt1", "next-client-password-24c")
    second, _ = lite.restart("nxt2", "next-client-password-24c")
    assert lite.local_ufrags == (second, "serv")
    assert first != second
    parsed(lite.receive(request(), HOME, now=1.0))


def test_random_credentials_have_the_lengths_and_letters_of_rfc_8839() -> None:
    first, second = IceLite(), IceLite()
    assert first.local_ufrag != second.local_ufrag
    assert first.local_pwd != second.local_pwd
    for value, shortest in ((first.local_ufrag, 4), (first.local_pwd, 22)):
        assert shortest <= len(value) <= 256
        assert all(c.isascii() and (c.isalnum() or c in "+/") for c in value)


@pytest.mark.parametrize(
    ("data", "ufrag"),
    [
        (request(username="serv:clie"), "serv"),
        (request(username="serv:clie", pwd="not yet checked, so any ok"), "serv"),
        (request(username="serv"), None),
        (request(username=None), None),
        (request()[:30], None),
        (b"", None),
        (b"\x80" + bytes(40), None),
    ],
)
def test_peek_finds_the_ufrag_of_a_binding_request_only(data: bytes, ufrag: str | None) -> None:
    assert peek_username(data) == ufrag


@given(st.binary(max_size=200))
def test_any_bytes_never_raise_and_never_change_state(data: bytes) -> None:
    lite = agent()
    assert lite.receive(data, HOME, now=1.0) is None
    assert peek_username(data) is None or len(data) > 20
    assert state(lite) == state(agent())


attributes = st.lists(
    st.tuples(st.sampled_from([*stun.ATTRIBUTES_BY_TYPE, 0x000A, 0x001C, 0x8029]), st.binary(max_size=24))
).map(lambda pairs: b"".join(struct.pack("!HH", k, len(v)) + v + bytes(-len(v) % 4) for k, v in pairs))


@given(attributes, attributes)
def test_an_authenticated_peer_may_send_any_attributes_without_harm(extra: bytes, trailing: bytes) -> None:
    lite = agent()
    lite.receive(request(nominate=True), HOME, now=1.0)
    response = lite.receive(request(extra=extra, trailing=trailing), HOME, now=2.0)
    if response is not None:
        parsed(response)
    assert (lite.selected, lite.local_ufrags) == (HOME, ("serv",))


@given(st.integers(0, len(request(nominate=True)) - 9), st.integers(1, 255))
def test_a_changed_byte_under_the_integrity_is_never_accepted(position: int, flip: int) -> None:
    message = bytearray(request(nominate=True))
    message[position] ^= flip
    lite = agent()
    assert lite.receive(bytes(message), HOME, now=1.0) is None
    assert state(lite) == state(agent())


@given(st.integers(0, len(request()) - 1))
def test_a_truncated_check_is_dropped(length: int) -> None:
    lite = agent()
    assert lite.receive(request()[:length], HOME, now=1.0) is None
    assert lite.selected is None
