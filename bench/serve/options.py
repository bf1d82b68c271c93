"""Options of `praxis bench serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

UrlOption = Annotated[
    str, typer.Option("--url", help="Gateway or engine, without /v1; its key is read from PRAXIS_API_KEY.")
]

# The load.
RateOption = Annotated[
    str | None,
    typer.Option("--rate", help="Open loop: requests a second, with commas for a sweep; inf: all at once."),
]
ClientsOption = Annotated[
    str | None,
    typer.Option("--concurrency", help="Closed loop: clients, with commas for a sweep [default: 8]."),
]
PlacesOption = Annotated[
    int | None,
    typer.Option(
        "--max-concurrency",
        min=1,
        help="Open loop: at most so many under way; others wait, and it is counted.",
    ),
]
BurstinessOption = Annotated[
    float,
    typer.Option("--burstiness", min=0.01, help="Shape of the gamma arrivals: 1 Poisson, less is burstier."),
]
NumPromptsOption = Annotated[int, typer.Option("--num-prompts", min=1, help="Requests of one measurement.")]
RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Rounds, of which the medians are shown.")]
WarmUpOption = Annotated[
    int, typer.Option("--warm-up", min=0, help="Requests to each target that count nowhere.")
]

# The requests.
InputLenOption = Annotated[
    int, typer.Option("--input-len", min=1, help="Tokens of a prompt, where no data set is given.")
]
OutputLenOption = Annotated[int, typer.Option("--output-len", min=1, help="Most new tokens of an answer.")]
IgnoreEosOption = Annotated[
    bool, typer.Option("--ignore-eos", help="Engines of vLLM's kind: always write all the new tokens.")
]
RowsOption = Annotated[str | None, typer.Option("--dataset", help="Ask the rows of this data set instead.")]
RowsDirOption = Annotated[
    Path | None, typer.Option("--dataset-dir", help="A folder of data sets, as LLaMA-Factory keeps them.")
]
TemperatureOption = Annotated[float, typer.Option("--temperature", min=0, help="Of every request.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of prompts and arrivals.")]

# The figures.
GoodputOption = Annotated[
    list[str] | None,
    typer.Option("--goodput", help="A bound in ms such as ttft:500, tpot:50 or e2el:3000; repeat for more."),
]
PercentilesOption = Annotated[str, typer.Option("--percentiles", help="Which to report, with commas.")]
