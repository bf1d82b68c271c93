"""`praxis keys …`: works on the state database, and needs no running gateway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from praxis.config import Config, load
from praxis.errors import InvalidRequest
from praxis.keys import Keys, Quota, at_terminal
from praxis.moments import expiry, moment, readable, seconds
from praxis.state import connect
from praxis.tables import Format, render
from praxis.usage import DIMENSIONS, Usage

ConfigOption = Annotated[Path, typer.Option("--config", help="The operator's file.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]
NameArgument = Annotated[str, typer.Argument(help="The key's name or id.")]

keys = typer.Typer(help="Make, limit, rotate and revoke API keys; what they used.", no_args_is_help=True)


def _open(file: Path) -> tuple[Config, Engine]:
    config = load(file)
    return config, connect(config.state)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a team, an application.")],
    admin: Annotated[bool, typer.Option("--admin", help="May use /admin/v1 too.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="Who owns its documents; else the key's own name.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; repeat for more.")] = None,
    knowledge: Annotated[
        list[str] | None, typer.Option(help="Only this knowledge base; repeat for more.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens per minute, prompts and answers.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests at the same time.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90 or 90d (days), 12h, or a day such as 2027-03-31.")
    ] = None,
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    loaded, engine = _open(config)
    known = {*loaded.models, *loaded.adapters, *loaded.assistants, loaded.rag.embedding.public_name}
    for each in model or []:
        if each not in known:
            raise InvalidRequest(
                f"`--model {each}` is not in `{config}`; known are {', '.join(sorted(known))}."
            )
    _, secret = Keys(engine).create(
        name,
        admin=admin,
        tenant=tenant,
        models=model or None,
        knowledge=knowledge or None,
        expires_at=None if expires is None else expiry(expires, "--expires", time.time()),
        quota=Quota(rpm, tpm, concurrency),
        by=at_terminal(),
    )
    typer.echo(secret)


@keys.command("list")
def list_keys(form: FormatOption = Format.table, config: ConfigOption = Path("models.yaml")) -> None:
    """List the keys with their limits; what could be used as a key is not in it."""
    listed = Keys(_open(config)[1]).list()
    typer.echo(render(listed if form is Format.json else [_row(each) for each in listed], form))


@keys.command("update")
def update(
    name: NameArgument,
    rpm: Annotated[int | None, typer.Option(min=0, help="Requests per minute; 0 is no limit.")] = None,
    tpm: Annotated[int | None, typer.Option(min=0, help="Tokens per minute; 0 is no limit.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=0, help="Requests at the same time; 0 is no limit.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, 12h, a day such as 2027-03-31, or `never`.")
    ] = None,
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Change a key's limits; running gateways follow within two seconds. What is not named stays."""
    given = {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}
    changes: dict[str, Any] = {field: value or None for field, value in given.items() if value is not None}
    if expires is not None:
        changes["expires_at"] = None if expires == "never" else expiry(expires, "--expires", time.time())
    if not changes:
        raise InvalidRequest("Name what is to change: `--rpm`, `--tpm`, `--concurrency` or `--expires`.")
    opened = Keys(_open(config)[1])
    typer.echo(render([_row(opened.get(opened.update(name, changes, at_terminal())))], Format.table))


@keys.command("rotate")
def rotate(
    name: NameArgument,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret still works: 90s, 15m, 1h, 7d. 0 ends it now.")
    ] = "0",
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Give a key another secret and print it, once. Its tenant, limits and usage stay.

    Without `--overlap` the old secret ends within two seconds.
    """
    typer.echo(Keys(_open(config)[1]).rotate(name, seconds(overlap, "--overlap"), at_terminal())[1])


@keys.command("revoke")
def revoke(name: NameArgument, config: ConfigOption = Path("models.yaml")) -> None:
    """Revoke a key: within two seconds no gateway accepts it any more."""
    typer.echo(f"revoked {Keys(_open(config)[1]).revoke(name, at_terminal())}")


@keys.command("usage")
def usage(
    key: Annotated[str | None, typer.Option(help="Only this key, by name or id.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    model: Annotated[str | None, typer.Option(help="Only requests for this model.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Only what this adapter (or model, without one) answered.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="From this hour on: 7d (ago), 2026-03-31, 2026-03-31T08:00 (UTC).")
    ] = "30d",
    until: Annotated[str | None, typer.Option(help="Up to this hour, in the same forms.")] = None,
    by: Annotated[str, typer.Option(help=f"Told by, with commas between: {', '.join(DIMENSIONS)}.")] = (
        "key,model"
    ),
    form: FormatOption = Format.table,
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """What keys used: requests, errors and tokens. The last two seconds may be missing."""
    engine, now = _open(config)[1], time.time()
    Keys(engine)
    rows = Usage(engine).read(
        [each.strip() for each in by.split(",") if each.strip()],
        since=moment(since, "--since", now),
        until=moment(until, "--until", now),
        key=key,
        tenant=tenant,
        model=model,
        adapter=adapter,
    )
    if rows or form is Format.json:
        typer.echo(render(rows, form))
    else:
        typer.echo("Nothing was used in that time.", err=True)


def _row(key: Mapping[str, Any]) -> dict[str, Any]:
    """A key as a line of a table."""
    state = "revoked" if key["revoked_at"] else "live"
    if state == "live" and key["expires_at"] is not None and key["expires_at"] <= time.time():
        state = "expired"
    plain = {name: key[name] for name in ("name", "id", "tenant", "role")}
    lists = {
        name: "all" if key[name] is None else ", ".join(key[name]) or "none"
        for name in ("models", "knowledge")
    }
    limits = {name: key[name] for name in ("rpm", "tpm", "concurrency")}
    times = {
        "created": readable(key["created_at"]),
        "expires": readable(key["expires_at"]),
        "old secret until": readable(key["old_secret_until"]),
    }
    return plain | {"state": state} | lists | limits | times
