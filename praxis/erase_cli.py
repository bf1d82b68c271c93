"""`praxis erase`: on request, what was asked, answered, judged and written down is no more."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from praxis.operating import URL, UrlOption, call


def erase(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant, with all its keys.")] = None,
    key: Annotated[str | None, typer.Option(help="Of this key, by name or id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    url: UrlOption = URL,
) -> None:
    """Delete all questions, answers, votes and audit lines of a tenant or a key. One line says that it was done."""
    if (tenant is None) == (key is None):
        raise typer.BadParameter("say of whom: `--tenant` or `--key`")
    body = {"tenant": tenant} if tenant is not None else {"key": key}
    whom = f"the tenant `{tenant}`" if tenant is not None else f"the key `{key}`"
    if not yes:
        typer.confirm(
            f"Erase every question, answer, vote and audit line of {whom}, for good?", abort=True, err=True
        )
    told = call("POST", url, "/admin/v1/erasures", body)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    typer.echo(
        f"Erased of {whom}: {told['conversations']} conversations with {told['items']} questions and answers, "
        f"{told['votes']} votes, {told['audit']} audit lines."
    )
