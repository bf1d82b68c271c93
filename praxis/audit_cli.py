"""`praxis audit`: works on the state database, and needs no running gateway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from praxis.audit import Audit, Wanted
from praxis.config import load
from praxis.keys import Keys
from praxis.moments import moment
from praxis.state import connect
from praxis.tables import Format, render


def audit(
    key: Annotated[str | None, typer.Option(help="Only what this key did, by name or id.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only what this tenant's keys did.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as file.delete, or 'file.*' for all of them.")
    ] = None,
    object_: Annotated[
        str | None, typer.Option("--object", help="Only what was done to this, or with it, by its id.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="From then on: 7d (ago), 2026-03-31, 2026-03-31T08:00 (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to then, in the same forms.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many lines at most.")] = 100,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    config: Annotated[Path, typer.Option("--config", help="The operator's file.")] = Path("models.yaml"),
) -> None:
    """Who added, read, asked, changed and deleted what, the latest first; by identifiers, never content."""
    engine, now = connect(load(config).state), time.time()
    Keys(engine)
    wanted = Wanted(
        key,
        tenant,
        action,
        object_,
        moment(since, "--since", now),
        moment(until, "--until", now),
    )
    rows, more = Audit(engine).read(wanted, limit)
    if rows or form is Format.json:
        typer.echo(render(rows if form is Format.json else [_row(each) for each in rows], form))
    else:
        typer.echo("Nothing of that is in the audit trail.", err=True)
    if more:
        typer.echo("There is more: narrow it with --since and --until, or raise --limit.", err=True)


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the trail as a line of a table."""
    when = datetime.fromtimestamp(line["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    names = ("tenant", "action", "object", "part", "detail")
    return {"at": when, "key": line["key"] or line["key_id"]} | {name: line[name] for name in names}
