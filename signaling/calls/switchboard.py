"""Who is reachable, and the calls between them: plain values, no task and no clock.

A person has any number of devices. What happens is told as a list of `Change` values, in order; the caller of a
method passes them on. An answered call is nothing more than a room that everybody who answered enters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

RING_SECONDS = 45.0
"""How long a device rings before the call counts as missed: about nine rings of a telephone."""
MAX_PEOPLE = 16
"""Most people rung into one call."""
MAX_DEVICES = 8
"""Most devices of one person."""

Presence = Literal["available", "busy", "offline"]
RingState = Literal["ringing", "accepted", "declined", "busy", "missed", "offline", "cancelled", "left"]
CallState = Literal["ringing", "active", "ended"]
Refusal = Literal["bad-state", "not-found", "too-large", "server-full"]


class SwitchboardError(Exception):
    """A wish that does not fit now; `code` is one of the protocol's ErrorCode, the text is for the person."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Callee:
    """Somebody who is called."""

    person: str
    name: str
    state: RingState
    until: float
    """When the ringing ends."""
    device: str = ""
    """The device that answered or declined."""


@dataclass(slots=True)
class PhoneCall:
    """One call, from the first ring until fewer than two people are in it."""

    id: str
    room: str
    caller: str
    caller_name: str
    device: str
    """The device that the caller called from."""
    began: float
    callees: dict[str, Callee] = field(default_factory=dict)
    caller_left: bool = False
    answered: float | None = None
    ended: float | None = None

    @property
    def state(self) -> CallState:
        """Ringing until somebody answers, active until it has ended."""
        if self.ended is not None:
            return "ended"
        return "ringing" if self.answered is None else "active"

    def ringing(self) -> list[Callee]:
        """Those whose devices ring now."""
        return [callee for callee in self.callees.values() if callee.state == "ringing"]

    def engages(self, person: str) -> bool:
        """Whether this call occupies `person`: rings, or is being held."""
        if self.ended is not None:
            return False
        if person == self.caller and not self.caller_left:
            return True
        callee = self.callees.get(person)
        return callee is not None and callee.state in {"ringing", "accepted"}

    def people(self) -> set[str]:
        """Everybody whom this call concerns."""
        return {self.caller, *self.callees}


@dataclass(frozen=True, slots=True)
class CallChanged:
    """Something about a call is different now; the devices of its people want to know."""

    call: PhoneCall


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody is reachable now, busy, or away."""

    person: str
    presence: Presence


Change = CallChanged | PresenceChanged


@dataclass(slots=True)
class _Device:
    person: str
    name: str
    busy: bool = False


class Switchboard:
    """All devices and calls of a server. `new_id` makes ids that nobody can guess: of calls and of their rooms."""

    def __init__(self, new_id: Callable[[], str], *, ring_seconds: float = RING_SECONDS) -> None:
        self.calls: dict[str, PhoneCall] = {}
        """Those that have not ended."""
        self._new_id = new_id
        self._ring_seconds = ring_seconds
        self._devices: dict[str, _Device] = {}
        self._of_person: dict[str, list[str]] = {}
        self._shown: dict[str, Presence] = {}

    # --- who is there -------------------------------------------------------------------------------------

    def arrive(self, device: str, person: str, name: str) -> list[Change]:
        """A device of `person` can be rung from now on. Raises SwitchboardError."""
        devices = self._of_person.setdefault(person, [])
        if len(devices) >= MAX_DEVICES:
            raise SwitchboardError("server-full", f"You are reachable on {MAX_DEVICES} devices already.")
        devices.append(device)
        self._devices[device] = _Device(person, name)
        return self._presence([person])

    def depart(self, device: str, *, now: float) -> list[Change]:
        """A device is gone for good: it hangs up, and with a person's last device what rang there is missed."""
        person = self._devices.pop(device).person
        self._of_person[person].remove(device)
        changes: list[Change] = []
        for call in self._of(person):
            callee = call.callees.get(person)
            if device in {call.device, callee.device if callee else ""}:
                changes += self._leave(call, person, now=now)
            elif callee and callee.state == "ringing" and not self._of_person[person]:
                callee.state = "offline"
                changes += self._settle(call, now=now)
        if not self._of_person[person]:
            del self._of_person[person]
        return changes + self._presence([person])

    def set_busy(self, device: str, busy: bool) -> list[Change]:
        """A device is in some other call, or no longer."""
        self._devices[device].busy = busy
        return self._presence([self._devices[device].person])

    def presence(self, person: str) -> Presence:
        """Whether somebody can be called."""
        devices = self._of_person.get(person)
        if not devices:
            return "offline"
        engaged = any(self._devices[device].busy for device in devices) or bool(self._of(person))
        return "busy" if engaged else "available"

    def name(self, person: str) -> str:
        """How the newest device of a person names them, "" when there is none."""
        devices = self._of_person.get(person)
        return self._devices[devices[-1]].name if devices else ""

    def reachable(self) -> Iterable[str]:
        """Everybody who has a device here."""
        return self._of_person.keys()

    # --- what devices want --------------------------------------------------------------------------------

    def ring(
        self, device: str, people: Sequence[tuple[str, str]], *, now: float, into: str = ""
    ) -> tuple[PhoneCall, list[Change]]:
        """Call `people` (id and name), into a new call or into call `into`. Raises SwitchboardError.

        Two people who call one another at the same time are connected.
        """
        caller = self._devices[device].person
        wanted = {person: name for person, name in people if person != caller}
        if not wanted:
            raise SwitchboardError("not-found", "There is nobody to call.")
        if into:
            call = self._mine(into, caller)
            if call.device != device:
                raise SwitchboardError("bad-state", "Only the device that made the call can add people to it.")
        else:
            if (crossing := self._crossing(caller, list(wanted))) is not None:
                return crossing, self.accept(device, crossing.id, now=now)
            if any(call.engages(caller) for call in self._of(caller)):
                raise SwitchboardError("bad-state", "You are in a call already.")
            call = PhoneCall(
                id=self._new_id(), room=f"call-{self._new_id()}", caller=caller,
                caller_name=self._devices[device].name, device=device, began=now,
            )
        if len(call.callees.keys() | wanted.keys()) > MAX_PEOPLE:
            raise SwitchboardError("too-large", f"More than {MAX_PEOPLE} people cannot be called at once.")
        self.calls[call.id] = call
        for person, name in wanted.items():
            before = call.callees.get(person)
            if before is None or before.state not in {"ringing", "accepted"}:
                presence = self.presence(person)
                state: RingState = "ringing" if presence == "available" else presence
                call.callees[person] = Callee(
                    person, self.name(person) or name, state, until=now + self._ring_seconds
                )
        return call, self._settle(call, now=now)

    def accept(self, device: str, call_id: str, *, now: float) -> list[Change]:
        """Answer: the first device of a person to do so wins. Answering twice is answering once.

        Raises SwitchboardError.
        """
        person = self._devices[device].person
        call = self._mine(call_id, person)
        callee = call.callees.get(person)
        if callee is None:
            raise SwitchboardError("bad-state", "This is your own call.")
        if callee.state == "accepted" and callee.device == device:
            return []
        if callee.state == "accepted":
            raise SwitchboardError("bad-state", "The call was answered on another device.")
        if callee.state != "ringing":
            raise SwitchboardError("bad-state", "The call does not ring any more.")
        callee.state, callee.device = "accepted", device
        call.answered = now if call.answered is None else call.answered
        return self._settle(call, now=now)

    def decline(self, device: str, call_id: str, *, now: float) -> list[Change]:
        """Do not answer: all devices of the person fall silent. Raises SwitchboardError."""
        person = self._devices[device].person
        call = self._mine(call_id, person)
        callee = call.callees.get(person)
        if callee is None or callee.state not in {"ringing", "declined"}:
            raise SwitchboardError("bad-state", "The call does not ring any more.")
        callee.state, callee.device = "declined", device
        return self._settle(call, now=now)

    def hang_up(self, device: str, call_id: str, *, now: float) -> list[Change]:
        """Take an own call back, or leave one that was answered. Raises SwitchboardError."""
        person = self._devices[device].person
        call = self._mine(call_id, person)
        callee = call.callees.get(person)
        if device not in {call.device, callee.device if callee else ""}:
            raise SwitchboardError("bad-state", "The call is on another device.")
        return self._leave(call, person, now=now)

    # --- time ---------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When `tick` is due; None: nothing rings."""
        return min((callee.until for call in self.calls.values() for callee in call.ringing()), default=None)

    def tick(self, *, now: float) -> list[Change]:
        """Whoever has not answered in time has missed the call."""
        changes: list[Change] = []
        for call in list(self.calls.values()):
            late = [callee for callee in call.ringing() if callee.until <= now]
            for callee in late:
                callee.state = "missed"
            if late:
                changes += self._settle(call, now=now)
        return changes

    # --- inside -------------------------------------------------------------------------------------------

    def _of(self, person: str) -> list[PhoneCall]:
        return [call for call in self.calls.values() if call.engages(person)]

    def _mine(self, call_id: str, person: str) -> PhoneCall:
        call = self.calls.get(call_id)
        if call is None or person not in call.people():
            raise SwitchboardError("not-found", "There is no such call any more.")
        return call

    def _crossing(self, caller: str, wanted: list[str]) -> PhoneCall | None:
        """The call in which the one who is wanted calls the caller at this moment."""
        for call in self._of(caller):
            callee = call.callees.get(caller)
            if [call.caller] == wanted and callee is not None and callee.state == "ringing":
                return call
        return None

    def _leave(self, call: PhoneCall, person: str, *, now: float) -> list[Change]:
        if person == call.caller:
            call.caller_left = True
            for callee in call.ringing():
                callee.state = "cancelled"
        else:
            call.callees[person].state = "left"
        return self._settle(call, now=now)

    def _settle(self, call: PhoneCall, *, now: float) -> list[Change]:
        """End the call if fewer than two are left in it; tell what is different."""
        accepted = sum(callee.state == "accepted" for callee in call.callees.values())
        left = accepted + len(call.ringing()) + (not call.caller_left)
        if left < 2:
            call.ended = now
            self.calls.pop(call.id, None)
        return [CallChanged(call), *self._presence(call.people())]

    def _presence(self, people: Iterable[str]) -> list[Change]:
        changes: list[Change] = []
        for person in sorted(people):
            presence = self.presence(person)
            if presence != self._shown.get(person, "offline"):
                changes.append(PresenceChanged(person, presence))
            if presence == "offline":
                self._shown.pop(person, None)
            else:
                self._shown[person] = presence
        return changes
