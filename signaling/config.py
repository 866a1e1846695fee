"""Settings of the service: `CLARION_*` variables, overridden by the flags of `clarion serve`."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rtc.transport.interfaces import discover_addresses

PREFIX = "CLARION_"
API_PREFIX = "/api/v1"
"""Path under which the REST API is."""
MIN_SECRET_LENGTH = 32
"""Characters of a token secret: RFC 7518 section 3.2 asks for a key as long as the hash, 256 bits."""

Port = Annotated[int, Field(ge=0, le=65535)]
CommaList = Annotated[tuple[str, ...], NoDecode]


class ConfigError(Exception):
    """A setting is wrong, or does not fit the others; the text says what to do about it."""


class IceServerSetting(BaseModel, frozen=True, extra="forbid"):
    """A STUN or TURN server that clients are told to use, as in RTCConfiguration.iceServers."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = Field(default="", repr=False)


class Settings(BaseSettings):
    """Everything that can be set. Every field is the variable `CLARION_` + its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    http_host: str = Field(
        "127.0.0.1", min_length=1, description="Address to serve the page and the signalling on."
    )
    http_port: Port = Field(8080, description="TCP port of the page and the signalling; 0 takes a free one.")
    udp_host: str = Field("", description="Address to receive media on; empty: the same as http_host.")
    udp_port: Port = Field(7882, description="The one UDP port of all media; 0 takes a free one.")
    public_ips: CommaList = Field(
        (),
        description="Addresses at which clients reach the media port, comma between; empty: this machine's.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs the tokens of participants, 32 characters or more; "
        "empty: no tokens, allowed on loopback only.",
    )
    tls_cert: Path | None = Field(None, description="File with the TLS certificates (PEM); needs tls_key.")
    tls_key: Path | None = Field(None, description="File with the TLS private key (PEM); needs tls_cert.")
    public_url: str = Field(
        "",
        description="Address of the service in links, like https://call.example.org; empty: from http_host.",
    )
    allowed_origins: CommaList = Field(
        (),
        description="Other sites whose pages may connect, such as https://example.org, comma between.",
    )
    trusted_proxies: CommaList = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For, -Proto and -Host are believed.",
    )
    data_dir: Path | None = Field(
        Path("clarion-data"),
        description="Directory for what must survive a restart: messages, bans, sessions; made if it is not there. "
        "Empty: nothing is kept.",
    )
    max_rooms: int = Field(1000, ge=1, description="Most rooms at one time.")
    max_participants: int = Field(1000, ge=1, description="Most participants and viewers on this server.")
    max_participants_per_room: int = Field(200, ge=1, description="Most of them in one room.")
    message_hours: float = Field(
        24.0, gt=0, le=87600, description="How long messages of a room are kept, in hours; late joiners see them."
    )
    messages_per_room: int = Field(10_000, ge=1, description="Messages that a room keeps at most.")
    messages_per_second: float = Field(
        5.0, gt=0, description="Messages that one participant may send, after a burst of ten seconds' worth."
    )
    call_log_days: float = Field(90.0, gt=0, description="How long calls between people are remembered, days.")
    message_bytes: int = Field(
        16_384, ge=1, le=131_072, description="Longest content of a message, bytes of JSON."
    )
    resume_seconds: float = Field(
        120.0, ge=1, le=3600, description="How long a lost connection may take to come back."
    )
    drain_seconds: float | None = Field(
        None, ge=0, le=86400,
        description="How long calls may go on after SIGTERM before they are interrupted or, without DATA_DIR, ended; "
        "empty: 30 without DATA_DIR but on loopback, 0 elsewhere.",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Format of the log; auto: text on a terminal, json elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged: debug, info, warning or error."
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token for /metrics; empty: open where no secret is set, and closed otherwise.",
    )
    webhook_urls: CommaList = Field(
        (), description="Addresses that are told what happens in rooms, comma between: see docs/governance.md."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs webhooks, whsec_ and 24 to 64 bytes in Base64 (Standard Webhooks).",
    )
    audit_days: float = Field(
        90.0, gt=0, le=3660, description="How long the audit log and reports are kept, in days."
    )
    whip_lenient_patch: bool = Field(
        False, description="Take WHIP and WHEP candidates without If-Match, as some players send them: true or false."
    )
    ice_servers: Annotated[tuple[IceServerSetting, ...], NoDecode] = Field(
        (),
        description="STUN and TURN servers for clients, as JSON: "
        '[{"urls": ["turn:..."], "username": "", "credential": ""}].',
    )

    @field_validator("public_ips", "allowed_origins", "trusted_proxies", "webhook_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        if not isinstance(value, str) or not value:
            return value or ()
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("this must be a JSON list of objects with `urls`") from None

    @field_validator("drain_seconds", "tls_cert", "tls_key", "data_dir", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("public_ips")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if ipaddress.ip_address(address).is_unspecified:
                raise ValueError(f"{address} is not an address that a client can reach")
        return value

    @field_validator("http_host")
    @classmethod
    def _host(cls, value: str) -> str:
        return value.strip("[]")

    @field_validator("udp_host")
    @classmethod
    def _udp_address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value)) if value else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network, strict=False)) for network in value)

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, separator, host = origin.partition("://")
            if scheme not in {"http", "https"} or not separator or not host or "/" in host:
                raise ValueError(f"{origin!r} is no origin: scheme and host only, such as https://example.org")
        return tuple(origin.lower() for origin in value)

    @field_validator("webhook_urls")
    @classmethod
    def _receivers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            scheme, separator, rest = url.partition("://")
            if scheme not in {"http", "https"} or not separator or not rest.strip("/"):
                raise ValueError(f"{url!r} is no address to send webhooks to: it begins with https:// or http://")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_key(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if text and not 24 <= len(key) <= 64:
            raise ValueError("this must be whsec_ and 24 to 64 bytes in Base64")
        return value

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("the address must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        secret = self.secret.get_secret_value()
        if secret and len(secret) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"CLARION_SECRET has {len(secret)} characters and needs {MIN_SECRET_LENGTH} or more; "
                "`openssl rand -hex 32` makes a good one"
            )
        if not secret and not self.on_loopback:
            raise ValueError(
                f"serving on {self.http_host} without a secret would let anyone on the network in. "
                "Set CLARION_SECRET (`openssl rand -hex 32` makes one), or serve on 127.0.0.1"
            )
        if self.webhook_urls and not self.webhook_secret.get_secret_value():
            raise ValueError(
                "CLARION_WEBHOOK_URLS needs CLARION_WEBHOOK_SECRET, or receivers could not tell webhooks from "
                "forgeries; `echo whsec_$(openssl rand -base64 32)` makes one"
            )
        if not is_address(self.media_host):
            raise ValueError(
                f"CLARION_HTTP_HOST is a name, {self.http_host}: set CLARION_UDP_HOST to an address"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS needs both tls_cert and tls_key")
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.http_host) and (not self.udp_host or is_loopback(self.udp_host))

    @property
    def open(self) -> bool:
        """Whether joining needs no token."""
        return not self.secret.get_secret_value()

    @property
    def media_host(self) -> str:
        """The address that the media port is bound to."""
        if self.udp_host:
            return self.udp_host
        return "127.0.0.1" if self.http_host == "localhost" else self.http_host

    @property
    def drain_deadline(self) -> float:
        """Seconds that calls may go on after the order to stop."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0.0 if self.on_loopback or self.data_dir is not None else 30.0

    @property
    def announced_ips(self) -> tuple[str, ...]:
        """Addresses at which clients are told to send media."""
        return self.public_ips or discover_addresses(self.media_host)

    def url(self, port: int | None = None) -> str:
        """Where a person opens the service; `port` is the one really bound."""
        if self.public_url:
            return self.public_url
        host = self.http_host
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            host = self.announced_ips[0]
        if ":" in host:
            host = f"[{host}]"
        return f"{'https' if self.tls_cert else 'http'}://{host}:{port or self.http_port}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context, None without TLS. Raises ConfigError for files that cannot be used."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The TLS certificate {self.tls_cert} with key {self.tls_key} cannot be used: {error}."
            ) from error
        return context


def load(overrides: Mapping[str, object] | None = None) -> Settings:
    """Settings of the environment, replaced by `overrides` that are not None. Raises ConfigError."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks what came in as text
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(problem) for problem in error.errors())) from error


def _sentence(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    place = [str(part) for part in problem["loc"]]
    if not place:
        return message[0].upper() + message[1:] + "."
    name, *inside = place
    where = f", at {'.'.join(inside)}" if inside else ""
    return f"{PREFIX}{name.upper()}{where}: {message[0].lower()}{message[1:]}."


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or address, is this machine talking to itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether `host` is a numeric address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def markdown() -> str:
    """The text of docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Every setting is a variable and, unless secret, a flag of `clarion serve`; the flag wins.",
        "Lists have commas between their entries. A wrong setting stops the start with a sentence.",
        "",
        "This page is written by `clarion settings`; a test compares it with the program.",
        "",
        "| Variable | Flag | Default | What it does |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        flag = "-" if is_secret(name) else f"`--{name.replace('_', '-')}`"
        default = field.default
        if isinstance(default, SecretStr) or default in ((), "", None):
            shown = "-"
        else:
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {flag} | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def changed(settings: Settings) -> list[str]:
    """The names of the settings that are not as by default, secrets without their value."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value != field.default:
            hidden = is_secret(name) or name == "ice_servers"
            shown = ",".join(value) if isinstance(value, tuple) and not hidden else value
            lines.append(f"{PREFIX}{name.upper()}" if hidden else f"{PREFIX}{name.upper()}={shown}")
    return lines


def is_secret(name: str) -> bool:
    """Whether setting `name` must not stand on a command line, where other users of the machine read it."""
    return Settings.model_fields[name].annotation is SecretStr


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Names in `environment` that look like settings and are none: most likely typing errors."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known.add(f"{PREFIX}TOKEN")  # of `clarion join`
    return sorted(name for name in environment if name.startswith(PREFIX) and name.upper() not in known)

