"""An adapter as it comes in: chosen, checked before any engine sees it, and named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.choice import CONFIG, choose
from gateway.adapters.fit import Fit, check
from gateway.adapters.lora import WEIGHTS, Lora, read_lora, wrong
from praxis.weights import MERGE_RECORD, merged_revision


@dataclass(frozen=True, slots=True)
class Source:
    """A PEFT folder that may be loaded, or a merged model's (`rank` 0). `revision` is the first 12 hex digits of the SHA-256
    over configuration and weights.

    `chosen` is its name below the folder that was asked for, empty when it is that folder itself, and `why` says why;
    `unchecked` are the checks that could not be made here, a sentence each.
    """

    path: Path
    rank: int
    revision: str
    chosen: str = ""
    why: str = ""
    unchecked: Sequence[str] = ()


def read(path: Path, roots: Sequence[Path] | None, fit: Fit | None = None) -> Source:
    """Choose and check the adapter at `path` (absolute, resolved): a PEFT folder, or the `output_dir` of a training run.

    It must lie below one of `roots`, and so must whatever links in it lead to; None allows any place. `fit` is what it
    is held against. It reads every weight, a block at a time, so it belongs into a thread. Raises InvalidRequest that
    names the file and the fix.
    """
    _check_place(path, roots)
    if not path.is_dir():
        raise wrong(f"There is no folder `{path}`; give the PEFT folder that training wrote.")
    choice = choose(path)
    folder = choice.folder.resolve()
    for each in (folder, *folder.iterdir()):
        _check_place(each.resolve(), roots)
    if fit is not None:
        _check_size(folder, fit)
    lora = read_lora(folder)
    unchecked = [] if fit is None else check(lora, fit)
    _check_finite(lora)
    return Source(folder, lora.rank, revision_of(folder), choice.name, choice.why, tuple(unchecked))


def read_merged(path: Path, roots: Sequence[Path] | None) -> Source:
    """The merged model at `path`, as `praxis adapters merge` made and checked it. Raises InvalidRequest."""
    _check_place(path, roots)
    revision = merged_revision(path)
    if revision is None:
        raise wrong(
            f"`{path}` has no readable {MERGE_RECORD}, so it is no merged model; make one with `praxis adapters merge`."
        )
    return Source(path, 0, revision)


def revision_of(folder: Path) -> str:
    """The name of its content: the first 12 hex digits of the SHA-256 over configuration and weights."""
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    with (folder / WEIGHTS).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _check_place(path: Path, roots: Sequence[Path] | None) -> None:
    if roots is None or any(path.is_relative_to(root) for root in roots):
        return
    listing = ", ".join(f"`{root}`" for root in roots) or "none"
    raise wrong(
        f"`{path}` is outside the folders that adapters may come from ({listing}); copy it there "
        "or add its folder to `server.adapter_roots` in models.yaml."
    )


def _check_size(folder: Path, fit: Fit) -> None:
    size = sum((folder / name).stat().st_size for name in (CONFIG, WEIGHTS) if (folder / name).is_file())
    if size > fit.max_bytes:
        raise wrong(
            f"`{folder}` holds {size / 1e9:.1f} GB of adapter, and {fit.max_bytes / 1e9:g} GB are allowed; "
            "raise `server.adapter_max_gb` in models.yaml if it is meant to be so large."
        )


def _check_finite(lora: Lora) -> None:
    # It brings numpy: 12 MiB that a gateway needs only while it takes an adapter.
    from gateway.adapters.floats import is_finite

    for tensor in lora.tensors:
        if not is_finite(tensor):
            raise wrong(
                f"`{tensor.file}` holds NaN or infinity in `{tensor.name}`; training diverged: "
                "take an earlier checkpoint, or train again with a smaller learning rate."
            )
