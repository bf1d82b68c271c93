"""`praxis adapters …`: the operator's commands, spoken over HTTP to a running gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from praxis.errors import InvalidRequest, PraxisError, UpstreamError

UrlOption = Annotated[str, typer.Option("--url", envvar="PRAXIS_GATEWAY_URL", help="The gateway.")]
URL = "http://127.0.0.1:8080"

adapters = typer.Typer(help="Load, list, unload and merge LoRA adapters.", no_args_is_help=True)


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
    url: UrlOption = URL,
) -> None:
    """Load the adapter NAME into every replica of its base; it answers at once."""
    loaded = _call(
        "POST", url, "/admin/v1/adapters", {"name": name, "base": base, "source": os.path.abspath(source)}
    )
    replicas = loaded["replicas"]
    resident = sum(each["loaded"] for each in replicas)
    if loaded["why"]:
        typer.echo(f"Took {loaded['source']}: {loaded['why']}.")
    for each in loaded["unchecked"]:
        typer.echo(f"Not checked. {each}")
    typer.echo(f"{name}@{loaded['revision']} is live on {resident} of {len(replicas)} replicas of `{base}`.")


@adapters.command("unload")
def unload(name: Annotated[str, typer.Argument(help="The adapter's name.")], url: UrlOption = URL) -> None:
    """Take the adapter NAME out of every replica."""
    _call("DELETE", url, f"/admin/v1/adapters/{name}")
    typer.echo(f"{name} is unloaded.")


@adapters.command("list")
def list_adapters(url: UrlOption = URL) -> None:
    """List the adapters with their base, revision and where they are loaded."""
    listed = _call("GET", url, "/admin/v1/adapters")["data"]
    for each in listed:
        resident = sum(replica["loaded"] for replica in each["replicas"])
        typer.echo(
            f"{each['name']}@{each['revision']}  base={each['base']}  replicas={resident}/{len(each['replicas'])}"
        )
    if not listed:
        typer.echo("No adapter is loaded; `praxis adapters load NAME --base MODEL --source DIR` loads one.")


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
        live = {each["name"]: each for each in _call("GET", url, "/admin/v1/adapters")["data"]}
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


def _call(method: str, url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    import httpx

    key = os.environ.get("PRAXIS_API_KEY")
    if not key:
        raise InvalidRequest(
            "Set `PRAXIS_API_KEY` to an admin key; `praxis keys create NAME --admin` makes one."
        )
    try:
        response = httpx.request(
            method, url.rstrip("/") + path, json=body, headers={"authorization": f"Bearer {key}"}, timeout=300
        )
    except httpx.HTTPError as error:
        raise UpstreamError(
            f"The gateway at `{url}` cannot be reached ({error}); is `praxis up` running?"
        ) from None
    if response.is_success:
        return response.json()
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"the gateway answered with status {response.status_code}"
    raise PraxisError(message)
