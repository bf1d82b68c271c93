"""`praxis adapters …`: the operator's commands, spoken over HTTP to a running gateway."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from praxis.errors import InvalidRequest
from praxis.groups import adapters
from praxis.moments import readable
from praxis.operating import URL, UrlOption, call
from praxis.tables import Format, render

WhyOption = Annotated[str, typer.Option("--why", help="The reason, for the history.")]
NameArgument = Annotated[str, typer.Argument(help="The adapter's name.")]
RevisionArgument = Annotated[str, typer.Argument(help="The revision, or enough of its beginning.")]
ADAPTERS = "/admin/v1/adapters"


class SplitBy(StrEnum):
    """What decides who meets the canary."""

    request = "request"
    key = "key"


@adapters.command("load")
def load(
    name: Annotated[str, typer.Argument(help="The name that clients will use as `model`.")],
    base: Annotated[str, typer.Option(help="The model of models.yaml that it was trained on.")],
    source: Annotated[
        str,
        typer.Option(
            help="The PEFT folder, or a training run's output_dir, as the gateway and the engines see it."
        ),
    ],
    backend: Annotated[
        str | None,
        typer.Option(help="SOURCE is a merged model, which this backend of models.yaml serves already."),
    ] = None,
    stage: Annotated[
        bool, typer.Option("--stage", help="Only load it: NAME goes on answering as it does.")
    ] = False,
    why: WhyOption = "",
    url: UrlOption = URL,
) -> None:
    """Load the adapter NAME into every replica of its base; it answers at once."""
    folder = os.path.abspath(source)
    body = {"name": name, "base": base, "source": folder, "backend": backend, "stage": stage, "why": why}
    loaded = call("POST", url, ADAPTERS, body)
    came = next(each for each in loaded["revisions"] if each["revision"] == loaded["loaded"])
    if loaded["why"]:
        typer.echo(f"Took {came['source']}: {loaded['why']}.")
    for each in loaded["unchecked"]:
        typer.echo(f"Not checked. {each}")
    state = "live" if came["state"] == "current" else came["state"]
    typer.echo(f"{came['model']} is {state} on {_resident(came)} replicas of `{backend or base}`.")


@adapters.command("promote")
def promote(
    name: NameArgument, revision: RevisionArgument, why: WhyOption = "", url: UrlOption = URL
) -> None:
    """Have NAME answer with REVISION, from one request to the next; the one before stays loaded."""
    told = call("POST", url, f"{ADAPTERS}/{name}/promote", {"revision": revision, "why": why})
    typer.echo(f"{name} answers with {told['revision']}.")


@adapters.command("canary")
def canary(
    name: NameArgument,
    revision: Annotated[str | None, typer.Argument(help="The revision to try.")] = None,
    share: Annotated[str | None, typer.Argument(help="Its share of the requests, such as 10%.")] = None,
    by: Annotated[
        SplitBy,
        typer.Option(help="`request`: by session (x-session-id), else by chance; `key`: by key."),
    ] = SplitBy.request,
    stop: Annotated[bool, typer.Option("--stop", help="End it: the current revision answers all.")] = False,
    why: WhyOption = "",
    url: UrlOption = URL,
) -> None:
    """Send a share of NAME's requests to REVISION; the same session or key always meets the same one."""
    if stop:
        call("DELETE", url, f"{ADAPTERS}/{name}/canary", params={"why": why})
        typer.echo(f"{name} has no canary any more.")
        return
    if revision is None or share is None:
        raise typer.BadParameter("give a revision and a share, as in `canary NAME REVISION 10%`, or `--stop`")
    body = {"revision": revision, "share": share, "by": by.value, "why": why}
    told = call("PUT", url, f"{ADAPTERS}/{name}/canary", body)["canary"]
    typer.echo(f"{name}@{told['revision']} answers {told['share']:.4g} of the requests to {name}.")


@adapters.command("rollback")
def rollback(name: NameArgument, why: WhyOption = "", url: UrlOption = URL) -> None:
    """End NAME's canary where there is one, else have it answer with the revision before."""
    told = call("POST", url, f"{ADAPTERS}/{name}/rollback", {"why": why})
    typer.echo(f"{name} answers with {told['revision']}.")


@adapters.command("unload")
def unload(
    name: Annotated[str, typer.Argument(help="The adapter's name, or NAME@REVISION for one revision of it.")],
    why: WhyOption = "",
    url: UrlOption = URL,
) -> None:
    """Take the adapter NAME out of every replica, once its requests in flight are over."""
    name, _, revision = name.partition("@")
    path = f"{ADAPTERS}/{name}/revisions/{revision}" if revision else f"{ADAPTERS}/{name}"
    told = call("DELETE", url, path, params={"why": why})
    what = f"{name}@{told['revision']}" if told["revision"] else name
    later = (
        "; engines forget it when the requests that are in flight there are over" if told["draining"] else ""
    )
    typer.echo(f"{what} is unloaded{later}.")


@adapters.command("list")
def list_adapters(
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    url: UrlOption = URL,
) -> None:
    """List the adapters' revisions: share of the requests, where they are loaded, what they did, and their last scores."""
    listed = call("GET", url, ADAPTERS)["data"]
    if form is Format.json:
        typer.echo(json.dumps(listed, ensure_ascii=False, indent=2))
        return
    revisions = [each for adapter in listed for each in adapter["revisions"]]
    if not revisions and form is Format.table:
        typer.echo("No adapter is loaded; `praxis adapters load NAME --base MODEL --source DIR` loads one.")
        return
    typer.echo(render([_row(each) for each in revisions], form))
    scores = _scores(revisions)
    if scores and form is not Format.csv:
        typer.echo("\n" + render(scores, form))


@adapters.command("merge")
def merge(
    adapter: Annotated[
        str, typer.Argument(help="A folder as `load` takes it, or the name of a live adapter.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to be made.")],
    base: Annotated[
        str | None,
        typer.Option(
            help="The folder of the base's weights, or its name in models.yaml; of a live adapter its own."
        ),
    ] = None,
    dtype: Annotated[
        Literal["base", "bfloat16"], typer.Option(help="The type of the weights: the base's, or bfloat16.")
    ] = "base",
    shard_gb: Annotated[float, typer.Option(min=0.001, help="The size of a file of weights at most.")] = 5,
    verify: Annotated[
        bool, typer.Option(help="Compare the merged model's logits with those of base and adapter.")
    ] = True,
    config: Annotated[Path, typer.Option(help="The operator's file, for a base by its name.")] = Path(
        "models.yaml"
    ),
    url: UrlOption = URL,
) -> None:
    """Merge an adapter into its base's weights: a model of its own, for engines that load no adapters."""
    from gateway.merging import base_folder, merge_adapter

    folder = Path(adapter)
    if not folder.is_dir():
        live = {each["name"]: each for each in call("GET", url, ADAPTERS)["data"]}
        if adapter not in live:
            raise InvalidRequest(
                f"`{adapter}` is no folder and no live adapter; `praxis adapters list` shows those."
            )
        folder, base = Path(live[adapter]["source"]), base or live[adapter]["base"]
    if base is None:
        raise InvalidRequest(
            "Give the folder of the base's weights, or its name in models.yaml, with `--base`."
        )
    merge_adapter(folder, base_folder(base, config), out, dtype, shard_gb, verify)


@adapters.command("history")
def history(
    name: NameArgument,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    url: UrlOption = URL,
) -> None:
    """Show every change of NAME: who, when, what, why and from where."""
    changes = call("GET", url, f"{ADAPTERS}/{name}/history")["data"]
    if form is Format.json:
        typer.echo(json.dumps(changes, ensure_ascii=False, indent=2))
        return
    rows = [
        {
            "when (UTC)": readable(each["at"]),
            "what": each["action"] + (f" {each['share']:.4g}" if each["share"] else ""),
            "revision": each["revision"],
            "before": each["before"],
            "after": each["after"],
            "who": each["who"],
            "why": each["why"],
            "from": each["origin"],
            "source": each["source"],
        }
        for each in changes
    ]
    typer.echo(render(rows, form))


def _resident(revision: dict[str, Any]) -> str:
    replicas = revision["replicas"]
    return f"{sum(each['loaded'] for each in replicas)} of {len(replicas)}"


def _row(revision: dict[str, Any]) -> dict[str, Any]:
    """A revision as a line of `list`."""
    rate, mean, first = (
        revision[each] for each in ("error_rate", "mean_seconds", "mean_first_event_seconds")
    )
    return {
        "adapter": revision["model"],
        "base": revision["base"],
        "merged on": revision["backend"],
        "state": revision["state"],
        "share": f"{revision['share']:.4g}",
        "replicas": _resident(revision),
        "in flight": revision["in_flight"],
        "requests": revision["requests"],
        "tokens": revision["prompt_tokens"] + revision["completion_tokens"],
        "errors": None if rate is None else f"{100 * rate:.2f}%",
        "mean seconds": None if mean is None else f"{mean:.3g}",
        "to first event": None if first is None else f"{first:.3g}",
    }


def _scores(revisions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last scores of each revision on each data set, as lines of `list`."""
    told = [(each["model"], score) for each in revisions for score in each["scores"]]
    metrics = list(dict.fromkeys(metric for _, score in told for metric in score["metrics"]))
    return [
        {
            "adapter": model,
            "dataset": score["dataset"],
            "answered": f"{score['answered']} of {score['rows']}",
            **{metric: _interval(score["metrics"].get(metric)) for metric in metrics},
            "when (UTC)": readable(score["at"]),
            "who": score["who"],
        }
        for model, score in told
    ]


def _interval(metric: dict[str, float | None] | None) -> str | None:
    """A mean with the ends of its interval."""
    if metric is None:
        return None
    mean, low, high = (metric[each] for each in ("mean", "low", "high"))
    return f"{mean:.2f}" if low is None or high is None else f"{mean:.2f} ({low:.2f}–{high:.2f})"
