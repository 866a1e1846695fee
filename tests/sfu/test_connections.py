"""Paths that move, break and come back; offers that change; what forgers and liars can do to others."""

from __future__ import annotations

import asyncio
import struct
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.network import SERVER, Network, network, simulate
from rtc.repair.redundancy import HEADER_BYTES
from rtc.sfu.link import MAX_ADDRESSES, QUIET_SECONDS
from rtc.sfu.port import EARLY_ADDRESSES, EARLY_DATAGRAMS, REBIND_TRIES_PER_SECOND
from rtc.sfu.slot import RESEND_BITRATE, RESEND_BURST_BYTES
from rtc.transport.ice import SILENCE_SECONDS
from rtc.wire import rtcp
from rtc.wire.sdp import SdpError


async def pair(net: Network) -> tuple[Client, Client]:
    """Somebody who speaks and films, and somebody who watches."""
    sender = await net.join("sender", publish=("audio", "video"), audio_slots=1)
    viewer = await net.join("viewer", publish=(), audio_slots=1, video_slots=1)
    return sender, viewer


async def stranger(data: bytes, times: int, port: int = 5) -> None:
    """Datagrams from an address that nobody knows."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("10.9.9.9", port))
    for _ in range(times):
        transport.sendto(data, SERVER)
    await asyncio.sleep(0.1)
    transport.close()


def gap(client: Client, mid: str) -> float:
    """Longest silence on a slot, in seconds."""
    return max(later.time - earlier.time for earlier, later in pairwise(client.heard[mid]))


def test_a_publisher_whose_nat_rebinds_is_heard_again_within_a_second() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            sender.stop_checks()  # media alone must do
            talking = asyncio.create_task(sender.speak(5))
            await asyncio.sleep(2)
            await sender.move()
            await talking
            assert gap(viewer, "0") < 1.1
            assert sender.peer.state == "connected"

    simulate(scenario)


def test_a_listener_whose_nat_rebinds_hears_again_with_its_next_check() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(6))
            await asyncio.sleep(2)
            await viewer.move()
            await talking
            assert gap(viewer, "0") < 1.1

    simulate(scenario)


def test_a_peer_that_moves_for_ever_costs_bounded_memory() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, _ = await pair(net)
            sender.stop_checks()
            for _ in range(3 * MAX_ADDRESSES):
                await sender.move()
                await sender.speak(1.3)
            port = net.node._port
            known = [address for address, peer in port._by_address.items() if peer is sender.peer]
            assert 1 < len(known) <= MAX_ADDRESSES
            assert sender.peer.state == "connected"

    simulate(scenario)


def test_who_falls_silent_is_disconnected_then_failed_and_is_sent_nothing() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(40))
            await asyncio.sleep(1)
            net.shape(up=1.0, clients=[viewer])
            silent = viewer.now
            await asyncio.sleep(QUIET_SECONDS + 1)
            assert viewer.peer.state == "disconnected"
            await asyncio.sleep(SILENCE_SECONDS - QUIET_SECONDS)
            assert viewer.states == ["connecting", "connected", "disconnected", "failed"]
            assert max(p.time for p in viewer.heard["0"]) < silent + SILENCE_SECONDS + 1.2, "no consent, no media"
            net.shape(clients=[viewer])
            await asyncio.sleep(2)
            assert viewer.peer.state == "connected", "mere silence ends nothing"
            await talking
            assert viewer.heard["0"][-1].number == len(sender.tracks[0].sent) - 1
            sequences = [p.sequence for p in viewer.heard["0"]]
            assert sequences == sorted(set(sequences))

    simulate(scenario)


def test_who_never_comes_fails() -> None:
    async def scenario() -> None:
        async with network() as net:
            client = Client(net, "late")
            net.shape(up=1.0)
            await client.join(connect=False)
            await asyncio.sleep(31)
            assert client.states == ["connecting", "failed"]

    simulate(scenario)


@pytest.mark.parametrize("outage", [0.0, 20.0])
def test_an_ice_restart_keeps_everything_even_after_a_failure(outage: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(outage + 8))
            await asyncio.sleep(2)
            before = (viewer._ssrcs.copy(), viewer.value("fingerprint"))
            net.shape(up=1.0 if outage else 0.0, down=1.0 if outage else 0.0, clients=[viewer])
            await asyncio.sleep(outage)
            net.shape(clients=[viewer])
            viewer.ufrag, viewer.pwd = "newufrag", "p" * 24
            old = viewer.value("ice-ufrag")
            viewer.negotiate()
            assert viewer.value("ice-ufrag") != old
            await talking
            assert (viewer._ssrcs, viewer.value("fingerprint")) == before
            assert viewer.peer.state == "connected"
            assert viewer.heard["0"][-1].number == len(sender.tracks[0].sent) - 1
            sequences = [p.sequence for p in viewer.heard["0"]]
            assert sequences == sorted(set(sequences))

    simulate(scenario)


def test_ice_restarts_without_end_leave_nothing_behind() -> None:
    async def scenario() -> None:
        async with network() as net:
            _, viewer = await pair(net)
            for number in range(50):
                viewer.ufrag = f"ufrag{number}"
                viewer.negotiate()
            ufrags = [u for u, peer in net.node._port._by_ufrag.items() if peer is viewer.peer]
            assert len(ufrags) <= 2
            await asyncio.sleep(3)
            assert viewer.peer.state == "connected"

    simulate(scenario)


def test_everything_of_a_peer_that_left_is_gone() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            await asyncio.gather(sender.speak(1), sender.film(1, track=1))
            sources = sender.peer.sources
            for client in (viewer, sender):
                client.negotiate()
                await client.leave()
            net.clients.clear()
            port = net.node._port
            assert not port._by_address and not port._by_ufrag and not port._by_ssrc
            assert not len(port.addresses) and not net.room.peers and not net.room.publications
            assert all(not len(source.fanout) for source in sources)
            await asyncio.sleep(0.1)
            assert not port.repairs
            assert net.node.statistics().media.packets_out["audio"] == 50

    simulate(scenario)


def test_a_peer_that_claims_anothers_address_cannot_keep_it() -> None:
    """Its checks bear a forged source: the victim's next check takes the address back."""

    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            thief = await net.join("thief")
            thief.stop_checks()
            talking = asyncio.create_task(sender.speak(6))
            await asyncio.sleep(2)
            port = net.node._port
            (address,) = [a for a, peer in port._by_address.items() if peer is sender.peer]
            port.register_address(address, thief.peer)  # as its forged check does
            await talking
            assert gap(viewer, "0") < 1.2
            assert sender.peer.state == "connected"

    simulate(scenario)


def test_forged_packets_from_nowhere_are_tried_so_often_and_counted() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(2))
            forged = struct.pack("!BBHII", 0x80, 111, 1, 1, sender.tracks[0].ssrc) + bytes(60)
            await stranger(forged, 3 * REBIND_TRIES_PER_SECOND)
            await talking
            drops = net.node.statistics().drops
            assert drops["srtp-refused"] == REBIND_TRIES_PER_SECOND
            assert drops["srtp-unknown-address"] == 2 * REBIND_TRIES_PER_SECOND
            assert len(viewer.heard["0"]) == 100
            assert len(net.node._port.addresses) == 2

    simulate(scenario)


def test_dtls_from_nowhere_is_kept_for_a_while_and_no_more_than_so_much_of_it() -> None:
    async def scenario() -> None:
        async with network() as net:
            for port in range(EARLY_ADDRESSES + 10):
                await stranger(b"\x16\xfe\xfd" + bytes(30), EARLY_DATAGRAMS + 1, port=1000 + port)
            kept = net.node._port._early
            assert len(kept) == EARLY_ADDRESSES
            assert all(len(held) == EARLY_DATAGRAMS for held in kept.values())
            assert net.node.statistics().drops["dtls-unknown-address"] == EARLY_ADDRESSES + 10 + 10 * EARLY_DATAGRAMS

    simulate(scenario)


def test_a_handshake_that_overtakes_its_check_is_not_lost() -> None:
    class Peer:
        def __init__(self) -> None:
            self.taken: list[bytes] = []

        def receive_dtls(self, datagram: bytes) -> None:
            self.taken.append(datagram)

    async def scenario() -> None:
        async with network() as net:
            await stranger(b"\x16\xfe\xfdhello", 1, port=7)
            port = net.node._port
            (source,) = port._early
            peer = Peer()
            port.register_address(source, peer)  # type: ignore[arg-type]
            assert peer.taken == [b"\x16\xfe\xfdhello"]
            assert not port._early

    simulate(scenario)


def test_media_that_comes_before_the_keys_waits_for_them() -> None:
    """A publisher may be done with the handshake a moment before the server is, and begins with a key frame."""

    async def scenario() -> None:
        async with network() as net:
            listener = await net.join("listener", publish=())
            speaker = Client(net, "speaker")
            joining = asyncio.create_task(speaker.join())
            await speaker.connected.wait()  # the client has its keys; the server's come with its last flight
            await speaker.speak(0.5)
            await joining
            assert len(listener.heard["0"]) == 25
            assert net.node.statistics().drops["srtp-refused"] == 0

    simulate(scenario)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\x00\x01\x00\x00" + bytes(16), "stun-unknown"),
        (b"\x80" + bytes(30), "srtp-unknown-address"),
        (b"\x80", "srtp-unknown-address"),
        (b"\x80\xc9\x00", "srtp-unknown-address"),
        (b"\x46whatever", "unknown-protocol"),
        (b"\xff", "unknown-protocol"),
    ],
)
def test_what_strangers_send_is_counted(datagram: bytes, reason: str) -> None:
    async def scenario() -> None:
        async with network() as net:
            await stranger(datagram, 3)
            assert net.node.statistics().drops == {reason: 3} | {
                name: 0 for name in net.node.statistics().drops if name != reason
            }

    simulate(scenario)


def test_a_storm_of_nacks_is_answered_within_the_budget() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            await asyncio.gather(sender.speak(10), sender.film(10, track=1))
            ssrc = next(s for s, mid in viewer._ssrcs.items() if mid == "1")
            last = viewer.heard["1"][-1].sequence
            lost = tuple((last - back) & 0xFFFF for back in range(500))
            for _ in range(200):
                viewer.send_rtcp([rtcp.ReceiverReport(1), rtcp.GenericNack(1, ssrc, lost)])
                await asyncio.sleep(0.01)
            size = HEADER_BYTES + len(viewer.heard["1"][-1].payload)
            burst, second = RESEND_BURST_BYTES["video"] / size, RESEND_BITRATE["video"] / 8 / size
            assert burst - 1 <= viewer.peer.counts().feedback.resent <= burst + 2.1 * second

    simulate(scenario)


def test_a_storm_of_plis_costs_the_camera_a_key_frame_a_second() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            filming = asyncio.create_task(sender.film(6, track=1))
            await asyncio.sleep(1)
            ssrc = next(s for s, mid in viewer._ssrcs.items() if mid == "1")
            for number in range(400):
                viewer.send_rtcp(
                    [rtcp.ReceiverReport(1), rtcp.PictureLossIndication(1, ssrc)]
                    if number % 2 else [rtcp.ReceiverReport(1), rtcp.FullIntraRequest(1, ((ssrc, number % 256),))]
                )
                await asyncio.sleep(0.01)
            await filming
            assert 4 <= len(sender.tracks[1].keyframes) <= 7

    simulate(scenario)


def test_lies_in_reports_hurt_only_the_liar() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            liar = await net.join("liar", audio_slots=1, video_slots=1)
            talking = asyncio.create_task(sender.speak(4))
            for number in range(300):
                ssrcs = [*liar._ssrcs, *viewer._ssrcs, *sender._ssrcs, 0, 0xFFFFFFFF]
                blocks = tuple(
                    rtcp.ReportBlock(ssrc, 255, -(1 << 23), 0xFFFFFFFF, 0xFFFFFFFF, number + 1, 0xFFFFFFFF)
                    for ssrc in ssrcs
                )
                liar.send_rtcp([rtcp.SenderReport(liar.tracks[0].ssrc, (number % 256 << 56) | 1, 0, 0, 0, blocks)])
                for ssrc in viewer._ssrcs:
                    liar.send_rtcp([rtcp.ReceiverReport(1), rtcp.GenericNack(1, ssrc, (1, 2, 3))])
                garbage = bytes([0x80 + number % 64, 200 + number % 8, 0, number % 5]) + bytes(8 + number % 40)
                liar.send_rtcp_bytes(garbage)
                await asyncio.sleep(0.01)
            await talking
            assert [p.number for p in viewer.heard["0"]] == list(range(200))
            assert viewer.peer.loss == 0 and viewer.peer.state == "connected"
            assert viewer.peer.rtt == pytest.approx(net.rtt, abs=0.01)

    simulate(scenario)


def test_a_publisher_that_misses_everything_is_asked_in_datagrams_that_fit() -> None:
    """Numbers far apart take 4 bytes each: a request for 512 of them would not have gone out at all."""

    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            track = sender.tracks[1]
            sender.publish_packet(track, b"\x10\x00")
            await asyncio.sleep(0.1)
            for _ in range(450):
                track.sequence += 1
                for _ in range(17):
                    sender.publish_packet(track, b"\x00\x00")
            await sender.speak(1)
            assert len(viewer.heard["0"]) == 50, "nobody else is held up"
            assert net.node.statistics().drops["too-long"] == 0

    simulate(scenario)


def test_renegotiation_adds_and_takes_slots_without_touching_the_others() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(4))
            filming = asyncio.create_task(sender.film(4, track=1))
            await asyncio.sleep(1)
            viewer.slot_kinds["2"] = "audio"
            viewer.negotiate()
            await asyncio.sleep(1)
            del viewer.slot_kinds["1"]
            viewer.slot_kinds["1"] = "video"
            viewer.negotiate()
            await talking
            await filming
            await asyncio.sleep(0.1)
            assert [p.number for p in viewer.heard["0"]] == list(range(200))
            assert [p.number for p in viewer.heard["1"]] == list(range(300))

    simulate(scenario)


def test_an_mline_that_changes_its_kind_leaves_no_slot_behind() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(2))
            await asyncio.sleep(0.5)
            audio = sender.peer.sources[0]
            for kind in ("video", "audio") * 3:
                viewer.slot_kinds["0"] = kind
                viewer.negotiate()
                await asyncio.sleep(0.1)
            assert len(audio.fanout) == 1
            await talking
            for track, kind in ((sender.tracks[0], "video"), (sender.tracks[1], "audio")):
                track.kind = kind
            sender.negotiate()
            assert [source.kind for source in sender.peer.sources] == ["video", "audio"]
            assert not net.room.publications

    simulate(scenario)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda offer: "",
        lambda offer: "v=0\r\n",
        lambda offer: offer.replace("a=fingerprint:sha-256", "a=fingerprint:md5"),
        lambda offer: offer.replace("opus/48000/2", "PCMU/8000"),
        lambda offer: offer.replace("a=mid:1", "a=mid:0"),
        lambda offer: offer.replace("a=rtcp-mux", "a=nothing"),
        lambda offer: offer[: len(offer) // 3],
        lambda offer: offer * 70,
    ],
)
def test_a_bad_offer_changes_nothing(spoil: object) -> None:
    assert callable(spoil)

    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            talking = asyncio.create_task(sender.speak(2))
            await asyncio.sleep(0.5)
            for client in (sender, viewer):
                with pytest.raises(SdpError):
                    client.peer.answer(spoil(client.offer()))
            await talking
            assert [p.number for p in viewer.heard["0"]] == list(range(100))
            assert viewer.peer.state == sender.peer.state == "connected"

    simulate(scenario)


def test_a_new_peer_connection_takes_the_place_of_the_old() -> None:
    """The same participant comes with another certificate: new keys, new slots, the same publications."""

    async def scenario() -> None:
        async with network() as net:
            sender, viewer = await pair(net)
            await sender.speak(1)
            again = Client(net, "again", publish=("audio", "video"), audio_slots=1, fresh_certificate=True)
            again.peer = sender.peer
            await again.connect()
            assert sender.peer.state == "connected"
            assert set(again._ssrcs).isdisjoint(sender._ssrcs)
            await again.speak(1)
            await asyncio.sleep(0.1)
            heard = viewer.heard["0"]
            assert {p.track for p in heard} == {sender.tracks[0].number, again.tracks[0].number}
            assert [p.sequence for p in heard] == list(range(heard[0].sequence, heard[0].sequence + len(heard)))
            assert len(net.node._port.addresses) == 2, "the old path is given back"

    simulate(scenario)


def test_a_client_without_gcm_fails_once_and_connects_the_second_time() -> None:
    async def scenario() -> None:
        async with network() as net:
            old = Client(net, "old", cipher="SRTP_AES128_CM_SHA1_80")
            await old.join(connect=False)
            await asyncio.sleep(1)
            assert old.states == ["connecting", "failed"]
            again = Client(net, "again", cipher="SRTP_AES128_CM_SHA1_80", fresh_certificate=True)
            again.peer = old.peer
            await again.connect()
            assert old.peer.state == "connected"

    simulate(scenario)
