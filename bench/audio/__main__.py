"""Run it: python -m bench.audio."""

from __future__ import annotations

import typer

from bench.audio.command import main

typer.run(main)
