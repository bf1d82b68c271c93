"""Whether `praxis bench serve` and vLLM's own `bench serve` say the same of one engine under one load.

    python -m bench.serve.agreement --url http://127.0.0.1:8000 --model smollm2 \\
        --tokenizer .praxis/models/smollm2-135m-instruct

Each round asks fresh prompts through either client in turn, so that whatever else the machine does falls on both; the
medians of the rounds are compared. Both clients read one file, a data set in ShareGPT's layout, so that the load is the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bench.serve.prompts import of_length
from praxis.errors import PraxisError
from praxis.exits import exit_codes
from praxis.tables import Format, render

_FIGURES = (
    "request_throughput",
    "output_throughput",
    "total_input_tokens",
    "total_output_tokens",
    "median_ttft_ms",
    "median_tpot_ms",
    "median_itl_ms",
    "median_e2el_ms",
    "mean_e2el_ms",
)
"""What both clients name alike and is compared."""

_NAME = "agreement"

# The `vllm` command asks for the version of a distribution named `vllm`; the CPU build has another name.
_VLLM = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What either client is told: a closed loop of `concurrency` clients, `requests` in all, `output` tokens each."""

    url: str
    model: str
    requests: int
    concurrency: int
    output: int
    warm_up: int = 2


def ours(load: Load, folder: Path) -> dict[str, Any]:
    """What `praxis bench serve` says of the prompts in `folder`."""
    result = folder / "ours.json"
    command = [sys.executable, "-m", "praxis", "bench", "serve", "--url", load.url, "--model", load.model,
               "--dataset", _NAME, "--dataset-dir", str(folder), "--concurrency", str(load.concurrency),
               "--num-prompts", str(load.requests), "--output-len", str(load.output), "--ignore-eos",
               "--warm-up", str(load.warm_up), "--json", str(result)]  # fmt: skip
    _run(command, {})
    (run,) = json.loads(result.read_text("utf-8"))["runs"]
    found: dict[str, Any] = run["rounds"][0]
    return found


def theirs(load: Load, folder: Path, python: Path, tokenizer: Path) -> dict[str, Any]:
    """What vLLM's `bench serve`, run by `python`, says of the prompts in `folder`."""
    result = folder / "theirs.json"
    command = [str(python), "-c", _VLLM, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions",
               "--base-url", load.url, "--model", load.model, "--tokenizer", str(tokenizer),
               "--dataset-name", "sharegpt", "--dataset-path", str(folder / f"{_NAME}.json"),
               "--sharegpt-output-len", str(load.output), "--ignore-eos", "--temperature", "0",
               "--num-prompts", str(load.requests), "--max-concurrency", str(load.concurrency),
               "--num-warmups", str(load.warm_up), "--percentile-metrics", "ttft,tpot,itl,e2el",
               "--disable-tqdm", "--save-result", "--result-filename", str(result)]  # fmt: skip
    _run(command, {"OPENAI_API_KEY": os.environ.get("PRAXIS_API_KEY", ""), "HF_HUB_OFFLINE": "1"})
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def write_prompts(folder: Path, count: int, words: int, seed: int) -> None:
    """`count` prompts of so many random words as a data set that both clients read."""
    rows = [
        {
            "conversations": [
                {"from": "human", "value": prompt.messages[0]["content"]},
                # vLLM leaves out what has a short answer; the text itself is used by neither.
                {"from": "gpt", "value": "依据劳动合同法的规定，用人单位应当支付。"},
            ]
        }
        for prompt in of_length(count, words, 1, seed)
    ]
    (folder / f"{_NAME}.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    layout = {
        _NAME: {
            "file_name": f"{_NAME}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations"},
        }
    }
    (folder / "dataset_info.json").write_text(json.dumps(layout), "utf-8")


def table(rounds: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A line for each figure: the medians of the rounds, ours and vLLM's, and the share by which ours differs."""
    rows = []
    for figure in _FIGURES:
        mine, other = (median(pair[side][figure] for pair in rounds) for side in (0, 1))
        rows.append({"figure": figure, "praxis": mine, "vllm": other, "difference": mine / other - 1})
    return rows


def _run(command: list[str], more: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PraxisError(f"`{command[0]}` failed ({done.returncode}):\n{done.stderr[-2000:]}")


def agreement(
    url: Annotated[
        str, typer.Option(help="Engine or gateway, without /v1; its key is read from PRAXIS_API_KEY.")
    ],
    model: Annotated[str, typer.Option(help="The model, by the name that is served there.")],
    tokenizer: Annotated[Path, typer.Option(help="The model's folder: vLLM's client counts with it.")],
    python: Annotated[Path, typer.Option(help="The Python that has vLLM.")] = Path(
        ".praxis/engines/cpu/bin/python"
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Of which the medians are compared.")] = 5,
    requests: Annotated[int, typer.Option(min=1, help="Requests of a client in a round.")] = 24,
    concurrency: Annotated[int, typer.Option(min=1, help="Clients of the closed loop.")] = 4,
    words: Annotated[int, typer.Option(min=1, help="Words of a prompt.")] = 12,
    output: Annotated[int, typer.Option(min=2, help="Tokens of an answer.")] = 32,
    within: Annotated[float, typer.Option(min=0, help="Share by which figures may differ.")] = 0.1,
) -> None:
    """Measure one engine with `praxis bench serve` and with vLLM's client in turn; exit 1 where the medians differ."""
    load = Load(url.rstrip("/"), model, requests, concurrency, output)
    pairs = []
    with TemporaryDirectory() as place:
        folder = Path(place)
        for number in range(rounds):
            write_prompts(folder, requests, words, 2 * number)
            mine = ours(load, folder)
            write_prompts(folder, requests, words, 2 * number + 1)
            pairs.append((mine, theirs(load, folder, python, tokenizer)))
            typer.echo(render(table(pairs[-1:]), Format.csv), err=True)
    found = table(pairs)
    typer.echo(render(found, Format.md))
    far = [each["figure"] for each in found if abs(each["difference"]) > within]
    if far:
        raise PraxisError(f"They differ by more than {within:.0%}: {', '.join(far)}.")


if __name__ == "__main__":
    with exit_codes():
        typer.run(agreement)
