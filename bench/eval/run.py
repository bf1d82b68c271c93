"""A run: one data set asked of one or more targets, kept in a folder that can be resumed.

run.json                 the settings that make it repeatable; never a key
<target>.jsonl           predictions, one line a row
<target>.scores.json     their scores
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.endpoint import Failure, Gateway
from bench.eval.chat import Answer, Sampling, ask
from bench.eval.datasets import Dataset
from bench.eval.predictions import Prediction, read
from bench.eval.rows import Example
from bench.eval.scores import score, similarities
from bench.eval.similarity import Scorer
from bench.journal import Journal, write
from bench.workers import work_off
from praxis.errors import ConfigError, Problem

_RECORD = "run.json"
_SAME = ("dataset", "sampling", "default_system")

Report = Callable[[str, int, int, int], None]
"""Told after every row: the target, rows finished, rows in all, rows that failed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run asks of whom. `concurrency` is the number of questions under way at once."""

    dataset: Dataset
    targets: Sequence[str]
    sampling: Sampling
    default_system: str | None = None
    concurrency: int = 8
    remove_thinking: bool = False

    def examples(self) -> list[Example]:
        """The rows as they are asked, those without a system prompt given the default one."""
        if not self.default_system:
            return self.dataset.examples
        system = {"role": "system", "content": self.default_system}
        return [
            each if each.messages[0]["role"] == "system" else replace(each, messages=[system, *each.messages])
            for each in self.dataset.examples
        ]

    def record(self, url: str) -> dict[str, Any]:
        """The settings as `run.json` keeps them."""
        return {
            "praxis": version("praxis"),
            "url": url,
            "dataset": {
                "name": self.dataset.name,
                "file": str(self.dataset.path.resolve()),
                "sha256": hashlib.sha256(self.dataset.path.read_bytes()).hexdigest(),
                "rows": len(self.dataset.examples),
                "skipped": [str(each) for each in self.dataset.bad],
            },
            "targets": list(self.targets),
            "sampling": self.sampling.settings(),
            "default_system": self.default_system,
            "concurrency": self.concurrency,
            "remove_thinking": self.remove_thinking,
        }


class Run:
    """The folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, folder: Path, record: dict[str, Any], *, resume: bool) -> Run:
        """Make the folder, or take up the run in it. Raises ConfigError when that would mix two runs."""
        run = cls(folder)
        if (folder / _RECORD).exists():
            before = run.record()
            if not resume:
                raise _refused(folder, "it holds a run; add `--resume` to finish it, or give another `--out`")
            for field in _SAME:
                if before.get(field) != record[field]:
                    raise _refused(
                        folder, f"its run was begun with another `{field}`: {json.dumps(before.get(field))}"
                    )
            targets = dict.fromkeys([*before["targets"], *record["targets"]])
            record = record | {"targets": list(targets), "started": before["started"]}
        elif resume:
            raise _refused(folder, "there is no run in it to resume")
        folder.mkdir(parents=True, exist_ok=True)
        run._keep({"started": time.time(), "finished": None} | record)
        return run

    def record(self) -> dict[str, Any]:
        """What `run.json` says. Raises ConfigError when it says nothing."""
        try:
            record = json.loads((self.folder / _RECORD).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise _refused(self.folder, f"its `{_RECORD}` cannot be read: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("targets"), list):
            raise _refused(self.folder, f"its `{_RECORD}` describes no run")
        return record

    def predictions(self, target: str) -> Path:
        return self.folder / f"{file_name(target)}.jsonl"

    def scores(self, target: str) -> Path:
        return self.folder / f"{file_name(target)}.scores.json"

    def listing(self) -> dict[str, Any]:
        """The run in one line of a list."""
        record = self.record()
        return {
            "run": str(self.folder),
            "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(record["started"])),
            "dataset": record["dataset"]["name"],
            "rows": record["dataset"]["rows"],
            "targets": ", ".join(record["targets"]),
            "state": "finished" if record["finished"] else "unfinished",
        }

    async def ask(
        self, plan: Plan, gateway: Gateway, report: Report, *, began: float
    ) -> list[dict[str, Any]]:
        """Ask every target and return the scores of each, which are then on disk too.

        `began` is the monotonic time at which preparation began. `stopped` in the last scores is the reason
        when nobody listened for longer than the gateway's patience, else None; the run can then be resumed.
        Raises OSError when the disk takes no more.
        """
        examples = plan.examples()
        scorer = Scorer()
        results: list[dict[str, Any]] = []
        for target in plan.targets:
            preparation = time.monotonic() - began
            with Journal(self.predictions(target), read) as journal:
                lost = await _ask_target(target, examples, plan, gateway, journal, report)
                predictions = journal.finish()
            scores: dict[str, Any] = {"target": target, "dataset": plan.dataset.name}
            scored = similarities(predictions, scorer, remove_thinking=plan.remove_thinking)
            scores |= score(scored, preparation=preparation)
            scores |= {"missing": len(examples) - len(predictions), "stopped": lost and lost.message}
            write(self.scores(target), [json.dumps(scores, ensure_ascii=False, indent=4).encode(), b"\n"])
            results.append(scores)
            if lost:
                return results
            began = time.monotonic()
        self._keep(self.record() | {"finished": time.time()})
        return results

    def _keep(self, record: dict[str, Any]) -> None:
        write(self.folder / _RECORD, [json.dumps(record, ensure_ascii=False, indent=2).encode(), b"\n"])


def runs(folder: Path) -> list[Run]:
    """The runs in `folder`, oldest first."""
    found = [Run(path.parent) for path in folder.glob(f"*/{_RECORD}")]
    return sorted(found, key=lambda run: float(run.record().get("started") or 0))


def file_name(target: str) -> str:
    """`target` as a file name: what file systems do not take is percent-encoded."""
    name = re.sub(r'[\x00-\x1f%/\\:*?"<>|]', lambda match: f"%{ord(match[0]):02X}", target)
    return "%2E" + name[1:] if name.startswith(".") else name


async def _ask_target(
    target: str,
    examples: Sequence[Example],
    plan: Plan,
    gateway: Gateway,
    journal: Journal[Prediction],
    report: Report,
) -> Failure | None:
    """Ask what is not answered yet. Returns the failure that ended the run early, if one did."""
    answered = journal.done
    todo = [each for each in examples if each.id not in answered]
    done, failed = len(answered), 0
    lost: Failure | None = None
    report(target, done, len(examples), failed)

    async def work(example: Example) -> bool:
        nonlocal done, failed, lost
        began = time.monotonic()
        answer: Answer | Failure
        try:
            answer = await ask(gateway, target, example, plan.sampling)
        except Failure as failure:
            answer = failure
            failed += 1
            if failure.kind == "refused":
                lost = failure
        journal.add(_prediction(example, answer, time.monotonic() - began))
        done += 1
        report(target, done, len(examples), failed)
        return lost is None

    await work_off(todo, plan.concurrency, work)
    return lost


def _prediction(example: Example, answer: Answer | Failure, seconds: float) -> Prediction:
    row = Prediction(
        id=example.id,
        prompt=example.prompt,
        predict="",
        label=example.label,
        seconds=round(seconds, 6),
        finished=time.time(),
    )
    if isinstance(answer, Failure):
        return replace(row, error={"type": answer.kind, "message": answer.message})
    return replace(
        row,
        predict=answer.text,
        truncated=answer.truncated,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        citations=answer.citations,
        unverified=answer.unverified,
        revision=answer.revision,
    )


def _refused(folder: Path, message: str) -> ConfigError:
    return ConfigError(str(folder), [Problem(None, "", message)])
