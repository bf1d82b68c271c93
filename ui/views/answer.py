"""One side's answer on the page: where it is, its thinking, its text and its sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import streamlit as st

from praxis.i18n import Locale
from ui.client import Citation
from ui.markup import (
    citation_html,
    citation_id,
    model_markdown,
    uncited_html,
    unmarked,
    unverified_html,
)
from ui.reply import Phase, Reply
from ui.wording import figures, sentence

REDRAW = 0.15  # seconds


class AnswerCard:
    """Draws `reply` in place; `anchor` begins the ids of its citations and is unique on the page.

    One that is `hidden` shows its text alone, without anything that tells whose it is. `look` opens the page of a PDF on
    which a citation stands; `note` is what to know before reading.
    """

    def __init__(
        self,
        reply: Reply,
        name: str,
        anchor: str,
        locale: Locale,
        *,
        hidden: bool = False,
        look: Callable[[Citation], None] | None = None,
        note: str = "",
    ) -> None:
        self._look = look
        self.reply = reply
        self.anchor = anchor
        self.locale = locale
        self.hidden = hidden
        kind = "hidden" if hidden else "grounded" if reply.grounded else "raw"
        with st.container(border=True, key=f"answer-{kind}-{anchor}"):
            st.html(f'<div class="px-name">{escape(name)}</div>')
            self._status = st.empty()
            if note and not hidden:
                st.html(f'<p class="px-page-note px-unsure" role="note">{escape(note)}</p>')
            self._thinking_place = st.empty()
            self._thinking: Any = None
            self._text = st.empty()
            self._end = st.container()

    def follow(self) -> None:
        """Draw the answer as it comes, until its end."""
        while self.reply.running:
            self.reply.watch()
            self.draw()
            time.sleep(REDRAW)
        self.finish()

    def finish(self) -> None:
        """Draw the whole of an answer that has ended."""
        reply, t = self.reply, self.locale.t
        if self.hidden:
            self._status.empty()
            self._draw_text(model_markdown(unmarked(reply.text)))
            with self._end:
                self._draw_outcome()
            return
        self._status.html(f'<p class="px-stats">{escape(figures(self.reply, self.locale))}</p>')
        self._draw_thinking()
        markers = {citation.marker for citation in reply.citations or ()}
        self._draw_text(model_markdown(reply.text, self.anchor, markers))
        with self._end:
            self._draw_outcome()
            if reply.unverified:
                st.html(unverified_html(reply.unverified, self.locale))
            if reply.citations:
                self._draw_sources(reply.citations)
            elif reply.grounded and reply.phase is Phase.DONE:
                st.warning(t("sources.none"), icon=":material/search_off:")
                if reply.uncited:
                    self._draw_uncited(reply.uncited)

    def draw(self) -> None:
        """Draw an answer that is under way as far as it has come."""
        phase = self.reply.phase
        step = "retrieving" if phase is Phase.WAITING and self.reply.grounded and not self.hidden else phase
        label = escape(self.locale.t(f"phase.{step}"))
        self._status.html(
            f'<p class="px-phase"><i></i>{label}<span class="px-clock">{self.reply.elapsed:.0f} s</span></p>'
        )
        if self.hidden:
            self._draw_text(model_markdown(unmarked(self.reply.text)))
            return
        self._draw_thinking()
        self._draw_text(model_markdown(self.reply.text))

    def _draw_thinking(self) -> None:
        if thinking := self.reply.thinking:
            if self._thinking is None:
                self._thinking = self._thinking_place.expander(self.locale.t("answer.thinking")).empty()
            self._thinking.markdown(model_markdown(thinking))

    def _draw_text(self, text: str) -> None:
        if text:
            self._text.markdown(text, anchors=False)

    def _draw_sources(self, citations: Sequence[Citation]) -> None:
        t = self.locale.t
        with st.container(key=f"sources-{self.anchor}", gap=None):
            st.html(f'<h4 class="px-sources">{escape(t("sources.title", count=len(citations)))}</h4>')
            for citation in citations:
                name = citation_id(self.anchor, citation.marker)
                with st.container(key=f"source-{name}", gap=None):
                    passage = self.reply.passages.get(citation.marker)
                    st.html(citation_html(citation, passage, self.anchor, self.locale))
                    self._offer_page(citation, name)

    def _draw_uncited(self, found: Sequence[Citation]) -> None:
        """What the documents have that is nearest to the question, for the reader to judge."""
        with st.container(key=f"uncited-{self.anchor}", gap=None):
            st.html(f'<h4 class="px-sources">{escape(self.locale.t("sources.uncited"))}</h4>')
            for each in found:
                name = f"uncited-{citation_id(self.anchor, each.marker)}"
                with st.container(key=f"source-{name}", gap=None):
                    st.html(uncited_html(each, self.locale))
                    self._offer_page(each, name)

    def _offer_page(self, citation: Citation, name: str) -> None:
        """The button that opens the page of a PDF on which the passage stands."""
        if self._look and citation.page is not None:
            st.button(
                self.locale.t("page.look", page=citation.page),
                key=f"look-{name}",
                icon=":material/find_in_page:",
                type="tertiary",
                on_click=self._look,
                args=(citation,),
            )

    def _draw_outcome(self) -> None:
        """Whatever keeps the answer from being whole."""
        reply, t = self.reply, self.locale.t
        if reply.error:
            partial = f"{t('phase.failed_partial')} · " if reply.text else ""
            st.error(partial + sentence(reply.error, self.locale))
        elif reply.phase is Phase.STOPPED:
            st.warning(t("phase.stopped"))
        elif reply.finish == "length":
            st.warning(t("phase.length"))
        elif not reply.text.strip():
            st.warning(t("answer.empty"))
