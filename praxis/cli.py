"""The `praxis` command. The kernel's own commands live here; every room adds its own by an entry point.

Exit codes: 0 done, 1 failed, 2 wrong usage or a configuration that cannot be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from praxis.audit_cli import audit
from praxis.backup.cli import backup, restore
from praxis.config import load
from praxis.doctor import doctor
from praxis.erase_cli import erase
from praxis.exits import exit_codes
from praxis.keys_cli import keys
from praxis.status import status
from praxis.up.cli import up

ConfigOption = Annotated[Path, typer.Option("--config", help="The operator's file.")]

config_app = typer.Typer(help="Check the operator's file.", no_args_is_help=True)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="models.yaml or another such file.")]) -> None:
    """Check FILE and print every mistake with its line, its field and what to write instead."""
    config = load(file)
    typer.echo(
        f"{file} is in order: {len(config.backends)} backends, {len(config.models)} models, "
        f"{len(config.adapters)} adapters, {len(config.assistants)} assistants."
    )


def _become(module: str, config: Path, host: str, port: int | None, *more: str) -> None:
    """Replace this process by `python -m module`."""
    arguments = [sys.executable, "-m", module, "--config", str(config), "--host", host, *more]
    if port is not None:
        arguments += ["--port", str(port)]
    os.execv(sys.executable, arguments)


def gateway(
    config: ConfigOption = Path("models.yaml"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    asgi: Annotated[bool, typer.Option("--asgi", help="Serve the hot paths through ASGI: slower.")] = False,
) -> None:
    """Run the gateway alone, in the foreground."""
    _become("gateway", config, host, port, "--workers", str(workers), *(["--asgi"] if asgi else []))


def _room_process(module: str) -> Callable[..., None]:
    """A command that becomes `python -m module`."""

    def run(
        config: ConfigOption = Path("models.yaml"),
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    ) -> None:
        _become(module, config, host, port)

    run.__doc__ = f"Run the {module} process alone, in the foreground."
    return run


def build() -> typer.Typer:
    """The whole command: the kernel's part, the processes, and what the rooms add by `praxis.commands`."""
    app = typer.Typer(
        help="Praxis: an OpenAI-compatible gateway with adapters and grounded answers.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.add_typer(config_app, name="config")
    app.add_typer(keys, name="keys")
    app.command("audit")(audit)
    app.command("erase")(erase)
    app.command("up")(up)
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("doctor")(doctor)
    app.command("status")(status)
    app.command("gateway")(gateway)
    for module in ("rag", "ui"):
        app.command(module)(_room_process(module))
    for room in sorted(entry_points(group="praxis.commands"), key=lambda each: each.name):
        command = room.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=room.name)
        else:
            app.command(room.name)(command)
    return app


def main() -> None:
    """The entry point: runs a command and turns its errors into one message and the right exit code."""
    with exit_codes():
        build()()
