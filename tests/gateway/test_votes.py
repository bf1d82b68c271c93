"""What people judged of two answers: kept for their tenant, one vote a key, counted with intervals."""

import itertools
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.processes import Gateway

VOTES = "/v1/votes"
NAMES = itertools.count()


@dataclass
class Compared:
    """A question with an answer on each side, of a tenant of its own."""

    running: Gateway
    key: str
    conversation: str
    question: str
    answers: list[str]

    def vote(self, verdict: str, key: str = "", **more: Any) -> httpx.Response:
        body = {
            "conversation_id": self.conversation,
            "question_id": self.question,
            "answers": self.answers,
            "verdict": verdict,
        }
        return self.running.post(VOTES, key=key or self.key, json=body | more)

    def results(self, key: str = "") -> dict[str, dict[str, Any]]:
        reply = self.running.get(f"{VOTES}/results", key=key or self.key)
        assert reply.status_code == 200, reply.text
        return {each["side"]: each for each in reply.json()["data"]}

    def listed(self, key: str = "", **asked: Any) -> list[dict[str, Any]]:
        return list(self.running.get(VOTES, key=key or self.key, params=asked).json()["data"])


@pytest.fixture
def compared(gateway: Serve) -> Compared:
    running = gateway(house("http://127.0.0.1:9"))
    key = running.keys.create(f"judging-{next(NAMES)}")[1]
    return compare(running, key)


def compare(running: Gateway, key: str) -> Compared:
    question = {"role": "user", "content": "加班费怎么算？"}
    path = "/v1/conversations"
    conversation = running.post(path, key=key, json={"items": [question]}).json()["id"]
    items = f"{path}/{conversation}/items"
    asked = running.get(items, key=key).json()["data"][0]["id"]
    answers = [
        {"role": "assistant", "content": "答", "question_id": asked, "side": side, "model": model}
        for side, model in (("raw", "qwen"), ("grounded", "labour-law"))
    ]
    made = running.post(items, key=key, json={"items": answers}).json()["data"]
    return Compared(running, key, conversation, asked, [each["id"] for each in made])


def test_a_vote_tells_who_stood_where(compared: Compared) -> None:
    reply = compared.vote("b", tags=["unsafe", "wrong_law", "unsafe"], comment="引错了条文", blind=True)
    assert reply.status_code == 200, reply.text
    vote = reply.json()
    assert (vote["question"], vote["verdict"], vote["blind"]) == ("加班费怎么算？", "b", True)
    assert (vote["a"], vote["b"]) == (
        {"model": "qwen", "side": "raw"},
        {"model": "labour-law", "side": "grounded"},
    )
    assert (vote["tags"], vote["comment"], vote["mine"]) == (["unsafe", "wrong_law"], "引错了条文", True)
    assert compared.listed() == [vote]
    assert compared.listed(conversation_id=compared.conversation) == [vote]
    assert compared.listed(conversation_id="conv_other") == []


def test_a_key_changes_its_mind_and_a_colleague_has_a_vote_of_their_own(compared: Compared) -> None:
    running = compared.running
    tenant = running.keys.list()[-1]["tenant"]
    colleague = running.keys.create(f"colleague-judging-{next(NAMES)}", tenant=tenant)[1]
    first = compared.vote("a").json()
    assert compared.vote("b").json()["id"] == first["id"]
    assert compared.vote("b", key=colleague).json()["mine"]
    assert [(vote["verdict"], vote["mine"]) for vote in compared.listed()] == [("b", False), ("b", True)]
    grounded = compared.results()["grounded"]
    assert (grounded["votes"], grounded["wins"]) == (2, 2)


def test_results_count_every_verdict_with_its_interval(compared: Compared) -> None:
    verdicts = ["b"] * 6 + ["a"] * 2 + ["tie", "both_bad"]
    for verdict in verdicts:
        assert compare(compared.running, compared.key).vote(verdict).status_code == 200
    results = compared.results()
    grounded, raw = results["grounded"], results["raw"]
    names = ("model", "votes", "wins", "losses", "ties", "both_bad")
    assert [grounded[name] for name in names] == ["labour-law", 10, 6, 2, 1, 1]
    assert [raw[name] for name in names] == ["qwen", 10, 2, 6, 1, 1]
    # Wilson's interval of 6 in 10, as every textbook has it.
    assert [round(grounded[name], 4) for name in ("win_rate", "win_rate_low", "win_rate_high")] == [
        0.6,
        0.3127,
        0.8318,
    ]
    pages = [compared.listed(limit=4)]
    while len(pages[-1]) == 4:
        pages.append(compared.listed(limit=4, after=pages[-1][-1]["id"]))
    assert len({vote["id"] for page in pages for vote in page}) == len(verdicts)


def test_votes_go_with_their_conversation_and_can_be_taken_back(compared: Compared) -> None:
    running = compared.running
    again = compare(running, compared.key)
    taken = compared.vote("tie").json()["id"]
    again.vote("a")
    assert running.request("DELETE", f"{VOTES}/{taken}", key=compared.key).json()["deleted"]
    assert [vote["verdict"] for vote in compared.listed()] == ["a"]
    running.request("DELETE", f"/v1/conversations/{again.conversation}", key=compared.key)
    assert compared.listed() == []
    assert compared.results() == {}


def test_nobody_judges_or_sees_what_another_tenant_asked(compared: Compared) -> None:
    other = compared.running.keys.create(f"stranger-{next(NAMES)}")[1]
    vote = compared.vote("a").json()["id"]
    assert compared.vote("b", key=other).status_code == 404
    assert compared.running.request("DELETE", f"{VOTES}/{vote}", key=other).status_code == 404
    assert compared.listed(other) == []
    assert compared.results(other) == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"verdict": "c"}, "verdict"),
        ({"tags": ["ugly"]}, "tags.0"),
        ({"comment": "长" * 2001}, "comment"),
        ({"answers": ["msg_1"]}, "answers"),
    ],
)
def test_what_is_wrong_is_named(compared: Compared, wrong: dict[str, Any], field: str) -> None:
    reply = compared.vote(**({"verdict": "a"} | wrong))
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == field


def test_only_answers_to_the_question_are_judged(compared: Compared) -> None:
    stranger = compare(compared.running, compared.key).answers[0]
    a, b = compared.answers
    assert compared.vote("a", answers=[a, a]).status_code == 400
    assert compared.vote("a", answers=[a, compared.question]).status_code == 400
    assert compared.vote("a", answers=[stranger, b]).status_code == 404
