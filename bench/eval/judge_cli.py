"""The command `praxis eval judge`. Heavy imports stay inside the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.options import GATEWAY, BootstrapSeedOption, FormatOption, PatienceOption, UrlOption
from bench.results import writable
from praxis.errors import ConfigError, PraxisError, Problem
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.endpoint import Failure, Gateway
    from bench.eval.compare import Entry
    from bench.eval.judge import Pairs
    from bench.eval.verdicts import Verdict
    from bench.journal import Journal
    from praxis.judging.pair import Judge

_OUT = Path("judged.jsonl")

KeepThinkingOption = Annotated[
    bool, typer.Option("--keep-thinking", help="Show the judge what stands before `</think>` too.")
]


def eval_judge(
    runs: Annotated[list[Path], typer.Argument(help="The folder of a run, or two predictions files.")],
    judge: Annotated[str, typer.Option(help="The model behind the gateway that judges.")],
    rubric: Annotated[str, typer.Option(help="legal, medical, or a YAML file of `criteria`.")] = "legal",
    first: Annotated[
        str | None, typer.Option(help="The target whose wins are counted [default: the second of the run].")
    ] = None,
    second: Annotated[str | None, typer.Option(help="The other target [default: the first].")] = None,
    out: Annotated[Path, typer.Option(help="Every pair with both verdicts, one JSON object a line.")] = _OUT,
    resume: Annotated[bool, typer.Option("--resume", help="Judge what is not in --out yet.")] = False,
    url: UrlOption = GATEWAY,
    sample: Annotated[int | None, typer.Option(min=1, help="Only this many rows, drawn by --seed.")] = None,
    seed: BootstrapSeedOption = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Pairs under way at once.")] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest verdict, thinking included.")] = 2048,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Hide the label from the judge.")
    ] = False,
    keep_thinking: KeepThinkingOption = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one verdict.")] = 600.0,
    patience: PatienceOption = 30.0,
    form: FormatOption = Format.table,
) -> None:
    """A model judges two targets row by row with a rubric, in both orders; where it disagrees with itself is a tie.

    A pair without two verdicts is a failure, named by its kind, and counts in no share. Do not let a model judge itself.
    """
    from bench.endpoint import Gateway
    from bench.eval.compare import entries
    from bench.eval.judge import drawn, pairs
    from praxis.judging.pair import Judge
    from praxis.judging.rubric import read

    writable("--out", out)
    one, other = _two(entries(runs), first, second)
    if judge in (one.name, other.name):
        typer.echo(f"Note: `{judge}` judges its own answers; judges prefer them.", err=True)
    found = pairs(
        one.predictions,
        other.predictions,
        remove_thinking=not keep_thinking,
        with_reference=not no_reference,
    )
    todo = drawn(found, sample, seed)
    who = Judge(judge, read(rubric), max_new_tokens)
    gateway = Gateway.from_environment(url, timeout=timeout, patience=patience, connections=concurrency)
    verdicts, lost = _carry_out(gateway, who, todo, concurrency, _journal(out, who, todo, resume=resume))
    _tell(who, verdicts, (one.name, other.name), seed, form)
    typer.echo(f"Every pair with what the judge said is in {out}", err=True)
    if lost:
        raise PraxisError(f"Stopped early: {lost.message} {_how_to_finish(out)}")
    if all(each.error for each in verdicts):
        kinds = ", ".join(sorted({each.error["type"] for each in verdicts if each.error}))
        raise PraxisError(f"No pair was judged ({kinds}); `{out}` says why, pair by pair.")


def _journal(out: Path, who: Judge, todo: Pairs, *, resume: bool) -> Journal[Verdict]:
    """The file of verdicts. Raises ConfigError where going on in it would mix two judgements."""
    from bench.eval.verdicts import read
    from bench.journal import Journal

    if out.exists() and not out.is_file():
        raise _refused(out, "it is no regular file; give another `--out`")
    there = out.exists() and out.stat().st_size > 0
    if there and not resume:
        raise _refused(out, "it holds verdicts; add `--resume` to go on with them, or give another `--out`")
    if resume and not there:
        raise _refused(out, "there are no verdicts in it to go on with")
    journal = Journal(out, read)
    asked = {row: who.digest(pair) for row, pair in todo.items()}
    for row, verdict in journal.done.items():
        if verdict.asked != asked.get(row, verdict.asked):
            reason = "of other answers, or by another judge, rubric or limit; give another `--out`"
            raise _refused(out, f"row {row} was judged there {reason}")
    return journal


def _carry_out(
    gateway: Gateway, who: Judge, todo: Pairs, concurrency: int, journal: Journal[Verdict]
) -> tuple[list[Verdict], Failure | None]:
    """The verdicts on `todo`, in its order, and why it ended early, if it did."""
    from bench.eval.judge import judge_all
    from bench.journal import finishable
    from bench.progress import bars

    async def run() -> tuple[list[Verdict], Failure | None]:
        async with gateway:
            await gateway.check([who.model])
            with bars("pairs") as report:
                lost = await judge_all(gateway, who, todo, concurrency, journal, report)
        kept = {each.id: each for each in journal.finish()}
        return [kept[row] for row in todo if row in kept], lost

    with finishable(journal.path, _how_to_finish(journal.path)), journal:
        return asyncio.run(run())


def _how_to_finish(out: Path) -> str:
    return f"What is judged is kept; finish with the same command and `--out {out} --resume`."


def _tell(who: Judge, verdicts: list[Verdict], names: tuple[str, str], seed: int, form: Format) -> None:
    from bench.eval.verdicts import summary

    found: dict[str, Any] = {
        "judge": who.model,
        "rubric": who.rubric.name,
        "rubric_sha256": who.rubric.digest,
        "seed": seed,
    }
    found |= summary(verdicts, names, who.rubric)
    if form is Format.json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    shared = {name: found[name] for name in ("judge", "rubric", "first", "second", "pairs")}
    rest = {name: found[name] for name in ("longer_wins", "errors")}
    rows = [_row(shared, "all in all", found) | rest]
    rows += [_row(shared, name, figures) for name, figures in found["criteria"].items()]
    typer.echo(render(rows, form))


def _row(shared: dict[str, Any], item: str, figures: dict[str, Any]) -> dict[str, Any]:
    """A line of the table: how often who was better at one item."""
    rate = figures["win_rate"] or {"mean": None, "low": None, "high": None}
    told = {name: figures[name] for name in ("judged", "wins", "ties", "losses", "flipped")}
    return (
        shared
        | {"criterion": item}
        | told
        | {"win rate": rate["mean"], "low": rate["low"], "high": rate["high"]}
    )


def _refused(out: Path, message: str) -> ConfigError:
    return ConfigError(str(out), [Problem(None, "", message)])


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
