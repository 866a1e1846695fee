"""Who is in the room and what they offer, kept up to date by the server's events. Sans-IO."""

from __future__ import annotations

from rtc.client import events, protocol


class Roster:
    """Everybody else. `apply` takes one message of the server and says what happened."""

    def __init__(self) -> None:
        self.participants: dict[str, events.Participant] = {}

    def enter(self, participant: protocol.Participant) -> events.Participant:
        """Add somebody with all publications."""
        entered = events.Participant(
            participant.id, participant.name, participant.kind, participant.connected,
            participant.role, participant.silenced,
        )
        for publication in participant.publications:
            entered.publications[publication.id] = _publication(participant.id, publication)
        self.participants[participant.id] = entered
        return entered

    def replace(self, participants: tuple[protocol.Participant, ...]) -> list[events.CallEvent]:
        """Take over who is there and what they offer; the events that lead from how it was to how it is."""
        happened: list[events.CallEvent] = []
        now = {participant.id: participant for participant in participants}
        for known in list(self.participants):
            if known not in now:
                happened += self.apply(protocol.ParticipantLeft(participant=known))
        for identifier, participant in now.items():
            before = self.participants.get(identifier)
            if before is None:
                happened += self.apply(protocol.ParticipantJoined(participant=participant))
                continue
            if before.connected != participant.connected:
                happened += self.apply(
                    protocol.ParticipantChanged(participant=identifier, connected=participant.connected)
                )
            offered = {publication.id: publication for publication in participant.publications}
            for withdrawn in before.publications.keys() - offered.keys():
                happened += self.apply(protocol.Unpublished(participant=identifier, publication=withdrawn))
            for publication in offered.values():
                if publication.id not in before.publications:
                    happened += self.apply(protocol.Published(participant=identifier, publication=publication))
                elif before.publications[publication.id].muted != publication.muted:
                    happened += self.apply(
                        protocol.Muted(participant=identifier, publication=publication.id, muted=publication.muted)
                    )
        return happened

    def publication(self, identifier: str) -> events.Publication | None:
        """The publication with this id, whoever's it is."""
        for participant in self.participants.values():
            if identifier in participant.publications:
                return participant.publications[identifier]
        return None

    def apply(self, message: protocol.ServerMessage) -> list[events.CallEvent]:
        """Take over a message; the events that it means.

        Of unknown participants and publications: nothing.
        """
        if isinstance(message, protocol.ParticipantJoined):
            entered = self.enter(message.participant)
            published = [events.Published(entered, p) for p in entered.publications.values()]
            return [events.ParticipantJoined(entered), *published]
        if isinstance(message, protocol.ParticipantLeft):
            return self._left(message)
        if isinstance(message, protocol.Speakers):
            return [events.SpeakersChanged(tuple((s.participant, s.level) for s in message.speakers))]
        if isinstance(message, protocol.ParticipantChanged):
            if (participant := self.participants.get(message.participant)) is not None:
                participant.connected = message.connected
                return [events.ParticipantChanged(participant)]
        elif isinstance(message, protocol.RoleChanged):
            if (participant := self.participants.get(message.participant)) is not None:
                participant.role, participant.silenced = message.role, message.silenced
                return [events.RoleChanged(participant)]
        elif isinstance(message, protocol.Published):
            if (participant := self.participants.get(message.participant)) is not None:
                publication = _publication(participant.id, message.publication)
                participant.publications[publication.id] = publication
                return [events.Published(participant, publication)]
        elif isinstance(message, protocol.Unpublished):
            if (participant := self.participants.get(message.participant)) is not None:
                withdrawn = participant.publications.pop(message.publication, None)
                return [] if withdrawn is None else [events.Unpublished(participant, withdrawn)]
        elif isinstance(message, protocol.Muted):
            participant = self.participants.get(message.participant)
            muted = participant and participant.publications.get(message.publication)
            if participant and muted:
                muted.muted = message.muted
                return [events.MuteChanged(participant, muted)]
        return []

    def _left(self, message: protocol.ParticipantLeft) -> list[events.CallEvent]:
        participant = self.participants.pop(message.participant, None)
        if participant is None:
            return []
        withdrawn = [events.Unpublished(participant, p) for p in participant.publications.values()]
        return [*withdrawn, events.ParticipantLeft(participant, message.reason)]


def _publication(participant: str, publication: protocol.Publication) -> events.Publication:
    return events.Publication(
        publication.id, participant, publication.kind, publication.source, publication.muted
    )
