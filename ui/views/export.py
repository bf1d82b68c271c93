"""Take along what is on the screen, in the format that one needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import streamlit as st

from ui.comparison import Comparison
from ui.conversation import Turn
from ui.export import fonts
from ui.export.markdown import markdown_of
from ui.export.report import Report, report_of
from ui.export.table import csv_of
from ui.session import Session

EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def show(
    session: Session, turns: Sequence[Turn], title: str = "", comparison: Comparison | None = None
) -> None:
    """The formats, each made of `turns` and what a judge said of them when it is asked for."""
    t, locale = session.locale.t, session.locale

    def report() -> Report:
        return report_of(turns, locale, title, comparison)

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="export"):
        st.html(f'<div class="px-judge">{escape(t("export.title"))}</div>', width="content")
        _button("Word", lambda: _docx(report(), session), "docx", WORD)
        font = fonts.find()
        if font:
            _button("PDF", lambda: _pdf(report(), session, font), "pdf", "application/pdf")
        _button("Markdown", lambda: markdown_of(report(), locale), "md", "text/markdown")
        _button("Excel", lambda: _xlsx(report(), session), "xlsx", EXCEL)
        _button("CSV", lambda: csv_of(report(), locale), "csv", "text/csv")
    if not font:
        st.caption(t("export.no_font"))


def _button(name: str, make: Callable[[], bytes], ending: str, kind: str) -> None:
    st.download_button(
        name,
        make,
        file_name=f"praxis.{ending}",
        mime=kind,
        key=f"export-{ending}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def _docx(report: Report, session: Session) -> bytes:
    # The libraries of these formats take a second and memory that most sessions have no use for.
    from ui.export.docx import docx_of

    return docx_of(report, session.locale)


def _pdf(report: Report, session: Session, font: fonts.Font) -> bytes:
    from ui.export.pdf import pdf_of

    return pdf_of(report, session.locale, font)


def _xlsx(report: Report, session: Session) -> bytes:
    from ui.export.workbook import xlsx_of

    return xlsx_of(report, session.locale)
