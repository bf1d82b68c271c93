"""What people judged of two answers to one question, and how often each contender won."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.history.conversations import Page, fetch, owned_conversation, owned_item
from gateway.history.tables import STEPS, identity, items, searchable, votes
from praxis import audit
from praxis.audit import Line, note
from praxis.errors import InvalidRequest, NotFound
from praxis.judging.tally import wilson
from praxis.keys import Principal
from praxis.state import migrate, writing

Verdict = Literal["a", "b", "tie", "both_bad"]


@dataclass(frozen=True, slots=True)
class Ballot:
    """One person's verdict on the answers `a` and `b` (item ids); `blind` if they did not know whose they were."""

    conversation: str
    question: str
    a: str
    b: str
    verdict: Verdict
    tags: Sequence[str]
    comment: str
    blind: bool


@dataclass(slots=True)
class Standing:
    """How one contender did: a model, and the side on which it answered."""

    model: str
    side: str
    wins: int = 0
    losses: int = 0
    ties: int = 0
    both_bad: int = 0

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties + self.both_bad

    def win_rate(self) -> tuple[float, float, float]:
        """The share of votes that it won, and the ends of its 95 % interval (Wilson)."""
        return self.wins / self.votes, *wilson(self.wins, self.votes)


class Votes:
    """The table `vote`, as one tenant after the other sees it. A key has one vote on a question."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "conversations", STEPS)
        audit.prepare(engine)
        self._engine = engine

    def cast(self, owner: Principal, ballot: Ballot) -> Mapping[str, Any]:
        """Keep the verdict in place of what this key said before. Raises NotFound and InvalidRequest."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, ballot.conversation, lock=True)
            owned_item(connection, ballot.conversation, ballot.question)
            row = {
                "conversation_id": ballot.conversation,
                "question_id": ballot.question,
                "tenant": owner.tenant,
                "key_id": owner.key_id,
                "verdict": ballot.verdict,
                "a": _contender(connection, ballot, ballot.a),
                "b": _contender(connection, ballot, ballot.b),
                "tags": list(ballot.tags),
                "comment": searchable(ballot.comment),
                "blind": ballot.blind,
                "created_at": time.time(),
            }
            mine = sa.and_(votes.c.question_id == ballot.question, votes.c.key_id == owner.key_id)
            former = connection.execute(sa.select(votes.c.id).where(mine)).scalar()
            if former is None:
                row["id"] = former = identity("vote")
                connection.execute(sa.insert(votes).values(row))
            else:
                connection.execute(sa.update(votes).where(votes.c.id == former).values(row))
            return _read(connection, owner, former)

    def list(self, owner: Principal, limit: int, after: str | None, conversation: str | None) -> Page:
        """The tenant's votes, the latest first. Raises NotFound where `after` is none of them."""
        columns = votes.c
        wanted = _told().where(columns.tenant == owner.tenant)
        if conversation is not None:
            wanted = wanted.where(columns.conversation_id == conversation)
        with writing(self._engine).begin() as connection:
            if after is not None:
                last = _read(connection, owner, after)
                wanted = wanted.where(
                    sa.tuple_(columns.created_at, columns.id) < sa.tuple_(last["created_at"], last["id"])
                )
            page = fetch(connection, wanted.order_by(columns.created_at.desc(), columns.id.desc()), limit)
            of = dict.fromkeys(row["conversation_id"] for row in page.rows)
            note(connection, owner.actor, *(Line("vote.read", each) for each in of))
            return page

    def retract(self, owner: Principal, vote: str) -> None:
        """Delete a vote. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            told = _read(connection, owner, vote)
            connection.execute(sa.delete(votes).where(votes.c.id == vote))
            note(connection, owner.actor, Line("vote.delete", vote, told["conversation_id"]))

    def results(self, owner: Principal) -> Sequence[Standing]:
        """How every contender did, the highest share of wins first."""
        found: defaultdict[tuple[str, str], Standing] = defaultdict(lambda: Standing("", ""))
        wanted = sa.select(votes.c.verdict, votes.c.a, votes.c.b).where(votes.c.tenant == owner.tenant)
        with self._engine.connect() as connection:
            for verdict, *contenders in connection.execute(wanted):
                for place, contender in zip("ab", contenders, strict=True):
                    standing = found[contender["model"], contender["side"]]
                    standing.model, standing.side = contender["model"], contender["side"]
                    _count(standing, verdict, place)
        return sorted(found.values(), key=lambda each: (-each.win_rate()[0], -each.votes, each.model))


def _count(standing: Standing, verdict: str, place: str) -> None:
    match verdict:
        case "tie":
            standing.ties += 1
        case "both_bad":
            standing.both_bad += 1
        case winner if winner == place:
            standing.wins += 1
        case _:
            standing.losses += 1


def _contender(connection: Connection, ballot: Ballot, item: str) -> Mapping[str, str]:
    body = owned_item(connection, ballot.conversation, item)["body"]
    if body["role"] != "assistant" or body.get("question_id") != ballot.question:
        raise InvalidRequest(
            f"`{item}` is no answer to `{ballot.question}`; judge two items whose `question_id` it is.",
            param="answers",
        )
    return {"model": body.get("model") or "", "side": body.get("side") or ""}


def _told() -> sa.Select[Any]:
    return sa.select(votes, items.c.words.label("question")).join(items, items.c.id == votes.c.question_id)


def _read(connection: Connection, owner: Principal, vote: str) -> Mapping[str, Any]:
    wanted = _told().where(votes.c.id == vote, votes.c.tenant == owner.tenant)
    row = connection.execute(wanted).mappings().first()
    if row is None:
        raise NotFound(f"There is no vote `{vote}`; `GET /v1/votes` lists yours.", param="vote_id")
    return dict(row)
