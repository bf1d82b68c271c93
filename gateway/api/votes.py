"""`/v1/votes`: what people judged of two answers, kept for the key's tenant, and how often each contender won."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from gateway.api.bodies import Body, Bounded
from gateway.api.conversations import After, Limit, Listed
from gateway.api.identity import Asker
from gateway.api.items import Word, listing
from gateway.history.votes import Ballot, Verdict, Votes
from praxis.keys import Principal

Tag = Literal["wrong_law", "wrong_evidence", "incomplete", "unsafe"]


class CastVote(Body):
    """A verdict on two `answers` to the question: `a` is the first of them, `b` the second."""

    conversation_id: Word
    question_id: Word
    answers: Annotated[list[Word], Field(min_length=2, max_length=2)]
    verdict: Verdict
    tags: Annotated[list[Tag], Field(max_length=4)] = Field(default_factory=list)
    comment: Annotated[str, Field(max_length=2000)] = ""
    blind: bool = False

    @model_validator(mode="after")
    def _two(self) -> CastVote:
        if self.answers[0] == self.answers[1]:
            raise ValueError("`answers` must be two different items")
        return self


class Contender(BaseModel):
    model: str
    side: str


class Vote(BaseModel):
    """A vote; `mine` says whether it is this key's. Times are Unix seconds."""

    id: str
    object: Literal["vote"] = "vote"
    created_at: int
    conversation_id: str
    question_id: str
    question: str
    verdict: Verdict
    a: Contender
    b: Contender
    tags: list[str]
    comment: str
    blind: bool
    mine: bool


class Result(BaseModel):
    """How a contender did. `win_rate` is the share of all its votes that it won, with the ends of a 95 % interval."""

    model: str
    side: str
    votes: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    win_rate: float
    win_rate_low: float
    win_rate_high: float


class ResultList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Result]


class Deleted(BaseModel):
    id: str
    object: Literal["vote.deleted"] = "vote.deleted"
    deleted: bool = True


def routes(votes: Votes) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1/votes", tags=["votes"], route_class=Bounded)

    @router.post("")
    async def cast_vote(body: CastVote, asker: Asker) -> Vote:
        """Judge two answers; a second verdict of the same key on the same question takes the place of the first."""
        a, b = body.answers
        ballot = Ballot(
            body.conversation_id,
            body.question_id,
            a,
            b,
            body.verdict,
            sorted(set(body.tags)),
            body.comment,
            body.blind,
        )
        return _vote(await asyncio.to_thread(votes.cast, asker, ballot), asker)

    @router.get("")
    async def list_votes(
        asker: Asker, limit: Limit = 20, after: After = None, conversation_id: Word | None = None
    ) -> Listed:
        """The tenant's votes, the latest first."""
        page = await asyncio.to_thread(votes.list, asker, limit, after, conversation_id)
        return listing([_vote(row, asker).model_dump() for row in page.rows], page.more)

    @router.get("/results")
    async def read_results(asker: Asker) -> ResultList:
        """How often each model won, on each side, in all votes of the tenant."""
        standings = await asyncio.to_thread(votes.results, asker)
        rates = [each.win_rate() for each in standings]
        return ResultList(
            data=[
                Result(**asdict(each), votes=each.votes, win_rate=rate, win_rate_low=low, win_rate_high=high)
                for each, (rate, low, high) in zip(standings, rates, strict=True)
            ]
        )

    @router.delete("/{vote_id}")
    async def delete_vote(vote_id: str, asker: Asker) -> Deleted:
        """Take a vote back."""
        await asyncio.to_thread(votes.retract, asker, vote_id)
        return Deleted(id=vote_id)

    return router


def _vote(row: Mapping[str, Any], asker: Principal) -> Vote:
    told = {name: value for name, value in row.items() if name in Vote.model_fields}
    return Vote.model_validate(
        told | {"created_at": int(row["created_at"]), "mine": row["key_id"] == asker.key_id}
    )
