"""Which layers of each picture a listener's slots receive, and which encodings publishers need not send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rtc.repair.allocation import Layer, Wanted, allocate, is_enough
from rtc.wire.layering import decodable
from rtc.wire.level import EVERYTHING, Level

from .demand import is_live
from .publication import Publication
from .slot import Slot
from .source import Source

TOLERANCE = 0.9
"""A picture of this share of the height it is shown at is as good as one of all of it."""

GROWTH = 3
"""How much more an encoding takes than the one below it, as long as it has not been measured."""

FIRST_BITRATE = 150_000
"""bit/s of the lowest encoding, as long as it has not been measured."""

PATIENT_LEAST = 50_000
"""bit/s with which the least of a screen is of use: a page comes late, but it stands for long. To pause it would cost
another page."""

PATIENCE = 3
"""By how many times longer the least of a screen may be under way than it took to come here."""

PATIENT_BETTER = 500_000
"""bit/s below which no better encoding of a screen is begun, however little it takes while nothing moves: the next page
would be many times that."""

PAUSE_SECONDS = 3.0
"""The least of a picture that fitted until now is shown for so long before it is paused: where a link has become
narrow, less than it carries is thought to fit until its queue is gone."""

Limit = Literal["", "bandwidth", "source"]
"""Why a picture is not the best for its size: the listener's path, or the publisher does not send it."""


@dataclass(slots=True, frozen=True)
class Quality:
    """What a slot shows of what it could."""

    mid: str
    paused: bool
    limit: Limit


@dataclass(slots=True, frozen=True)
class Option:
    """One way to fill a slot."""

    layer: Layer
    source: Source
    level: Level

    def costing(self, bitrate: int) -> Option:
        """The same at another price, bit/s."""
        return Option(Layer(self.layer.spatial, self.layer.temporal, bitrate), self.source, self.level)


@dataclass(slots=True, frozen=True)
class Ladder:
    """What a publication offers at one size."""

    options: tuple[Option, ...]
    """From the least to the best that is of use."""
    complete: bool
    """Whether the publisher sends all that would be of use."""
    most: int
    """bit/s that any of them takes at most."""


Ladders = dict[tuple[str, int | None, bool], Ladder]
"""By publication id, height in pixels and whether dependency descriptors are received, as of one moment."""


@dataclass(slots=True, frozen=True)
class View:
    """A slot with what it could show."""

    slot: Slot
    publication: Publication
    ladder: Ladder
    important: bool
    """Whether it is raised to its best before others."""


def ordered(encodings: Sequence[Source]) -> list[Source]:
    """Encodings from the smallest picture to the largest; as offered while the sizes are not known."""
    if all(source.height for source in encodings):
        return sorted(encodings, key=lambda source: source.height)
    return list(encodings)


def ladder_of(publication: Publication, *, height: int | None, described: bool, now: float) -> Ladder:
    """What can be shown of a publication at `height` pixels, None for any size, to who gets dependency descriptors."""
    options: list[Option] = []
    complete = True
    bitrate = FIRST_BITRATE
    encodings = ordered(publication.encodings)
    enough = 0
    for place, source in enumerate(encodings):
        if enough and source.height != enough:
            break
        source.rates.measure(now=now)
        layers = source.rates.layers or ((0, 0, bitrate),)
        bitrate = GROWTH * max(each for *_, each in layers)
        if publication.demand.can_come(source, now=now) or len(encodings) == 1:
            found = _options(place, source, layers, described=described)
            if publication.patient:
                found = _wait_for(found, least=not options)
            options += found
        elif source.packets:
            complete = False  # what never came is not part of what the publisher has to send
        if height is not None and source.height and source.height >= TOLERANCE * height:
            enough = source.height
    if not options:
        options = _options(0, encodings[0], ((0, 0, FIRST_BITRATE),), described=described)
    return Ladder(tuple(options), complete, max(option.layer.bitrate for option in options))


def choose(views: Sequence[View], *, budget: int | None, now: float) -> list[Quality]:
    """Give each slot what `budget` bit/s carries, those first that come first; None for no bound.

    What an encoding that is not sent yet would show is given once it comes; until then the best that does come.
    """
    if budget is None or is_enough(budget, [one.ladder.most for one in views]):
        chosen: list[Option | None] = [one.ladder.options[-1] for one in views]
    else:
        wanted = [
            Wanted(
                tuple(option.layer for option in one.ladder.options),
                next((option.layer for option in reversed(one.ladder.options) if _is_shown(one.slot, option)), None),
                0 if one.important else 1,
            )
            for one in views
        ]
        chosen = [
            next((option for option in one.ladder.options if option.layer == layer), None)
            for one, layer in zip(views, allocate(budget, wanted), strict=True)
        ]
    spare = None if budget is None else budget - sum(each.layer.bitrate for each in chosen if each is not None)
    qualities = []
    for one, fitting in zip(views, chosen, strict=True):
        slot, option = one.slot, fitting
        if option is not None and budget is not None:
            slot.fitted_at = now
        elif option is None and not slot.paused and now - slot.fitted_at < PAUSE_SECONDS:
            option = one.ladder.options[0]
        if option is None:
            slot.pause()
            qualities.append(Quality(slot.mid, True, "bandwidth"))
            continue
        _show(one, option, spare=spare, now=now)
        limit: Limit = "bandwidth" if option is not one.ladder.options[-1] else "" if one.ladder.complete else "source"
        qualities.append(Quality(slot.mid, False, limit))
    return qualities


def _options(
    place: int, source: Source, layers: Sequence[tuple[int, int, int]], *, described: bool
) -> list[Option]:
    """The layers of one source; `place` is that of its encoding."""
    highest = decodable(source.fanout.codec, EVERYTHING, described=described).spatial
    layers = [layer for layer in layers if layer[0] <= highest] or layers[:1]
    most_spatial = max(spatial for spatial, _, _ in layers)
    found = []
    for spatial, temporal, bitrate in layers:
        most_temporal = max(t for s, t, _ in layers if s == spatial)
        if place + spatial > 0 and temporal < most_temporal - 1:
            continue  # a quarter of the frames of a larger picture is worse than all of a smaller one
        level = Level(
            EVERYTHING.spatial if spatial == most_spatial else spatial,
            EVERYTHING.temporal if temporal == most_temporal else temporal,
        )
        found.append(Option(Layer(place + spatial, temporal, bitrate), source, level))
    return found


def _wait_for(options: Sequence[Option], *, least: bool) -> list[Option]:
    """Those of a screen with what they cost: the `least` some time after it came, any other encoding a whole page."""
    if not least:
        return [option.costing(max(option.layer.bitrate, PATIENT_BETTER)) for option in options]
    first, *others = options
    return [first.costing(min(first.layer.bitrate, max(PATIENT_LEAST, first.layer.bitrate // PATIENCE))), *others]


def _is_shown(slot: Slot, option: Option) -> bool:
    return not slot.paused and slot.source is option.source and option.level <= slot.target


def _show(one: View, option: Option, *, spare: int | None, now: float) -> None:
    """Have a slot receive an option, or the best below it that comes as long as it does not.

    `spare` is what all slots together leave of the budget, bit/s; None where there is no bound.
    """
    slot, demand = one.slot, one.publication.demand
    demand.choose(option.source, now=now)
    if option.source not in demand.sent:
        # Its publisher's uplink cannot carry it beside what it sends.
        sent = [each for each in one.ladder.options if each.source in demand.sent]
        smaller = [each for each in sent if each.layer.bitrate <= option.layer.bitrate]
        option = (smaller[-1:] or sent[:1] or [option])[0]
        demand.need(option.source, now=now)
    target = option
    if not is_live(option.source, now=now):
        coming = (each for each in reversed(one.ladder.options) if is_live(each.source, now=now))
        target = next((each for each in coming if each.layer.bitrate <= option.layer.bitrate), option)
        demand.need(target.source, now=now)
    if slot.cut and slot.source is not None and slot.leg is None and is_live(slot.source, now=now):
        demand.need(slot.source, now=now)
        return
    if target is not option and slot.source is target.source and slot.leg is not None:
        slot.source.fanout.aim(slot, target.level)
        slot.target = option.level
        slot.move_to(option.source)  # which begins with a key frame
    else:
        slot.show(target.source, target.level)
    if slot.upcoming is not None and slot.source is not None:
        demand.need(slot.source, now=now)
        places = [each.source for each in one.ladder.options]
        if slot.source not in places or places.index(slot.source) > places.index(target.source):
            least = min((bitrate for *_, bitrate in slot.source.rates.layers), default=0)
            carried = None if spare is None else target.layer.bitrate + max(spare, 0)
            if carried is not None and least > carried and target.source.keyframes.may_ask(now=now):
                # Even the fewest of its frames are too many, and would keep a key frame waiting. How much less the path
                # carries is not known yet: the smallest encoding begins.
                coming = (each for each in one.ladder.options if is_live(each.source, now=now))
                smallest = next((each for each in coming if each.layer.bitrate <= target.layer.bitrate), target)
                slot.target = smallest.level
                slot.cut_to(smallest.source)
            else:
                # It is too much: its frames can go at once, and it itself with the key frame of the smaller one.
                slot.source.fanout.aim(slot, Level(target.level.spatial, 0))
