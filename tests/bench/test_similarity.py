"""The scores are LLaMA-Factory's: on its golden pairs, and on any text against the libraries that it uses."""

import json
import math
from pathlib import Path

import jieba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_chinese import Rouge

from bench.eval.predictions import read
from bench.eval.scores import score, similarities
from bench.eval.similarity import METRICS, Scorer, Similarity, chrf, common_subsequence

LLAMA_FACTORYS = METRICS[:4]
DATA = Path(__file__).parent.parent / "data" / "eval"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def llama_factory(predict: str, label: str) -> dict[str, float]:
    """`scripts/eval_bleu_rouge.py` of LLaMA-Factory, by the libraries that it uses."""
    hypothesis, reference = list(jieba.cut(predict)), list(jieba.cut(label))
    if not " ".join(hypothesis).split() or not " ".join(reference).split():
        result = {"rouge-1": {"f": 0.0}, "rouge-2": {"f": 0.0}, "rouge-l": {"f": 0.0}}
    else:
        result = Rouge().get_scores(" ".join(hypothesis), " ".join(reference))[0]
    bleu = sentence_bleu([list(label)], list(predict), smoothing_function=SmoothingFunction().method3)
    values = {name: round(value["f"] * 100, 4) for name, value in result.items()}
    return {"bleu-4": round(bleu * 100, 4), **values}


def factory_part(similarity: Similarity) -> dict[str, float]:
    """The scores that LLaMA-Factory has too."""
    return {name: similarity.values()[name] for name in LLAMA_FACTORYS}


def test_every_golden_pair_has_its_golden_scores(scorer: Scorer) -> None:
    golden = json.loads((DATA / "golden_predictions.scores.json").read_text())
    predictions = read(DATA / "golden_predictions.jsonl")
    each = [scorer.score(row.predict, row.label).values() for row in predictions]
    assert [{name: row[name] for name in LLAMA_FACTORYS} for row in each] == [
        {name: row[name] for name in LLAMA_FACTORYS} for row in golden["per_sample"]
    ]
    whole = score(similarities(predictions, scorer))
    for name in LLAMA_FACTORYS:
        assert round(whole[f"predict_{name}"], 4) == round(golden[f"predict_{name}"], 4)


@pytest.mark.parametrize(
    ("predict", "label", "expected"),
    [
        ("", "参考", (0, 0, 0, 0)),
        ("参考", "", (0, 0, 0, 0)),
        ("", "", (0, 0, 0, 0)),
        ("好", "好", (35.3553, 100, 0, 100)),
        ("好的", "好的", (59.4604, 100, 100, 100)),
        ("好的啊", "好的啊", (84.0896, 100, 100, 100)),
        ("合同有效", "合同有效", (100, 100, 100, 100)),
        ("原告胜诉", "被告败诉", (18.9959, 0, 0, 0)),
        ("a", "b", (0, 0, 0, 0)),
        ("。", "。", (35.3553, 100, 0, 100)),
        ("...", "...", (84.0896, 100, 0, 100)),
        ("<think>abc</think>好的答案", "好的答案", (10.813, 54.5455, 36.3636, 42.8571)),
        ("患者应当立即停药并就医", "患者需要立即停药,并尽快去医院就医", (18.9231, 62.5, 14.2857, 62.5)),
        ("停药停药停药", "停药", (16.2334, 100, 0, 50)),
        ("患者应停药。应就医。", "应就医。患者应停药。", (78.5629, 100, 83.3333, 57.1429)),
    ],
)
def test_known_pairs(
    scorer: Scorer, predict: str, label: str, expected: tuple[float, float, float, float]
) -> None:
    assert tuple(scorer.score(predict, label).values().values())[:4] == expected


@pytest.mark.parametrize(
    ("predict", "label", "expected"),
    [
        ("患者应当立即停药并就医", "患者需要立即停药,并尽快去医院就医", 18.8448),
        ("停药停药停药", "停药", 64.5161),
        ("原告胜诉", "被告败诉", 12.5),
        ("好", "好", 100.0),
        ("the cat sat", "the cat sat down", 66.0176),
        ("", "好", 0.0),
        ("好", " ", 0.0),
    ],
)
def test_chrf_is_that_of_sacrebleu(predict: str, label: str, expected: float) -> None:
    assert round(100 * chrf(predict, label), 4) == expected


@pytest.mark.parametrize(
    ("predict", "label", "expected"), [("好 \n", "好", 100), ("好", "好的", 0), ("", "", 0)]
)
def test_exact_match(scorer: Scorer, predict: str, label: str, expected: float) -> None:
    assert scorer.score(predict, label).exact_match == expected


# Characters at which the libraries do something of their own: line ends, dots, spaces of every kind, blank lines.
TEXTS = st.lists(
    st.sampled_from(
        [
            "劳动",
            "合同",
            "的",
            "好",
            "加班费",
            "。",
            "！",
            "？",
            "?",
            "……",
            "“",
            "”",
            "’",
            "，",
            "\n",
            "\n\n",
            "\r\n",
            " ",
            "\u3000",
            "\u2028",
            "\t",
            "......",
            ".......",
            ".",
            "word",
            "1.5%",
            "-",
            "<think>",
        ]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(predict=TEXTS, label=TEXTS)
def test_any_text_is_scored_as_the_libraries_score_it(scorer: Scorer, predict: str, label: str) -> None:
    assert factory_part(scorer.score(predict, label)) == llama_factory(predict, label)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_a_text_against_itself(scorer: Scorer, text: str) -> None:
    assert factory_part(scorer.score(text, text)) == llama_factory(text, text)


@given(
    left=st.lists(st.sampled_from("abc"), max_size=20), right=st.lists(st.sampled_from("abcd"), max_size=20)
)
def test_common_subsequence_is_that_of_the_table(left: list[str], right: list[str]) -> None:
    row = [0] * (len(right) + 1)
    for word in left:
        before, row = row, [0]
        for column, other in enumerate(right, start=1):
            row.append(before[column - 1] + 1 if word == other else max(before[column], row[-1]))
    assert common_subsequence(left, right) == row[-1]


def test_long_answers_are_scored(scorer: Scorer) -> None:
    answer = "\n\n".join(f"第{number}条 用人单位应当支付劳动者加班费。" for number in range(2000))
    scores = scorer.score(answer, answer[::-1])
    assert all(math.isfinite(value) for value in scores.values().values())
    assert scorer.score(answer, answer).rouge_l == 100.0
