"""Keyword search for Chinese: BM25 over characters, their overlapping pairs and Latin words, right after each change.

Stock tokenizers take a Chinese clause for one word and find nothing. The formula is Robertson's BM25 with the
always positive idf of Lucene, k1 = 1.2 and b = 0.75; single characters and pairs together rank best on Chinese law.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

_K1 = 1.2
_B = 0.75
_RUN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_INNER_SPACE = re.compile(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])")
# Characters that carry grammar only; in pairs they still count.
_PARTICLES = frozenset("的了是在我有和也都就还吗呢吧啊么着过你他她它")


def tokens(text: str) -> Iterator[str]:
    """The terms of `text`: Latin words and numbers in lower case, Chinese characters and overlapping pairs."""
    text = _INNER_SPACE.sub("", unicodedata.normalize("NFKC", text)).lower()
    for run in _RUN.findall(text):
        if run[0] < "\u3400":
            yield run
        else:
            yield from (char for char in run if char not in _PARTICLES)
            yield from (run[at : at + 2] for at in range(len(run) - 1))


class Keywords:
    """The keyword index of one store, in memory; ids are the passages'. Not thread-safe: the shelf locks."""

    def __init__(self) -> None:
        self._terms: dict[str, int] = {}
        self._slots: list[array[int]] = []  # per term: where in the columns below its passages stand
        self._counts: list[array[int]] = []  # per term: how often it occurs in each
        self._spread: array[int] = array("l")  # per term: in how many living passages it occurs
        self._ids: array[int] = array("q")
        self._lengths: array[int] = array("l")
        self._contents: list[array[int] | None] = []  # the terms of each passage; None once it is gone
        self._slot_of: dict[int, int] = {}
        self._gone: list[int] = []  # the slots of passages that were removed
        self._total = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, id_: int, text: str) -> None:
        """Index `text` under `id_`, which must be new."""
        slot = len(self._ids)
        counts = Counter(tokens(text))
        contents = array("l")
        for term, count in counts.items():
            number = self._terms.setdefault(term, len(self._slots))
            if number == len(self._slots):
                self._slots.append(array("l"))
                self._counts.append(array("H"))
                self._spread.append(0)
            self._slots[number].append(slot)
            self._counts[number].append(min(count, 0xFFFF))
            self._spread[number] += 1
            contents.append(number)
        length = sum(counts.values())
        self._ids.append(id_)
        self._lengths.append(length)
        self._contents.append(contents)
        self._slot_of[id_] = slot
        self._total += length

    def remove(self, ids: Collection[int]) -> None:
        """Forget `ids`; those that are not here are passed over."""
        for id_ in ids:
            slot = self._slot_of.pop(id_, None)
            contents = self._contents[slot] if slot is not None else None
            if slot is None or contents is None:
                continue
            for number in contents:
                self._spread[number] -= 1
            self._contents[slot] = None
            self._gone.append(slot)
            self._total -= self._lengths[slot]
        if len(self._ids) > 2 * len(self._slot_of) + 64:
            self._compact()

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

    def _scores(self, query: str) -> npt.NDArray[np.float32]:
        scores = np.zeros(len(self._ids), np.float32)
        lengths = np.frombuffer(self._lengths, np.dtype("l"))
        norm = _K1 * (1 - _B + _B * lengths / max(1e-9, self._total / len(self._slot_of)))
        for term, weight in Counter(tokens(query)).items():
            number = self._terms.get(term)
            if number is None or not self._spread[number]:
                continue
            spread = self._spread[number]
            idf = np.log1p((len(self._slot_of) - spread + 0.5) / (spread + 0.5))
            slots = np.frombuffer(self._slots[number], np.dtype("l"))
            counts = np.frombuffer(self._counts[number], np.uint16).astype(np.float32)
            scores[slots] += weight * idf * counts * (_K1 + 1) / (counts + norm[slots])
        scores[self._gone] = 0
        return scores

    def _compact(self) -> None:
        """Drop the columns of passages that are gone."""
        moved = {slot: at for at, slot in enumerate(sorted(self._slot_of.values()))}
        for number, slots in enumerate(self._slots):
            kept = [
                (moved[slot], count)
                for slot, count in zip(slots, self._counts[number], strict=True)
                if slot in moved
            ]
            self._slots[number] = array("l", [slot for slot, _ in kept])
            self._counts[number] = array("H", [count for _, count in kept])
        self._ids = array("q", [self._ids[slot] for slot in moved])
        self._lengths = array("l", [self._lengths[slot] for slot in moved])
        self._contents = [self._contents[slot] for slot in moved]
        self._slot_of = {id_: slot for slot, id_ in enumerate(self._ids)}
        self._gone = []
