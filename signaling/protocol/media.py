"""Media: offers, publications, slots, and what the server sees of them."""

from __future__ import annotations

import msgspec

from signaling.protocol.base import Event, Numbered
from signaling.protocol.values import Publication, SlotAssignment, SlotQuality, Source, Speaker, TransportState


class Offer(Numbered, tag="offer"):
    """The client's SDP offer: first, renegotiation, or ICE restart. Reply: `answer`."""

    sdp: str


class Publish(Numbered, tag="publish"):
    """Offer the track of m-line `mid` of the last offer to the room. Reply: `publication`."""

    mid: str
    source: Source
    muted: bool = False


class Unpublish(Numbered, tag="unpublish"):
    """Withdraw a publication of one's own."""

    publication: str


class Mute(Numbered, tag="mute"):
    """Mute or unmute a publication of one's own; the server itself stops forwarding what is muted."""

    publication: str
    muted: bool


class Watch(Numbered, tag="watch"):
    """Publications wanted in this session's video slots, most wanted first; None: the server chooses."""

    publications: tuple[str, ...] | None = None
    heights: dict[str, int] = msgspec.field(default_factory=dict)
    """Pixels at which publications are shown, 0 for those that are not: no more is sent than is of use."""


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
    """What each slot of this session carries now, all slots listed."""

    slots: tuple[SlotAssignment, ...]


class Speakers(Event, tag="speakers"):
    """Who is speaking, loudest first; of the moment (`seq` 0), at most five a second and only on change."""

    speakers: tuple[Speaker, ...]


class Redundancy(Event, tag="redundancy"):
    """How the server asks for m-line `mid` to be sent, for the loss that it sees there."""

    mid: str
    depth: int = 0
    """Redundant frames in a packet (RED, RFC 2198)."""
    copies: int = 1
    """How often each packet is sent, some milliseconds apart."""


class Quality(Event, tag="quality"):
    """What the visible video slots of this session show of what they could; all of them are listed."""

    slots: tuple[SlotQuality, ...]


class Clocks(Event, tag="clocks"):
    """RTP timestamps of one moment by m-line: what was captured together on the slots of this session that play."""

    timestamps: dict[str, int]


class Encodings(Event, tag="encodings"):
    """Of the simulcast encodings of m-line `mid`, only those with these `rids` are of use to anybody now."""

    mid: str
    rids: tuple[str, ...]
    instead: bool = False
    """In place of all, for which the publisher's path has no room now: they may take what all would."""


class Codecs(Event, tag="codecs"):
    """Video in these codecs, by their names in SDP, can be seen by everybody in the room; in others by some."""

    codecs: tuple[str, ...]


class Transport(Event, tag="transport"):
    """State of this session's media transport; on `failed` make a new peer connection."""

    state: TransportState


MediaCommand = Offer | Publish | Unpublish | Mute | Watch
MediaEvent = (
    Published | Unpublished | Muted | Slots | Speakers | Redundancy | Quality | Clocks | Encodings | Codecs | Transport
)
