"""Reading an answer while it is written: sentences and markers, found alike however the text is cut into deltas.

Text flows through at once, save what may still change: the beginning of a marker, and the punctuation after a
sentence, before which an attributed marker may have to go. A marker that points at no passage is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_OPENS, _CLOSES = "[【［", "]】］"
_MARKER_LENGTH = 24  # a longer bracket is no marker
_INSIDE = re.compile(r"[\d ^,，、;；~～–-]*")
_MARKER = re.compile(r"[\[【［] ?\^? ?(\d{1,3}(?: ?[,，、;；~～–-] ?\d{1,3})*) ?[\]】］]")
_RANGE = re.compile(r"(\d+) ?[~～–-] ?(\d+)")

_ENDS = "。！？!?…"
_AFTER_END = "”’」』）)》*_\"'；;"  # may stand between the last word and the end of a sentence, or after it
_SPACES = " \t\u3000"
_TAIL = _ENDS + _AFTER_END + _SPACES + "."
_SPECIAL = re.compile(f"[{re.escape(_TAIL + _OPENS)}`\n]")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(（])(?:Arts?|Nos?|Secs?|paras?|pp?|cf|vs?|e\.g|i\.e|al|etc|Mrs?|Ms|Dr|Prof|St|[A-Za-z])$"
    r"|^\s*\d{1,3}$"  # a list's number
)
_SENTENCE_LENGTH = 2_000  # a longer run without an end is cut, so that memory stays bounded


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker that the model wrote and that points at a passage."""

    number: int

    def __str__(self) -> str:
        return f"[{self.number}]"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that has just ended; its text up to `tail` has already been given out.

    `claims` pairs each marker in it with the words before that marker. `finished` is false for a heading, a
    lead-in that ends with a colon, a table's row and text that was cut off: nothing is attributed there.
    """

    text: str
    claims: tuple[tuple[int, str], ...]
    tail: tuple[str | Mark, ...]
    finished: bool


Item = str | Mark | Sentence


@dataclass(slots=True)
class Scanner:
    """One answer's reader; `passages` is how many there are to point at."""

    passages: int
    _pending: str = ""  # not yet understood: the beginning of a marker or of a fence
    _body: str = ""
    _tail: list[str | Mark] = field(default_factory=list)
    _claims: list[tuple[int, str]] = field(default_factory=list)
    _claimed: int = 0  # where in the body the words of the next claim begin
    _line_start: bool = True
    _fenced: bool = False
    _inline_code: bool = False

    def feed(self, text: str) -> Iterator[Item]:
        """What the next piece of the answer lets through."""
        self._pending += text
        yield from self._read(last=False)

    def close(self, *, complete: bool) -> Iterator[Item]:
        """What was held back; `complete` says that the model came to an end of its own."""
        yield from self._read(last=True)
        if self._body or self._tail or self._claims:
            yield self._end(finished=self._is_end(at_close=True) or complete)

    def _read(self, *, last: bool) -> Iterator[Item]:
        while self._pending:
            char = self._pending[0]
            if char == "`":
                run = len(self._pending) - len(self._pending.lstrip("`"))
                if run == len(self._pending) and not last:
                    return
                yield from self._backticks(run)
            elif self._fenced:
                yield from self._code_line()
            elif char in _OPENS and not self._inline_code:
                length = self._bracket_length(last)
                if length is None:
                    return
                yield from self._bracket(self._take(length))
            elif char == "\n":
                yield from self._newline(self._take(1))
            elif char in _TAIL:
                self._tail.append(self._take(1))
            else:
                yield from self._words()

    def _take(self, length: int) -> str:
        taken, self._pending = self._pending[:length], self._pending[length:]
        return taken

    def _words(self) -> Iterator[Item]:
        """The run of plain characters that comes next, after whatever ended before it."""
        special = _SPECIAL.search(self._pending, 1)
        yield from self._plain(self._take(special.start() if special else len(self._pending)))

    def _plain(self, text: str) -> Iterator[Item]:
        if self._tail:
            if self._is_end(at_close=False) or len(self._body) > _SENTENCE_LENGTH:
                yield self._end(finished=True)
            else:
                yield from self._resume()
        self._line_start = False
        self._body += text
        yield text

    def _resume(self) -> Iterator[Item]:
        """The punctuation held back ends nothing: it belongs to the sentence."""
        for piece in self._tail:
            self._body += piece if isinstance(piece, str) else ""
            yield piece
        self._tail.clear()

    def _newline(self, char: str) -> Iterator[Item]:
        self._tail.append(char)
        self._inline_code = False
        yield self._end(finished=True)
        self._line_start = True

    def _end(self, *, finished: bool) -> Sentence:
        body = self._body.strip()
        structural = not body or body.startswith(("#", "|")) or body.endswith((":", "："))
        sentence = Sentence(self._body, tuple(self._claims), tuple(self._tail), finished and not structural)
        self._body, self._claimed = "", 0
        self._tail.clear()
        self._claims.clear()
        return sentence

    def _is_end(self, *, at_close: bool) -> bool:
        tail = "".join(piece if isinstance(piece, str) else "" for piece in self._tail)
        if any(char in _ENDS for char in tail):
            return True
        stop = tail.find(".")
        return stop >= 0 and (at_close or stop + 1 < len(tail)) and not _ABBREVIATED.search(self._body)

    def _bracket_length(self, last: bool) -> int | None:
        """How much of the pending text the bracket takes: all of a marker, 1 where it is none, None while unsure."""
        inside = _INSIDE.match(self._pending, 1)
        end = inside.end() if inside else 1
        if end < len(self._pending) and self._pending[end] in _CLOSES and end < _MARKER_LENGTH:
            return end + 1
        return None if end == len(self._pending) and end < _MARKER_LENGTH and not last else 1

    def _bracket(self, text: str) -> Iterator[Item]:
        match = _MARKER.fullmatch(text)
        if match is None:
            yield from self._plain(text)
            return
        numbers = [number for number in _numbers(match[1], self.passages) if 1 <= number <= self.passages]
        if not numbers:
            while self._tail and self._tail[-1] in tuple(_SPACES):
                self._tail.pop()
            return
        words = self._body[self._claimed :]
        claim = words if words.strip() or not self._claims else self._claims[-1][1]
        self._claimed = len(self._body)
        self._claims += [(number, claim) for number in numbers]
        marks = [Mark(number) for number in numbers]
        if self._tail:
            self._tail += marks
        else:
            self._line_start = False
            yield from marks

    def _backticks(self, run: int) -> Iterator[Item]:
        fence = run >= 3 and (self._line_start or self._fenced)
        if fence:
            self._fenced = not self._fenced
            yield self._take(run)
            return
        if self._fenced:
            yield self._take(run)
            return
        self._inline_code = not self._inline_code
        yield from self._plain(self._take(run))

    def _code_line(self) -> Iterator[Item]:
        """Code is not prose: it passes as it is, up to the next backtick."""
        length = self._pending.find("`")
        yield self._take(len(self._pending) if length < 0 else length)


def _numbers(text: str, limit: int) -> list[int]:
    """The numbers of a marker such as `1, 3` or `1-3`, in order, once each."""
    spread = _RANGE.sub(
        lambda m: ",".join(map(str, range(int(m[1]), min(int(m[2]), limit) + 1))) or m[1], text
    )
    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", spread)))
