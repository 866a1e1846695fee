from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.transport.addresses import AddressTable, pack_sockaddr, socket_address, unpack_sockaddr

ports = st.integers(0, 0xFFFF)
V4, V6 = socket.AF_INET, socket.AF_INET6


@given(st.ip_addresses(v=4), ports, st.sampled_from([V4, V6]))
def test_an_ipv4_address_survives_either_family(
    address: ipaddress.IPv4Address, port: int, family: int
) -> None:
    raw = pack_sockaddr(str(address), port, family=family)
    assert len(raw) == (16 if family == V4 else 28)
    assert unpack_sockaddr(raw) == (str(address), port)


@given(st.ip_addresses(v=6), ports)
def test_an_ipv6_address_survives(address: ipaddress.IPv6Address, port: int) -> None:
    host, unpacked_port = unpack_sockaddr(pack_sockaddr(str(address), port, family=V6))
    assert ipaddress.ip_address(host) == (address.ipv4_mapped or address)
    assert unpacked_port == port


@given(st.integers(1, 2**32 - 1), ports)
def test_the_scope_of_a_link_local_address_survives(scope: int, port: int) -> None:
    assert unpack_sockaddr(pack_sockaddr(f"fe80::1%{scope}", port, family=V6)) == (f"fe80::1%{scope}", port)


def test_a_mapped_address_is_taken_by_both_families() -> None:
    assert unpack_sockaddr(pack_sockaddr("::ffff:192.0.2.1", 5, family=V4)) == ("192.0.2.1", 5)
    assert pack_sockaddr("::ffff:192.0.2.1", 5, family=V6) == pack_sockaddr("192.0.2.1", 5, family=V6)


def test_python_gets_the_tuple_its_socket_calls_take() -> None:
    assert socket_address(pack_sockaddr("192.0.2.1", 5, family=V4)) == ("192.0.2.1", 5)
    assert socket_address(pack_sockaddr("192.0.2.1", 5, family=V6)) == ("::ffff:192.0.2.1", 5, 0, 0)
    assert socket_address(pack_sockaddr("fe80::1%7", 5, family=V6)) == ("fe80::1", 5, 0, 7)


@pytest.mark.parametrize(
    ("host", "port", "family"),
    [
        ("example.org", 1, V4),
        ("", 1, V6),
        ("192.0.2.256", 1, V4),
        ("192.0.2.1%1", 1, V6),
        ("fe80::1%eth0", 1, V6),
        ("fe80::1%4294967296", 1, V6),
        ("fe80::1%-1", 1, V6),
        ("2001:db8::1", 1, V4),
        ("192.0.2.1\0", 1, V4),
        ("192.0.2.\N{ARABIC-INDIC DIGIT ONE}", 1, V4),
        ("::1", -1, V6),
        ("::1", 65536, V6),
    ],
)
def test_what_is_no_address_is_refused(host: str, port: int, family: int) -> None:
    with pytest.raises(ValueError):
        pack_sockaddr(host, port, family=family)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_sockaddr_are_refused_not_crashing(raw: bytes) -> None:
    try:
        host, port = unpack_sockaddr(raw)
    except ValueError:
        return
    ipaddress.ip_address(host)
    assert 0 <= port <= 0xFFFF


def address(i: int) -> bytes:
    return pack_sockaddr("192.0.2.1", i, family=V4)


def test_indexes_stay_good_while_the_table_grows() -> None:
    table = AddressTable(capacity=2)
    indexes = [table.add(address(i)) for i in range(100)]
    assert len(set(indexes)) == len(table) == 100
    assert [table.get(index) for index in indexes] == [address(i) for i in range(100)]
    assert len(table.pointers) >= 100


def test_a_removed_index_is_given_out_again_and_no_other() -> None:
    table = AddressTable()
    first, second = table.add(address(1)), table.add(address(2))
    table.remove(first)
    assert len(table) == 1
    third = table.add(pack_sockaddr("::1", 3, family=V6))
    assert third == first
    assert table.get(second) == address(2)
    assert unpack_sockaddr(table.get(third)) == ("::1", 3)


def test_a_replaced_address_leaves_nothing_of_the_old_one() -> None:
    table = AddressTable()
    index = table.add(pack_sockaddr("2001:db8::ffff", 9, family=V6))
    table.replace(index, address(4))
    assert table.get(index) == address(4)


@pytest.mark.parametrize("index", [-1, 0, 1, 63, 64])
def test_an_index_that_is_not_in_use_is_refused(index: int) -> None:
    table = AddressTable()
    table.remove(table.add(address(1)))
    for refused in (
        lambda: table.get(index),
        lambda: table.remove(index),
        lambda: table.replace(index, address(2)),
    ):
        with pytest.raises(LookupError):
            refused()


@pytest.mark.parametrize("raw", [b"", bytes(15), bytes(33), address(1) + b"x"])
def test_the_table_takes_socket_addresses_only(raw: bytes) -> None:
    table = AddressTable()
    with pytest.raises(ValueError):
        table.add(raw)
    index = table.add(address(1))
    with pytest.raises(ValueError):
        table.replace(index, raw)
    assert table.get(index) == address(1)
    assert len(table) == 1
