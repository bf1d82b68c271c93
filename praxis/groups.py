"""Groups of commands that more than one room adds to: here they can be reached from every room, for none imports another."""

from __future__ import annotations

import typer

adapters = typer.Typer(
    help="LoRA adapters: load them into running engines, try them on a share of requests, compare, promote, roll back, "
    "merge.",
    no_args_is_help=True,
)
