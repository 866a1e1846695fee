from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiortc.rtcdtlstransport import (
    SRTP_AES128_CM_SHA1_80,
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsFingerprint,
    SRTPProtectionProfile,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from stock_peer import DEADLINE, Stock

from rtc.transport import aiortc_private
from rtc.transport.aiortc_private import DTLS_MTU, LAST_FLIGHT_RESENDS, Profiles, Role
from rtc.transport.dtls import QUEUE_DATAGRAMS, SecureTransport
from rtc.transport.records import CHANGE_CIPHER_SPEC, SUITES

RTP = b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07payload"


@dataclass
class End:
    """One transport, with what it sent and the states it went through."""

    transport: SecureTransport
    certificate: RTCCertificate
    sent: list[bytes] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reach(self, *states: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while not self.states or self.states[-1] not in states:
                self.changed.clear()
                await self.changed.wait()


Lose = Callable[[bytes], bool]


class Network:
    """Two ends on one loop; `lose` decides which datagrams vanish, the others arrive on the next turn."""

    def __init__(
        self,
        *,
        lose: Lose = lambda _: False,
        client_profiles: Profiles = "all",
        server_profiles: Profiles = "all",
        server_certificate: RTCCertificate | None = None,
    ) -> None:
        self.lose = lose
        self.client = self._end("client", client_profiles, None)
        self.server = self._end("server", server_profiles, server_certificate)

    def _end(self, role: Role, profiles: Profiles, certificate: RTCCertificate | None) -> End:
        certificate = certificate or RTCCertificate.generateCertificate()
        end: End

        def send(datagram: bytes) -> None:
            end.sent.append(datagram)
            other = self.server if end is self.client else self.client
            if not self.lose(datagram):
                asyncio.get_running_loop().call_soon(other.transport.feed, datagram)

        def on_state(state: str) -> None:
            end.states.append(state)
            end.changed.set()

        transport = SecureTransport(certificate, send, on_state, role=role, profiles=profiles)
        end = End(transport, certificate)
        return end

    def start(self) -> None:
        self.client.transport.start(self.server.certificate.getFingerprints())
        self.server.transport.start(self.client.certificate.getFingerprints())

    async def connect(self) -> None:
        self.start()
        await self.client.reach("connected", "failed", "closed")
        await self.server.reach("connected", "failed", "closed")
        assert (self.client.transport.state, self.server.transport.state) == ("connected", "connected")

    async def stop(self) -> None:
        await self.client.transport.stop()
        await self.server.transport.stop()

    def check_media(self) -> None:
        for one, other in ((self.client, self.server), (self.server, self.client)):
            protected = one.transport.tx_session.protect(RTP)
            assert protected != RTP
            assert other.transport.rx_session.unprotect(protected) == RTP


Build = Callable[..., Network]


@pytest.fixture
async def network() -> AsyncIterator[Build]:
    built: list[Network] = []
    before = asyncio.all_tasks()

    def build(**options: object) -> Network:
        built.append(Network(**options))  # type: ignore[arg-type]  # passes them on
        return built[-1]

    yield build
    for each in built:
        await each.stop()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks outlive stop(): {left}"


async def test_two_ends_connect_and_understand_each_others_media(network: Build) -> None:
    pair = network()
    await pair.connect()
    pair.check_media()
    assert pair.client.states == pair.server.states == ["connecting", "connected"]


@pytest.mark.parametrize("loss", [0.15, 0.3])
async def test_the_handshake_completes_under_loss(network: Build, loss: float) -> None:
    pairs = []
    for seed in range(8):
        chance = random.Random(seed)
        pairs.append(network(lose=lambda _, chance=chance: chance.random() < loss))
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(pair.connect() for pair in pairs))
    for pair in pairs:
        pair.check_media()


@pytest.mark.parametrize("lost", range(4))
async def test_a_lost_flight_is_sent_again_before_openssl_would(network: Build, lost: int) -> None:
    count = -1

    def lose(_: bytes) -> bool:
        nonlocal count
        count += 1
        return count == lost

    pair = network(lose=lose)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await pair.connect()
    assert loop.time() - begun < 0.9  # OpenSSL's timer is 1 s; ours 0.1 s
    assert len(pair.client.sent) + len(pair.server.sent) > 4


async def test_a_client_hello_that_arrives_before_start_is_kept(network: Build) -> None:
    pair = network()
    pair.client.transport.start(pair.server.certificate.getFingerprints())
    await pair.client.reach("connecting")
    for _ in range(3):  # the ClientHello is sent, and has arrived
        await asyncio.sleep(0)
    assert len(pair.client.sent) == 1
    pair.server.transport.start(pair.client.certificate.getFingerprints())
    await pair.server.reach("connected")
    assert len(pair.client.sent) == 2  # the ClientHello was not sent again


@pytest.mark.parametrize(
    ("client", "server", "profile"),
    [
        ("all", "all", "SRTP_AEAD_AES_128_GCM"),
        ("gcm", "all", "SRTP_AEAD_AES_128_GCM"),
        ("all", "gcm", "SRTP_AEAD_AES_128_GCM"),
    ],
)
async def test_gcm_is_chosen_whenever_both_have_it(
    network: Build, client: Profiles, server: Profiles, profile: str
) -> None:
    pair = network(client_profiles=client, server_profiles=server)
    await pair.connect()
    assert (pair.client.transport.profile, pair.server.transport.profile) == (profile, profile)


CM_ONLY = [SRTP_AES128_CM_SHA1_80]


@pytest.mark.parametrize(
    ("role", "ours", "theirs", "profile"),
    [
        ("client", "gcm", SRTP_PROFILES, "SRTP_AEAD_AES_256_GCM"),  # the server chooses
        ("client", "all", SRTP_PROFILES, "SRTP_AEAD_AES_256_GCM"),
        ("client", "all", CM_ONLY, "SRTP_AES128_CM_SHA1_80"),
        ("server", "all", SRTP_PROFILES, "SRTP_AEAD_AES_128_GCM"),
        ("server", "all", SRTP_PROFILES[::-1], "SRTP_AEAD_AES_128_GCM"),
        ("server", "all", CM_ONLY, "SRTP_AES128_CM_SHA1_80"),
    ],
)
async def test_the_profile_agreed_with_a_stock_peer(
    stock: Callable[..., Stock], role: Role, ours: Profiles, theirs: list[SRTPProtectionProfile], profile: str
) -> None:
    peer = stock(role=role, profiles=ours, their_profiles=theirs)
    await peer.connect()
    assert peer.ours.profile == profile


@pytest.mark.parametrize("role", ["client", "server"])
async def test_a_peer_without_gcm_fails_when_we_offer_nothing_else(
    stock: Callable[..., Stock], role: Role
) -> None:
    peer = stock(role=role, profiles="gcm", their_profiles=CM_ONLY)
    peer.start()
    async with asyncio.timeout(DEADLINE):
        while peer.ours.state != "failed":
            await peer.states.get()


class OneCipher(RTCCertificate):
    """A certificate whose connections take one cipher suite alone."""

    cipher = ""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(self.cipher.encode())
        return context


@pytest.mark.parametrize("cipher", [*SUITES, "ECDHE-ECDSA-AES128-SHA"])  # the last is left to OpenSSL
@pytest.mark.parametrize("role", ["client", "server"])
async def test_data_and_goodbyes_pass_between_a_stock_peer_and_us(
    stock: Callable[..., Stock], role: Role, cipher: str
) -> None:
    for we_leave in (True, False):
        certificate = OneCipher.generateCertificate()
        certificate.cipher = cipher
        peer = stock(role=role, their_certificate=certificate)
        await peer.connect()
        assert await peer.echo("x" * 4000) == "x" * 4000
        changed = asyncio.Event()
        peer.dtls.on("statechange", changed.set)
        async with asyncio.timeout(DEADLINE):
            if we_leave:
                await peer.ours.stop()
                while peer.dtls.state != "closed":
                    await changed.wait()
                    changed.clear()
            else:
                await peer.dtls.stop()
                while peer.ours.state != "closed":
                    await peer.states.get()


async def test_a_goodbye_that_anybody_could_have_sent_ends_nothing(network: Build) -> None:
    pair = network()
    await pair.connect()
    pair.server.transport.feed(bytes.fromhex("15fefd0000000000000009") + b"\x00\x02\x01\x00")
    pair.server.transport.feed(bytes.fromhex("15fefd0001000000000009") + b"\x00\x1a" + bytes(26))
    for _ in range(3):
        await asyncio.sleep(0)
    assert pair.server.transport.malformed == 2
    assert pair.server.transport.state == "connected"


async def test_the_last_flight_is_sent_again_to_who_begs_for_it(network: Build) -> None:
    finished: list[bytes] = []
    by_itself = 1 + LAST_FLIGHT_RESENDS

    def lose(datagram: bytes) -> bool:
        if datagram[0] != CHANGE_CIPHER_SPEC:  # the server's last flight begins with it, no other datagram
            return False
        finished.append(datagram)
        return len(finished) <= by_itself + 1

    pair = network(lose=lose)
    pair.start()
    await pair.client.reach("connected")
    assert len(finished) == by_itself + 2  # begged for by a repeated datagram, and by a new one of the same flight
    pair.check_media()


async def test_the_wrong_certificate_fails_the_transport(network: Build) -> None:
    pair = network()
    stranger = RTCCertificate.generateCertificate()
    pair.client.transport.start(stranger.getFingerprints())
    pair.server.transport.start(pair.client.certificate.getFingerprints())
    await pair.client.reach("failed")
    assert pair.client.transport.tx_session is None
    await pair.server.reach("closed")  # it is told, and need not wait for silence


@pytest.mark.parametrize("fingerprints", [[RTCDtlsFingerprint("sha-1", "00")], [RTCDtlsFingerprint("x", "")]])
async def test_a_fingerprint_that_we_cannot_check_fails_the_transport(
    network: Build, fingerprints: list[RTCDtlsFingerprint]
) -> None:
    pair = network()
    pair.client.transport.start(fingerprints)
    pair.server.transport.start(pair.client.certificate.getFingerprints())
    await pair.client.reach("failed")


async def test_no_fingerprint_is_refused(network: Build) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        network().client.transport.start([])


async def test_a_peer_that_never_answers_fails_at_the_deadline(
    network: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiortc_private, "HANDSHAKE_SECONDS", 0.2)
    pair = network(lose=lambda _: True)
    pair.start()
    await pair.client.reach("failed")
    await pair.server.reach("failed")


async def test_stop_tells_the_other_end(network: Build) -> None:
    pair = network()
    await pair.connect()
    await pair.client.transport.stop()
    assert pair.client.states[-1] == "closed"
    await pair.server.reach("closed")


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_stop_ends_the_transport_at_any_time(network: Build, turns: int) -> None:
    pair = network()
    pair.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    await pair.stop()
    await pair.stop()
    assert (pair.client.transport.state, pair.server.transport.state) == ("closed", "closed")
    sent = len(pair.client.sent), len(pair.server.sent)
    pair.client.transport.feed(b"\x16" * 20)
    await asyncio.sleep(0.15)  # longer than RESEND_SECONDS: nothing may be sent any more
    assert (len(pair.client.sent), len(pair.server.sent)) == sent


async def test_stop_before_start(network: Build) -> None:
    pair = network()
    await pair.client.transport.stop()
    assert pair.client.states == ["closed"]


HOSTILE = {
    "empty": b"",
    "srtp longer than 1500 bytes": b"\x80" + bytes(1999),
    "rtp with an extension of the wrong length": bytes.fromhex(
        "9060000100000000000000070bede0001000000012ff0000"
    ),
    "remb that lies about its ssrcs": bytes.fromhex(
        "8fce000400000001000000005245 4d42ff03ffff".replace(" ", "")
    ),
    "one byte": b"\x16",
    "a record header alone": bytes.fromhex("16fefd0000000000000000ffff"),
    "a record longer than it says": b"\x17\xfe\xfd" + bytes(8) + b"\x00\x01" + bytes(1500),
    "zeros as application data": b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x20" + bytes(32),
    "an alert in the clear of a later epoch": bytes.fromhex("15fefd000100000000000900020228"),
    "a client hello of garbage": b"\x16\xfe\xff" + bytes(8) + b"\x00\x40\x01" + b"\xee" * 63,
    "dtls 1.3": b"\x2f" + bytes(40),
    "the last byte that is dtls": b"\x3f" * 65000,
}


# DTLS 1.2 authenticates nothing before Finished: only the check of the source address helps there.
BREAKS_A_HANDSHAKE = {HOSTILE["a record longer than it says"], HOSTILE["a client hello of garbage"]}


@pytest.mark.parametrize("datagram", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_datagram_leaves_the_transport_alive(
    stock: Callable[..., Stock], datagram: bytes
) -> None:
    peer = stock(role="server")
    if datagram not in BREAKS_A_HANDSHAKE:
        peer.ours.feed(datagram)
    await peer.connect()
    for _ in range(3):
        peer.ours.feed(datagram)
    assert await peer.echo("still here") == "still here"
    assert peer.ours.state == "connected"


async def test_a_flood_of_datagrams_is_bounded_and_counted(network: Build) -> None:
    pair = network()
    for _ in range(QUEUE_DATAGRAMS + 5):
        pair.server.transport.feed(b"\x16" + bytes(60))
    assert pair.server.transport.malformed == 5
    await pair.connect()


async def test_a_long_flight_crosses_in_datagrams_that_fit(network: Build) -> None:
    pair = network(server_certificate=_long_certificate())
    await pair.connect()
    assert sum(map(len, pair.server.sent)) > 4000
    assert max(map(len, pair.client.sent + pair.server.sent)) <= DTLS_MTU


def _long_certificate() -> RTCCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = RTCCertificate.generateCertificate()
    names = x509.SubjectAlternativeName([x509.DNSName(f"{'long' * 12}-{i}.example") for i in range(60)])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "long")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(plain.expires.replace(year=2020))
        .not_valid_after(plain.expires)
        .add_extension(names, critical=False)
    )
    return RTCCertificate(key, builder.sign(key, hashes.SHA256()))
