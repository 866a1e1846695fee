"""Run it: python -m bench.video."""

from __future__ import annotations

import typer

from bench.video.command import main

typer.run(main)
