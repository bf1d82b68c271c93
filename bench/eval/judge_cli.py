"""The command `praxis eval judge`. Heavy imports stay inside the command."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.eval.score_cli import SeedOption
from bench.results import writable
from praxis.errors import ConfigError, PraxisError, Problem
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.endpoint import Gateway
    from bench.eval.compare import Entry
    from bench.eval.judge import Judge, Pair


def eval_judge(
    runs: Annotated[list[Path], typer.Argument(help="The folder of a run, or two predictions files.")],
    judge: Annotated[str, typer.Option(help="The model behind the gateway that judges.")],
    rubric: Annotated[str, typer.Option(help="legal, medical, or a YAML file of `criteria`.")] = "legal",
    first: Annotated[
        str | None, typer.Option(help="The target whose wins are counted [default: the second of the run].")
    ] = None,
    second: Annotated[str | None, typer.Option(help="The other target [default: the first].")] = None,
    out: Annotated[Path, typer.Option(help="Every pair with both verdicts, one JSON object a line.")] = Path(
        "judged.jsonl"
    ),
    url: Annotated[
        str, typer.Option(help="The gateway; its key is read from PRAXIS_API_KEY.")
    ] = "http://127.0.0.1:8080",
    sample: Annotated[int | None, typer.Option(min=1, help="Only this many rows, drawn by --seed.")] = None,
    seed: SeedOption = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Pairs under way at once.")] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest verdict, thinking included.")] = 2048,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Do not show the judge the label.")
    ] = False,
    keep_thinking: Annotated[
        bool, typer.Option("--keep-thinking", help="Show the judge what stands before `</think>` too.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one verdict.")] = 600.0,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait while nobody listens.")] = 30.0,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """A model judges two targets row by row with a rubric, in both orders; where it disagrees with itself is a tie.

    A pair without two verdicts is a failure, named by its kind, and counts in no share. Do not let a model judge itself.
    """
    from bench.endpoint import Gateway
    from bench.eval.compare import entries
    from bench.eval.judge import Judge, pairs, summary
    from bench.eval.judge import rubric as read_rubric

    writable("--out", out)
    one, other = _two(entries(runs), first, second)
    if judge in (one.name, other.name):
        typer.echo(f"Note: `{judge}` judges its own answers; judges prefer them.", err=True)
    todo = pairs(one.predictions, other.predictions, remove_thinking=not keep_thinking)
    if sample is not None and sample < len(todo):
        chosen = set(random.Random(seed).sample(range(len(todo)), sample))
        todo = [pair for number, pair in enumerate(todo) if number in chosen]
    gateway = Gateway.from_environment(url, timeout=timeout, patience=patience, connections=concurrency)
    who = Judge(judge, read_rubric(rubric), max_new_tokens, not no_reference)
    rows = _carry_out(gateway, who, todo, concurrency, out)
    found = {"judge": judge, "rubric": who.rubric.name, "rubric_sha256": who.rubric.digest, "seed": seed}
    found |= summary(rows, (one.name, other.name), seed=seed)
    typer.echo(
        json.dumps(found, ensure_ascii=False, indent=2) if form is Format.json else _table(found, form)
    )
    typer.echo(f"Every pair with what the judge said is in {out}", err=True)
    if not found["judged"]:
        raise PraxisError(f"No pair was judged: {found['errors']}; `{out}` says why, pair by pair.")


def _two(found: list[Entry], first: str | None, second: str | None) -> tuple[Entry, Entry]:
    """The targets to judge. Raises ConfigError where it is not clear which two."""
    named = {each.name: each for each in found}
    listing = ", ".join(f"`{name}`" for name in named)
    for name in (first, second):
        if name is not None and name not in named:
            raise ConfigError(
                "eval judge", [Problem(None, "", f"`{name}` is no target; there are {listing}")]
            )
    if first and second and first != second:
        return named[first], named[second]
    rest = [name for name in named if name not in (first, second)]
    if len(named) != 2 or len(rest) + bool(first) + bool(second) != 2:
        advice = f"give two of them as `--first` and `--second`; there are {listing}"
        raise ConfigError("eval judge", [Problem(None, "", advice)])
    one = first or rest[-1]
    other = second or next(name for name in rest if name != one)
    return named[one], named[other]


def _carry_out(
    gateway: Gateway, who: Judge, todo: list[Pair], concurrency: int, out: Path
) -> list[dict[str, Any]]:
    from bench.eval.judge import judged
    from bench.progress import bars

    rows: dict[int, dict[str, Any]] = {}

    async def run() -> None:
        async with gateway:
            await gateway.check([who.model])
            with bars("pairs") as report, out.open("w", encoding="utf-8") as file:

                def keep(row: dict[str, Any]) -> None:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    file.flush()
                    rows[row["id"]] = row
                    failed = sum(each["error"] is not None for each in rows.values())
                    report(f"judge {who.model}", len(rows), len(todo), failed)

                await judged(gateway, who, todo, concurrency, keep)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise PraxisError(f"Stopped; what is judged is in {out}.") from None
    except OSError as error:
        raise PraxisError(f"`{out}` cannot be written: {error.strerror}.") from None
    return [rows[pair.id] for pair in todo]


def _table(found: dict[str, Any], form: Format) -> str:
    rate = found["win_rate"] or {"mean": None, "low": None, "high": None}
    row = {name: value for name, value in found.items() if name not in ("win_rate", "rubric_sha256", "seed")}
    ends = {"win rate": rate["mean"], "low": rate["low"], "high": rate["high"]}
    return render([row | ends], form)
