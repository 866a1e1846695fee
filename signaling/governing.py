"""The `clarion` commands that govern a running server, over its API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from signaling import config, tokens
from signaling.config import API_PREFIX, ConfigError

TOKEN_SECONDS = 60.0
"""How long the token lives that a command makes for itself."""
ANSWER_SECONDS = 30.0
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Room = Annotated[str, typer.Argument(help="Name of the room.")]
Who = Annotated[str, typer.Argument(help="Id, name or identity of somebody in the room.")]
Url = Annotated[str, typer.Option("--url", help="Address of the server; empty: that of its settings.")]
Token = Annotated[
    str,
    typer.Option("--token", envvar="CLARION_TOKEN", help="Token of an administrator; else made with CLARION_SECRET."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


class Server:
    """The API of a running server."""

    def __init__(self, url: str, token: str) -> None:
        try:
            settings = config.load({})
        except ConfigError as error:
            fail(str(error))
        self._url = (url or settings.url()).rstrip("/") + API_PREFIX
        secret = settings.secret.get_secret_value()
        if not token and secret:
            token = tokens.issue_admin(secret, tokens.Admin("clarion"), ttl=TOKEN_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, body: object = None, *, optional: bool = False, **query: str | int
    ) -> Any:
        """The answer of the API, with `optional` None for what is not there; a refusal ends the program."""
        text = asyncio.run(self._ask(method, path, body, query, optional=optional))
        return [json.loads(line) for line in text.splitlines()] if path == "/audit" else json.loads(text or "null")

    async def _ask(self, method: str, path: str, body: object, query: dict[str, str | int], *, optional: bool) -> str:
        import aiohttp  # noqa: PLC0415 - takes half a second, and most commands ask nothing

        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as http,
                http.request(method, self._url + path, json=body, params=query) as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            fail(f"the server at {self._url.removesuffix(API_PREFIX)} cannot be reached: {str(error) or 'no answer'}")
        if response.status == 404 and optional:
            return ""
        if response.status >= 400:
            try:
                problem = json.loads(text)
                why = problem.get("detail") or problem["title"]
            except (ValueError, KeyError, AttributeError):
                why = f"it answered {response.status}"
            fail(why)
        return text

    def participant(self, room: str, who: str) -> dict[str, Any]:
        """Somebody in a room, by id, name or identity."""
        people = self("GET", f"/rooms/{quote(room)}/participants")["participants"]
        found = [each for each in people if who in {each["id"], each["identity"], each["name"]}]
        if len(found) != 1:
            fail(f"{len(found)} people in {room} answer to {who!r}; `clarion people {room}` lists their ids")
        return dict(found[0])

    def act(self, method: str, room: str, who: str, path: str = "", body: object = None) -> str:
        """Do something to somebody; their name."""
        person = self.participant(room, who)
        self(method, f"/rooms/{quote(room)}/participants/{quote(person['id'])}{path}", body)
        return str(person["name"])


def fail(why: str) -> NoReturn:
    """End the program with a sentence."""
    typer.echo(f"clarion: {why}", err=True)
    raise typer.Exit(1)


def duration(text: str) -> float:
    """Seconds of a text such as 90, 15m, 2h or 7d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        fail(f"{text!r} is no time: write 90, 15m, 2h or 7d")
    return float(match[1]) * UNITS[match[2] or "s"]


def when(at: float | None) -> str:
    """A time for people."""
    return "for ever" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def show(
    as_json: bool, answer: object, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str
) -> None:
    """Print a table, or the answer itself as JSON."""
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif not rows:
        typer.echo(nothing)
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(_plain, row))
        Console(highlight=False).print(table)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


# --- rooms and people ---------------------------------------------------------------------------------------


def rooms(*, url: Url = "", token: Token = "", as_json: Json = False) -> None:
    """List the rooms."""
    answer = Server(url, token)("GET", "/rooms")
    rows = []
    for room in answer["rooms"]:
        marks = [mark for mark in ("locked", "lobby") if room["settings"].get(mark)] + ["kept"] * room["kept"]
        rows.append((room["name"], str(room["participants"]), str(room["waiting"]), ", ".join(marks)))
    show(as_json, answer, ("room", "people", "waiting", ""), rows, "There is no room.")


def people(room: Room, *, url: Url = "", token: Token = "", as_json: Json = False) -> None:
    """List who is in a room, and who waits in its lobby."""
    server = Server(url, token)
    inside = server("GET", f"/rooms/{quote(room)}/participants")["participants"]
    waiters = server("GET", f"/rooms/{quote(room)}/lobby")["waiters"]
    rows = [(each["id"], each["name"], each["identity"], each["role"], each["kind"]) for each in inside]
    rows += [(each["id"], each["name"], "", "waiting", "") for each in waiters]
    answer = {"participants": inside, "waiters": waiters}
    show(as_json, answer, ("id", "name", "identity", "role", "kind"), rows, "Nobody is there.")


def kick(room: Room, who: Who, *, url: Url = "", token: Token = "") -> None:
    """Put somebody out until the room ends."""
    typer.echo(f"{Server(url, token).act('DELETE', room, who)} is out of {room}, until it ends or `clarion unban`.")


def ban(
    room: Room,
    who: Annotated[str, typer.Argument(help="Id or name of somebody in the room, or the identity of anybody.")],
    *,
    time: Annotated[str, typer.Option("--for", metavar="TIME", help="90, 15m, 2h or 7d; empty: for ever.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    url: Url = "",
    token: Token = "",
) -> None:
    """Keep somebody out of a room, for some time or for ever."""
    server = Server(url, token)
    present = server("GET", f"/rooms/{quote(room)}/participants", optional=True) or {"participants": []}
    found = [each["identity"] for each in present["participants"] if who in {each["id"], each["name"]}]
    identity = found[0] if found else who
    body = {"identity": identity, "reason": reason} | ({"seconds": duration(time)} if time else {})
    banned = server("POST", f"/rooms/{quote(room)}/bans", body)
    typer.echo(f"{identity} may not enter {room}: {'until ' if banned['until'] else ''}{when(banned['until'])}.")


def unban(
    room: Room,
    identity: Annotated[str, typer.Argument(help="As `clarion bans` shows it.")],
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Let somebody come back."""
    Server(url, token)("DELETE", f"/rooms/{quote(room)}/bans/{quote(identity, safe='')}")
    typer.echo(f"{identity} may enter {room} again.")


def bans(room: Room, *, url: Url = "", token: Token = "", as_json: Json = False) -> None:
    """List who may not enter a room."""
    answer = Server(url, token)("GET", f"/rooms/{quote(room)}/bans")
    rows = [
        (each["identity"], each["name"], "the room ends" if each["removal"] else when(each["until"]), each["reason"])
        for each in answer["bans"]
    ]
    show(as_json, answer, ("identity", "name", "until", "reason"), rows, "Nobody is banned.")


def lock(room: Room, *, url: Url = "", token: Token = "") -> None:
    """Let nobody in any more but hosts and who was inside."""
    Server(url, token)("PATCH", f"/rooms/{quote(room)}", {"locked": True})
    typer.echo(f"{room} is locked.")


def unlock(room: Room, *, url: Url = "", token: Token = "") -> None:
    """Let people in again."""
    Server(url, token)("PATCH", f"/rooms/{quote(room)}", {"locked": False})
    typer.echo(f"{room} is open.")


def admit(
    room: Room,
    waiter: Annotated[str, typer.Argument(help="Id or name of who waits.")],
    deny: Annotated[bool, typer.Option("--deny", help="Send them away instead.")] = False,
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Let somebody in from the lobby."""
    server = Server(url, token)
    found = [
        each for each in server("GET", f"/rooms/{quote(room)}/lobby")["waiters"] if waiter in {each["id"], each["name"]}
    ]
    if len(found) != 1:
        fail(f"{len(found)} people wait who answer to {waiter!r}; `clarion people {room}` lists their ids")
    server("POST", f"/rooms/{quote(room)}/lobby/{quote(found[0]['id'])}/{'deny' if deny else 'admit'}")
    typer.echo(f"{found[0]['name']} is {'sent away' if deny else 'let in'}.")


def mute(
    room: Room,
    who: Who,
    video: Annotated[bool, typer.Option("--video", help="Pictures instead of sound.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Allow it again.")] = False,
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Mute somebody, who cannot unmute until it is undone."""
    body = {"kind": "video" if video else "audio", "silenced": not undo}
    name = Server(url, token).act("POST", room, who, "/silence", body)
    typer.echo(f"{name} {'may unmute' if undo else 'is muted'}.")


def role(
    room: Room,
    who: Who,
    role_: Annotated[str, typer.Argument(metavar="ROLE", help="host, speaker or listener.")],
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Make somebody a host, a speaker or a listener."""
    typer.echo(f"{Server(url, token).act('PATCH', room, who, '', {'role': role_})} is a {role_} now.")


def end(room: Room, *, url: Url = "", token: Token = "") -> None:
    """End a room for everybody."""
    Server(url, token)("DELETE", f"/rooms/{quote(room)}")
    typer.echo(f"{room} has ended.")


def say(
    room: Room, text: Annotated[str, typer.Argument(help="What to say.")], *, url: Url = "", token: Token = ""
) -> None:
    """Send a message to everybody in a room."""
    Server(url, token)("POST", f"/rooms/{quote(room)}/messages", {"text": text})


# --- the server and its records -----------------------------------------------------------------------------


def revoke(
    given: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or its id (claim jti).")],
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Take a token back before it expires; who is in a room with it is put out."""
    body = {"token": given} if given.count(".") == 2 else {"tokenId": given}
    answer = Server(url, token)("POST", "/revocations", body)
    typer.echo(f"Taken back; {answer['sessions']} sessions ended.")


def audit(
    *,
    room: Annotated[str, typer.Option(help="Of this room only.")] = "",
    person: Annotated[str, typer.Option(help="By or about this identity only.")] = "",
    after: Annotated[int, typer.Option(min=0, help="Only entries with a higher number.")] = 0,
    url: Url = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Print the audit log; with --json, as JSON Lines."""
    entries = Server(url, token)("GET", "/audit", room=room, identity=person, after=after)
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    rows = [
        (
            str(each["number"]),
            when(each["at"]),
            each.get("room", ""),
            each["what"],
            each.get("who", ""),
            each.get("whom", ""),
            " ".join(
                f"{name}={when(value) if name == 'until' else value}" for name, value in each.get("detail", {}).items()
            ),
        )
        for each in entries
    ]
    show(False, entries, ("", "when", "room", "what", "who", "whom", ""), rows, "Nothing has happened.")


def reports(*, url: Url = "", token: Token = "", as_json: Json = False) -> None:
    """List what participants have reported; with --json, with the evidence."""
    answer = Server(url, token)("GET", "/reports")
    rows = [
        (
            when(each["at"]),
            each["room"],
            each["by"]["identity"],
            each["about"]["identity"],
            each["reason"],
            f"{len(each['messages'])} messages",
        )
        for each in answer["reports"]
    ]
    show(as_json, answer, ("when", "room", "by", "about", "reason", "evidence"), rows, "Nothing was reported.")


def webhooks(*, url: Url = "", token: Token = "", as_json: Json = False) -> None:
    """List how the latest webhooks fared."""
    answer = Server(url, token)("GET", "/webhooks/deliveries")
    rows = [
        (when(each["at"]), each["room"], each["event"], each["result"], str(each["status"]), str(each["attempt"]))
        for each in answer["deliveries"]
    ]
    show(as_json, answer, ("when", "room", "event", "result", "status", "attempt"), rows, "Nothing was delivered.")
    if not as_json:
        typer.echo(f"{answer['waiting']} wait.")


def drain(
    off: Annotated[bool, typer.Option("--off", help="Take newcomers in again.")] = False,
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Refuse newcomers; calls go on."""
    answer = Server(url, token)("POST", "/node/drain", {"draining": not off})
    typer.echo(f"{'Draining' if answer['draining'] else 'Open'}: {answer['participants']} people are here.")


person = typer.Typer(help="Export or erase all that is stored about one person.", no_args_is_help=True)
Identity = Annotated[str, typer.Argument(help="Claim `sub` of the tokens; without tokens the name, in small letters.")]


@person.command("export")
def export_person(identity: Identity, *, url: Url = "", token: Token = "") -> None:
    """Print all that is stored about one person, as JSON."""
    answer = Server(url, token)("GET", f"/persons/{quote(identity, safe='')}")
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))


@person.command("erase")
def erase_person(
    identity: Identity,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    *,
    url: Url = "",
    token: Token = "",
) -> None:
    """Erase what is stored about one person; the audit log names a pseudonym from then on."""
    if not yes:
        typer.confirm(f"Erase everything about {identity}?", abort=True)
    answer = Server(url, token)("DELETE", f"/persons/{quote(identity, safe='')}")
    typer.echo(
        f"Erased: {answer['messages']} messages, {answer['reports']} reports; "
        f"{answer['audit']} entries of the audit log name a pseudonym now."
    )


COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Rooms and people": (rooms, people, kick, ban, unban, bans, lock, unlock, admit, mute, role, end, say),
    "The server and its records": (revoke, audit, reports, webhooks, drain),
}


def add_to(app: typer.Typer) -> None:
    """Add the commands to `clarion`."""
    for panel, commands in COMMANDS.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.add_typer(person, name="person", rich_help_panel="The server and its records")
