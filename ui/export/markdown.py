"""A report as Markdown. What models and documents wrote stays as it is, save that nothing in it is fetched or run."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from praxis.i18n import Locale
from ui.export.report import Answer, Report
from ui.markup import model_markdown, plain


def markdown_of(report: Report, locale: Locale) -> bytes:
    """The report as UTF-8 text."""
    lines = [f"# {plain(report.title)}", report.made]
    for number, entry in enumerate(report.entries, start=1):
        lines.append(f"## {locale.t('ask.question')} {number}")
        lines.append(_quoted(entry.question))
        for answer in entry.answers:
            lines += _answer(answer, locale)
        if entry.verdict:
            lines.append(f"**{plain(entry.verdict)}**")
    return ("\n\n".join(lines) + "\n").encode()


def _answer(answer: Answer, locale: Locale) -> Iterator[str]:
    yield f"### {plain(answer.heading)}"
    for line in (answer.settings, answer.figures):
        if line:
            yield f"*{plain(line)}*"
    yield model_markdown(escape(answer.text, quote=False)) or locale.t("answer.empty")
    for note in answer.notes:
        yield f"> ⚠ {plain(note)}"
    if answer.sources:
        yield f"**{plain(locale.t('sources.title', count=len(answer.sources)))}**"
    for source in answer.sources:
        yield f"\\[{source.marker}\\] **{plain(source.name)}** · {plain(' · '.join(source.facts))}"
        yield _quoted(source.quote)


def _quoted(text: str) -> str:
    return "\n".join(f"> {plain(line)}" for line in text.splitlines() if line.strip())
