"""Limits that several gateways count together, in Redis.

One script does in one round trip what the `limits` library would do in five (two hits, two readings for the headers, and
concurrency, which it has not), all or nothing, and with corrections, for which it has no call; at one thread that is
the difference between 1,000 and 4,000 requests a second. The arithmetic and the connection are the library's (so are
the kinds of URL that it takes: redis, rediss, sentinel), and tests hold the script to the library's answers.

A slot of concurrency is leased: a gateway that dies gives back what it held when the leases run out. While Redis is
away every gateway counts for itself (`Limits`), and the log says so once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.storage import storage_from_string
from redis.exceptions import RedisError

from gateway.limits import Account, Limits, refusal, told
from gateway.proxy.record import Ticket
from gateway.windows import Window
from praxis.keys import Principal, Quota

logger = logging.getLogger("praxis.gateway.limits")

ANSWER_SECONDS = 0.5
"""How long a request waits for Redis before it is counted here instead."""

SETTLE_SECONDS = 0.2
"""How long a request that is over may take to give back what it held, everywhere."""

AGAIN_SECONDS = 0.02
"""How long a request waits, within that time, before it asks again."""

RETRY_SECONDS = 1.0
SAY_SECONDS = 60.0
LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0

_ERRORS = (OSError, RedisError)  # a timeout is an OSError

_WINDOWS = """
local time = redis.call('TIME')
local now = ARGV[1] ~= '' and tonumber(ARGV[1]) or time[1] + time[2] / 1000000
local index = math.floor(now / 60)
local held = redis.call('HMGET', KEYS[1], 'index', 'requests', 'requests_before', 'tokens', 'tokens_before')
for i = 1, 5 do held[i] = tonumber(held[i]) or 0 end
local requests, requests_before, tokens, tokens_before = held[2], held[3], held[4], held[5]
if index > held[1] then
  local next_one = index == held[1] + 1
  requests_before, tokens_before = next_one and requests or 0, next_one and tokens or 0
  requests, tokens = 0, 0
else
  index = held[1]
end
local function keep()
  redis.call('HSET', KEYS[1], 'index', index, 'requests', requests, 'requests_before', requests_before,
    'tokens', tokens, 'tokens_before', tokens_before)
  redis.call('EXPIRE', KEYS[1], 180)
end
"""

TAKE = (
    _WINDOWS
    + """
local rpm, tpm, concurrency, cost = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local left = (1 - (((now - 60) / 60) % 1)) * 60
local function used(current, before)
  return math.floor(before * left / 60 + current)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local in_flight = redis.call('ZCARD', KEYS[2])
local admitted = 1
if rpm > 0 and used(requests, requests_before) + 1 > rpm then admitted = 0 end
if tpm > 0 and used(tokens, tokens_before) + cost > tpm then admitted = 0 end
if concurrency > 0 and in_flight >= concurrency then admitted = 0 end
if admitted == 1 then
  if rpm > 0 then requests = requests + 1 end
  if tpm > 0 then tokens = tokens + cost end
  if concurrency > 0 then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[7]), ARGV[6])
    redis.call('PEXPIRE', KEYS[2], math.ceil(tonumber(ARGV[7]) * 1000))
  end
  keep()
end
return {admitted, string.format('%.6f', now), index, requests, requests_before, tokens, tokens_before, in_flight}
"""
)

SETTLE = (
    _WINDOWS
    + """
local difference, charged = tonumber(ARGV[2]), tonumber(ARGV[3])
if difference > 0 then
  tokens = tokens + difference
elseif charged == index then
  tokens = math.max(0, tokens + difference)
elseif charged == index - 1 then
  tokens_before = math.max(0, tokens_before + difference)
end
if difference ~= 0 then keep() end
redis.call('ZREM', KEYS[2], ARGV[4])
return 1
"""
)

_RENEW = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', time[1] + tonumber(ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000))
return 1
"""


class _Shared:
    """A ticket of all gateways. `account` is what they had counted at `now`, when it was given."""

    __slots__ = ("_account", "_cost", "_limits", "_now", "_quota", "key_id", "lease")

    def __init__(
        self,
        limits: SharedLimits,
        key_id: str,
        quota: Quota,
        account: Account,
        cost: int,
        now: float,
        lease: str,
    ) -> None:
        self._limits = limits
        self._quota = quota
        self._account = account
        self._cost = cost
        self._now = now
        self.key_id = key_id
        self.lease = lease

    def lines(self) -> bytes:
        requests = (self._quota.rpm or 0) - self._account.requests.used(self._now)
        tokens = (self._quota.tpm or 0) - self._account.tokens.used(self._now)
        return told(self._quota, (requests, tokens), self._now)

    def settle(self, tokens: int | None) -> None:
        counted = tokens is not None and self._quota.tpm is not None
        difference = tokens - self._cost if counted and tokens is not None else 0
        self._limits.settle(self, difference, self._account.tokens.index)


class SharedLimits(Limits):
    """The limits that all gateways count in the Redis at `url`, and each for itself while it is away."""

    shared = True

    def __init__(self, url: str, *, password: str | None = None) -> None:
        super().__init__()
        options: dict[str, Any] = {"password": password} if password else {}
        storage = storage_from_string(
            f"async+{url}",
            implementation="redispy",
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            **options,
        )
        bridge = cast(RedispyBridge, cast(RedisStorage, storage).bridge)
        self._client: Any = bridge.get_connection()
        self._take = self._client.register_script(TAKE.encode())
        self._settle = self._client.register_script(SETTLE.encode())
        self._renew = self._client.register_script(_RENEW.encode())
        self._process = secrets.token_hex(8)
        self._given = 0
        self._leases: dict[str, str] = {}
        self._settled: list[tuple[str, int, int, str]] = []
        self._due = asyncio.Event()
        self._away = False
        self._said = -SAY_SECONDS

    async def admitted(self, principal: Principal, cost: int) -> Ticket | None:
        """As `admit`, counted by all gateways together."""
        quota = principal.quota
        if quota is None or self._away:
            return self.admit(principal, cost)
        asking = asyncio.ensure_future(self._ask(principal, quota, cost))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            # The client left while Redis was counting.
            asking.add_done_callback(_give_back)
            raise

    def settle(self, ticket: _Shared, difference: int, charged: int) -> None:
        """Have the ticket's lease ended and its tokens corrected, soon."""
        self._leases.pop(ticket.lease, None)
        self._settled.append((ticket.key_id, difference, charged, ticket.lease))
        self._due.set()

    async def run(self) -> None:
        """Settle, renew leases, and look for Redis while it is away, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._keep_settling())
            group.create_task(self._tend())

    async def aclose(self) -> None:
        """Settle what is left."""
        await self._settle_all()
        with contextlib.suppress(*_ERRORS):
            await self._client.aclose()

    async def _ask(self, principal: Principal, quota: Quota, cost: int) -> Ticket | None:
        self._given += 1
        lease = f"{self._process}-{self._given}"
        limits = [quota.rpm or 0, quota.tpm or 0, quota.concurrency or 0]
        arguments: list[str | float] = ["", *limits, cost, lease, LEASE_SECONDS]
        until = time.monotonic() + SETTLE_SECONDS
        try:
            admitted, account, now = await self._taken(principal, arguments)
            while not admitted and _may_change(quota, account, cost, now) and time.monotonic() < until:
                await asyncio.sleep(AGAIN_SECONDS)
                admitted, account, now = await self._taken(principal, arguments)
        except _ERRORS as error:
            self._lost(error)
            return self.admit(principal, cost)
        if not admitted:
            raise refusal(principal, quota, account, cost, now)
        if quota.concurrency is not None:
            self._leases[lease] = principal.key_id
        return _Shared(self, principal.key_id, quota, account, cost, now, lease)

    async def _taken(self, principal: Principal, arguments: list[str | float]) -> tuple[bool, Account, float]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return read(await self._take(_keys(principal.key_id), arguments))

    async def _keep_settling(self) -> None:
        while True:
            await self._due.wait()
            await self._settle_all()

    async def _settle_all(self) -> None:
        self._due.clear()
        settled, self._settled = self._settled, []
        if not settled or self._away:
            # Without Redis there is nothing to correct: the leases run out, and so does the minute.
            return
        async with self._pipeline() as pipe:
            for key_id, difference, charged, lease in settled:
                await self._settle(_keys(key_id), ["", difference, charged, lease], client=pipe)

    async def _tend(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            rounds += 1
            if self._away:
                await self._look()
            elif self._leases and rounds % round(RENEW_SECONDS / RETRY_SECONDS) == 0:
                async with self._pipeline() as pipe:
                    for lease, key_id in self._leases.items():
                        await self._renew([_keys(key_id)[1]], [lease, LEASE_SECONDS], client=pipe)

    async def _look(self) -> None:
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._client.ping()
            self._away = False
            logger.info("limits are counted together again")

    @contextlib.asynccontextmanager
    async def _pipeline(self) -> AsyncIterator[Any]:
        """Commands that go out in one."""
        try:
            async with asyncio.timeout(4 * ANSWER_SECONDS), self._client.pipeline(transaction=False) as pipe:
                yield pipe
                await pipe.execute()
        except _ERRORS as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        self._away = True
        if time.monotonic() - self._said >= SAY_SECONDS:
            self._said = time.monotonic()
            logger.error(
                "Redis is away: each gateway counts limits for itself", extra={"reason": type(error).__name__}
            )


def read(answer: Sequence[Any]) -> tuple[bool, Account, float]:
    """Whether the script admitted a request, what is counted now, and when that is by Redis' clock."""
    admitted, now, index, requests, requests_before, tokens, tokens_before, in_flight = answer
    account = Account()
    account.requests = Window(index, requests, requests_before)
    account.tokens = Window(index, tokens, tokens_before)
    account.in_flight = in_flight
    return bool(admitted), account, float(now)


def _may_change(quota: Quota, account: Account, cost: int, now: float) -> bool:
    """Whether what a request that is over gives back could make room: a client may have the end of one reply and send
    its next request to another gateway before the first has told Redis."""
    if quota.rpm is not None and account.requests.used(now) >= quota.rpm:
        return False
    return quota.tpm is None or cost <= quota.tpm


def _keys(key_id: str) -> list[str]:
    """Both in one slot of a cluster."""
    return [f"praxis:{{{key_id}}}:limits", f"praxis:{{{key_id}}}:leases"]


def _give_back(asking: asyncio.Future[Ticket | None]) -> None:
    if not asking.cancelled() and asking.exception() is None and (ticket := asking.result()) is not None:
        ticket.settle(0)
