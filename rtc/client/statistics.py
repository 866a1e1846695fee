"""What call.statistics() returns: plain values, ready for JSON by dataclasses.asdict."""

from __future__ import annotations

from dataclasses import dataclass

from rtc.client.audio_receiver import AudioReceiverStatistics
from rtc.client.connection import ConnectionCounters
from rtc.client.outgoing import OutgoingStatistics
from rtc.client.video_receiver import VideoReceiverStatistics
from rtc.client.video_sender import VideoSenderStatistics


@dataclass(frozen=True, slots=True)
class SentStatistics:
    """What was sent from one source: its last publication, and the stream of its m-line since join()."""

    source: str
    codec: str
    bitrate: int
    """Target bit/s of the encoder."""
    stream: OutgoingStatistics
    video: VideoSenderStatistics | None = None


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """The call since it began. Times are seconds, rates bit/s."""

    seconds: float
    connected: bool
    rtt: float | None
    """Round trip of media to the server; None until measured."""
    reconnects: int
    wire: ConnectionCounters
    sent: tuple[SentStatistics, ...]
    audio: dict[str, AudioReceiverStatistics]
    """By m-line: what each audio slot heard."""
    video: dict[str, VideoReceiverStatistics]
    """By m-line: what each video slot saw."""
    first_audio: float | None
    """Seconds from join() to the first audio packet."""
    first_video: float | None
    """Seconds from join() to the first whole picture."""

    @property
    def concealed_share(self) -> float:
        """Share of the audio frames that had to be guessed, 0 to 1."""
        concealed = sum(slot.concealed for slot in self.audio.values())
        played = sum(slot.played + slot.recovered for slot in self.audio.values())
        return concealed / (played + concealed) if played + concealed else 0.0
