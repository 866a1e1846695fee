"""How a command ends that holds what real browsers saw against bars."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table


def conclude(table: Table, bench: str, rows: Sequence[Any], *, seed: int, as_json: bool) -> NoReturn:
    """Print the table and how busy the machine was, then exit: with 1 when a bar is missed.

    Rows are dataclasses with a field `met`.
    """
    Console(width=120).print(table)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if as_json:
        print(json.dumps({"bench": bench, "seed": seed, "rows": [asdict(one) for one in rows]}))
    raise typer.Exit(not all(one.met for one in rows))
