"""Records sealed and opened without OpenSSL; test_dtls.py has OpenSSL at the other end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.transport.records import (
    ALERT,
    APPLICATION_DATA,
    CLOSE_NOTIFY,
    REPLAY_WINDOW,
    SUITES,
    Records,
    Suite,
    ends_connection,
    prf,
)

EVERY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)


def _pair(suite: Suite) -> tuple[Records, Records]:
    left = {"master": bytes(48), "client_random": b"c" * 32, "server_random": b"s" * 32}
    return Records.derive(suite, role="client", **left), Records.derive(suite, role="server", **left)


def test_the_keys_are_those_of_tls_1_2() -> None:
    # The vector for SHA-256 that went round the IETF's TLS list.
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    assert prf(secret, b"test label", seed, 40).hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9"
    )


@EVERY_SUITE
def test_each_end_opens_what_the_other_has_sealed_and_not_its_own(suite: Suite) -> None:
    client, server = _pair(suite)
    for one, other in ((client, server), (server, client)):
        record = one.seal(APPLICATION_DATA, b"body")
        assert one.open(record) == []
        assert other.open(record) == [(APPLICATION_DATA, b"body")]
    assert (client.refused, server.refused) == (1, 1)


@EVERY_SUITE
def test_a_datagram_may_hold_several_records_and_some_may_be_forged(suite: Suite) -> None:
    client, server = _pair(suite)
    data, alert = client.seal(APPLICATION_DATA, b""), client.seal(ALERT, CLOSE_NOTIFY)
    forged = data[:-1] + bytes((data[-1] ^ 1,))
    assert server.open(forged + data + alert) == [(APPLICATION_DATA, b""), (ALERT, CLOSE_NOTIFY)]
    assert server.refused == 1


@EVERY_SUITE
def test_nothing_of_a_record_can_be_changed(suite: Suite) -> None:
    client, server = _pair(suite)
    goodbye = client.seal(ALERT, CLOSE_NOTIFY)
    for position in range(len(goodbye)):
        for bit in range(8):
            changed = bytearray(goodbye)
            changed[position] ^= 1 << bit
            assert server.open(bytes(changed)) == []
    assert server.open(goodbye[:-1]) == []
    assert server.open(goodbye) == [(ALERT, CLOSE_NOTIFY)]


@EVERY_SUITE
@given(seed=st.integers(0, 2**32))
def test_a_record_is_opened_once_in_whatever_order_they_come(suite: Suite, seed: int) -> None:
    chance = random.Random(seed)
    client, server = _pair(suite)
    sent = [client.seal(APPLICATION_DATA, bytes((i,))) for i in range(150)]
    arriving = sorted([*range(150)] * 3, key=lambda i: i + chance.uniform(0, REPLAY_WINDOW / 2))
    opened = [body[0] for i in arriving for _, body in server.open(sent[i])]
    assert sorted(opened) == list(range(150))


def test_a_record_from_before_the_window_is_refused() -> None:
    client, server = _pair(SUITES["ECDHE-ECDSA-AES128-GCM-SHA256"])
    sent = [client.seal(APPLICATION_DATA, b"x") for _ in range(REPLAY_WINDOW + 1)]
    assert server.open(sent[-1])
    assert server.open(sent[1])
    assert not server.open(sent[0])


@EVERY_SUITE
@given(datagram=st.binary(max_size=200), epoch_one=st.booleans())
def test_any_bytes_are_refused_and_counted(suite: Suite, datagram: bytes, epoch_one: bool) -> None:
    if epoch_one:
        datagram = b"\x15\xfe\xfd\x00\x01" + bytes(6) + len(datagram).to_bytes(2, "big") + datagram
    _, server = _pair(suite)
    assert server.open(datagram) == []
    assert bool(server.refused) == (len(datagram) >= 13)


@pytest.mark.parametrize(
    ("alert", "ends"),
    [(CLOSE_NOTIFY, True), (b"\x02\x28", True), (b"\x01\x5a", False), (b"", False), (b"\x01", False)],
)
def test_which_alerts_end_a_connection(alert: bytes, ends: bool) -> None:
    assert ends_connection(alert) is ends
