"""A report as Markdown. What models and documents wrote stays as it is, save that nothing in it is fetched or run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt

from praxis.i18n import Locale
from ui.export.report import Answer, Report
from ui.markup import CODE, model_markdown, plain
from ui.memo import Memo, Remark, cells, heads


def markdown_of(report: Report, locale: Locale) -> bytes:
    """The report as UTF-8 text."""
    lines = [f"# {plain(report.title)}", report.made]
    if report.memo:
        lines += _memo(report.memo, locale)
    for entry in report.entries:
        lines.append(f"## {locale.t('ask.question')} {entry.number}")
        lines.append(_quoted(entry.question))
        if entry.attached:
            lines.append(f"*{plain(entry.attached)}*")
        for answer in entry.answers:
            lines += _answer(answer, locale)
        if entry.verdict:
            lines.append(f"**{plain(entry.verdict)}**")
        if entry.remarks:
            lines.append(_remarks(entry.remarks))
    return ("\n\n".join(lines) + "\n").encode()


def _answer(answer: Answer, locale: Locale) -> Iterator[str]:
    yield f"### {plain(answer.heading)}"
    for line in (answer.settings, answer.figures):
        if line:
            yield f"*{plain(line)}*"
    yield _harmless(answer.text) or locale.t("answer.empty")
    for note in answer.notes:
        yield f"> ⚠ {plain(note)}"
    if answer.sources:
        yield f"**{plain(locale.t('sources.title', count=len(answer.sources)))}**"
    for source in answer.sources:
        yield f"\\[{source.marker}\\] **{plain(source.name)}** · {plain(' · '.join(source.facts))}"
        yield _quoted(source.quote)


def _harmless(text: str) -> str:
    """A model's Markdown in which nothing is fetched or run. Signs in code stay as they are where every reader takes
    it for code; where what looks like code is none, they are escaped too."""
    parts = CODE.split(text)
    kept = "".join(part if place % 2 else escape(part, quote=False) for place, part in enumerate(parts))
    shown = model_markdown(kept)
    return (
        model_markdown(escape(text, quote=False))
        if any(_runs(shown, *more) for more in ((), ("table",)))
        else shown
    )


def _runs(text: str, *more: str) -> bool:
    """Whether Markdown holds HTML or a picture, by the standard's rules and `more` of them."""
    found = MarkdownIt("commonmark").enable(list(more)).parse(text)
    kinds = {part.type for each in found for part in (each, *(each.children or ()))}
    return bool(kinds & {"html_block", "html_inline", "image"})


def _memo(memo: Memo, locale: Locale) -> Iterator[str]:
    yield f"## {plain(memo.title)}"
    yield "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in memo.facts)
    yield from map(plain, memo.summary)
    table = [
        heads(memo, locale),
        ("---",) * len(heads(memo, locale)),
        *(cells(line, locale) for line in memo.lines),
    ]
    yield "\n".join("| " + " | ".join(map(_in_table, row)) + " |" for row in table)
    for heading, examples in memo.examples:
        yield f"### {plain(heading)}"
        for example in examples:
            yield f"**{example.number}** {plain(example.question)}"
            yield _remarks(example.remarks)
    yield f"### {plain(locale.t('comparison.doubts'))}"
    yield "\n".join(f"- {plain(each)}" for each in memo.doubts)


def _in_table(text: str) -> str:
    return text if text == "---" else plain(text)


def _remarks(said: Sequence[Remark]) -> str:
    return "\n".join(
        f"- **{plain(each.name)}** {plain(each.told)} {plain(each.reason)}".rstrip() for each in said
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {plain(line)}" for line in text.splitlines() if line.strip())
