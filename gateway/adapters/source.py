"""An adapter's folder as it comes in: checked before any engine sees it, and named by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from praxis.errors import InvalidRequest

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"


@dataclass(frozen=True, slots=True)
class Source:
    """A PEFT folder that may be loaded. `revision` is the first 12 hex digits of the SHA-256 over both its files."""

    path: Path
    rank: int
    revision: str


def read(path: Path, roots: Sequence[Path]) -> Source:
    """Check the PEFT folder at `path` (absolute, resolved), which must lie below one of `roots`.

    Raises InvalidRequest that names the file and the fix.
    """
    if not any(path.is_relative_to(root) for root in roots):
        listing = ", ".join(f"`{root}`" for root in roots) or "none"
        raise _wrong(
            f"`{path}` is outside the folders that adapters may come from ({listing}); copy it there "
            "or add its folder to `server.adapter_roots` in models.yaml."
        )
    if not path.is_dir():
        raise _wrong(f"There is no folder `{path}`; give the PEFT folder that training wrote.")
    rank = _rank(path / CONFIG)
    weights = path / WEIGHTS
    if not weights.is_file():
        if (path / PICKLED).is_file():
            raise _wrong(
                f"`{path / PICKLED}` is pickled, which can run code when loaded; save the adapter again "
                "with `safe_serialization=True`."
            )
        raise _wrong(f"`{weights}` is missing; give the PEFT folder that training wrote.")
    _check_header(weights)
    return Source(path, rank, _revision(path / CONFIG, weights))


def _wrong(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="source")


def _rank(config: Path) -> int:
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(f"`{config}` is missing; give the PEFT folder that training wrote.") from None
    except (OSError, ValueError) as error:
        raise _wrong(f"`{config}` cannot be read as JSON ({error}); save the adapter again.") from None
    if not isinstance(data, dict) or data.get("peft_type") != "LORA":
        raise _wrong(
            f"`{config}` describes no LoRA (`peft_type` must be `LORA`); other kinds cannot be served."
        )
    rank = data.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise _wrong(f"`{config}` has no rank: `r` must be a positive whole number.")
    return rank


def _check_header(weights: Path) -> None:
    """A safetensors file is 8 bytes of length, that much JSON, then the tensors that it lists (format's own README)."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, 100 * 2**20):
            raise _wrong(f"`{weights}` is no safetensors file or was cut short; copy it again.")
        try:
            header = json.loads(file.read(length))
            end = max(
                (item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"),
                default=0,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _wrong(f"`{weights}` has a damaged header; copy it again.") from None
    if end == 0:
        raise _wrong(f"`{weights}` holds no tensors; train the adapter again.")
    if 8 + length + end != size:
        raise _wrong(
            f"`{weights}` is {size} bytes where its header promises {8 + length + end}; copy it again."
        )


def _revision(config: Path, weights: Path) -> str:
    digest = hashlib.sha256(config.read_bytes())
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]
