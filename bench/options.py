"""Options of this room's commands that several have; each is explained here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from praxis.tables import Format

GATEWAY = "http://127.0.0.1:8080"
"""Where `praxis up` puts the gateway."""

TargetsOption = Annotated[
    list[str], typer.Option("--model", help="A target: model, adapter or assistant; repeat for more.")
]
UrlOption = Annotated[str, typer.Option("--url", help="The gateway; its key is read from PRAXIS_API_KEY.")]
PatienceOption = Annotated[
    float, typer.Option("--patience", min=0, help="Seconds to wait while nobody listens.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write every figure to this file too.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]
BootstrapSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")]
ThinkingOption = Annotated[
    bool, typer.Option("--remove-thinking", help="Score without what stands before `</think>`.")
]

# What a data set is asked with.
DatasetOption = Annotated[str, typer.Option("--dataset", help="A name in the folder's dataset_info.json.")]
DatasetDirOption = Annotated[
    Path, typer.Option("--dataset-dir", help="A folder of data sets, as LLaMA-Factory keeps them.")
]
MaxSamplesOption = Annotated[
    int | None, typer.Option("--max-samples", min=1, help="Only the first rows, this many.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave wrong rows out instead of refusing the data set.")
]
SystemOption = Annotated[
    str | None, typer.Option("--default-system", help="System prompt for rows that have none.")
]
ConcurrencyOption = Annotated[
    int, typer.Option("--concurrency", min=1, max=1024, help="Questions under way at once.")
]
TemperatureOption = Annotated[float, typer.Option("--temperature", min=0, help="0 makes scores repeatable.")]
MaxNewTokensOption = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer.")]
SamplingSeedOption = Annotated[
    int | None, typer.Option("--seed", help="Makes sampling repeatable, where the engine can.")
]
AnswerTimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for one answer.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Finish the run in --out.")]
