"""The bit rate of each layer of a stream, measured as it arrives."""

from __future__ import annotations

from collections import Counter, deque

WINDOW_SECONDS = 1.5
"""A rate is measured over this long: several pictures of every layer, and a key frame does not rule it."""

PATIENT_WINDOW_SECONDS = 10.0
"""The same for a screen, where a page is many times what comes until the next."""

SAMPLE_SECONDS = 0.2
"""Least time between two samples."""

PACKET_OVERHEAD = 70
"""Bytes on the way beside the payload: IPv4, UDP, RTP with extensions, the tag of SRTP."""


class LayerRates:
    """Counts by (spatial, temporal) layer; `measure` is to be called some times a second."""

    __slots__ = ("_frames", "_octets", "_samples", "_silent", "fps", "layers", "silence", "window")

    def __init__(self) -> None:
        self.layers: tuple[tuple[int, int, int], ...] = ()
        """Spatial and temporal layer with the bit/s of it and all below it that it needs, as last measured while
        packets came; empty before."""
        self._silent = 0.0
        self.window = WINDOW_SECONDS
        self.silence = 0.0
        """Seconds for which nothing may come between two frames."""
        self.fps = 0.0
        """Frames a second, measured likewise."""
        self._frames = 0
        self._octets: Counter[tuple[int, int]] = Counter()
        self._samples: deque[tuple[float, Counter[tuple[int, int]], int]] = deque()

    def add(self, spatial: int, temporal: int, octets: int) -> None:
        """A packet with a payload of so many bytes arrived."""
        self._octets[spatial, temporal] += octets + PACKET_OVERHEAD

    def frame(self) -> None:
        """A frame began."""
        self._frames += 1

    def measure(self, *, now: float) -> None:
        """Bring `layers` up to date."""
        samples = self._samples
        if samples and now - samples[-1][0] < SAMPLE_SECONDS:
            return
        if samples and self._octets == samples[-1][1]:
            self._silent += now - samples[-1][0]
            if self._silent >= self.silence:
                samples.clear()  # nothing comes: what was measured before stands until something does
        else:
            self._silent = 0.0
        samples.append((now, self._octets.copy(), self._frames))
        while len(samples) > 2 and now - samples[1][0] >= self.window:
            samples.popleft()
        since, before, frames = samples[0]
        if now - since < SAMPLE_SECONDS:
            return
        rates = {
            layer: 8 * (octets - before[layer]) / (now - since)
            for layer, octets in self._octets.items() if octets > before[layer]
        }
        if not rates:
            return
        self.fps = (self._frames - frames) / (now - since)
        self.layers = tuple(
            (spatial, temporal, round(sum(
                rate for (s, t), rate in rates.items() if s <= spatial and t <= temporal
            )))
            for spatial, temporal in sorted(rates)
        )
