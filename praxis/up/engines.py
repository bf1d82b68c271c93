"""The engines that `praxis up` starts itself: their environment, their model, their command line."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from praxis.config import Backend, Config
from praxis.errors import PraxisError
from praxis.up.environment import Environment
from praxis.up.progress import Progress, Report
from praxis.up.supervisor import Program
from praxis.weights import EMBEDDED, merged_revision, prepare

Device = Literal["cpu", "cuda"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_TITLES: dict[Device, str] = {
    "cpu": "Engine environment (vLLM, CPU)",
    "cuda": "Engine environment (vLLM, CUDA)",
}

_MANY_CORES = 4

_MEDIA = ("torchvision", "torchaudio", "torchcodec")
"""Packages that vLLM names and that text models do not need; built for another torch, they break its import."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine process to be: `url` is its root, `model` what it loads, `local` whether that is a folder here."""

    name: str
    backend: str
    url: str
    model: str
    local: bool
    served: tuple[str, ...]
    flags: Mapping[str, Any]


def device() -> Device:
    """`cuda` where an NVIDIA driver answers, else `cpu`."""
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return "cuda" if answer.returncode == 0 and "GPU" in answer.stdout else "cpu"


def cpu_dtype(cpuinfo: str) -> str:
    """The type that a CPU with these /proc/cpuinfo flags computes fastest in.

    Without instructions of its own for bfloat16, a CPU takes six times as long over a prompt in it as in float32.
    """
    flags = set(cpuinfo.split())
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def _cpu_dtype() -> str:
    try:
        return cpu_dtype(Path("/proc/cpuinfo").read_text())
    except OSError:
        return "float32"


def cpu_threads(engines: int, cores: int) -> dict[str, str]:
    """The environment in which one of `engines` engines computes on its share of `cores` cores.

    Empty for one engine on many cores: vLLM then binds a thread to each but one, which it leaves free. On two cores that
    is half of them, and a prompt takes 1.6 times as long; and several engines would all bind to the same cores.
    """
    if engines == 1 and cores >= _MANY_CORES:
        return {}
    return {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, cores // engines))}


def _cpu_environment(config: Config) -> dict[str, str]:
    """What an engine on the CPU needs; variables of the operator's come first."""
    launched = sum(len(backend.replicas) for backend in config.backends.values() if backend.launch)
    wanted = {"VLLM_CPU_KVCACHE_SPACE": "1", **cpu_threads(launched, len(os.sched_getaffinity(0)))}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def environment(config: Config, kind: Device) -> Environment:
    """Where the engine for `kind` lives and what pins it."""
    requirements = Path(__file__).resolve().parents[2] / "requirements" / f"engine-{kind}.txt"
    return Environment(
        config.home / "engines" / kind, requirements, config.home / "logs" / f"pip-engine-{kind}.log"
    )


def install(config: Config, progress: Progress) -> Environment:
    """Make the engine environment for this machine unless it is there. Raises PraxisError."""
    kind = device()
    made = environment(config, kind)
    if not made.ready():
        if kind == "cpu" and platform.machine() not in ("x86_64", "aarch64"):
            raise PraxisError(
                f"vLLM's CPU build is not made for `{platform.machine()}`; run an engine elsewhere, list it under "
                "`replicas` in models.yaml and leave out `launch`."
            )
        with progress.step(_TITLES[kind]) as report:
            made.make(report, finish=_drop_broken_media)
    return made


def _drop_broken_media(made: Environment) -> None:
    """Remove the media packages where they cannot be imported: vLLM then does without, for text models."""
    works = subprocess.run([made.python, "-c", "import torchvision"], capture_output=True, check=False)
    if works.returncode:
        subprocess.run(
            [made.python, "-m", "pip", "uninstall", "--yes", "--quiet", *_MEDIA],
            capture_output=True,
            check=False,
        )


def planned(config: Config, report: Report) -> list[Engine]:
    """The engines that the file asks to launch, one for each replica, their weights made ready.

    Raises PraxisError for a model that is nowhere, a backend that cannot be launched, or weights that cannot be had.
    """
    engines = []
    for name, backend in config.backends.items():
        if backend.launch is None:
            continue
        if backend.kind != "vllm":
            raise PraxisError(
                f"`backends.{name}.launch`: `praxis up` starts vLLM only; start this {backend.kind} yourself, "
                "keep it in `replicas` and remove `launch`."
            )
        served = _served(config, name)
        if not served:
            raise PraxisError(
                f"`backends.{name}` is launched but no model in `models` and no merged adapter uses it; add one."
            )
        model, local = resolve_model(backend.launch.model, config, report)
        for process, url in replicas(name, backend):
            if urlsplit(url).hostname not in LOOPBACK:
                raise PraxisError(
                    f"`backends.{name}.launch`: `{url}` is not on this machine; launch engines on 127.0.0.1 only."
                )
            engines.append(Engine(process, name, url, model, local, served, backend.launch.flags))
    return engines


def _served(config: Config, backend: str) -> tuple[str, ...]:
    """The names under which the engines of `backend` serve: of its models, and of the adapters merged into one."""
    names = [each.upstream for each in config.models.values() if each.backend == backend]
    names += [
        f"{name}@{merged_revision(config.resolve(each.source))}"
        for name, each in config.adapters.items()
        if each.backend == backend
    ]
    return tuple(dict.fromkeys(names))


def replicas(name: str, backend: Backend) -> Iterator[tuple[str, str]]:
    """The process name and the URL of each engine that backend `name` launches."""
    for number, replica in enumerate(backend.replicas, 1):
        yield f"engine-{name}" + (f"-{number}" if len(backend.replicas) > 1 else ""), replica.url


def resolve_model(model: str, config: Config, report: Report) -> tuple[str, bool]:
    """What to hand to the engine for `launch.model`, and whether it is a folder on this machine.

    `embedded` and `smollm2` are made ready; a folder is relative to the configuration file; anything else is a hub
    id. Raises PraxisError when it is none of these.
    """
    if weights := EMBEDDED.get(model):
        return str(prepare(weights, config.home / "models", report)), True
    folder = config.resolve(Path(model))
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise PraxisError(
                f"`{folder}` holds no config.json, so it is no model folder; give one as `save_pretrained` writes it."
            )
        return str(folder), True
    words = ", ".join(f"`{word}`" for word in EMBEDDED)
    if model.startswith(("/", ".", "~")) or model.count("/") != 1:
        raise PraxisError(
            f"There is no model folder `{folder}`; give a folder that exists, a hub id (`org/name`) or {words}."
        )
    report(f"asking the model hub for {model}")
    if reason := _hub_refuses(model):
        raise PraxisError(
            f"`{model}` is no folder here and the model hub does not give it ({reason}); give a folder that exists, "
            f"a hub id that this machine can reach, or {words}."
        )
    return model, False


def _hub_refuses(model: str) -> str | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        hf_hub_download(model, "config.json")
    except LocalEntryNotFoundError:
        return "the hub cannot be reached"
    except (HfHubHTTPError, OSError, ValueError) as error:
        return str(error).strip().splitlines()[0]
    return None


def program(engine: Engine, config: Config, made: Environment, kind: Device) -> Program:
    """The process that serves `engine` on its port."""
    environment = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_COLOR": "1",
        "PATH": f"{made.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    if engine.local:
        environment["HF_HUB_OFFLINE"] = "1"
    if kind == "cpu":
        environment |= _cpu_environment(config)
    if key := config.backends[engine.backend].api_key():
        environment["VLLM_API_KEY"] = key
    return Program(engine.name, command(engine, made, kind), config.root, environment)


def command(engine: Engine, made: Environment, kind: Device) -> list[str]:
    """The engine's command line: what is needed to serve, what the device wants, then the operator's own flags."""
    address = urlsplit(engine.url)
    flags: dict[str, Any] = {
        "host": address.hostname,
        "port": address.port or 8000,
        "served_model_name": list(engine.served),
    }
    if kind == "cpu":
        # Compiling a graph takes minutes on a small machine and gains little there.
        flags |= {"enforce_eager": True, "dtype": _cpu_dtype()}
    flags |= engine.flags
    if kind == "cpu":
        # The `vllm` command asks for the version of a distribution named `vllm`; the CPU build has another name.
        start = [str(made.python), "-m", "vllm.entrypoints.openai.api_server", "--model", engine.model]
    else:
        start = [str(made.folder / "bin" / "vllm"), "serve", engine.model]
    return [*start, *command_flags(flags)]


def command_flags(flags: Mapping[str, Any]) -> list[str]:
    """Flags as the command line takes them: `max_model_len: 4096` is `--max-model-len 4096`.

    True is the bare flag, False its `--no-…` form, None nothing, a list several values, a mapping (or a list of
    mappings) JSON.
    """
    words: list[str] = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-').removeprefix('--')}"
        if value is True:
            words.append(flag)
        elif value is False:
            words.append(f"--no-{flag[2:]}")
        elif isinstance(value, Mapping):
            words += [flag, json.dumps(value, ensure_ascii=False)]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [flag, *(each if isinstance(each, str) else json.dumps(each) for each in value)]
        elif value is not None:
            words += [flag, str(value)]
    return words
