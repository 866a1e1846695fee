from __future__ import annotations

import contextlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.client.opus import (
    OpusDecoder,
    OpusEncoder,
    OpusError,
    Samples,
    bundled_libopus,
    has_redundancy,
    packet_samples,
)


def tone(hertz: float, samples: int, *, channels: int = 1, start: int = 0) -> Samples:
    time = (np.arange(samples) + start) / 48000
    wave = (np.sin(2 * np.pi * hertz * time) * 12000).astype(np.int16)
    return np.repeat(wave[:, None], channels, axis=1)


def speechlike(samples: int, *, seed: int = 1) -> Samples:
    """Harmonics of 140 Hz whose loudness moves as in speech: voiced, so that SILK codes it."""
    time = np.arange(samples) / 48000
    pitch = 140 + 15 * np.sin(2 * np.pi * 2.1 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 48000
    wave = sum(np.sin(phase * k) / k for k in range(1, 20))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 3.7 * time)
    noise = np.random.default_rng(seed).normal(0, 0.02, samples)
    return ((wave * envelope * 0.3 + noise) * 12000).clip(-32768, 32767).astype(np.int16)[:, None]


def strongest_hertz(pcm: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(pcm[:, 0] * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 48000 / len(pcm))


def frames(pcm: Samples, size: int) -> list[Samples]:
    return [pcm[i : i + size] for i in range(0, len(pcm) - size + 1, size)]


@pytest.mark.parametrize("frame_samples", [480, 960, 1920, 2880])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_is_recognised_after_encoding_and_decoding(frame_samples: int, channels: int) -> None:
    encoder = OpusEncoder(channels=channels, frame_samples=frame_samples)
    decoder = OpusDecoder(channels=2)
    packets = [encoder.encode(frame) for frame in frames(tone(440, 48000, channels=channels), frame_samples)]
    assert all(packet_samples(packet) == frame_samples for packet in packets)
    decoded = np.concatenate([decoder.decode(packet) for packet in packets])
    assert decoded.shape[1] == 2
    assert abs(strongest_hertz(decoded[9600:]) - 440) < 3


@pytest.mark.parametrize("bitrate", [16000, 32000, 64000])
def test_the_bit_rate_is_kept(bitrate: int) -> None:
    encoder = OpusEncoder(bitrate=bitrate)
    size = sum(len(encoder.encode(frame)) for frame in frames(speechlike(48000 * 4), 960))
    assert 0.6 * bitrate < size * 8 / 4 < 1.15 * bitrate


def test_in_band_fec_brings_back_a_lost_frame_better_than_concealment() -> None:
    pcm = speechlike(48000 * 3)
    encoder = OpusEncoder(bitrate=32000)
    encoder.set_packet_loss(25)
    packets = [encoder.encode(frame) for frame in frames(pcm, 960)]
    assert sum(map(has_redundancy, packets)) > len(packets) / 2
    reference: list[Samples] = []
    clean, with_fec, with_plc = OpusDecoder(), OpusDecoder(), OpusDecoder()
    fec_error = plc_error = 0.0
    for index, packet in enumerate(packets):
        reference.append(clean.decode(packet))
        lost = index % 5 == 3 and index + 1 < len(packets) and has_redundancy(packets[index + 1])
        truth = reference[-1].astype(float)
        if not lost:
            with_fec.decode(packet)
            with_plc.decode(packet)
            continue
        fec_error += float(np.sum((with_fec.recover(packets[index + 1], 960) - truth) ** 2))
        plc_error += float(np.sum((with_plc.conceal(960) - truth) ** 2))
    assert fec_error < 0.5 * plc_error


def test_concealment_fills_a_gap_and_gets_quieter() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for frame in frames(speechlike(48000), 960):
        played = decoder.decode(encoder.encode(frame))
    concealed = [decoder.conceal(960) for _ in range(30)]
    loudness = [float(np.abs(pcm.astype(float)).mean()) for pcm in (played, concealed[0], concealed[-1])]
    assert loudness[1] > 0.2 * loudness[0]
    assert loudness[2] < 0.5 * loudness[0]


@given(st.binary(max_size=200))
def test_no_packet_from_the_network_crashes_the_decoder(payload: bytes) -> None:
    decoder = OpusDecoder(channels=2)
    with contextlib.suppress(OpusError):
        assert len(decoder.decode(payload)) == packet_samples(payload)
    has_redundancy(payload)


def test_a_frame_of_another_shape_is_refused_not_read_out_of_bounds() -> None:
    with pytest.raises(OpusError, match="shape"):
        OpusEncoder().encode(np.zeros((480, 1), dtype=np.int16))


@pytest.mark.skipif(bundled_libopus() is None, reason="this PyAV was built without a libopus of its own")
def test_without_a_system_libopus_the_one_in_the_pyav_wheel_is_used() -> None:
    script = (
        "import ctypes.util; original = ctypes.util.find_library\n"
        "ctypes.util.find_library = lambda name: None if name == 'opus' else original(name)\n"
        "import numpy as np\n"
        "from rtc.client.opus import OpusEncoder, OpusDecoder\n"
        "packet = OpusEncoder().encode(np.zeros((960, 1), dtype=np.int16))\n"
        "assert len(OpusDecoder().decode(packet)) == 960\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert 'av.libs/libopus' in maps and '/libopus.so.0' not in maps\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
