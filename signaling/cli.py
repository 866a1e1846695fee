"""The command `clarion`."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import structlog
import typer
from rich.console import Console
from rich.markup import escape as rich_escape
from rich.text import Text

from signaling import config, governing, joining, logs, tokens
from signaling.config import ConfigError, Settings
from signaling.names import InvalidNameError, participant_name, room_name

HOUR = 3600.0
EXIT_USAGE = 2
COLLECT_AFTER = 10_000
"""Objects made, and not given back, between two collections: with Python's 700 a busy server collects all the time."""

log = structlog.get_logger()
app = typer.Typer(
    name="clarion",
    help="Clarion: a calling service that anyone can host.\n\n"
    "[bold]clarion serve[/] starts the service and prints the address to open; "
    "[bold]clarion join[/] takes part in a call from the command line.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clarion {version('clarion')}")
        raise typer.Exit


@app.callback()
def _clarion(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    return


def serve(**flags: Any) -> None:
    """Start the service and print the address to open."""
    settings = _settings(flags)
    console = Console(highlight=False)
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    logs.configure(json=not text, level=settings.log_level)
    if misspelt := config.unknown_variables(os.environ):
        log.warning("variables that are no settings are ignored", variables=misspelt)
    from signaling.app import create_app  # noqa: PLC0415 - takes a second to load, and no other command needs it
    from signaling.server import Stop  # noqa: PLC0415 - the same
    from signaling.server import serve as run_server  # noqa: PLC0415 - the same

    def started(http_port: int, udp_port: int) -> None:
        spare_collections()
        console.print(banner(settings, http_port, udp_port), soft_wrap=True)

    async def run() -> None:
        stop = Stop()
        with stop.on_signals():
            await run_server(create_app(settings), settings, stop=stop, started=started)

    try:
        _run(run())
    except ConfigError as error:
        _refuse(error)


def spare_collections() -> None:
    """Keep what is there at the start out of every garbage collection, each of which stops all media."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def banner(settings: Settings, http_port: int, udp_port: int) -> Text:
    """What a person who has just started the service needs to know."""
    url = settings.url(http_port)
    invite = (
        f"send anyone the address of a room, such as {url}/r/meeting"
        if settings.open
        else "`clarion token --room meeting` prints a link to send"
    )
    lines = [
        ("Open", url),
        ("Invite", invite),
        ("Media", f"UDP port {udp_port} at {', '.join(settings.announced_ips)}"),
    ]
    if settings.open:
        lines.append(("Who", "people at this machine; for others set CLARION_SECRET and CLARION_HTTP_HOST"))
    elif not (settings.tls_cert or settings.url(http_port).startswith("https://") or settings.on_loopback):
        lines.append(("Note", "browsers want https for camera and microphone: CLARION_TLS_CERT, or a proxy"))
    if changed := config.changed(settings):
        lines.append(("Set", ", ".join(changed)))
    lines.append(("Stop", "Ctrl+C"))
    text = Text(f"\n  Clarion {version('clarion')}\n\n", style="bold")
    for label, value in lines:
        text.append(f"  {label:<8}", style="cyan not bold")
        text.append(f"{value}\n", style="not bold" if label != "Open" else "bold underline")
    return text


def token(  # noqa: PLR0917 - options, given by name
    room: Annotated[str, typer.Option(help="Room that the token is for.")],
    name: Annotated[str, typer.Option(help="Name of the participant; empty: asked when joining.")] = "",
    identity: Annotated[str, typer.Option(help="Who this is in your own books; empty: a random one.")] = "",
    ttl: Annotated[float, typer.Option(min=0.01, help="Hours that the token can be used to join.")] = 24.0,
    publish: Annotated[bool, typer.Option(help="May send audio and video.")] = True,
    subscribe: Annotated[bool, typer.Option(help="May receive audio and video.")] = True,
    admin: Annotated[bool, typer.Option(help="May moderate the room.")] = False,
    hidden: Annotated[bool, typer.Option(help="Is not shown to others, and sends nothing.")] = False,
) -> None:
    """Print a token for one participant, and the link with it.

    Needs the CLARION_SECRET of the server, and CLARION_PUBLIC_URL for a link that works elsewhere.
    """
    settings = _settings({})
    if settings.open:
        _refuse(ConfigError("Set CLARION_SECRET to that of the server; without one no tokens are needed."))
    try:
        grants = tokens.Grants(
            room=room_name(room),
            identity=identity,
            name=participant_name(name) if name else "",
            can_publish=publish,
            can_subscribe=subscribe,
            room_admin=admin,
            hidden=hidden,
        )
    except InvalidNameError as error:
        _refuse(ConfigError(str(error)))
    issued = tokens.issue(settings.secret.get_secret_value(), grants, ttl=ttl * HOUR)
    typer.echo(issued)
    # After `#`, so that the browser tells neither servers nor proxies.
    typer.echo(f"{settings.url()}/r/{quote(grants.room)}#token={issued}")


def _serve_flags() -> inspect.Signature:
    """One flag for every setting but the secret ones, from their descriptions in the model."""
    parameters = []
    for name, field in Settings.model_fields.items():
        if config.is_secret(name):
            continue
        default = "" if field.default in (None, ()) else str(field.default)
        option = typer.Option(
            f"--{name.replace('_', '-')}",
            help=rich_escape(f"{field.description} [{config.PREFIX}{name.upper()}]"),
            show_default=default or False,
            metavar="VALUE",
        )
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
            )
        )
    return inspect.Signature(parameters)


serve.__signature__ = _serve_flags()  # type: ignore[attr-defined]  # what Typer reads
app.command(
    help="Start the service and print the address to open.\n\n"
    "Without any flag it runs on this machine only, for trying out. To serve others set CLARION_SECRET, "
    "and give --tls-cert and --tls-key or put a proxy with TLS in front: browsers give camera and microphone "
    "to https pages only. Every flag is also a variable, named at its end."
)(serve)
app.command()(joining.join)
app.command()(token)
governing.add_to(app)


@app.command(hidden=True)
def settings() -> None:
    """Print docs/settings.md."""
    typer.echo(config.markdown(), nl=False)


def main() -> None:
    """Entry point of the command."""
    app()


def _settings(flags: dict[str, Any]) -> Settings:
    try:
        return config.load(flags)
    except ConfigError as error:
        _refuse(error)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop, which takes a third less of the processor, where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


def _refuse(error: ConfigError) -> NoReturn:
    for line in str(error).splitlines():
        typer.echo(f"clarion: {line}", err=True)
    raise typer.Exit(EXIT_USAGE)
