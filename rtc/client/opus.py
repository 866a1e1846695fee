"""An Opus encoder and decoder with run-time control, in-band FEC, recovery and concealment of lost frames.

libopus is called through opuslib-next's typed ctypes functions. They load the system's libopus; where there
is none, the one inside the PyAV wheel is used, so that nothing has to be installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""PCM of shape (samples, channels)."""

SAMPLE_RATE = 48000
"""Hz; the only RTP clock rate of Opus (RFC 7587 section 4.1)."""

MAX_PACKET_BYTES = 1275
"""Longest Opus frame (RFC 6716 section 3.2.1)."""

MAX_SAMPLES = 5760
"""Samples per channel in the longest packet, 120 ms."""

DEFAULT_BITRATE = 40000
"""Bit/s: clear full-band speech, and room for redundancy beside it."""

DEFAULT_PACKET_LOSS = 10
"""Per cent of loss the encoder prepares for.

The least that keeps in-band FEC going at 32 kbit/s and below.
"""

APPLICATION_VOIP = 2048
APPLICATION_AUDIO = 2049

_SAMPLES_BY_CONFIG = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Frame duration by the first five bits of a packet (RFC 6716 table 2)."""


class OpusError(ValueError):
    """libopus refused the call or the packet."""


def packet_samples(payload: bytes) -> int:
    """Samples per channel at 48 kHz in an Opus packet (RFC 6716 section 3.1).

    Raises OpusError when malformed.
    """
    if not payload:
        raise OpusError("empty Opus packet")
    code = payload[0] & 3
    if code == 3:
        if len(payload) < 2:
            raise OpusError("Opus packet without its frame count")
        frames = payload[1] & 0x3F
    else:
        frames = 1 if code == 0 else 2
    samples = frames * _SAMPLES_BY_CONFIG[payload[0] >> 3]
    if not 0 < samples <= MAX_SAMPLES:
        raise OpusError(f"Opus packet of {samples} samples")
    return samples


def has_redundancy(payload: bytes) -> bool:
    """Whether a packet of one frame carries the frame before it too (LBRR, RFC 6716 section 4.2.3)."""
    if len(payload) < 2 or payload[0] & 3 or payload[0] >> 3 >= 16:
        return False
    silk_frames = max(1, _SAMPLES_BY_CONFIG[payload[0] >> 3] // 960)
    mono = payload[1] >> (7 - silk_frames) & 1
    stereo = payload[0] & 4 and payload[1] >> max(0, 6 - 2 * silk_frames) & 1
    return bool(mono or stereo)


def bundled_libopus() -> str | None:
    """Path of the libopus inside the PyAV wheel, if this PyAV came as a wheel."""
    package = Path(av.__file__).parent
    folders = (package.parent / "av.libs", package / ".dylibs")
    return next((str(path) for folder in folders for path in folder.glob("libopus*")), None)


@contextlib.contextmanager
def _found(library: str, path: str) -> Iterator[None]:
    """Let ctypes.util.find_library answer `path` for `library` meanwhile.

    Opuslib-next asks it when imported.
    """
    original = ctypes.util.find_library

    def find(name: str) -> str | None:
        return path if name == library else original(name)

    ctypes.util.find_library = find
    try:
        yield
    finally:
        ctypes.util.find_library = original


_loading = threading.Lock()


@cache
def _library() -> tuple[ModuleType, ModuleType, ModuleType]:
    """Encoder, decoder and control functions of opuslib-next.

    Raises OpusError when there is no libopus at all.
    """
    with _loading, contextlib.ExitStack() as stack:
        if ctypes.util.find_library("opus") is None:
            bundled = bundled_libopus()
            if bundled is None:
                raise OpusError("no libopus found: install the package libopus0 of your system")
            stack.enter_context(_found("opus", bundled))
        from opuslib_next.api import ctl, decoder, encoder  # noqa: PLC0415 - it loads libopus when imported

        return encoder, decoder, ctl


class OpusEncoder:
    """Encodes PCM at 48 kHz. `frame_samples` is the length of a frame: 480 (10 ms), 960, 1920 or 2880."""

    def __init__(
        self,
        *,
        channels: int = 1,
        bitrate: int = DEFAULT_BITRATE,
        frame_samples: int = 960,
        music: bool = False,
    ) -> None:
        if channels not in {1, 2}:
            raise OpusError(f"{channels} channels: only mono and stereo are possible")
        if frame_samples not in {480, 960, 1920, 2880}:
            raise OpusError(f"a frame of {frame_samples} samples: only 10, 20, 40 and 60 ms are possible")
        self.channels = channels
        self.frame_samples = frame_samples
        self._api, _, self._ctl = _library()
        application = APPLICATION_AUDIO if music else APPLICATION_VOIP
        self._state = self._api.create_state(SAMPLE_RATE, channels, application)
        self._output = (ctypes.c_char * MAX_PACKET_BYTES)()
        self._bitrate = 0
        self._packet_loss = -1
        self.set_bitrate(bitrate)
        self._inband_fec = False
        self.set_inband_fec(True)
        self.set_packet_loss(DEFAULT_PACKET_LOSS)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._api.destroy(self._state)

    @property
    def bitrate(self) -> int:
        """Target bit/s, headers not counted."""
        return self._bitrate

    def set_bitrate(self, bitrate: int) -> None:
        """Aim at `bitrate` bit/s from the next frame on; kept between 6 and 510 kbit/s."""
        self._bitrate = max(6000, min(510000, bitrate))
        self._control(self._ctl.set_bitrate, self._bitrate)

    def set_packet_loss(self, percent: int) -> None:
        """Prepare for this much loss: from about 5 % on, voiced frames carry the frame before in-band."""
        percent = max(0, min(100, percent))
        if percent != self._packet_loss:
            self._packet_loss = percent
            self._control(self._ctl.set_packet_loss_perc, percent)

    def set_inband_fec(self, enabled: bool) -> None:
        """Whether voiced frames carry the one before at a lower rate; it is paid for out of the bit rate."""
        if enabled != self._inband_fec:
            self._inband_fec = enabled
            self._control(self._ctl.set_inband_fec, int(enabled))

    def encode(self, pcm: Samples) -> bytes:
        """Encode one frame of shape (frame_samples, channels). Raises OpusError for another shape."""
        if pcm.shape != (self.frame_samples, self.channels):
            raise OpusError(f"a frame has shape {(self.frame_samples, self.channels)}, not {pcm.shape}")
        contiguous = np.ascontiguousarray(pcm, dtype=np.int16)
        pointer = contiguous.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
        length = self._api.libopus_encode(
            self._state, pointer, self.frame_samples, self._output, MAX_PACKET_BYTES
        )
        if length < 0:
            raise OpusError(f"libopus could not encode (error {length})")
        return ctypes.string_at(self._output, length)

    def _control(self, request: Any, value: int) -> None:
        self._api.encoder_ctl(self._state, request, value)


class OpusDecoder:
    """Decodes to PCM at 48 kHz, whatever the number of channels that was encoded."""

    def __init__(self, *, channels: int = 1) -> None:
        self.channels = channels
        _, self._api, _ = _library()
        self._state = self._api.create_state(SAMPLE_RATE, channels)
        self._output = np.zeros((MAX_SAMPLES, channels), dtype=np.int16)
        self._pointer = self._output.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._api.destroy(self._state)

    def decode(self, payload: bytes) -> Samples:
        """Decode a packet. Raises OpusError when it is malformed."""
        packet_samples(payload)
        return self._decode(payload, MAX_SAMPLES, fec=False)

    def recover(self, following: bytes, samples: int) -> Samples:
        """The `samples` lost before the packet `following`, from its in-band FEC.

        Concealed where it has none.
        """
        packet_samples(following)
        return self._decode(following, samples, fec=True)

    def conceal(self, samples: int) -> Samples:
        """Guess `samples` (a multiple of 120, 2.5 ms) that nothing is known of.

        Fades out over about 100 ms.
        """
        return self._decode(None, samples, fec=False)

    def _decode(self, payload: bytes | None, samples: int, *, fec: bool) -> Samples:
        length = 0 if payload is None else len(payload)
        decoded = self._api.libopus_decode(self._state, payload, length, self._pointer, samples, int(fec))
        if decoded < 0:
            raise OpusError(f"libopus could not decode (error {decoded})")
        return self._output[:decoded].copy()
