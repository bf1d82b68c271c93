"""The `praxis` command. The kernel's own commands live here; every room adds its own by an entry point.

Exit codes: 0 done, 1 failed, 2 wrong usage or a configuration that cannot be used.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from praxis.config import Config, load
from praxis.doctor import doctor
from praxis.errors import InvalidRequest
from praxis.exits import exit_codes
from praxis.keys import Keys
from praxis.state import connect
from praxis.up.cli import up

ConfigOption = Annotated[Path, typer.Option("--config", help="The operator's file.")]

app = typer.Typer(
    help="Praxis: an OpenAI-compatible gateway with adapters and grounded answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Check the operator's file.", no_args_is_help=True)
keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="models.yaml or another such file.")]) -> None:
    """Check FILE and print every mistake with its line, its field and what to write instead."""
    config = load(file)
    typer.echo(
        f"{file} is in order: {len(config.backends)} backends, {len(config.models)} models, "
        f"{len(config.adapters)} adapters, {len(config.assistants)} assistants."
    )


def _keys(config: Path) -> tuple[Config, Keys]:
    loaded = load(config)
    return loaded, Keys(connect(loaded.state))


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a team, an application.")],
    admin: Annotated[bool, typer.Option("--admin", help="May use /admin/v1 too.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="Who owns its documents; else the key's own name.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; repeat for more.")] = None,
    knowledge: Annotated[
        list[str] | None, typer.Option(help="Only this knowledge base; repeat for more.")
    ] = None,
    expires: Annotated[float | None, typer.Option(help="Days until it expires.")] = None,
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    loaded, keys = _keys(config)
    known = {*loaded.models, *loaded.adapters, *loaded.assistants, loaded.rag.embedding.public_name}
    for each in model or []:
        if each not in known:
            raise InvalidRequest(
                f"`--model {each}` is not in `{config}`; known are {', '.join(sorted(known))}."
            )
    expires_at = None if expires is None else time.time() + expires * 86_400
    _, secret = keys.create(
        name,
        admin=admin,
        tenant=tenant,
        models=model or None,
        knowledge=knowledge or None,
        expires_at=expires_at,
    )
    typer.echo(secret)


@keys_app.command("list")
def keys_list(config: ConfigOption = Path("models.yaml")) -> None:
    """List the keys, one JSON object a line; what could be used as a key is not in it."""
    for key in _keys(config)[1].list():
        typer.echo(json.dumps(dict(key), ensure_ascii=False))


@keys_app.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Revoke a key: within two seconds no gateway accepts it any more."""
    typer.echo(f"revoked {_keys(config)[1].revoke(name)}")


def _room_process(module: str) -> Callable[..., None]:
    """A command that replaces itself by `python -m module`."""

    def run(
        config: ConfigOption = Path("models.yaml"),
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    ) -> None:
        arguments = [sys.executable, "-m", module, "--config", str(config), "--host", host]
        if port is not None:
            arguments += ["--port", str(port)]
        os.execv(sys.executable, arguments)

    run.__doc__ = f"Run the {module} process alone, in the foreground."
    return run


def build() -> typer.Typer:
    """The whole command: the kernel's part, the processes, and what the rooms add by `praxis.commands`."""
    app.command("up")(up)
    app.command("doctor")(doctor)
    for module in ("gateway", "rag", "ui"):
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
