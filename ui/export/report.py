"""What a conversation shows, in the reader's language and without a format: every export says the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from praxis.i18n import Locale
from ui.client import Citation
from ui.comparison import Comparison
from ui.conversation import Side, Turn
from ui.markup import source_name, unmarked
from ui.memo import Memo, Remark, memo_of, remarks
from ui.pictures import Picture
from ui.reply import Phase, Reply
from ui.wording import attached, figures, moment, sentence, settings_set, unseen, verdict


@dataclass(frozen=True, slots=True)
class Source:
    """A citation: its number in the text, where it stands, the quoted words, and what is known of them."""

    marker: int
    name: str
    quote: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One side's answer; `notes` say what keeps it from being whole or relied on."""

    heading: str
    text: str
    figures: str
    settings: str
    notes: tuple[str, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One question; `attached` names its pictures, `verdict` is a person's, `remarks` are a judging model's."""

    number: int
    question: str
    answers: tuple[Answer, ...]
    verdict: str
    remarks: tuple[Remark, ...] = ()
    attached: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """`title` is the first question or the file of all of them, `made` when the report was. `memo` compares two of the
    columns; `items` is all that they are compared by."""

    title: str
    made: str
    entries: tuple[Entry, ...]
    memo: Memo | None = None

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(line.name for line in self.memo.lines) if self.memo else ()


def report_of(
    turns: Sequence[Turn], locale: Locale, title: str = "", comparison: Comparison | None = None
) -> Report:
    """What the page shows of `turns` now, without those that were not asked yet; blind ones stay blind."""
    made = locale.t("export.made", moment=moment(int(time.time())))
    title = title or (turns[0].question if turns else "")
    entries = tuple(
        _entry(number, turn, locale, comparison) for number, turn in enumerate(turns, start=1) if turn.replies
    )
    return Report(title, made, entries, memo_of(comparison, locale) if comparison else None)


def _entry(number: int, turn: Turn, locale: Locale, comparison: Comparison | None) -> Entry:
    answers = tuple(_answer(turn, side, locale) for side in turn.order if side in turn.replies)
    trial = comparison.trials.get(number) if comparison else None
    said = remarks(comparison, trial, locale) if comparison and trial else ()
    told = attached(turn.pictures, locale)
    return Entry(number, turn.question, answers, _verdict(turn, locale), said, told, turn.pictures)


def _verdict(turn: Turn, locale: Locale) -> str:
    """The verdict with its reasons; where there are more than two answers, it names the two."""
    if turn.vote is None or turn.judged is None:
        return ""
    a, b = (turn.letter(side) for side in turn.judged)
    pair = [locale.t("judge.pair", a=a, b=b)] if len(turn.order) > 2 else []
    reasons = [locale.t(f"judge.tag.{tag}") for tag in turn.vote.tags]
    said = [*pair, verdict(turn.vote.verdict, (a, b), locale), *reasons, turn.vote.comment]
    return locale.t("export.verdict", verdict=" · ".join(part for part in said if part))


def _answer(turn: Turn, side: Side, locale: Locale) -> Answer:
    reply, choice, letter = turn.replies[side], turn.choices[side], turn.letter(side)
    t = locale.t
    notes = _notes(reply, locale)
    if turn.hidden:
        return Answer(t("judge.answer", letter=letter), unmarked(reply.text).strip(), "", "", notes, ())
    settings = [t("export.model", model=choice.model)]
    if choice.stores:
        settings.append(t("export.stores", stores=", ".join(choice.stores)))
    settings += settings_set(turn.settings, locale)
    return Answer(
        heading=f"{letter} · {t(f'ask.{side}')}",
        text=reply.text.strip(),
        figures=figures(reply, locale),
        settings=" · ".join(settings),
        notes=notes + tuple(filter(None, (unseen(turn, side, locale),))) + _warnings(reply, locale),
        sources=tuple(_source(citation, locale) for citation in reply.citations or ()),
    )


def _notes(reply: Reply, locale: Locale) -> tuple[str, ...]:
    if reply.error:
        return (sentence(reply.error, locale),)
    if reply.phase is not Phase.DONE:
        return (locale.t("phase.stopped"),)
    return (locale.t("phase.length"),) if reply.finish == "length" else ()


def _warnings(reply: Reply, locale: Locale) -> tuple[str, ...]:
    missing = []
    for item in reply.unverified:
        name = source_name(item.law, item.article, "", locale).strip()
        nearest = locale.t("unverified.nearest", nearest=item.nearest) if item.nearest else ""
        missing.append(" — ".join(part for part in (name, nearest) if part))
    if missing:
        return (f"{locale.t('unverified.title')} {'; '.join(missing)}",)
    if reply.grounded and reply.phase is Phase.DONE and not reply.citations:
        found = [source_name(each.law, each.article, each.filename, locale) for each in reply.uncited]
        nearest = f"{locale.t('sources.uncited')}{'; '.join(found)}" if found else ""
        return tuple(filter(None, (locale.t("sources.none"), nearest)))
    return ()


def _source(citation: Citation, locale: Locale) -> Source:
    t = locale.t
    facts = [citation.filename]
    if citation.page is not None:
        facts.append(t("sources.page", page=citation.page))
    if citation.version:
        facts.append(t("sources.version", version=citation.version))
    facts.append(t("sources.verified" if citation.verified else "sources.unverified"))
    name = source_name(citation.law, citation.article, citation.filename, locale)
    return Source(citation.marker, name, citation.quote, tuple(facts))
