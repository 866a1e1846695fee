"""What is committed installs anywhere, says nothing of the machine it was written on, and fits together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from signaling.config import PREFIX, Settings

ROOT = Path(__file__).parents[2]
REGISTRIES = [  # in pieces, since this file is searched too
    "pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "yarnpkg" + ".com",
    "deb.debian" + ".org", "security.debian" + ".org", "proxy.golang" + ".org", "docker" + ".io",
]  # fmt: skip
LOCKS = {
    "requirements.lock": ("project", "dependencies"),
    "requirements-build.lock": ("dependency-groups", "build"),
    "requirements-dev.lock": ("dependency-groups", "dev"),
    "requirements-bench.lock": ("dependency-groups", "bench"),
}


def grep(*words: str) -> str:
    """Return the lines of tracked files that have one of the words, in any case."""
    patterns = [part for word in words for part in ("-e", word)]
    found = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-nIiF", *patterns], capture_output=True, text=True, check=False
    )
    assert found.returncode in (0, 1), found.stderr
    return found.stdout


def locked(name: str) -> dict[str, list[Requirement]]:
    """Return what a lock pins, by name; one package may have several pins with different markers."""
    pins: dict[str, list[Requirement]] = {}
    for entry in re.split(r"\n(?=[a-z])", (ROOT / name).read_text().strip()):
        requirement = Requirement(re.split(r" \\|\n", entry, maxsplit=1)[0])
        assert "--hash=sha256:" in entry, f"{name} pins {requirement} without a hash"
        pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def test_no_tracked_file_names_a_registry() -> None:
    assert grep(*REGISTRIES) == ""


def test_no_tracked_file_names_a_path_of_this_machine() -> None:
    assert grep(f"{ROOT}/", "/root" + "/", "/work" + "/main") == ""


@pytest.mark.parametrize(("lock", "keys"), LOCKS.items())
def test_a_dependency_is_not_forgotten_in_the_lock(lock: str, keys: tuple[str, str]) -> None:
    table, key = keys
    pins = locked(lock)
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())[table][key]:
        wanted = Requirement(text)
        pinned = pins.get(canonicalize_name(wanted.name), [])
        assert pinned, f"{wanted.name} is not in {lock}: make lock"
        for pin in pinned:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert wanted.specifier.contains(version), f"{lock} pins {pin}, wanted is {wanted}: make lock"


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "README.md", "tools/try_wheel.py"])
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {"CLARION_DOMAIN"}  # the proxy's
    named = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", (ROOT / name).read_text()))
    assert named <= known
    assert named


def run_setup(what: str, tmp_path: Path, *tools: str) -> subprocess.CompletedProcess[str]:
    """Run tools/setup on a machine that has only these tools, for a user who may install nothing."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in ("cat", "cksum", "dirname", "grep", *tools):
        found = shutil.which(tool)
        assert found, tool
        (bin_folder / tool).symlink_to(found)
    (bin_folder / "ldconfig").write_text("#!/bin/sh\necho 'libopus.so.0 libatomic.so.1'\n")
    (bin_folder / "ldconfig").chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "setup"), what],
        env={"PATH": str(bin_folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = run_setup("test", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "setup: Chromium is needed by the tests: apt-get install chromium\n"


def test_setup_says_how_it_is_called(tmp_path: Path) -> None:
    done = run_setup("dance", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "setup: usage: tools/setup run | test | bench\n"


def test_the_compose_file_follows_its_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, "compose.yaml"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
async def test_the_container_asks_the_service_for_its_health(status: int, healthy: bool) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK .*?(\[.*?\])$", dockerfile, re.MULTILINE | re.DOTALL)
    assert found
    command, *arguments = json.loads(found[1].replace("\\\n", ""))
    assert command == "python"

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    async with TestServer(app) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments,
            env=os.environ | {"CLARION_HTTP_PORT": str(server.port)}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert (await process.wait() == 0) == healthy


def test_scripts_are_executable() -> None:
    for script in ("tools/setup", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK), script


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    make = ["make", "--no-print-directory", "-C", str(ROOT), "help"]
    shown = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    targets = [target for target in phony[1].split() if not target.startswith("setup-")]
    assert [target for target in targets if not re.search(rf"^  {target} ", shown, re.MULTILINE)] == []
