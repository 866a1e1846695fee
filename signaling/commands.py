"""What a participant asks for over the WebSocket, and who carries it out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import assert_never

from signaling import protocol
from signaling.calls.exchange import Line
from signaling.chat import Chat
from signaling.governance import acts
from signaling.members import Member, RefusedError
from signaling.session import Party


def carry_out(party: Party, command: protocol.Command, chat: Chat) -> protocol.Reply | Awaitable[protocol.Reply]:
    """Do it, or begin to: what takes time is awaited by the caller. Raises RefusedError."""
    if isinstance(party, Line):
        return party.carry_out(command)
    assert isinstance(party, Member)  # noqa: S101 - there are no others
    return _in_room(party, command, chat)


def _in_room(
    member: Member, command: protocol.Command, chat: Chat
) -> protocol.Reply | Awaitable[protocol.Reply]:
    match command:
        case protocol.Offer() | protocol.Publish() | protocol.Unpublish() | protocol.Mute() | protocol.Watch():
            return _media(member, command)
        case protocol.Send():
            return chat.send(member, command, now=asyncio.get_running_loop().time())
        case protocol.History():
            return chat.history(member, command)
        case protocol.Ping() | protocol.Leave():
            return protocol.Reply(re=command.id)
        case (
            protocol.Ring() | protocol.Accept() | protocol.Decline() | protocol.HangUp()
            | protocol.SetBusy() | protocol.CallHistory()
        ):
            raise RefusedError("bad-state", "This session is in a room; calling a person needs a line.")
        case _:
            return acts.carry_out(member, command)


def _media(member: Member, command: protocol.MediaCommand) -> protocol.Reply:
    sdp, publication = "", None
    match command:
        case protocol.Offer():
            sdp = member.answer(command.sdp)
        case protocol.Publish():
            publication = member.publish(command.mid, command.source, muted=command.muted)
        case protocol.Unpublish():
            member.unpublish(command.publication)
        case protocol.Mute():
            member.mute(command.publication, command.muted)
        case protocol.Watch():
            member.watch(command.publications, heights=command.heights)
        case _:
            assert_never(command)
    return protocol.Reply(re=command.id, sdp=sdp, publication=publication)
