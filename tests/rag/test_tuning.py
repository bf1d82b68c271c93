"""Tuning: what is learned carries to new questions, stays away from other documents, and is the same each time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openai
import pytest

from rag.index.embedding import Vectors
from rag.index.tuning import Tuning, learned
from tests.processes import eventually
from tests.rag.conftest import Rag

SIZE, PASSAGES = 64, 600
Answers = list[list[int]]


def unit(rows: Any) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@pytest.fixture
def corpus() -> tuple[Vectors, Callable[[int, int], tuple[Vectors, Answers]]]:
    """Passages, and questions that all lean the same wrong way, towards passages that answer none."""
    draw = np.random.default_rng(7)
    lean = unit(draw.normal(size=SIZE))
    tempting = lean + draw.normal(scale=0.1, size=(20, SIZE))
    passages = unit(np.vstack([unit(draw.normal(size=(PASSAGES, SIZE))), tempting]))

    def asked(start: int, stop: int) -> tuple[Vectors, Answers]:
        return unit(passages[start:stop] + 1.1 * lean), [[at] for at in range(start, stop)]

    return passages, asked


def first(questions: Vectors, passages: Vectors, answers: Answers, tuning: Tuning | None) -> float:
    """The share of questions whose answer comes first."""
    rows = [tuning.turned(each, 1.0) if tuning else each for each in questions]
    best = np.argmax(np.stack([each for each in rows if each is not None]) @ passages.T, axis=1)
    return float(np.mean([place in wanted for place, wanted in zip(best, answers, strict=True)]))


def test_what_is_learned_carries_to_questions_that_were_never_seen(corpus: Any) -> None:
    passages, asked = corpus
    questions, answers = asked(0, 500)
    tuning = Tuning(learned(questions, answers, passages, 0, lambda: None), frozenset())
    unseen, wanted = asked(500, PASSAGES)
    assert first(unseen, passages, wanted, tuning) > first(unseen, passages, wanted, None) + 0.1


def test_the_same_questions_and_seed_give_the_same_bytes(corpus: Any) -> None:
    passages, asked = corpus
    questions, answers = asked(0, 100)
    made = [
        Tuning(learned(questions, answers, passages, seed, lambda: None), frozenset({9, 1}))
        for seed in (3, 3, 4)
    ]
    assert made[0].dumped() == made[1].dumped() != made[2].dumped()
    again = Tuning.loaded(made[0].dumped())
    assert again.covered == {1, 9}
    assert np.array_equal(again.turn, made[0].turn)


def test_the_scores_decide_whether_it_applies() -> None:
    tuning = Tuning(np.eye(4, dtype=np.float32)[::-1].copy(), frozenset())
    vector = np.asarray([1, 0, 0, 0], np.float32)
    assert tuning.turned(vector, 0.6) is None
    half, whole = tuning.turned(vector, 0.7), tuning.turned(vector, 1.0)
    assert half is not None
    assert whole is not None
    assert 0 < half[3] < whole[3]
    assert np.linalg.norm(whole) == pytest.approx(1)


GREETING = "尊敬的律师您好，我是普通群众，想咨询一个法律问题，请您在百忙之中解答，谢谢您："
TOPICS = [
    "试用期",
    "加班费",
    "年休假",
    "产假",
    "工伤",
    "社会保险",
    "经济补偿",
    "竞业限制",
    "保密",
    "培训",
    "工资",
    "合同解除",
    "合同终止",
    "劳务派遣",
    "仲裁",
    "奖金",
    "调岗",
    "社保转移",
    "病假",
    "婚假",
    "丧假",
    "加班",
    "值班",
    "出差",
    "体检",
    "住宿",
    "餐补",
    "车补",
    "离职",
    "档案",
]


def guide() -> str:
    """Prose of which every second paragraph looks like the questions and answers none of them."""
    lines = []
    for at, topic in enumerate(TOPICS):
        lines.append(f"关于{topic}：单位应当在{at + 3}日内办理{topic}的有关事项，并书面告知本人。" * 3)
        lines.append(f"尊敬的群众您好，律师在百忙之中解答法律问题，谢谢您咨询第{at}号窗口。" * 4)
    return "\n\n".join(lines)


def questions() -> list[dict[str, Any]]:
    """A question on each topic, said with much else."""
    return [
        {
            "query": f"{GREETING}{topic}怎么办？",
            "gold": [{"filename": "指南.txt", "quote": f"办理{topic}的有关事项"}],
        }
        for topic in TOPICS
    ]


@pytest.fixture
def store(client: openai.OpenAI) -> str:
    made = client.vector_stores.create(name="guide")
    entry = client.vector_stores.files.upload_and_poll(
        vector_store_id=made.id,
        file=("指南.txt", guide().encode()),
        poll_interval_ms=100,
        chunking_strategy={
            "type": "static",
            "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
        },
    )
    assert entry.status == "completed"
    return made.id


def tuned(client: openai.OpenAI, store: str, body: dict[str, Any]) -> dict[str, Any]:
    """Tune a store and wait for what is found."""
    path = f"/vector_stores/{store}/tuning"
    client.post(path, body=body, cast_to=dict[str, Any])
    eventually(lambda: look(client, store)["status"] != "in_progress", "tuning ends", within=300)
    return look(client, store)


def look(client: openai.OpenAI, store: str) -> dict[str, Any]:
    return client.get(f"/vector_stores/{store}/tuning", cast_to=dict[str, Any])


def test_a_store_is_tuned_measured_and_forgets(client: openai.OpenAI, store: str) -> None:
    assert look(client, store)["status"] == "none"
    found = tuned(client, store, {"questions": questions(), "seed": 1})
    assert (found["status"], found["used"], found["seed"]) == ("completed", len(TOPICS), 1)
    assert found["random"]["questions"] == len(TOPICS)
    assert found["apart"] is None  # one file cannot be set apart from itself
    gain = sum(found["random"]["after"].values()) - sum(found["random"]["before"].values())
    assert found["kept"] is found["applied"] is (gain > 0)
    again = tuned(client, store, {"questions": questions(), "seed": 1})
    assert {**again, "created_at": 0} == {**found, "created_at": 0}
    assert client.delete(f"/vector_stores/{store}/tuning", cast_to=dict[str, Any])["status"] == "none"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "questions"),
        ({"questions": [{"query": " ", "gold": []}]}, r"questions\[0\]` needs a text in `query`"),
        ({"questions": [{"query": "问", "gold": [{"law": "劳动法"}]}]}, r"questions\[0\].gold"),
        ({"questions": questions()[:19]}, "Only 19 of 19"),
        ({"questions": questions(), "seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_by_name(
    client: openai.OpenAI, store: str, body: dict[str, Any], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.post(f"/vector_stores/{store}/tuning", body=body, cast_to=dict[str, Any])


def test_nobody_else_sees_or_changes_a_tuning(client: openai.OpenAI, store: str, rag: Rag) -> None:
    stranger = rag.client("stranger")
    for call in (stranger.get, stranger.delete, stranger.post):
        with pytest.raises(openai.NotFoundError, match=store):
            call(f"/vector_stores/{store}/tuning", cast_to=dict[str, Any])
