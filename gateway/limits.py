"""Limits per key: requests and tokens per minute, and requests at the same time.

A key without limits costs nothing here. With limits, a `Ticket` is taken before a request begins and settled when it is
over, whatever happened, because it hangs on the request's `Record`: tokens are charged by an estimate first (the
prompt's bytes by four, and the most that may be answered) and corrected by the count. Where `server.limits` names a
Redis, all gateways count together (shared_limits.py); while it is away each counts for itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.proxy.record import Record, Ticket
from gateway.windows import SECONDS, Window
from praxis.errors import RateLimited
from praxis.keys import Principal, Quota

logger = logging.getLogger("praxis.gateway.limits")

SWEEP_SECONDS = 60.0


class Account:
    """What one key has used of its limits."""

    __slots__ = ("in_flight", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.in_flight = 0


class _Taken:
    """A ticket of this process."""

    __slots__ = ("_account", "_clock", "_cost", "_index", "_left", "_now", "_quota")

    def __init__(
        self,
        account: Account,
        quota: Quota,
        cost: int,
        left: tuple[int, int],
        now: float,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._quota = quota
        self._cost = cost
        self._left = left
        self._now = now
        self._index = account.tokens.index
        self._clock = clock

    def lines(self) -> bytes:
        return told(self._quota, self._left, self._now)

    def settle(self, tokens: int | None) -> None:
        account = self._account
        account.in_flight -= 1
        if tokens is not None and tokens != self._cost and self._quota.tpm is not None:
            account.tokens.used(self._clock())
            account.tokens.correct(self._index, tokens - self._cost)


class Limits:
    """The limits that this process counts. It observes requests, to settle their tickets.

    `beside` is how many other processes count for themselves, though an operator would want them to count together.
    """

    shared = False
    """Whether others count too, so that only `admitted` can tell."""

    def __init__(self, clock: Callable[[], float] = time.time, beside: int = 0) -> None:
        self._clock = clock
        self._beside = beside
        self._accounts: dict[str, Account] = {}

    def admit(self, principal: Principal, cost: int) -> Ticket | None:
        """Count a request of `principal` that may use `cost` tokens; None where its key has no limits.

        Raises RateLimited, and has then counted nothing. What rag asks in a key's name was counted when it was asked.
        """
        quota = principal.quota
        if quota is None:
            return None
        account = self._accounts.get(principal.key_id)
        if account is None:
            account = self._open(principal.key_id)
        now = self._clock()
        rpm, tpm = quota.rpm, quota.tpm
        requests = tokens = 0
        if rpm is not None and (requests := rpm - account.requests.used(now)) < 1:
            raise refusal(principal, quota, account, cost, now)
        if tpm is not None and (tokens := tpm - account.tokens.used(now)) < cost:
            raise refusal(principal, quota, account, cost, now)
        if quota.concurrency is not None and account.in_flight >= quota.concurrency:
            raise refusal(principal, quota, account, cost, now)
        if rpm is not None:
            account.requests.current += 1
        if tpm is not None:
            account.tokens.current += cost
        account.in_flight += 1
        return _Taken(account, quota, cost, (requests - 1, tokens - cost), now, self._clock)

    async def admitted(self, principal: Principal, cost: int) -> Ticket | None:
        """As `admit`, asking the others who count, where there are any."""
        return self.admit(principal, cost)

    def ended(self, record: Record) -> None:
        """Settle the request's ticket, if it has one."""
        ticket, record.ticket = record.ticket, None
        if ticket is None:
            return
        used = record.prompt_tokens + record.completion_tokens
        # Of an answer that nobody counted the estimate stands; of none, nothing.
        ticket.settle(used or (None if record.outcome == "200" else 0))

    async def run(self) -> None:
        """Forget keys of which nothing counts any more, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._sweep()

    async def aclose(self) -> None:
        """Give back what others count."""

    def _open(self, key_id: str) -> Account:
        if self._beside:
            logger.warning(
                "each worker counts limits for itself; set `server.limits` to a Redis URL, and they count together",
                extra={"workers": self._beside + 1},
            )
            self._beside = 0
        account = self._accounts[key_id] = Account()
        return account

    def _sweep(self) -> None:
        now = self._clock()
        idle = [
            key_id
            for key_id, each in self._accounts.items()
            if not each.in_flight and each.requests.idle(now) and each.tokens.idle(now)
        ]
        for key_id in idle:
            del self._accounts[key_id]


def refusal(principal: Principal, quota: Quota, account: Account, cost: int, now: float) -> RateLimited:
    """Why a request is not admitted now, and when it may be."""
    name, rpm, tpm = principal.name, quota.rpm, quota.tpm
    requests = (rpm or 0) - account.requests.used(now)
    tokens = (tpm or 0) - account.tokens.used(now)
    resets = (account.requests.reset(now), account.tokens.reset(now))
    lines = told(quota, (requests, tokens), now, resets).decode().splitlines()
    more = dict(each.split(": ", 1) for each in lines)
    wait = 1
    if rpm is not None and requests < 1:
        wait = account.requests.wait(now, rpm, 1)
        reason = f"has made its {rpm} requests of this minute (`rpm`)"
    elif tpm is not None and cost > tpm:
        return RateLimited(
            f"This request may use {cost} tokens and the key `{name}` has {tpm} a minute (`tpm`): ask for a shorter "
            "answer with `max_tokens`, send less, or have the operator raise the limit.",
            code="rate_limit_exceeded",
            more=more | {"x-should-retry": "false"},
        )
    elif tpm is not None and tokens < cost:
        wait = account.tokens.wait(now, tpm, cost)
        left = max(0, tokens)
        reason = f"has {left} of its {tpm} tokens of this minute left (`tpm`) and this request may use {cost}"
    else:
        reason = f"has {quota.concurrency} requests in flight, as many as it may (`concurrency`)"
    return RateLimited(
        f"The key `{name}` {reason}; ask again in {wait} s, or have the operator raise the limit.",
        code="rate_limit_exceeded",
        retry_after=wait,
        more=more,
    )


def told(quota: Quota, left: tuple[int, int], now: float, resets: tuple[int, int] | None = None) -> bytes:
    """OpenAI's `x-ratelimit-*` headers, as lines, of the limits that there are, of requests and of tokens; without
    `resets` something was counted just now."""
    lines = b""
    requests, tokens = resets or (2 * SECONDS - int(now % SECONDS),) * 2
    if quota.rpm is not None:
        lines += _REQUESTS % (quota.rpm, max(left[0], 0), _LENGTHS[requests])
    if quota.tpm is not None:
        lines += _TOKENS % (quota.tpm, max(left[1], 0), _LENGTHS[tokens])
    return lines


def _lines(of: bytes) -> bytes:
    names = (b"limit-%s: %%d", b"remaining-%s: %%d", b"reset-%s: %%s")
    return b"".join(b"x-ratelimit-" + name % of + b"\r\n" for name in names)


_REQUESTS, _TOKENS = _lines(b"requests"), _lines(b"tokens")


def _length(seconds: int) -> bytes:
    """A length of time as OpenAI writes it: `59s`, `1m0s`."""
    minutes, rest = divmod(seconds, 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


_LENGTHS = [_length(each) for each in range(2 * SECONDS + 1)]
