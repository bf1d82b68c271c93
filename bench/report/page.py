"""A self-contained HTML page: no script, no font and no picture comes from anywhere else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from bench.report.words import Language, words

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:15px/1.6 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid var(--line)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{border:1px solid var(--line);padding:.25rem .6rem;text-align:left;vertical-align:top}
th{background:var(--soft);white-space:nowrap}td small{display:block;opacity:.7;white-space:nowrap}
td.better{background:#2a92}td.worse{background:#c332}
figure{margin:1rem 0}img{max-width:100%;background:#fff}figcaption,.note{opacity:.75}
pre{white-space:pre-wrap;background:var(--soft);padding:.8rem;overflow-x:auto}
details{margin:.6rem 0}dt{font-weight:600}dd{margin:0 0 .6rem 1rem;white-space:pre-wrap}
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with what is told in small letters below it; `tone` may be `better` or `worse`."""

    value: str
    below: str
    tone: str = ""


@dataclass(slots=True)
class Page:
    """A page that grows section by section; every text is escaped."""

    title: str
    language: Language
    parts: list[str] = field(default_factory=list)

    def heading(self, key: str) -> None:
        """A heading from the words of the page's language."""
        self.parts.append(f"<h2>{escape(words(self.language)[key])}</h2>")

    def note(self, text: str) -> None:
        self.parts.append(f'<p class="note">{escape(text)}</p>')

    def table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of one shape; nothing where there are none."""
        if not rows:
            return
        known = words(self.language)
        head = "".join(f"<th>{escape(known.get(name, name))}</th>" for name in rows[0])
        body = "".join("<tr>" + "".join(_cell(row.get(name)) for name in rows[0]) + "</tr>" for row in rows)
        self.parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def figure(self, png: bytes, caption: str) -> None:
        """A picture, inside the page itself."""
        data = base64.b64encode(png).decode()
        text = escape(caption)
        self.parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def entry(self, summary: str, texts: Mapping[str, str]) -> None:
        """One row to read: a line that opens, and its texts."""
        known = words(self.language)
        inside = "".join(
            f"<dt>{escape(known.get(name, name))}</dt><dd>{escape(text)}</dd>" for name, text in texts.items()
        )
        self.parts.append(f"<details><summary>{escape(summary)}</summary><dl>{inside}</dl></details>")

    def settings(self, value: Mapping[str, Any]) -> None:
        """What makes the run repeatable, as it is on disk."""
        self.heading("settings")
        self.parts.append(f"<pre>{escape(json.dumps(value, ensure_ascii=False, indent=2))}</pre>")

    def html(self) -> str:
        """The whole file."""
        language = "zh-CN" if self.language == "zh" else "en"
        title = escape(self.title)
        return (
            f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
            + "\n".join(self.parts)
            + "\n</body></html>\n"
        )


def _cell(value: Any) -> str:
    if not isinstance(value, Cell):
        return f"<td>{escape(_text(value))}</td>"
    tone = f' class="{escape(value.tone)}"' if value.tone else ""
    return f"<td{tone}>{escape(value.value)}<small>{escape(value.below)}</small></td>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "–"
    return str(value)
