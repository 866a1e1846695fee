"""From the decisions of a jitter buffer to sound: decoding, concealment, and playing faster or slower. Sans-IO."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from rtc.client.opus import OpusDecoder, OpusError, Samples, has_redundancy
from rtc.repair.jitter import CLOCK_RATE, Decision, Frame, JitterBuffer, Lost, Silence, Wait
from rtc.repair.stretch import lengthened, shortened

CHANNELS = 2
"""Channels that tracks have: stereo sources keep theirs, mono ones are the same on both sides."""

FADE_SAMPLES = 5760
"""Samples concealed in a row while the sound fades out, 120 ms: libopus alone goes on with noise for ever."""

SPLICE_SAMPLES = 960
"""Shortest sound that a splice is made in, 20 ms: the longest period that can be cut out of it is 15 ms."""

LATE_SECONDS = 0.006
"""Playing later than asked by more than this is corrected; nearer is not worth a splice."""

EARLY_SECONDS = 0.004
"""Playing earlier than asked by more than this is corrected."""

HURRY_SECONDS = 0.08
"""From this error on splices follow each other faster, and less alike sound is spliced."""

SPACING_SECONDS, HURRIED_SPACING_SECONDS = 0.06, 0.015
"""Between two splices in speech: the speed changes by a tenth to a third."""

LIKENESS, HURRIED_LIKENESS = 0.75, 0.5
"""Correlation asked for at a splice in speech."""

QUIET_SHARE = 0.03
"""Sound below this share of the loudest of late (-30 dB) is a pause between words."""

QUIET_LEVEL = 40.0
"""Root mean square below which sound is silence whatever came before: -58 dBov."""

LOUDNESS_DECAY = 0.998
"""Of the loudest level per frame: half is forgotten in 7 s."""

RECENT_FRAMES = 4
"""The least error of so many frames counts: a consumer that pulls two frames at once sees every other one early."""

DELAYS = 512
"""Delays remembered, one a frame: 10 s of 20 ms."""


@dataclass(slots=True)
class PlayerStatistics:
    """Counters since the start; samples at 48 kHz."""

    played_samples: int = 0
    """Decoded from what was sent, in-band FEC included."""
    concealed_samples: int = 0
    """Guessed."""
    silent_samples: int = 0
    """While the stream was paused or had not begun."""
    recovered: int = 0
    """Frames taken from in-band FEC."""
    malformed: int = 0
    cut_samples: int = 0
    """Taken out by playing faster."""
    added_samples: int = 0
    """Put in by playing slower."""
    splices: int = 0


@dataclass(slots=True)
class _Piece:
    """Sound ready to be played. `position` is the media time of its first sample, None for silence."""

    pcm: Samples
    position: float | None
    pace: float
    """Media time per sample."""


class AudioPlayer:
    """Plays one jitter buffer."""

    def __init__(self, jitter: JitterBuffer) -> None:
        self.statistics = PlayerStatistics()
        self.played_position: float | None = None
        """Media time (extended timestamp) of the first sample of the last pull; None for silence."""
        self._jitter = jitter
        self._decoder: OpusDecoder | None = None
        self._ready: deque[_Piece] = deque()
        self._buffered = 0
        self._concealed_in_a_row = 0
        self._loudest = 0.0
        self._errors: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._spliced_at = float("-inf")
        self._delays: deque[float] = deque(maxlen=DELAYS)

    def pull(self, samples: int, *, now: float) -> Samples:
        """The next `samples` of sound, shape (samples, 2); silence when there is none."""
        while self._buffered < samples:
            piece = self._next(now)
            self._ready.append(piece)
            self._buffered += len(piece.pcm)
        self.played_position = self._ready[0].position
        self._buffered -= samples
        taken = []
        while samples:
            piece = self._ready[0]
            taken.append(piece.pcm[:samples])
            if len(piece.pcm) <= samples:
                self._ready.popleft()
            else:
                position = None if piece.position is None else piece.position + samples * piece.pace
                self._ready[0] = _Piece(piece.pcm[samples:], position, piece.pace)
            samples -= len(taken[-1])
        return taken[0] if len(taken) == 1 else np.concatenate(taken)

    def catch_up(self, *, now: float) -> None:
        """The consumer had stopped pulling and wants what is due now."""
        self._ready.clear()
        self._buffered = 0
        self._errors.clear()
        self._jitter.catch_up(now=now)

    def delay(self, share: float) -> float:
        """Seconds in the buffer that this share of the frames of late did not exceed; 0 before the first."""
        return float(np.quantile(np.fromiter(self._delays, dtype=np.float64), share)) if self._delays else 0.0

    def _next(self, now: float) -> _Piece:
        jitter = self._jitter
        decision = jitter.pull(now=now)
        match decision:
            case Silence(samples):
                self.statistics.silent_samples += samples
                self._errors.clear()
                return _Piece(np.zeros((samples, CHANNELS), dtype=np.int16), None, 1.0)
            case Frame(_, samples):
                # The error is that of the frame taken, and `excess` tells that of the next.
                error = jitter.excess(now=now) + samples / CLOCK_RATE
                self._errors.append(error)
                self._delays.append(max(0.0, jitter.target + error + self._buffered / CLOCK_RATE))
                return self._corrected(self._render(decision), jitter.position - samples, now)
            case Lost(_, samples):
                return _Piece(self._render(decision), jitter.position - decision.samples, 1.0)
            case Wait():
                return _Piece(self._render(decision), float(jitter.position), 0.0)

    def _corrected(self, pcm: Samples, start: int, now: float) -> _Piece:
        """The frame, shorter or longer where the delay is to change."""
        whole = _Piece(pcm, start, 1.0)
        level = float(np.sqrt(np.mean(np.square(pcm[:, 0], dtype=np.float32))))
        self._loudest = max(level, self._loudest * LOUDNESS_DECAY)
        # Playing late is only known once no recent frame was in time; playing early, by any of them.
        late, early = min(self._errors), self._errors[-1]
        if late > LATE_SECONDS and len(self._errors) == RECENT_FRAMES:
            error = late
        elif early < -EARLY_SECONDS:
            error = early
        else:
            return whole
        quiet = level < max(QUIET_LEVEL, QUIET_SHARE * self._loudest)
        hurried = abs(error) > HURRY_SECONDS
        if not quiet and now - self._spliced_at < (HURRIED_SPACING_SECONDS if hurried else SPACING_SECONDS):
            return whole
        likeness = -1.0 if quiet else HURRIED_LIKENESS if hurried else LIKENESS
        if len(pcm) < SPLICE_SAMPLES and self._jitter.ready:
            pcm = np.concatenate((pcm, self._render(self._jitter.pull(now=now))))
        media = len(pcm)
        wanted = round(abs(error) * CLOCK_RATE)
        if error > 0:
            result = shortened(pcm, most=wanted, likeness=likeness)
        else:
            # A period more than asked is no harm, a voice low in pitch has no shorter one.
            result = lengthened(pcm, most=max(wanted, media // 2), likeness=likeness)
        if len(result) != media:
            statistics = self.statistics
            statistics.splices += 1
            statistics.cut_samples += max(0, media - len(result))
            statistics.added_samples += max(0, len(result) - media)
            self._spliced_at = now
            self._errors.clear()
        return _Piece(result, start, media / len(result))

    def _render(self, decision: Decision) -> Samples:
        if self._decoder is None:
            self._decoder = OpusDecoder(channels=CHANNELS)
        decoder = self._decoder
        statistics = self.statistics
        try:
            if isinstance(decision, Frame):
                pcm = decoder.decode(decision.payload)
                self._concealed_in_a_row = 0
                statistics.played_samples += len(pcm)
                return pcm
            following = decision.following if isinstance(decision, Lost) else None
            if following is not None and has_redundancy(following):
                pcm = decoder.recover(following, decision.samples)
                statistics.recovered += 1
                statistics.played_samples += len(pcm)
                self._concealed_in_a_row = 0
                return pcm
            statistics.concealed_samples += decision.samples
            if self._concealed_in_a_row < FADE_SAMPLES and decision.samples % 120 == 0:
                return self._faded(decoder.conceal(decision.samples))
        except OpusError:
            statistics.malformed += 1
        return np.zeros((decision.samples, CHANNELS), dtype=np.int16)

    def _faded(self, pcm: Samples) -> Samples:
        start = self._concealed_in_a_row / FADE_SAMPLES
        self._concealed_in_a_row += len(pcm)
        end = min(1.0, self._concealed_in_a_row / FADE_SAMPLES)
        gain = np.linspace(1 - start, 1 - end, len(pcm), dtype=np.float32)
        return (pcm * gain[:, None]).astype(np.int16)
