"""Keyword search for Chinese: BM25 over characters, their overlapping pairs and Latin words, right after each change.

Stock tokenizers take a Chinese clause for one word and find nothing. The formula is Robertson's BM25 with the
always positive idf of Lucene, k1 = 1.2 and b = 0.75; single characters and pairs together rank best on Chinese law.
"""

from __future__ import annotations

import os
import re
import unicodedata
import zipfile
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_K1 = 1.2
_B = 0.75
_RUN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_INNER_SPACE = re.compile(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])")
# Characters that carry grammar only; in pairs they still count.
_PARTICLES = frozenset("的了是在我有和也都就还吗呢吧啊么着过你他她它")
_FORM = "1"
"""Of the files, and of the terms in them; another one is not read."""

Integers = npt.NDArray[Any]


def tokens(text: str) -> Iterator[str]:
    """The terms of `text`: Latin words and numbers in lower case, Chinese characters and overlapping pairs."""
    text = _INNER_SPACE.sub("", unicodedata.normalize("NFKC", text)).lower()
    for run in _RUN.findall(text):
        if run[0] < "\u3400":
            yield run
        else:
            yield from (char for char in run if char not in _PARTICLES)
            yield from (run[at : at + 2] for at in range(len(run) - 1))


@dataclass(frozen=True, slots=True)
class Postings:
    """Which passages have which terms how often, term after term: those of term n are [starts[n]:starts[n + 1]]."""

    starts: Integers
    slots: Integers
    counts: Integers

    @classmethod
    def of(cls, terms: Integers, slots: Integers, counts: Integers, count: int) -> Postings:
        """Of triples in any order, for `count` terms."""
        order = np.argsort(terms, kind="stable")
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(terms, minlength=count), out=starts[1:])
        return cls(starts, slots[order], counts[order])

    def living(self, moved: Integers) -> tuple[Integers, Integers, Integers]:
        """Terms, slots and counts of the postings whose slots are `moved` to others and not to -1."""
        terms = np.repeat(np.arange(len(self.starts) - 1, dtype=np.uint32), np.diff(self.starts))
        there = moved[self.slots]
        here = there >= 0
        return terms[here], there[here], self.counts[here]

    def terms_in(self, slots: Collection[int]) -> Integers:
        """The terms of the postings in `slots`, one for each."""
        found = np.flatnonzero(np.isin(self.slots, np.fromiter(slots, np.uint32, len(slots))))
        return np.searchsorted(self.starts, found, "right") - 1

    def has(self, term: int) -> tuple[Integers, Integers]:
        """Slots and counts of a term."""
        if term >= len(self.starts) - 1:
            return self.slots[:0], self.counts[:0]
        here = slice(self.starts[term], self.starts[term + 1])
        return self.slots[here], self.counts[here]


def _none() -> Postings:
    return Postings(np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.uint16))


class Keywords:
    """The keyword index of one store, in memory; ids are the passages'. Not thread-safe: the shelf locks.

    What was there when it was read or last tidied lies in a few long arrays; what came since, in short ones per term.
    """

    def __init__(self) -> None:
        self._terms: dict[str, int] = {}
        self._old = _none()
        self._new: dict[int, tuple[array[int], array[int]]] = {}  # per term: slots and counts
        self._spread: array[int] = array("I")  # per term: in how many living passages it occurs
        self._ids: array[int] = array("q")
        self._lengths: array[int] = array("I")
        self._contents: dict[int, array[int]] = {}  # the terms of each passage that came since, by slot
        self._slot_of: dict[int, int] = {}
        self._gone: list[int] = []  # the slots of passages that were removed
        self._kept = 0  # how many of the slots are in `_old`
        self._total = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def ids(self) -> set[int]:
        """The passages that are here."""
        return set(self._slot_of)

    def add(self, id_: int, text: str) -> None:
        """Index `text` under `id_`, which must be new."""
        slot = len(self._ids)
        counts = Counter(tokens(text))
        contents = array("I")
        for term, count in counts.items():
            number = self._terms.setdefault(term, len(self._spread))
            if number == len(self._spread):
                self._spread.append(0)
            if (known := self._new.get(number)) is None:
                known = self._new[number] = array("I"), array("H")
            known[0].append(slot)
            known[1].append(min(count, 0xFFFF))
            self._spread[number] += 1
            contents.append(number)
        length = sum(counts.values())
        self._ids.append(id_)
        self._lengths.append(length)
        self._contents[slot] = contents
        self._slot_of[id_] = slot
        self._total += length

    def remove(self, ids: Collection[int]) -> None:
        """Forget `ids`; those that are not here are passed over."""
        slots = [slot for each in ids if (slot := self._slot_of.pop(each, None)) is not None]
        spread = np.frombuffer(self._spread, np.uint32)
        for slot in slots:
            self._total -= self._lengths[slot]
            if (contents := self._contents.pop(slot, None)) is not None:
                spread[np.frombuffer(contents, np.uint32)] -= np.uint32(1)
        if old := [each for each in slots if each < self._kept]:
            np.subtract.at(spread, self._old.terms_in(old), np.uint32(1))
        del spread  # an array that is looked at cannot grow
        self._gone += slots
        if len(self._ids) > 2 * len(self._slot_of) + 64:
            self._tidy()

    def search(
        self,
        query: str,
        limit: int,
        allowed: npt.NDArray[np.int64] | None = None,
        also: Collection[int] = (),
    ) -> list[tuple[int, float]]:
        """The best `limit` ids with their scores, best first, then those of `also`; none whose score is zero.

        `allowed` bounds the best.
        """
        if not self._slot_of:
            return []
        scores = self._scores(query)
        ids = np.frombuffer(self._ids, np.int64)
        eligible = scores if allowed is None else np.where(np.isin(ids, allowed), scores, 0)
        best = np.argpartition(-eligible, min(limit, len(scores) - 1))[:limit]
        best = best[np.argsort(-eligible[best], kind="stable")]
        slots = [int(each) for each in best if eligible[each] > 0]
        slots += {self._slot_of[each] for each in also if each in self._slot_of} - set(slots)
        return [(int(ids[each]), float(scores[each])) for each in slots if scores[each] > 0]

    def save(self, path: Path, key: str) -> None:
        """Write the index to `path` under `key`, which names what it was made from; whole or not at all."""
        self._tidy()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            np.savez(
                file,
                key=np.array(f"{_FORM} {key}"),
                terms=np.frombuffer("\n".join(self._terms).encode(), np.uint8),
                starts=self._old.starts,
                slots=self._old.slots,
                counts=self._old.counts,
                ids=np.frombuffer(self._ids, np.int64),
                lengths=np.frombuffer(self._lengths, np.uint32),
            )
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path, key: str, ids: Collection[int]) -> Keywords | None:
        """The index that was saved under `key` and holds just `ids`; None where there is none."""
        try:
            with np.load(path, allow_pickle=False) as parts:
                if str(parts["key"]) != f"{_FORM} {key}" or set(parts["ids"].tolist()) != set(ids):
                    return None
                terms = parts["terms"].tobytes().decode()
                made = cls()
                postings = Postings(parts["starts"], parts["slots"], parts["counts"])
                made._take(postings, terms.split("\n") if terms else [], parts["ids"], parts["lengths"])
                return made
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def _take(self, postings: Postings, terms: Sequence[str], ids: Integers, lengths: Integers) -> None:
        """Hold just these postings, of passages of these ids and lengths."""
        self._terms = {term: at for at, term in enumerate(terms)}
        self._old, self._kept = postings, len(ids)
        self._new, self._contents, self._gone = {}, {}, []
        self._spread = array("I", np.diff(postings.starts).astype(np.uint32).tobytes())
        self._ids = array("q", ids.tobytes())
        self._lengths = array("I", lengths.tobytes())
        self._slot_of = {id_: slot for slot, id_ in enumerate(self._ids)}
        self._total = sum(self._lengths)

    def _scores(self, query: str) -> npt.NDArray[np.float32]:
        scores = np.zeros(len(self._ids), np.float32)
        lengths = np.frombuffer(self._lengths, np.uint32)
        norm = _K1 * (1 - _B + _B * lengths / max(1e-9, self._total / len(self._slot_of)))
        for term, weight in Counter(tokens(query)).items():
            number = self._terms.get(term)
            if number is None or not self._spread[number]:
                continue
            spread = self._spread[number]
            idf = np.log1p((len(self._slot_of) - spread + 0.5) / (spread + 0.5))
            for slots, times in self._postings(number):
                counts = times.astype(np.float32)
                scores[slots] += weight * idf * counts * (_K1 + 1) / (counts + norm[slots])
        scores[self._gone] = 0
        return scores

    def _postings(self, number: int) -> Iterator[tuple[Integers, Integers]]:
        yield self._old.has(number)
        if (new := self._new.get(number)) is not None:
            yield np.frombuffer(new[0], np.uint32), np.frombuffer(new[1], np.uint16)

    def _tidy(self) -> None:
        """Bring everything into the long arrays, without the passages that are gone and the terms that none has any more."""
        if not self._new and not self._gone:
            return
        moved = np.full(len(self._ids), -1, np.int64)
        kept = np.fromiter(sorted(self._slot_of.values()), np.int64, len(self._slot_of))
        moved[kept] = np.arange(len(kept))
        new = list(self._new.values())
        came = Postings.of(
            np.repeat(np.fromiter(self._new, np.uint32, len(new)), [len(each) for each, _ in new]),
            np.frombuffer(b"".join(each for each, _ in new), np.uint32),
            np.frombuffer(b"".join(each for _, each in new), np.uint16),
            len(self._spread),
        )
        both = (self._old.living(moved), came.living(moved))
        terms, slots, counts = (np.concatenate(each) for each in zip(*both, strict=True))
        used = np.flatnonzero(np.bincount(terms, minlength=len(self._spread)))
        renamed = np.zeros(len(self._spread), np.uint32)
        renamed[used] = np.arange(len(used))
        names = list(self._terms)
        ids, lengths = np.frombuffer(self._ids, np.int64)[kept], np.frombuffer(self._lengths, np.uint32)[kept]
        postings = Postings.of(renamed[terms], slots.astype(np.uint32), counts, len(used))
        self._take(postings, [names[each] for each in used.tolist()], ids, lengths)
