"""How models are asked: what the drawer sets, for every column alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ui.client import Json

SYSTEM = 4000  # characters of a system prompt


@dataclass(frozen=True, slots=True)
class Settings:
    """What a request says beside its question. What is None, or an empty `system` prompt, is not sent: the server's
    default holds."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    thinking: bool | None = None
    system: str = ""

    @classmethod
    def of(cls, kept: Mapping[str, object]) -> Settings:
        """Those of a kept answer, beside which its other settings stand."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in kept.items() if name in known})  # type: ignore[arg-type]

    def kept(self) -> Json:
        """What is set, as it is kept with an answer."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    def fields(self) -> Json:
        """The fields of a chat request."""
        sent = {name: value for name, value in self.kept().items() if name not in ("system", "thinking")}
        if self.thinking is not None:
            # Chat templates know the switch by one of these names and leave the other alone.
            sent["chat_template_kwargs"] = {"enable_thinking": self.thinking, "thinking": self.thinking}
        return sent

    def messages(self, said: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What was said, led by the system prompt."""
        return [*([{"role": "system", "content": self.system}] if self.system else ()), *said]


DEFAULT = Settings()
"""Nothing is set."""
