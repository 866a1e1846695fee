"""Install a wheel as a stranger would, away from the checkout, and see that it serves, whole, and stops.

Usage: tools/try_wheel.py dist/clarion-*.whl
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

LOCK = Path(__file__).parent.parent / "requirements.lock"
START_TIMEOUT = 60  # seconds: a first start compiles everything
STOP_TIMEOUT = 20  # seconds: on loopback nothing is waited for
PAGE_FILES = (".css", ".js", ".json", ".svg")


def install(wheel: Path, venv: Path) -> None:
    """Install the wheel with its locked dependencies, and nothing else, into a new environment."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "check"], check=True)


def free_port(kind: socket.SocketKind) -> int:
    """Return a port that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str) -> bytes:
    """Return the body; raise URLError when it is not there."""
    with urlopen(url, timeout=5) as response:  # noqa: S310 -- always http on loopback
        body: bytes = response.read()
        return body


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return when /readyz answers; raise when the server has ended or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if server.poll() is not None:
            raise SystemExit(f"clarion serve ended by itself with exit code {server.returncode}")
        try:
            get(f"{url}/readyz")
        except URLError:
            if time.monotonic() > deadline:
                raise SystemExit(f"/readyz did not answer within {START_TIMEOUT} s") from None
            time.sleep(0.2)
        else:
            return


def page_files(wheel: Path) -> dict[str, bytes]:
    """Return the files of the page in the wheel, by their path under /static/."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("web/") and name.endswith(PAGE_FILES)]
        return {name.removeprefix("web/"): archive.read(name) for name in names}


def check_pages(wheel: Path, url: str) -> None:
    """Raise SystemExit unless the service answers with the files that are in the wheel."""
    get(f"{url}/healthz")
    for path in ("/", "/r/trial"):
        if b"<html" not in get(url + path).lower():
            raise SystemExit(f"{path} is no page")
    files = page_files(wheel)
    if not files:
        raise SystemExit("the wheel has no page in it")
    for path, content in files.items():
        if get(f"{url}/static/{path}") != content:
            raise SystemExit(f"/static/{path} is not the file in the wheel")
    print(f"page and {len(files)} static files: served as they are in the wheel")


def main() -> None:
    """Install, serve, look, stop."""
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        venv = Path(scratch, "venv")
        install(wheel, venv)
        http_port, udp_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        own = {"CLARION_HTTP_PORT": str(http_port), "CLARION_UDP_PORT": str(udp_port)}
        foreign = ("CLARION_", "PYTHON")
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        server = subprocess.Popen([str(venv / "bin" / "clarion"), "serve"], cwd=scratch, env=env | own)
        try:
            url = f"http://127.0.0.1:{http_port}"
            wait_until_ready(url, server)
            check_pages(wheel, url)
            server.send_signal(signal.SIGTERM)
            code = server.wait(STOP_TIMEOUT)
        finally:
            server.kill()
            server.wait()
    if code != 0:
        raise SystemExit(f"clarion serve ended with exit code {code} after SIGTERM")
    print("clarion serve: started from the wheel, and stopped by SIGTERM with exit code 0")


if __name__ == "__main__":
    main()
