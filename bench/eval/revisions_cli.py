"""The command `praxis adapters compare`: a fine-tune's revisions and its base on one data set. Heavy imports stay inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from bench.eval.cli import carry_out, check_rows, must_be_whole
from bench.eval.score_cli import print_comparison
from bench.options import (
    GATEWAY,
    AnswerTimeoutOption,
    ConcurrencyOption,
    DatasetDirOption,
    DatasetOption,
    FormatOption,
    MaxNewTokensOption,
    MaxSamplesOption,
    ResumeOption,
    SamplingSeedOption,
    SkipOption,
    SystemOption,
    TemperatureOption,
    ThinkingOption,
)
from bench.results import runs_folder
from praxis.errors import InvalidRequest, PraxisError
from praxis.tables import Format

if TYPE_CHECKING:
    from bench.endpoint import Gateway

_PATIENCE = 30.0
"""Seconds to wait while nobody listens."""


@dataclass(frozen=True, slots=True)
class _Contest:
    """Whom to ask: the `base`, and `revisions`, each with its state, by the name that asks for it and no other."""

    base: str
    revisions: Mapping[str, str]

    @property
    def targets(self) -> list[str]:
        return [self.base, *self.revisions]

    @property
    def against(self) -> str:
        """The one that the others are compared with: the current revision where there is one."""
        return next(iter(self.revisions))

    def told(self) -> str:
        """Who is who."""
        revisions = (f"{model} ({state})" for model, state in self.revisions.items())
        return ", ".join([f"{self.base} (base)", *revisions])


def compare_revisions(
    name: Annotated[
        str, typer.Argument(help="The adapter's name, or NAME@REVISION to choose the candidate oneself.")
    ],
    dataset: DatasetOption,
    dataset_dir: DatasetDirOption,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: .praxis/runs/NAME-DATASET-TIME].")
    ] = None,
    max_samples: MaxSamplesOption = None,
    concurrency: ConcurrencyOption = 8,
    temperature: TemperatureOption = 0.0,
    max_new_tokens: MaxNewTokensOption = 1024,
    seed: SamplingSeedOption = None,
    default_system: SystemOption = None,
    timeout: AnswerTimeoutOption = 600.0,
    skip_bad_rows: SkipOption = False,
    remove_thinking: ThinkingOption = False,
    rows: Annotated[int, typer.Option(min=0, help="How many of the rows that differ most to show.")] = 3,
    resume: ResumeOption = False,
    form: FormatOption = Format.table,
    url: Annotated[str, typer.Option("--url", envvar="PRAXIS_GATEWAY_URL", help="The gateway.")] = GATEWAY,
) -> None:
    """Ask base, current revision and candidate (the canary, else the newest staged one) a data set, and compare them.

    It is a run of `praxis eval`, so `praxis eval compare`, `judge` and `report` take its folder. The scores are kept with the
    revisions, for `praxis adapters list`. Needs an admin key in PRAXIS_API_KEY.
    """
    from bench.eval.chat import Sampling
    from bench.eval.compare import Wish, compare, entries
    from bench.eval.datasets import load
    from bench.eval.run import Plan
    from bench.eval.similarity import Scorer

    began = time.monotonic()
    if resume and out is None:
        raise typer.BadParameter("`--resume` needs `--out`, the folder of the run to finish.")
    data = load(dataset, dataset_dir, max_samples=max_samples)
    check_rows(data, skip_bad_rows)
    adapter, _, candidate = name.partition("@")
    place = f"/admin/v1/adapters/{quote(adapter, safe='')}"
    contest = _contest(_call(_gateway(url, timeout, 1), "GET", place), candidate)
    typer.echo(f"Asking {contest.told()}.", err=True)
    sampling = Sampling(temperature, max_new_tokens=max_new_tokens, seed=seed)
    plan = Plan(data, contest.targets, sampling, default_system, concurrency, remove_thinking)
    folder = out or runs_folder() / f"{adapter}-{dataset}-{time.strftime('%Y%m%d-%H%M%S')}"
    results = carry_out(plan, _gateway(url, timeout, concurrency), folder, resume=resume, began=began)
    must_be_whole(results, folder)
    found = [each for each in entries([folder]) if each.name in contest.targets]
    wish = Wish(contest.against, rows, remove_thinking=remove_thinking)
    print_comparison(compare(found, Scorer(), wish), form)
    for each in results:
        if each["target"] != contest.base:
            _record(_gateway(url, timeout, 1), place, each, folder)
    typer.echo(f"Predictions and scores are in {folder}; `praxis adapters list` shows the scores.", err=True)


def _contest(adapter: dict[str, Any], wanted: str) -> _Contest:
    """Base, current revision and candidate of an adapter as the gateway tells it. Raises InvalidRequest."""
    revisions = adapter["revisions"]
    current = [each for each in revisions if each["state"] == "current"]
    others = [each for each in revisions if each["state"] != "current"]
    if wanted:
        candidates = [each for each in others if each["revision"].startswith(wanted)]
        if len(candidates) != 1:
            listing = ", ".join(f"`{each['revision']}`" for each in others) or "none"
            raise InvalidRequest(
                f"`{wanted}` names no one revision beside the current one of `{adapter['name']}`; there are {listing}.",
                param="name",
            )
    else:
        # The canary where there is one, else what came last.
        others.sort(key=lambda each: (each["state"] == "canary", each["created_at"]))
        candidates = others[-1:]
    chosen = (*current, *candidates)
    return _Contest(adapter["base"], {each["model"]: each["state"] for each in chosen})


def _record(gateway: Gateway, place: str, scores: dict[str, Any], folder: Path) -> None:
    """Have the gateway keep the scores of a revision with it."""
    revision = scores["target"].rpartition("@")[2]
    metrics = {
        name.removeprefix("predict_"): {end: ends[end] for end in ("mean", "low", "high")}
        for name, ends in scores["intervals"].items()
    }
    body = {
        "dataset": scores["dataset"],
        "rows": scores["rows"],
        "answered": scores["scored"],
        "metrics": metrics,
    }
    try:
        _call(gateway, "POST", f"{place}/revisions/{revision}/scores", body)
    except PraxisError as error:
        raise PraxisError(
            f"The scores of `{scores['target']}` are not kept: {error.message} Keep them with the same command and "
            f"`--out {folder} --resume`."
        ) from None


def _gateway(url: str, timeout: float, connections: int) -> Gateway:
    from bench.endpoint import Gateway

    return Gateway.from_environment(url, timeout=timeout, patience=_PATIENCE, connections=connections)


def _call(gateway: Gateway, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request of an operator. Raises PraxisError."""
    from bench.endpoint import Failure

    async def ask() -> dict[str, Any]:
        async with gateway:
            return await gateway.request(method, path, body)

    try:
        return asyncio.run(ask())
    except Failure as failure:
        raise PraxisError(failure.message) from None
