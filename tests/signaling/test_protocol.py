"""The messages, and that the page about them names them all."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from signaling import protocol
from signaling.session import CloseReason

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def test_every_command_code_and_reason_is_documented() -> None:
    commands = [each.__struct_config__.tag for each in get_args(protocol.ClientMessage)]
    for word in [*commands, *get_args(protocol.ErrorCode), *get_args(CloseReason)]:
        assert f"`{word}`" in DOCUMENT or f'"{word}"' in DOCUMENT, word


def test_the_reasons_are_those_of_the_message() -> None:
    for reason in get_args(CloseReason):
        text = protocol.encode(protocol.Closed(reason=reason))
        assert protocol.decode_server(text) == protocol.Closed(reason=reason)
    with pytest.raises(msgspec.ValidationError):
        protocol.decode_server('{"type":"closed","reason":"boredom"}')


def test_names_are_camel_case_on_the_wire() -> None:
    assert protocol.encode(protocol.Resumed(last_id=3)) == '{"type":"resumed","lastId":3}'


def test_a_newer_client_with_more_fields_is_understood() -> None:
    assert protocol.decode_client('{"type":"ping","id":1,"since":"1.2"}') == protocol.Ping(id=1)
