"""A report as a Word document: both answers of a question side by side, as on the screen."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from docx import Document
from docx.enum.section import WD_ORIENT
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor

from praxis.i18n import Locale
from ui.export.report import Answer, Report
from ui.memo import Memo, Remark, cells, heads
from ui.pictures import Picture, smaller

FONT, CHINESE = "Calibri", "Microsoft YaHei"
PRINTED = 1000  # pixels of a picture's longer side
SOFT = RGBColor(0x5B, 0x6B, 0x7B)
# What XML cannot hold, and a model may write.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def docx_of(report: Report, locale: Locale) -> bytes:
    """The report as a DOCX file."""
    document = Document()
    _prepare(document)
    document.core_properties.title = _clean(report.title)[:255]
    document.add_heading(_clean(report.title), 1)
    _small(document.add_paragraph(), report.made)
    if report.memo:
        _memo(document, report.memo, locale)
    for entry in report.entries:
        document.add_heading(f"{locale.t('ask.question')} {entry.number}", 2)
        document.add_paragraph(_clean(entry.question)).runs[0].bold = True
        if entry.pictures:
            _small(document.add_paragraph(), entry.attached)
            _pictures(document.add_paragraph(), entry.pictures)
        table = document.add_table(rows=1, cols=max(1, len(entry.answers)), style="Table Grid")
        for cell, answer in zip(table.rows[0].cells, entry.answers, strict=False):
            _write(cell, answer, locale)
        if entry.verdict:
            document.add_paragraph().add_run(_clean(entry.verdict)).bold = True
        _remarks(document, entry.remarks)
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def _memo(document: Any, memo: Memo, locale: Locale) -> None:
    document.add_heading(_clean(memo.title), 2)
    for name, value in memo.facts:
        _small(document.add_paragraph(), f"{name}: {value}")
    for told in memo.summary:
        document.add_paragraph(_clean(told))
    table = document.add_table(rows=0, cols=len(heads(memo, locale)), style="Table Grid")
    for row in (heads(memo, locale), *(cells(line, locale) for line in memo.lines)):
        for place, text in zip(table.add_row().cells, row, strict=True):
            place.text = _clean(text)
    for heading, examples in memo.examples:
        document.add_heading(_clean(heading), 3)
        for example in examples:
            asked = document.add_paragraph().add_run(_clean(f"{example.number} · {example.question}"))
            asked.bold = True
            _remarks(document, example.remarks)
    document.add_heading(_clean(locale.t("comparison.doubts")), 3)
    for doubt in memo.doubts:
        document.add_paragraph(_clean(doubt), style="List Bullet")


def _pictures(paragraph: Any, pictures: Sequence[Picture]) -> None:
    """Side by side, as large as a hand."""
    for picture in pictures:
        if small := smaller(picture, PRINTED):
            shape = paragraph.add_run().add_picture(io.BytesIO(small.content))
            scale = min(Mm(80) / shape.width, Mm(60) / shape.height, 1)
            shape.width, shape.height = int(shape.width * scale), int(shape.height * scale)
            paragraph.add_run(" ")


def _remarks(document: Any, said: Sequence[Remark]) -> None:
    for each in said:
        paragraph = document.add_paragraph(style="List Bullet")
        paragraph.add_run(_clean(f"{each.name} · {each.told} ")).bold = True
        paragraph.add_run(_clean(each.reason))


def _prepare(document: Any) -> None:
    """A4 on its side, and a font for each script."""
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = 10692130, 7560310  # A4 in English Metric Units
    for name in ("Normal", "Heading 1", "Heading 2", "Heading 3"):
        style = document.styles[name]
        style.font.name = FONT
        style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), CHINESE)
    document.styles["Normal"].font.size = Pt(10.5)


def _write(cell: Any, answer: Answer, locale: Locale) -> None:
    heading = cell.paragraphs[0]
    heading.add_run(_clean(answer.heading)).bold = True
    for line in (answer.settings, answer.figures):
        if line:
            _small(cell.add_paragraph(), line)
    for paragraph in (answer.text or locale.t("answer.empty")).split("\n"):
        if paragraph.strip():
            cell.add_paragraph(_clean(paragraph))
    for note in answer.notes:
        cell.add_paragraph().add_run(f"⚠ {_clean(note)}").bold = True
    if answer.sources:
        cell.add_paragraph().add_run(locale.t("sources.title", count=len(answer.sources))).bold = True
    for source in answer.sources:
        name = cell.add_paragraph()
        name.add_run(f"[{source.marker}] {_clean(source.name)}").bold = True
        _small(cell.add_paragraph(), " · ".join(source.facts))
        cell.add_paragraph(_clean(source.quote)).paragraph_format.left_indent = Pt(12)


def _small(paragraph: Any, text: str) -> None:
    run = paragraph.add_run(_clean(text))
    run.font.size, run.font.color.rgb = Pt(9), SOFT


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)
