"""What a judge looks for: a rubric that ships with Praxis, or one of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from praxis.errors import ConfigError, Problem
from praxis.judging.prompts import CHINESE, PROMPTS

SHIPPED = ("legal", "medical")
"""The rubrics that come with Praxis."""

OVERALL = PROMPTS[CHINESE].overall
"""What the judgement as a whole is called beside the names of the criteria, in whatever language it was given."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One item of a rubric: its name, what is looked for, and both in other languages where it has them."""

    name: str
    what: str
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def told(self, language: str) -> tuple[str, str]:
        """Name and meaning in a language (`en`), as they are where it lacks them."""
        return self.others.get(language, (self.name, self.what))


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge looks for; `digest` is of the file, for the record. `language` is the one in which a judge is asked where
    nothing else is said; `titles` and `roles` are by language."""

    name: str
    role: str
    criteria: Sequence[Criterion]
    digest: str
    titles: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    language: str = CHINESE

    def title(self, language: str) -> str:
        """What it is called in a language, its name where it has none there."""
        return self.titles.get(language, self.name)

    def instructions(self, language: str) -> str:
        """The judge's system prompt in a language, in which its reasons are asked for, too."""
        prompts, told = PROMPTS[language], [each.told(language) for each in self.criteria]
        return prompts.system.format(
            role=self.roles.get(language) or self.role or prompts.role,
            criteria="\n".join(prompts.item.format(name=name, what=what) for name, what in told),
            form="\n".join(
                prompts.line.format(name=name) for name in (*(name for name, _ in told), prompts.overall)
            ),
        )

    def names(self) -> Mapping[str, str]:
        """What each criterion, and the whole, may be called in a judge's reply, in whatever language: by that, its name."""
        called = {prompts.overall: OVERALL for prompts in PROMPTS.values()}
        for each in self.criteria:
            called |= dict.fromkeys((name for name, _ in each.others.values()), each.name)
        return called | {each.name: each.name for each in self.criteria}


def read(source: str) -> Rubric:
    """A shipped rubric by its name, or the one in a file. Raises ConfigError where it is none."""
    try:
        if source in SHIPPED:
            content = (resources.files("praxis.judging") / "rubrics" / f"{source}.yaml").read_text("utf-8")
        else:
            content = Path(source).read_text("utf-8-sig")
        value = yaml.safe_load(content)
    except OSError as error:
        shipped = " and ".join(f"`{name}`" for name in SHIPPED)
        raise _unusable(source, f"it cannot be read ({error.strerror}); shipped are {shipped}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(source, f"it is no YAML: {error}") from None
    criteria = value.get("criteria") if isinstance(value, dict) else None
    if not isinstance(criteria, list) or not criteria:
        raise _unusable(source, "it needs `criteria`, a list of `name` and `what`")
    listed = [_criterion(source, number, each) for number, each in enumerate(criteria, start=1)]
    names = [name for each in listed for name in {each.name, *(name for name, _ in each.others.values())}]
    whole = {prompts.overall for prompts in PROMPTS.values()}
    if twice := next((name for name in names if names.count(name) > 1 or name in whole), None):
        raise _unusable(source, f"`{twice}` is the name of two criteria, or of the judgement as a whole")
    digest = hashlib.sha256(content.encode()).hexdigest()
    language = str(value.get("language") or CHINESE)
    if language not in PROMPTS:
        known = " or ".join(f"`{each}`" for each in PROMPTS)
        raise _unusable(source, f"`language` must be {known}, in which judges are asked")
    return Rubric(
        str(value.get("name") or source),
        str(value.get("role") or ""),
        listed,
        digest,
        _by_language(value.get("titles")),
        _by_language(value.get("roles")),
        language,
    )


def _criterion(source: str, number: int, value: Any) -> Criterion:
    if not isinstance(value, dict) or not str(value.get("name") or "").strip() or "what" not in value:
        raise _unusable(source, f"criterion {number} needs a `name` and a `what`")
    others = {
        language: (str(told["name"]), str(told.get("what", "")))
        for language, told in value.items()
        if language not in ("name", "what") and isinstance(told, dict) and "name" in told
    }
    return Criterion(str(value["name"]).strip(), str(value["what"]), others)


def _by_language(value: Any) -> Mapping[str, str]:
    return {str(language): str(text) for language, text in value.items()} if isinstance(value, dict) else {}


def _unusable(source: str, message: str) -> ConfigError:
    return ConfigError(source, [Problem(None, "", message)])
