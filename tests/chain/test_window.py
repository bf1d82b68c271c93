"""What is packed for a model fits its window, counted by the real tokenizer of one that hardly knows Chinese."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rag.answer.context import Message, pack
from rag.answer.prompts import Language
from rag.passages import Hit
from tests.processes import ROOT
from tests.rag.answer.corpus import articles

pytestmark = pytest.mark.chain

ENGLISH = (
    "Article 36. The State shall practise a working-hour system under which labourers shall work for no more than "
    "8 hours a day and no more than 44 hours a week on the average (see § 12.3(a), OJ L 119/1, 2016-05-04).\n\n"
    "1. Creatinine clearance < 30 mL/min: reduce the dose by 50 %; e.g. 0.5 mg q12h instead of 1.0 mg.\n"
)
RARE = "龘饕餮犇骉，囹圄羁縻，魑魅魍魉。"


@pytest.fixture(scope="module")
def tokenizer(prepared: Path) -> Tokenizer:
    folder = next(path for path in (prepared / "models").iterdir() if "smollm2" in path.name.lower())
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def count(tokenizer: Tokenizer, messages: Sequence[Message]) -> int:
    """Tokens by SmolLM2's chat template, the beginning of the answer included."""
    turns = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in messages)
    return len(tokenizer.encode(f"{turns}<|im_start|>assistant\n").ids)


def texts() -> dict[str, str]:
    samples = "\n".join(path.read_text() for path in sorted((ROOT / "samples").rglob("*.txt")))
    assert len(samples) > 10_000
    chinese = samples[:20_000]
    pieces = itertools.chain.from_iterable(zip(chinese.split("。"), ENGLISH.split(". ") * 400, strict=False))
    return {"zh": chinese, "en": ENGLISH * 60, "mixed": "。".join(pieces), "rare": RARE * 500}


@pytest.mark.parametrize("window", [2048, 4096, 8192])
@pytest.mark.parametrize("kind", ["zh", "en", "mixed", "rare"])
def test_a_packed_prompt_leaves_the_answer_its_room(tokenizer: Tokenizer, kind: str, window: int) -> None:
    text, chance = texts()[kind], random.Random(window)
    language: Language = "en" if kind == "en" else "zh"

    def piece(longest: int) -> str:
        start = chance.randrange(len(text) - longest)
        return text[start : start + chance.randrange(longest // 4, longest)]

    for _ in range(40):
        passages = [replace(articles()[0], id=at, text=piece(900)) for at in range(12)]
        turns = [{"role": ("user", "assistant")[at % 2], "content": piece(400)} for at in range(6)]
        question = {"role": "user", "content": piece(80)}
        answer = chance.choice([100, 256, 768])
        packed = pack(
            [*turns, question],
            [Hit(each, 0.5) for each in passages],
            language=language,
            window=window,
            answer_tokens=answer,
        )
        assert count(tokenizer, packed.messages) + min(answer, window // 2) <= window
        assert packed.hits
        assert packed.messages[-1] == question
