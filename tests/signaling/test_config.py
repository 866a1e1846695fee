"""Settings: what is accepted, what is refused in which words, and that the page about them is current."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import SECRET
from typer.testing import CliRunner

from signaling import cli, config
from signaling.config import ConfigError, load

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it here
DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"

ACCEPTED = {
    "nothing": {},
    "IPv6 loopback": {"http_host": "::1"},
    "localhost": {"http_host": "localhost"},
    "public with secret": {"http_host": EVERYWHERE, "secret": SECRET},
    "lists": {"public_ips": "192.0.2.1, 2001:db8::1", "allowed_origins": "https://a.example,http://b.example:81"},
    "empty lists": {"public_ips": "", "allowed_origins": "", "trusted_proxies": "", "ice_servers": ""},
    "empty values": {"drain_seconds": "", "tls_cert": "", "tls_key": "", "udp_host": "", "public_url": ""},
    "proxies": {"trusted_proxies": "10.0.0.0/8,::1"},
    "ICE servers": {"ice_servers": '[{"urls": ["stun:s.example"]}]'},
}

REFUSED = {
    "open to the network": ({"http_host": EVERYWHERE}, "CLARION_SECRET"),
    "open to the network, IPv6": ({"http_host": "::"}, "CLARION_SECRET"),
    "open by name": ({"http_host": "call.example.org"}, "CLARION_SECRET"),
    "a name for media": ({"http_host": "call.example.org", "secret": SECRET}, "CLARION_UDP_HOST"),
    "no host": ({"http_host": ""}, "CLARION_HTTP_HOST"),
    "media open to the network": ({"udp_host": EVERYWHERE}, "CLARION_SECRET"),
    "short secret": ({"secret": "short"}, "32"),
    "port is text": ({"http_port": "eighty"}, "CLARION_HTTP_PORT"),
    "port too large": ({"udp_port": "65536"}, "CLARION_UDP_PORT"),
    "port negative": ({"http_port": "-1"}, "CLARION_HTTP_PORT"),
    "no address": ({"public_ips": "example.org"}, "CLARION_PUBLIC_IPS"),
    "everywhere is no address": ({"public_ips": EVERYWHERE}, "CLARION_PUBLIC_IPS"),
    "media host is a name": ({"udp_host": "example.org"}, "CLARION_UDP_HOST"),
    "origin with a path": ({"allowed_origins": "https://a.example/x"}, "CLARION_ALLOWED_ORIGINS"),
    "origin without scheme": ({"allowed_origins": "a.example"}, "CLARION_ALLOWED_ORIGINS"),
    "proxy is a name": ({"trusted_proxies": "proxy"}, "CLARION_TRUSTED_PROXIES"),
    "certificate without key": ({"tls_cert": "/c.pem"}, "tls_key"),
    "no room": ({"max_rooms": "0"}, "CLARION_MAX_ROOMS"),
    "resume never": ({"resume_seconds": "0"}, "CLARION_RESUME_SECONDS"),
    "not a number": ({"resume_seconds": "nan"}, "CLARION_RESUME_SECONDS"),
    "log level": ({"log_level": "loud"}, "CLARION_LOG_LEVEL"),
    "ICE servers are no JSON": ({"ice_servers": "{"}, "CLARION_ICE_SERVERS"),
    "ICE servers are no list": ({"ice_servers": "7"}, "CLARION_ICE_SERVERS"),
    "ICE server without urls": ({"ice_servers": '[{"url": "stun:s"}]'}, "CLARION_ICE_SERVERS"),
    "public address": ({"public_url": "call.example.org"}, "CLARION_PUBLIC_URL"),
}


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_settings_are_accepted_as_variables_and_as_flags(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_flags = load(given)
    for name, value in given.items():
        monkeypatch.setenv(f"CLARION_{name.upper()}", value)
    assert load() == by_flags


@pytest.mark.parametrize(("given", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_settings_are_refused_with_a_sentence_that_names_them(
    given: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"CLARION_{name.upper()}", value)
    with pytest.raises(ConfigError, match=word) as refusal:
        load()
    for line in str(refusal.value).splitlines():
        assert line.endswith(".")
    if "secret" in given:
        assert given["secret"] not in str(refusal.value)


def test_a_flag_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARION_HTTP_PORT", "9000")
    assert load().http_port == 9000
    assert load({"http_port": "9001", "udp_port": None}).http_port == 9001


@pytest.mark.parametrize(
    ("given", "ips", "url"),
    [
        ({}, ("127.0.0.1",), "http://127.0.0.1:8080"),
        ({"http_host": "localhost"}, ("127.0.0.1",), "http://localhost:8080"),
        ({"http_host": "::1"}, ("::1",), "http://[::1]:8080"),
        ({"http_host": "[::1]"}, ("::1",), "http://[::1]:8080"),
        ({"http_host": "192.0.2.7", "secret": SECRET}, ("192.0.2.7",), "http://192.0.2.7:8080"),
        (
            {"http_host": EVERYWHERE, "secret": SECRET, "public_ips": "203.0.113.5,2001:db8::1"},
            ("203.0.113.5", "2001:db8::1"),
            "http://203.0.113.5:8080",
        ),
        ({"public_url": "https://call.example.org/"}, ("127.0.0.1",), "https://call.example.org"),
        ({"http_host": "127.0.0.1", "udp_host": "::1"}, ("::1",), "http://127.0.0.1:8080"),
    ],
)
def test_what_is_announced_and_shown_follows_from_the_addresses(
    given: dict[str, str], ips: tuple[str, ...], url: str
) -> None:
    settings = load(given)
    assert (settings.announced_ips, settings.url()) == (ips, url)


def test_serving_everywhere_announces_addresses_that_others_can_reach() -> None:
    for address in load({"http_host": EVERYWHERE, "secret": SECRET}).announced_ips:
        assert address not in {EVERYWHERE, "::"}
        assert not address.startswith("169.254.")


def test_draining_takes_time_only_where_calls_would_end() -> None:
    elsewhere = {"http_host": EVERYWHERE, "secret": SECRET}
    assert load({"data_dir": ""}).drain_deadline == 0
    assert load(elsewhere).drain_deadline == 0
    assert load({**elsewhere, "data_dir": ""}).drain_deadline == 30
    assert load({"drain_seconds": "7"}).drain_deadline == 7


def test_secrets_are_shown_nowhere() -> None:
    settings = load(
        {
            "secret": SECRET,
            "metrics_token": "metrics-token-value",
            "ice_servers": '[{"urls": ["turn:t.example"], "username": "u", "credential": "turn-credential"}]',
        }
    )
    shown = repr(settings) + str(cli.banner(settings, 8080, 7882)) + "".join(config.changed(settings))
    for secret in (SECRET, "metrics-token-value", "turn-credential"):
        assert secret not in shown


def test_a_misspelt_variable_is_noticed() -> None:
    names = {"CLARION_HTPP_PORT": "1", "CLARION_HTTP_PORT": "1", "CLARION_TOKEN": "x", "PATH": "x"}
    assert config.unknown_variables(names) == ["CLARION_HTPP_PORT"]


def test_the_page_about_settings_is_current() -> None:
    assert DOCUMENT.read_text() == config.markdown(), "run: clarion settings > docs/settings.md"


def test_every_setting_that_is_no_secret_is_a_flag() -> None:
    text = CliRunner().invoke(cli.app, ["serve", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for name in config.Settings.model_fields:
        assert (f"--{name.replace('_', '-')}" in text) != config.is_secret(name), name


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    return subprocess.run(
        [sys.executable, "-c", "from signaling.cli import main; main()", *arguments],
        env={**environment, "CLARION_DATA_DIR": "", **variables},
        capture_output=True, text=True, timeout=30, check=False,
    )


def test_the_command_refuses_with_a_sentence_and_code_2(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases: dict[str, tuple[list[str], dict[str, str], str]] = {
            "a wrong setting": (["serve", "--http-port", "eighty"], {}, "CLARION_HTTP_PORT"),
            "no secret": (["serve"], {"CLARION_HTTP_HOST": EVERYWHERE}, "CLARION_SECRET"),
            "a port in use": (["serve", "--http-port", port, "--udp-port", "0"], {}, f"TCP port {port}"),
            "another machine's address": (
                ["serve", "--http-host", "192.0.2.1", "--udp-host", "127.0.0.1", "--udp-port", "0"],
                {"CLARION_SECRET": SECRET}, "192.0.2.1",
            ),
            "a broken certificate": (
                ["serve", "--tls-cert", str(broken), "--tls-key", str(broken), "--udp-port", "0"], {}, "broken.pem",
            ),
            "a token without a secret": (["token", "--room", "hall"], {}, "CLARION_SECRET"),
            "a bad room": (["token", "--room", "a/b"], {"CLARION_SECRET": SECRET}, "name of a room"),
        }
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda case: run(*case[0], **case[1]), cases.values()))
    for (case, (_, _, word)), result in zip(cases.items(), results, strict=True):
        assert result.returncode == 2, (case, result.stderr)
        assert word in result.stderr, (case, result.stderr)
        assert "Traceback" not in result.stderr, (case, result.stderr)


def test_the_command_prints_a_token_and_a_link_that_keeps_it_from_servers() -> None:
    result = run("token", "--room", "会议", "--name", "Ann", CLARION_SECRET=SECRET)
    token, link = result.stdout.split()
    assert link == f"http://127.0.0.1:8080/r/%E4%BC%9A%E8%AE%AE#token={token}"
    assert token.count(".") == 2


def test_a_command_that_takes_no_part_in_a_call_does_not_wait_for_media_to_load() -> None:
    code = "import sys, signaling.cli; print([name for name in ('av', 'aiortc', 'aiohttp') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
