"""`praxis status`: the fleet as a running gateway sees it, in the terminal. Exit code 1 when something is down."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praxis.errors import ConfigError, InvalidRequest, PraxisError, UpstreamError

if TYPE_CHECKING:
    import httpx
    from rich.console import RenderableType

URL = "http://127.0.0.1:8080"
WATCH_SECONDS = 2.0
ANSWER_SECONDS = 5.0

Facts = dict[str, Any]
"""What was learned: `gateway`, `workers`, `backends`, `rag`, `engines`, and `problems`, which is empty when all is well."""


def status(
    url: Annotated[str, typer.Option("--url", envvar="PRAXIS_GATEWAY_URL", help="The gateway.")] = URL,
    key: Annotated[
        str | None, typer.Option("--key", help="An admin key, in place of `PRAXIS_API_KEY`.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The operator's file, for the engines of `praxis up`.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs; with `--watch` a line each.")
    ] = False,
) -> None:
    """Show gateway, workers, backends with their replicas, rag and engines. Exit code 1 if something is down."""
    import httpx

    secret = key or os.environ.get("PRAXIS_API_KEY")
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    with httpx.Client(headers=headers, timeout=ANSWER_SECONDS, trust_env=False) as client:
        look = _Look(client, url.rstrip("/"), _engines(config, url.rstrip("/")))
        if watch:
            problems = _watch(look, as_json)
        else:
            facts = look()
            problems = facts["problems"]
            _print(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else _render(facts))
    if problems:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Look:
    """Asks the gateway at `url`, and the `engines` of `praxis up`, how they are."""

    client: httpx.Client
    url: str
    engines: dict[str, str]

    def __call__(self) -> Facts:
        """Raises PraxisError when the gateway cannot be reached or does not tell."""
        told: Facts = json.loads(self._get("/admin/v1/status"))
        series = _Series(self._get("/metrics"))
        facts: Facts = {
            "gateway": {"url": self.url, **told["gateway"]},
            "workers": series.by("praxis_worker_up", "worker"),
            "backends": told["backends"],
            "rag": told["rag"],
            "engines": {name: self._answers(url) for name, url in self.engines.items()},
        }
        for backend in facts["backends"]:
            # The gateway that was asked is one of several workers; what is counted is the sum of all.
            for index, replica in enumerate(backend["replicas"]):
                where = {"backend": backend["name"], "replica": str(index)}
                replica["in_flight"] = int(series.sum("praxis_inflight_requests", where))
            backend["queued"] = int(series.sum("praxis_queue_length", {"backend": backend["name"]}))
        facts["problems"] = list(_problems(facts))
        return facts

    def _get(self, path: str) -> str:
        import httpx

        try:
            response = self.client.get(self.url + path)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise UpstreamError(
                f"The gateway at `{self.url}` cannot be reached ({reason}); is `praxis up` running?"
            ) from None
        if response.status_code == 401:
            raise InvalidRequest(
                "Set `PRAXIS_API_KEY` (or `--key`) to an admin key of this gateway; "
                "`praxis keys create NAME --admin` makes one."
            )
        if not response.is_success:
            raise PraxisError(_message(response))
        return response.text

    def _answers(self, url: str) -> Facts:
        import httpx

        try:
            up = self.client.get(f"{url}/health", headers={"authorization": ""}).is_success
        except httpx.HTTPError:
            up = False
        return {"url": url, "up": up}


class _Series:
    """Samples of Prometheus' text."""

    def __init__(self, text: str) -> None:
        from prometheus_client.parser import text_string_to_metric_families as families

        self._samples = [sample for family in families(text) for sample in family.samples]

    def sum(self, name: str, labels: dict[str, str]) -> float:
        """The sum of the samples that have these labels, whatever others they have."""
        return sum(
            each.value
            for each in self._samples
            if each.name == name and labels.items() <= each.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, bool]:
        return {each.labels[label]: each.value == 1 for each in self._samples if each.name == name}


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{response.url} answered with status {response.status_code}; is it a Praxis gateway?"


def _engines(config: Path | None, url: str) -> dict[str, str]:
    """The engines of the `praxis up` whose gateway is at `url`, where one runs on this machine."""
    from praxis.config import load
    from praxis.up.stack import running

    try:
        run = load(config or Path("models.yaml")).home / "run"
    except ConfigError:
        if config is not None:
            raise
        return {}  # a file that is being edited, or another folder: the gateway has what it runs with
    if running(run) is None:
        return {}
    try:
        announced: Facts = json.loads((run / "ready.json").read_text())
    except (OSError, ValueError):
        return {}  # it is still coming up
    return dict(announced["engines"]) if announced["gateway"] == url else {}


def _problems(facts: Facts) -> Iterator[str]:
    """A sentence for everything that is not as it should be."""
    gateway = facts["gateway"]
    if gateway["status"] != "ready":
        waiting = ", ".join(gateway.get("waiting_for", ()))
        yield f"The gateway is {gateway['status']}" + (f"; it waits for {waiting}." if waiting else ".")
    if refused := gateway.get("config_refused"):
        yield f"A changed configuration was refused: {refused}"
    for worker, up in facts["workers"].items():
        if not up:
            yield f"Worker {worker} does not answer."
    for backend in facts["backends"]:
        for replica in backend["replicas"]:
            if state := _trouble(replica):
                yield f"{backend['name']} at {replica['url']} is {state}."
    if facts["rag"]["state"] == "down":
        yield f"rag at {facts['rag']['url']} is down."
    for name, reason in facts["rag"]["assistants"].items():
        if reason is not None and facts["rag"]["state"] != "down":
            yield f"The assistant {name} cannot answer: {reason}."
    for name, engine in facts["engines"].items():
        if not engine["up"]:
            yield f"The engine {name} at {engine['url']} does not answer."


def _trouble(replica: Facts) -> str:
    return "down" if not replica["reachable"] else "taken out for failing" if replica["ejected"] else ""


def _watch(look: _Look, as_json: bool) -> list[str]:
    """Show the fleet anew until Ctrl-C; returns the last problems."""
    from rich.live import Live

    facts: Facts = {"problems": []}
    screen = nullcontext() if as_json else Live(auto_refresh=False, screen=True)
    try:
        with screen as live:
            while True:
                try:
                    facts = look()
                except UpstreamError as error:
                    facts = {"problems": [error.message]}
                if live is None:
                    typer.echo(json.dumps(facts, ensure_ascii=False))
                else:
                    live.update(_render(facts), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return list(facts["problems"])


def _print(what: RenderableType) -> None:
    import sys

    from rich.console import Console

    if isinstance(what, str):
        typer.echo(what)
        return
    # What a pipe cuts off is what one looked for.
    Console(width=None if sys.stdout.isatty() else 200).print(what)


def _render(facts: Facts) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    problems = [Text(f"✗ {each}", style="red") for each in facts["problems"]]
    if "gateway" not in facts:
        return Group(*problems)
    gateway = facts["gateway"]
    heading = f"Gateway {gateway['url']}: {gateway['status']}, configuration {gateway['generation']}"
    if facts["workers"]:
        heading += f", {sum(facts['workers'].values())} of {len(facts['workers'])} workers"
    table = Table()
    for column in ("backend", "kind", "replica", "state", "in flight", "queued", "models"):
        table.add_column(column, overflow="fold")
    for backend in facts["backends"]:
        for index, replica in enumerate(backend["replicas"]):
            state = _trouble(replica)
            first = index == 0
            table.add_row(
                backend["name"] if first else "",
                backend["kind"] if first else "",
                replica["url"],
                Text(state or "up", style="red" if state else "green"),
                str(replica["in_flight"]),
                str(backend["queued"]) if first else "",
                Text(", ".join(replica["models"]) or "–"),
            )
    lines = [f"rag {facts['rag']['url']}: {facts['rag']['state']}"]
    lines += [
        f"engine {name} {each['url']}: {'up' if each['up'] else 'down'}"
        for name, each in facts["engines"].items()
    ]
    verdict = problems or [Text("✓ All is well.", style="green")]
    return Group(Text(heading), table, *map(Text, lines), *verdict)
