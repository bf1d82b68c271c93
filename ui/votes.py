"""What people judged of two answers, as the gateway keeps it for the key's tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ui.client import Gateway, Json

PATH = "/v1/votes"
VERDICTS = ("a", "b", "tie", "both_bad")
TAGS = ("wrong_law", "wrong_evidence", "incomplete", "unsafe")
COMMENT = 2000  # characters


@dataclass(frozen=True, slots=True)
class Contender:
    """Who answered: a model, and the side on which it stood."""

    model: str
    side: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One verdict. `created_at` is Unix time, `mine` whether this key gave it, `blind` whether it knew whom it judged."""

    question: str
    question_id: str
    created_at: int
    verdict: str
    a: Contender
    b: Contender
    tags: tuple[str, ...]
    comment: str
    blind: bool
    mine: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contender did; `rate` is the share of votes that it won, `low` and `high` the ends of its 95 % interval."""

    contender: Contender
    votes: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ballot:
    """A verdict to be given on the answers `a` and `b` (ids at the gateway)."""

    conversation: str
    question: str
    a: str
    b: str
    verdict: str
    tags: Sequence[str] = ()
    comment: str = ""
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Votes:
    """The gateway's votes, as one key sees them. Every call raises GatewayError."""

    gateway: Gateway

    def cast(self, ballot: Ballot) -> Vote:
        """Give a verdict, in place of the one that this key gave before."""
        body: Json = {
            "conversation_id": ballot.conversation,
            "question_id": ballot.question,
            "answers": [ballot.a, ballot.b],
            "verdict": ballot.verdict,
            "tags": list(ballot.tags),
            "comment": ballot.comment,
            "blind": ballot.blind,
        }
        return _vote(self.gateway.call("POST", PATH, json=body))

    def all(self) -> list[Vote]:
        """Every vote of the tenant, the latest first."""
        return [_vote(item) for item in self.gateway.pages(PATH)]

    def mine(self, conversation: str) -> Mapping[str, Vote]:
        """This key's own votes in a conversation, by question."""
        given = map(_vote, self.gateway.pages(PATH, conversation_id=conversation))
        return {vote.question_id: vote for vote in given if vote.mine}

    def standings(self) -> list[Standing]:
        """How every contender did, the best first."""
        return [_standing(item) for item in self.gateway.call("GET", f"{PATH}/results")["data"]]


def _vote(item: Json) -> Vote:
    return Vote(
        question=item["question"],
        question_id=item["question_id"],
        created_at=item["created_at"],
        verdict=item["verdict"],
        a=Contender(**item["a"]),
        b=Contender(**item["b"]),
        tags=tuple(item["tags"]),
        comment=item["comment"],
        blind=item["blind"],
        mine=item["mine"],
    )


def _standing(item: Json) -> Standing:
    return Standing(
        contender=Contender(item["model"], item["side"]),
        votes=item["votes"],
        wins=item["wins"],
        losses=item["losses"],
        ties=item["ties"],
        both_bad=item["both_bad"],
        rate=item["win_rate"],
        low=item["win_rate_low"],
        high=item["win_rate_high"],
    )
