"""Media: offers, publications, slots, and what the server sees of them."""

from __future__ import annotations

from rtc.client.protocol.base import Command, Event, Publication, SlotAssignment, Speaker


class Offer(Command, tag="offer"):
    """An SDP offer."""

    sdp: str


class Publish(Command, tag="publish"):
    """Offer the track of an m-line to the room."""

    mid: str
    source: str
    muted: bool = False


class Unpublish(Command, tag="unpublish"):
    """Withdraw a publication."""

    publication: str


class Mute(Command, tag="mute"):
    """Mute or unmute a publication."""

    publication: str
    muted: bool


class Watch(Command, tag="watch"):
    """Video publications wanted, most wanted first; None lets the server choose."""

    publications: tuple[str, ...] | None = None


class Published(Event, tag="published"):
    """A participant offers a track."""

    participant: str
    publication: Publication


class Unpublished(Event, tag="unpublished"):
    """A participant withdrew a track."""

    participant: str
    publication: str


class Muted(Event, tag="muted"):
    """A participant muted or unmuted a track."""

    participant: str
    publication: str
    muted: bool


class Slots(Event, tag="slots"):
    """What each slot carries now."""

    slots: tuple[SlotAssignment, ...]


class Speakers(Event, tag="speakers"):
    """Who is speaking, loudest first."""

    speakers: tuple[Speaker, ...]


class Redundancy(Event, tag="redundancy"):
    """How the server asks for m-line `mid` to be sent."""

    mid: str
    depth: int = 0
    copies: int = 1


class Quality(Event, tag="quality"):
    """What the visible video slots show of what they could; of no use without a screen."""


class Clocks(Event, tag="clocks"):
    """RTP timestamps of one moment on our slots, by m-line; who reads sender reports knows them."""

    timestamps: dict[str, int]


class Encodings(Event, tag="encodings"):
    """Of the simulcast encodings of m-line `mid`, only these are of use to anybody now."""

    mid: str
    rids: tuple[str, ...] = ()


class Codecs(Event, tag="codecs"):
    """Codecs of video that everybody in the room can decode."""

    codecs: tuple[str, ...] = ()


class Transport(Event, tag="transport"):
    """State of our media transport as the server sees it."""

    state: str


MediaCommand = Offer | Publish | Unpublish | Mute | Watch
MediaEvent = (
    Published | Unpublished | Muted | Slots | Speakers | Redundancy | Quality | Clocks | Encodings | Codecs | Transport
)
