"""What a comparison found, in the reader's language and as a colleague would put it; pages and exports say the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from praxis.i18n import Locale
from praxis.judging.pair import FIRST, SECOND, TIE, Finding, renamed
from praxis.judging.rubric import OVERALL
from praxis.judging.tally import Tally
from ui.client import GatewayError
from ui.comparison import Comparison, Trial, comparable
from ui.conversation import LETTERS
from ui.wording import answerer, sentence

TELLING = 3  # questions of either kind
REASONS = 4  # of each of them


@dataclass(frozen=True, slots=True)
class Line:
    """How the two did at one item; `open` are the judged questions without a verdict on it. `rate` is the first one's
    share and the ends of its interval, `leader` 1, -1 or 0, and `told` says it in words."""

    name: str
    meaning: str
    first: int
    ties: int
    second: int
    open: int
    rate: tuple[float, float, float] | None
    leader: int
    told: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What the judge said of one question on one item: who is better, in words, and why."""

    name: str
    told: str
    reason: str


@dataclass(frozen=True, slots=True)
class Example:
    """A question that tells much, with what the judge said."""

    number: int
    question: str
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class Memo:
    """`facts` say who was compared by whom, `summary` what was found, `doubts` how far it can be relied on. `first` and
    `second` are the letters of the two columns, `examples` stand under their headings."""

    title: str
    first: str
    second: str
    facts: tuple[tuple[str, str], ...]
    summary: tuple[str, ...]
    lines: tuple[Line, ...]
    examples: tuple[tuple[str, tuple[Example, ...]], ...]
    doubts: tuple[str, ...]


def memo_of(comparison: Comparison, locale: Locale) -> Memo:
    """What was found so far."""
    first, second = letters(comparison)
    lines = tuple(_line(comparison, item, locale) for item in comparison.items)
    return Memo(
        title=locale.t("comparison.memo", a=first, b=second),
        first=first,
        second=second,
        facts=_facts(comparison, locale),
        summary=_summary(comparison, lines, locale),
        lines=lines,
        examples=_examples(comparison, locale),
        doubts=_doubts(comparison, locale),
    )


def heads(memo: Memo, locale: Locale) -> tuple[str, ...]:
    """What the columns of the lines are called."""
    t = locale.t
    return (
        t("comparison.item"),
        t("judge.better", letter=memo.first),
        t("judge.tie"),
        t("judge.better", letter=memo.second),
        t("comparison.open"),
        t("comparison.rate", letter=memo.first),
        t("comparison.conclusion"),
    )


def cells(line: Line, locale: Locale) -> tuple[str, str, str, str, str, str, str]:
    """A line below `heads`."""
    rate = "–" if line.rate is None else locale.t("comparison.interval", **shares(line.rate))
    missing = f"{line.open}" if line.open else "–"
    return line.name, f"{line.first}", f"{line.ties}", f"{line.second}", missing, rate, line.told


def letters(comparison: Comparison) -> tuple[str, str]:
    """What the two columns are called in their batch."""
    sides = list(comparison.batch.choices)
    first, second = (LETTERS[sides.index(side)] for side in comparison.sides)
    return first, second


def remarks(comparison: Comparison, trial: Trial, locale: Locale) -> tuple[Remark, ...]:
    """All that the judge said of one question."""
    findings = trial.findings or {}
    return tuple(
        _remark(comparison, item, findings[item], locale) for item in comparison.items if item in findings
    )


def names(comparison: Comparison, locale: Locale) -> dict[str, tuple[str, str]]:
    """What each item is called in the reader's language, and what it means."""
    whole = locale.t("comparison.overall"), locale.t("comparison.overall_help")
    return {OVERALL: whole} | {each.name: each.told(locale.code) for each in comparison.judge.rubric.criteria}


def self_judging(comparison: Comparison) -> bool:
    """Whether the judge is one of those who answered."""
    return any(comparison.batch.choices[side].model == comparison.judge.model for side in comparison.sides)


def _facts(comparison: Comparison, locale: Locale) -> tuple[tuple[str, str], ...]:
    t, choices = locale.t, comparison.batch.choices
    columns = [
        (letter, f"{t(f'ask.{side}')} · {answerer(choices[side], locale)}")
        for letter, side in zip(letters(comparison), comparison.sides, strict=True)
    ]
    judge = t("comparison.fact.judge"), comparison.judge.model
    rubric = t("comparison.fact.rubric"), comparison.judge.rubric.title(locale.code)
    return (*columns, judge, rubric, (t("comparison.fact.file"), comparison.batch.name))


def _line(comparison: Comparison, item: str, locale: Locale) -> Line:
    name, meaning = names(comparison, locale)[item]
    tally = comparison.tally(item)
    return Line(
        name,
        meaning,
        tally.wins,
        tally.ties,
        tally.losses,
        len(comparison.judged) - tally.judged,
        tally.rate,
        tally.leader,
        _conclusion(tally, letters(comparison), locale),
    )


def _conclusion(tally: Tally, pair: tuple[str, str], locale: Locale) -> str:
    if not tally.judged:
        return locale.t("comparison.not_judged")
    if tally.leader:
        return locale.t("comparison.better", letter=pair[0] if tally.leader > 0 else pair[1])
    return locale.t("comparison.undecided")


def _summary(comparison: Comparison, lines: tuple[Line, ...], locale: Locale) -> tuple[str, ...]:
    t, whole = locale.t, lines[0]
    first, second = letters(comparison)
    if whole.rate is None:
        return (t("comparison.nothing"),)
    told = [
        t("comparison.counted", a=first, b=second, judged=len(comparison.judged))
        + t("comparison.won", a=first, b=second, wins=whole.first, losses=whole.second, ties=whole.ties),
        t("comparison.share", letter=first, **shares(whole.rate))
        + t(
            "comparison.clear" if whole.leader else "comparison.chance",
            letter=second if whole.leader < 0 else first,
        ),
    ]
    separator = t("comparison.and")
    for leader, key, letter in ((1, "ahead", first), (-1, "ahead", second), (0, "even", "")):
        found = [line.name for line in lines[1:] if line.leader == leader and line.rate is not None]
        if found:
            told.append(t(f"comparison.{key}", letter=letter, items=separator.join(found)))
    return tuple(told)


def shares(rate: tuple[float, float, float]) -> dict[str, str]:
    """A share with its interval as whole percents: `share`, `low` and `high`."""
    return dict(zip(("share", "low", "high"), (f"{each * 100:.0f}" for each in rate), strict=True))


def _doubts(comparison: Comparison, locale: Locale) -> tuple[str, ...]:
    t, told = locale.t, [locale.t("comparison.doubt.model")]
    if self_judging(comparison):
        told.append(t("comparison.doubt.own"))
    if flipped := comparison.tally(OVERALL).flipped:
        told.append(t("comparison.doubt.flipped", count=flipped))
    if longer := _longer(comparison):
        told.append(t("comparison.doubt.longer", count=longer[0], of=longer[1]))
    kinds = Counter(each.failure.kind for each in comparison.failures if each.failure)
    for kind, count in kinds.most_common():
        told.append(t("comparison.doubt.failed", count=count, reason=sentence(GatewayError(kind), locale)))
    both = comparable(comparison.batch, comparison.sides)
    if left := len(
        [number for number in comparison.left if number not in {each.number for each in comparison.failures}]
    ):
        told.append(t("comparison.doubt.left", count=left))
    if missing := len(comparison.batch.turns) - len(both):
        told.append(t("comparison.doubt.missing", count=missing))
    return tuple(told)


def _longer(comparison: Comparison) -> tuple[int, int] | None:
    """How many of the decided questions the longer answer won; None of none."""
    decided = [
        (len(each.pair.first) > len(each.pair.second)) == (each.findings[OVERALL].winner == FIRST)
        for each in comparison.judged
        if each.findings
        and each.findings[OVERALL].winner != TIE
        and len(each.pair.first) != len(each.pair.second)
    ]
    return (sum(decided), len(decided)) if decided else None


def _examples(comparison: Comparison, locale: Locale) -> tuple[tuple[str, tuple[Example, ...]], ...]:
    """Where either one fell short most: lost on the whole, and on the most criteria."""
    found = []
    for letter, better in zip(letters(comparison), (SECOND, FIRST), strict=True):
        lost = [
            each for each in comparison.judged if each.findings and each.findings[OVERALL].winner == better
        ]
        lost.sort(key=lambda each: -_margin(each, better))
        told = tuple(_example(comparison, each, better, locale) for each in lost[:TELLING])
        if told:
            found.append((locale.t("comparison.short", letter=letter), told))
    return tuple(found)


def _margin(trial: Trial, better: str) -> int:
    """On how many more items that one was better than the other."""
    winners = [each.winner for each in (trial.findings or {}).values()]
    return winners.count(better) - winners.count(FIRST if better == SECOND else SECOND)


def _example(comparison: Comparison, trial: Trial, better: str, locale: Locale) -> Example:
    findings = trial.findings or {}
    told = [
        _remark(comparison, item, findings[item], locale)
        for item in comparison.items
        if item in findings and findings[item].winner == better
    ]
    return Example(trial.number, trial.pair.question, tuple(told[:REASONS]))


def _remark(comparison: Comparison, item: str, finding: Finding, locale: Locale) -> Remark:
    first, second = letters(comparison)
    if finding.winner == TIE:
        told = locale.t("comparison.flipped" if finding.flipped else "judge.tie")
    else:
        told = locale.t("judge.better", letter=first if finding.winner == FIRST else second)
    return Remark(names(comparison, locale)[item][0], told, renamed(finding.reason, first, second))
