"""aiortc as an independent reader and writer of the same formats."""

from __future__ import annotations

from fractions import Fraction

import aiortc.rtp as reference
import pytest
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire import extensions
from rtc.wire.payload import is_keyframe_start
from rtc.wire.rtcp import (
    Bye,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimate,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize,
)
from rtc.wire.rtp import RtpPacket

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
blocks = st.lists(
    st.builds(ReportBlock, u32, u8, st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32), max_size=3
).map(tuple)


def block_fields(block: reference.RtcpReceiverInfo) -> ReportBlock:
    return ReportBlock(
        block.ssrc,
        block.fraction_lost,
        block.packets_lost,
        block.highest_sequence,
        block.jitter,
        block.lsr,
        block.dlsr,
    )


@given(st.builds(SenderReport, u32, u64, u32, u32, u32, blocks), st.builds(ReceiverReport, u32, blocks))
def test_reports_read_the_same(sender: SenderReport, receiver: ReceiverReport) -> None:
    sr, rr = reference.RtcpPacket.parse(serialize([sender, receiver]))
    assert isinstance(sr, reference.RtcpSrPacket)
    assert isinstance(rr, reference.RtcpRrPacket)
    info = sr.sender_info
    assert (
        SenderReport(
            sr.ssrc,
            info.ntp_timestamp,
            info.rtp_timestamp,
            info.packet_count,
            info.octet_count,
            tuple(map(block_fields, sr.reports)),
        )
        == sender
    )
    assert ReceiverReport(rr.ssrc, tuple(map(block_fields, rr.reports))) == receiver
    assert parse_compound(bytes(sr) + bytes(rr)) == [sender, receiver]


@given(u32, st.text("abcdefgh-{}", min_size=1, max_size=40), st.lists(u32, min_size=1, max_size=5))
def test_descriptions_and_byes_read_the_same(ssrc: int, cname: str, leaving: list[int]) -> None:
    # one chunk: aiortc neither reads nor writes the alignment of a second one
    ours: list[RtcpPacket] = [SourceDescription(((ssrc, cname),)), Bye(tuple(leaving))]
    sdes, bye = reference.RtcpPacket.parse(serialize(ours))
    assert isinstance(sdes, reference.RtcpSdesPacket)
    assert isinstance(bye, reference.RtcpByePacket)
    assert [(chunk.ssrc, chunk.items) for chunk in sdes.chunks] == [(ssrc, [(1, cname.encode())])]
    assert bye.sources == leaving
    assert parse_compound(bytes(sdes) + bytes(bye)) == ours


@given(u32, u32, st.sets(st.integers(100, 30000), min_size=1, max_size=30).map(sorted))
def test_nacks_and_picture_losses_read_the_same(sender: int, media: int, lost: list[int]) -> None:
    # no wrap: aiortc neither reads nor writes one
    ours: list[RtcpPacket] = [GenericNack(sender, media, tuple(lost)), PictureLossIndication(sender, media)]
    nack, pli = reference.RtcpPacket.parse(serialize(ours))
    assert isinstance(nack, reference.RtcpRtpfbPacket)
    assert isinstance(pli, reference.RtcpPsfbPacket)
    assert (nack.fmt, nack.ssrc, nack.media_ssrc, set(nack.lost)) == (1, sender, media, set(lost))
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, sender, media)
    again, picture = parse_compound(bytes(nack) + bytes(pli))
    assert isinstance(again, GenericNack)
    assert set(again.lost) == set(lost)
    assert picture == ours[1]


@given(u32, st.integers(0, 1 << 40), st.lists(u32, max_size=5))
def test_estimates_read_the_same(sender: int, bitrate: int, ssrcs: list[int]) -> None:
    (psfb,) = reference.RtcpPacket.parse(serialize([ReceiverEstimate(sender, bitrate, tuple(ssrcs))]))
    assert isinstance(psfb, reference.RtcpPsfbPacket)
    (estimate,) = parse_compound(bytes(psfb))
    assert isinstance(estimate, ReceiverEstimate)
    assert reference.unpack_remb_fci(psfb.fci) == (estimate.bitrate, ssrcs)
    assert reference.pack_remb_fci(bitrate, ssrcs) == psfb.fci


@given(
    st.builds(
        RtpPacket,
        st.integers(0, 127),
        u16,
        u32,
        u32,
        st.booleans(),
        st.binary(max_size=40),
        st.fixed_dictionaries({1: st.sampled_from([b"0", b"audio-17", b"m" * 30]), 2: st.just(b"\x85")}),
        st.lists(u32, max_size=15).map(tuple),
    )
)
def test_rtp_packets_read_the_same(packet: RtpPacket) -> None:
    ids = reference.HeaderExtensionsMap()
    uris = {1: extensions.MID, 2: extensions.AUDIO_LEVEL}
    parameters = [RTCRtpHeaderExtensionParameters(id=key, uri=uri) for key, uri in uris.items()]
    ids.configure(RTCRtpParameters(headerExtensions=parameters))
    theirs = reference.RtpPacket.parse(packet.serialize(), ids)
    assert theirs.extensions.mid == packet.extensions[1].decode()
    assert theirs.extensions.audio_level == (True, 5)
    assert (theirs.payload, theirs.ssrc, theirs.csrc) == (packet.payload, packet.ssrc, list(packet.csrcs))
    assert RtpPacket.parse(theirs.serialize(ids)) == packet


@pytest.mark.parametrize(("codec", "encoder_type"), [("VP8", Vp8Encoder), ("H264", H264Encoder)])
def test_key_frames_of_a_real_encoder_are_found_where_they_start(
    codec: str, encoder_type: type[Encoder]
) -> None:
    encoder = encoder_type()
    for number, forced in enumerate((False, False, True, False)):
        frame = VideoFrame(width=320, height=240, format="yuv420p")
        for plane, value in zip(frame.planes, (64 + number, 128, 128), strict=True):
            noise = bytes((value + 37 * place * place) % 251 for place in range(plane.buffer_size))
            plane.update(noise)
        frame.pts, frame.time_base = 3000 * number, Fraction(1, 90000)
        payloads, _ = encoder.encode(frame, force_keyframe=forced)
        assert len(payloads) > 1
        starts = [is_keyframe_start(codec, payload) for payload in payloads]
        assert starts[0] is (number == 0 or forced)
        assert forced or number == 0 or not any(starts)
