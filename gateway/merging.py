"""`praxis adapters merge`, all of it but the reading of the command line."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from gateway.adapters.fit import base_of
from gateway.adapters.merge import DType, Plan, finish, merge, plan, working
from gateway.adapters.source import read
from praxis.config import load
from praxis.errors import InvalidRequest, PraxisError
from praxis.up.progress import Progress


def merge_adapter(adapter: Path, base: Path, out: Path, dtype: DType, shard_gb: float, check: bool) -> None:
    """Merge the adapter in the folder `adapter` into the model in `base`, verify it, and have it in `out`.

    Prints what it does. Raises PraxisError when it cannot be merged, or the merged model disagrees; nothing lies in
    `out` then.
    """
    progress = Progress()
    with progress.step("Checking the adapter"):
        source = read(adapter.resolve(), None)
        planned = plan(source, base.resolve(), out.resolve(), dtype, shard_gb * 1e9)
    if source.why:
        progress.say(f"  Took {source.path}: {source.why}.")
    try:
        with working(planned):
            with progress.step(f"Merging {planned.size / 1e9:.1f} GB") as report:
                merge(planned, report)
            verified = _verify(planned, progress) if check else {"reason": "not asked for"}
            with progress.step("Naming it by its content") as report:
                revision = finish(planned, verified, report)
    except KeyboardInterrupt:
        raise PraxisError(
            f"Interrupted. The same command goes on where it was; to give up, remove `{planned.work}`."
        ) from None
    progress.say(f"{planned.out} is {source.path.name} merged into {planned.base}, revision {revision}.")
    progress.say(f"Its engine serves it as NAME@{revision}: NAME is what clients will ask for.")


def base_folder(base: str, config: Path) -> Path:
    """The folder of the weights that `base` means: itself, or those of that model of the file `config`."""
    if Path(base).is_dir():
        return Path(base)
    known = load(config)
    if base not in known.models:
        raise InvalidRequest(
            f"`{base}` is no folder and no model of `{config}`; give the folder of the base's weights."
        )
    if folder := base_of(known, base):
        return folder
    raise InvalidRequest(
        f"Praxis knows no folder with the weights of `{base}`; give it with `--base`, or write it into `{config}` as "
        f"`models.{base}.weights`."
    )


def _verify(planned: Plan, progress: Progress) -> dict[str, object]:
    """Hold the merged model against base and adapter; what came of it. Raises PraxisError where they disagree."""
    from gateway.adapters.verify import PROBES, verify

    with progress.step("Verifying") as report:
        verdict = verify(planned.base, planned.adapter.path, planned.work, report)
    if verdict.reason:
        progress.say(f"  Not verified: {verdict.reason}.")
        return {"reason": verdict.reason}
    found = (
        f"on {len(PROBES)} prompts the logits are {_percent(verdict.error)} from those of base and adapter "
        f"(allowed: {_percent(verdict.tolerance)}); the adapter moves them by {_percent(verdict.effect)}"
    )
    if not verdict.agrees:
        shutil.rmtree(planned.work, ignore_errors=True)
        raise PraxisError(
            f"The merged model disagrees: {found}. It was removed. Where the adapter moves so little that rounding "
            "hides it, merge into a base in float32."
        )
    progress.say(f"  Verified: {found}.")
    return asdict(verdict)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
