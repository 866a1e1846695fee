"""Somebody whose every command is nearly right: the server has an answer to each, and nobody else notices."""

from __future__ import annotations

import json
import random
import typing
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType
from conftest import Guest, Serve
from msgspec import inspect
from structlog.testing import capture_logs

from signaling import protocol

SESSIONS = 60
MESSAGES = 40
"""In a session: fewer than its rate limit refuses."""

LAST = 2**40
"""Number of a command behind every other."""

RUBBISH = [
    None, True, -1, 0, 2**53, 2**64, -(2**70), 1e308, 0.5, "", " ", "\u202e", "\0", "x" * 5000, "../../etc", "1e9",
    [], {}, [[]], [None] * 300, {"": ""}, {"a": {"b": {"c": {}}}}, "9" * 400,
]  # fmt: skip
KINDS = [inspect.type_info(kind) for kind in typing.get_args(protocol.ClientMessage)]
CODES = set(typing.get_args(protocol.ErrorCode)) - {"internal"}


class Fuzzer:
    """Messages of the protocol with fields that fit, nearly fit, or do not."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.words = ["hall", "microphone", "0", "me"]
        """What fits where a name or an id is asked for: those that the server has told of are among them."""

    def message(self, number: int) -> str:
        kind = self._dice.choice(KINDS)
        assert isinstance(kind, inspect.StructType)
        message = self._struct(kind)
        if "id" in message and self._dice.random() > 0.05:
            message["id"] = number
        text = json.dumps(message)
        if self._dice.random() < 0.02:
            text = text[: self._dice.randrange(len(text))]
        return text

    def learn(self, message: Any) -> None:
        """Remember every short string in it."""
        if isinstance(message, str) and len(message) < 64:
            self.words = [*self.words[-200:], message]
        elif isinstance(message, dict | list):
            for part in message.values() if isinstance(message, dict) else message:
                self.learn(part)

    def _struct(self, kind: inspect.StructType) -> dict[str, Any]:
        values = {
            field.encode_name: self._value(field.type)
            for field in kind.fields if field.required or self._dice.random() < 0.7
        }
        if kind.tag_field:
            values[kind.tag_field] = kind.tag
        if values and self._dice.random() < 0.03:
            values.pop(self._dice.choice(list(values)))
        return values

    def _value(self, kind: inspect.Type) -> Any:
        dice = self._dice
        if dice.random() < 0.04:
            return dice.choice(RUBBISH)
        match kind:
            case inspect.UnionType(types=types):
                return self._value(dice.choice(types))
            case inspect.StructType():
                return self._struct(kind)
            case inspect.LiteralType(values=values):
                return dice.choice(values)
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                return [self._value(item) for _ in range(dice.choice((0, 1, 2, 40)))]
            case inspect.DictType(key_type=key, value_type=value):
                return {str(self._value(key)): self._value(value) for _ in range(dice.choice((0, 1, 3)))}
            case inspect.BoolType():
                return dice.random() < 0.5
            case inspect.IntType():
                return dice.choice((0, 1, 2, 3, 50, 1000))
            case inspect.FloatType():
                return dice.choice((0.0, 1.5, 3600.0))
            case inspect.NoneType():
                return None
            case _:
                return dice.choice(self.words)


@pytest.mark.parametrize("seed", range(8))
async def test_commands_that_are_nearly_right_fail_in_no_unforeseen_way(serve: Serve, seed: int) -> None:
    with capture_logs() as log:
        await attack(serve, seed)
    assert [entry for entry in log if entry["log_level"] in {"error", "critical"}] == []


async def attack(serve: Serve, seed: int) -> None:
    service = await serve()
    bystander = await service.join("Bystander", "attic")
    fuzzer = Fuzzer(seed)
    answered = set()
    for count in range(SESSIONS):
        room = f"hall-{count}"  # who was banned from the one before comes into the next
        ann, bob = await service.join("Ann", room), await service.join("Bob", room)
        fuzzer.learn([ann.joined, bob.joined])
        for number in range(1, MESSAGES + 1):
            if ann.socket.closed:
                break
            await ann.socket.send_str(fuzzer.message(number))
        for guest in (ann, bob):
            answered |= await told(guest, fuzzer)
    assert answered >= {"reply", "bad-message", "not-found"}  # some were right, some were not, some came too late
    assert answered <= {"reply", *CODES}
    assert (await bystander.command("ping"))["type"] == "reply"
    assert bystander.seq == 2  # nothing but its own answer ever came


async def told(guest: Guest, fuzzer: Fuzzer) -> set[str]:
    """Say goodbye and read to the end: "reply" and the codes of errors."""
    seen = set()
    if not guest.socket.closed:
        await guest.send(type="leave", id=LAST)
    while (frame := await guest.socket.receive(timeout=10)).type is WSMsgType.TEXT:
        message = msgspec.json.decode(frame.data)
        fuzzer.learn(message)
        if message["type"] in {"reply", "error"}:
            seen.add(message.get("code", "reply"))
    return seen
