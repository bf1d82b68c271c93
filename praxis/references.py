"""What a schema cannot see of models.yaml: names that point nowhere, names taken twice, paths that cannot be read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from praxis.errors import Problem
from praxis.weights import MERGE_RECORD, merged_revision
from praxis.yaml_lines import LinedYaml

if TYPE_CHECKING:
    from praxis.config import Config

Place = tuple[str | int, ...]
"""A field of the file: its keys from the top, with numbers for the items of lists."""

_PATH = ("/", "./", "../", "~")
"""How the model of an engine begins where it is a folder and no hub name."""


def references(config: Config, document: LinedYaml) -> list[Problem]:
    """Every mistake of this kind in `config`, which was read from `document`."""
    check = _Check(config, document)
    check.models()
    check.aliases()
    check.adapters()
    check.assistants()
    check.backends()
    return check.problems


class _Check:
    """A method for each section. The first to claim a name has it, so their order tells who is told to choose another."""

    def __init__(self, config: Config, document: LinedYaml) -> None:
        self.problems: list[Problem] = []
        self._config = config
        self._document = document
        self._taken: dict[str, str] = {}

    def models(self) -> None:
        for name, model in self._config.models.items():
            self._claim(("models", name), name)
            self._must_exist(("models", name, "backend"), model.backend, self._config.backends, "backends")
            for index, other in enumerate(model.fallback):
                place = ("models", name, "fallback", index)
                self._must_exist(place, other, self._config.models, "models")
                if other == name:
                    self._problem(place, "a model cannot fall back to itself; remove it")
            if model.weights is not None:
                weights = self._config.resolve(model.weights)
                if not (weights / "config.json").is_file():
                    message = f"`{weights}` holds no config.json; give the folder of the model's weights"
                    self._problem(("models", name, "weights"), message)

    def aliases(self) -> None:
        for name, model in self._config.models.items():
            for index, alias in enumerate(model.aliases):
                self._claim(("models", name, "aliases", index), alias)

    def adapters(self) -> None:
        for name, adapter in self._config.adapters.items():
            self._claim(("adapters", name), name)
            self._must_exist(("adapters", name, "base"), adapter.base, self._config.models, "models")
            source = self._config.resolve(adapter.source)
            if adapter.backend is not None:
                place = ("adapters", name, "backend")
                self._must_exist(place, adapter.backend, self._config.backends, "backends")
                if merged_revision(source) is None:
                    message = (
                        f"`{source}` has no readable {MERGE_RECORD}, so it is no merged model; make one with "
                        "`praxis adapters merge`"
                    )
                    self._problem(("adapters", name, "source"), message)
            elif not any(any(source.glob(f"{each}adapter_config.json")) for each in ("", "checkpoint-*/")):
                message = (
                    f"`{source}` has no readable adapter_config.json; give a PEFT folder, "
                    "or a training run's output_dir"
                )
                self._problem(("adapters", name, "source"), message)

    def assistants(self) -> None:
        models = self._config.models | self._config.adapters
        for name, assistant in self._config.assistants.items():
            self._claim(("assistants", name), name)
            self._must_exist(("assistants", name, "model"), assistant.model, models, "models")

    def backends(self) -> None:
        for name, backend in self._config.backends.items():
            if backend.launch and backend.launch.model.startswith(_PATH):
                folder = self._config.resolve(Path(backend.launch.model))
                if not folder.is_dir():
                    self._problem(("backends", name, "launch", "model"), f"no folder `{folder}`")
            if "queue" in backend.model_fields_set and backend.max_in_flight is None:
                message = "nothing waits where no replica is ever full; add `max_in_flight: …` (per replica)"
                self._problem(("backends", name, "queue"), message)
            urls = [each.url for each in backend.replicas]
            for index, url in enumerate(urls):
                if url in urls[:index]:
                    message = f"`{url}` is listed twice; list it once, with `weight` for a larger share"
                    self._problem(("backends", name, "replicas", index), message)

    def _problem(self, place: Place, message: str) -> None:
        self.problems.append(Problem(self._document.line(place), _dotted(place), message))

    def _claim(self, place: Place, name: str) -> None:
        if name in self._taken:
            self._problem(
                place, f"the name `{name}` is already taken by `{self._taken[name]}`; choose another"
            )
        self._taken.setdefault(name, _dotted(place))

    def _must_exist(self, place: Place, name: str, known: Mapping[str, Any], section: str) -> None:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            listing = ", ".join(f"`{each}`" for each in known) or "none"
            hint = f"did you mean `{close[0]}`?" if close else f"known are {listing}"
            self._problem(place, f"`{name}` is not in `{section}`; {hint}")


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)
