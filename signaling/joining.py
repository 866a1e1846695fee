"""What `clarion join` can be told; `rtc.client.cli` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def join(
    url: Annotated[str, typer.Argument(metavar="URL", help="Invite link, such as http://host:8080/r/ROOM")],
    *,
    play: Annotated[
        Path | None, typer.Option("--play", metavar="FILE", help="Media file to play into the call.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Record the call: .mp4 .mkv .webm .ogg or .wav"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", metavar="N", min=0.1, help="Leave after so long; else at the file's end or Ctrl-C."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name that the others see.")] = "clarion join",
    token: Annotated[
        str, typer.Option("--token", envvar="CLARION_TOKEN", help="Token, where the server asks for one.")
    ] = "",
    loop: Annotated[bool, typer.Option("--loop/--once", help="Play the file again and again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as one JSON object.")] = False,
) -> None:
    """Join a call: play a media file into it, record it, and print how well it went."""
    from rtc.client.cli import take_part  # noqa: PLC0415 - codecs take a second to load, and no other command needs them

    take_part(url, play, record, seconds, name=name, token=token, loop=loop, as_json=as_json)
