"""What operators do to adapters: load, promote, canary, rollback, unload; and what they see of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway.adapters.desired import Author, By, Desired, Revision, described, earlier, first_of
from gateway.adapters.reconcile import Adapters
from gateway.adapters.scores import Score, Scores
from gateway.adapters.traffic import Counts
from gateway.routing.replica import Replica
from praxis.config import Config
from praxis.errors import Conflict, InvalidRequest, NotFound

_NAME = re.compile(r"[^\s@,/\\]{1,128}")
_SHORTEST = 4
"""Hex digits that a revision must be given by, when they are enough to tell it from others."""


@dataclass(frozen=True, slots=True)
class _Did:
    """What revisions did for users, and on data sets, by `name@revision`."""

    counts: Mapping[str, Counts]
    scores: Mapping[str, Sequence[Score]]


class Changes:
    """The operator's changes. Each is made by one gateway at a time, and is written down before it returns."""

    def __init__(self, adapters: Adapters, scores: Scores) -> None:
        self._adapters = adapters
        self._scores = scores

    async def load(
        self,
        name: str,
        base: str,
        source: str,
        author: Author,
        *,
        stage: bool = False,
        backend: str | None = None,
    ) -> dict[str, Any]:
        """Load the adapter in the folder `source`, made for the model `base`, and have `name` answer with it everywhere at
        once; with `stage`, only who asks for `name@revision` gets it.

        With `backend`, `source` is a merged model that this backend serves already. The same content again changes nothing.
        Raises InvalidRequest when it cannot be served, and then leaves no
        replica changed.
        """
        adapters = self._adapters
        config = adapters.config()
        self._must_fit(config, name, base, backend, stage=stage)
        path = config.resolve(Path(source))
        roots = config.adapter_roots()
        checked = await adapters.checked(config, base, path, roots, merged=backend is not None)
        revision = Revision(
            name,
            checked.revision,
            base,
            str(checked.path),
            author.who,
            time.time(),
            author.why,
            author.origin,
            backend=backend,
        )
        async with adapters.change():
            before = self._desired(name)
            known = self._adapters.known(name, revision.revision)
            if known is not None and known.place == revision.place:
                revision = replace(known, held=True)
            await adapters.hold(revision)
            live = before is not None and before.revision == revision.revision
            staged = known is not None and known.held and known == revision
            if stage and not (staged or live):
                await adapters.write("load", revision, author, before, before)
            elif not stage and not (
                live and before is not None and before.canary is None and known == revision
            ):
                after = (before or first_of(revision)).answering(revision)
                replaced = {before.revision, before.canary} if before is not None else set()
                keep = {revision.revision, *(self._held(name) - replaced)}
                await adapters.write("load", revision, author, before, after, keep=sorted(keep))
        choice = {"chosen": checked.chosen, "why": checked.why, "unchecked": list(checked.unchecked)}
        return await self._settled(name) | {"loaded": revision.revision} | choice

    async def promote(self, name: str, wanted: str, author: Author) -> dict[str, Any]:
        """Have `name` answer with the revision `wanted`, from one request to the next; the one before stays loaded."""
        adapters = self._adapters
        async with adapters.change():
            revision, before = self._find(name, wanted), self._desired(name)
            if before is None or before.revision != revision.revision or before.canary is not None:
                await adapters.hold(revision)
                after = (before or first_of(revision)).answering(revision)
                keep = await self._kept(name, before, after)
                await adapters.write("promote", revision, author, before, after, keep=keep)
        return await self._settled(name)

    async def canary(self, name: str, wanted: str, share: float, by: By, author: Author) -> dict[str, Any]:
        """Have the revision `wanted` answer the `share` (0 to 1) of the requests to `name`."""
        adapters = self._adapters
        if not 0 < share <= 1:
            raise InvalidRequest(
                f"`share` is {share:g}; write a share above 0 and up to 100%, such as 10% or 0.1.",
                param="share",
            )
        async with adapters.change():
            revision, before = self._find(name, wanted), self._must_live(name)
            if revision.revision == before.revision:
                raise Conflict(
                    f"`{name}` answers with {revision.revision} already; a canary is another revision.",
                    param="revision",
                )
            await adapters.hold(revision)
            after = replace(before, canary=revision.revision, share=share, split_by=by)
            if after != before:
                await adapters.write("canary", revision, author, before, after)
        return await self._settled(name)

    async def end_canary(self, name: str, author: Author) -> dict[str, Any]:
        """Have all requests to `name` answered by its current revision; the canary stays loaded."""
        async with self._adapters.change():
            before = self._must_live(name)
            if before.canary is None:
                raise Conflict(f"`{name}` has no canary; `praxis adapters list` shows what it has.")
            await self._end_canary("canary", before, author)
        return await self._settled(name)

    async def rollback(self, name: str, author: Author) -> dict[str, Any]:
        """Go back: end the canary where there is one, else have `name` answer with the revision before."""
        adapters = self._adapters
        async with adapters.change():
            before = self._must_live(name)
            if before.canary is not None:
                await self._end_canary("rollback", before, author)
            else:
                last = earlier(await asyncio.to_thread(adapters.desired.history, name))
                revision = self._adapters.known(name, last or "")
                if revision is None:
                    raise Conflict(
                        f"`{name}` has answered with nothing before {before.revision}; promote another of its revisions."
                    )
                await adapters.hold(revision)
                after = before.answering(revision)
                keep = await self._kept(name, before, after)
                await adapters.write("rollback", revision, author, before, after, keep=keep)
        return await self._settled(name)

    async def unload(self, name: str, author: Author) -> dict[str, Any]:
        """Take `name` out, with all its revisions; requests in flight end first. Raises NotFound; InvalidRequest for what
        models.yaml names."""
        adapters = self._adapters
        if name in adapters.config().adapters:
            raise InvalidRequest(
                f"`{name}` stands in models.yaml; remove it from `adapters` there.", param="name"
            )
        async with adapters.change():
            before, held = self._desired(name), self._held(name)
            if not held:
                raise _unknown(name)
            last = before.revision if before is not None else max(held)
            gone = adapters.revision(name, last)
            await adapters.write("unload", gone, author, before, None, keep=())
        done = await adapters.settle(name, self._patience())
        return {"name": name, "unloaded": True, "draining": not done}

    async def release(self, name: str, wanted: str, author: Author) -> dict[str, Any]:
        """Take one revision out of the engines; requests in flight on it end first. Raises Conflict for the current one."""
        adapters = self._adapters
        async with adapters.change():
            revision, before = self._find(name, wanted), self._desired(name)
            if before is not None and before.revision == revision.revision:
                raise Conflict(
                    f"`{name}` answers with {revision.revision}; promote another revision first, or unload `{name}`.",
                    param="revision",
                )
            after = before
            if before is not None and before.canary == revision.revision:
                after = replace(before, canary=None, share=0.0)
            keep = sorted(self._held(name) - {revision.revision})
            await adapters.write("unload", revision, author, before, after, keep=keep)
        done = await adapters.settle(name, self._patience())
        return {"name": name, "revision": revision.revision, "unloaded": True, "draining": not done}

    async def score(self, name: str, wanted: str, score: Score) -> None:
        """Keep what the revision `wanted` reached on a data set. Raises NotFound."""
        await asyncio.to_thread(self._scores.add, name, self._find(name, wanted).revision, score)

    # What there is

    async def list(self) -> Sequence[dict[str, Any]]:
        """Every adapter that is live or staged."""
        did = await asyncio.to_thread(self._did)
        names = dict.fromkeys(each.name for each in self._adapters.state.revisions if each.held)
        return [self._describe(name, did) for name in names if self._shown(name)]

    async def show(self, name: str) -> dict[str, Any]:
        """One adapter: its revisions with what they did, and where they are. Raises NotFound."""
        if not self._held(name) or not self._shown(name):
            raise _unknown(name)
        return self._describe(name, await asyncio.to_thread(self._did))

    async def history(self, name: str) -> Sequence[dict[str, Any]]:
        """Every change of `name`, first to last. Raises NotFound for a name that never was."""
        changes = await asyncio.to_thread(self._adapters.desired.history, name)
        if not changes:
            raise _unknown(name)
        return [described(each) for each in changes]

    def base(self, name: str) -> str | None:
        """The base of what `name` answers with, None when it does not answer."""
        row = self._desired(name)
        return row.base if row is not None else None

    async def holds(self, name: str, base: str, source: str) -> bool:
        """Whether `name` answers with just what is in the folder `source`. Raises InvalidRequest."""
        config, row = self._adapters.config(), self._desired(name)
        path = config.resolve(Path(source))
        checked = await self._adapters.checked(config, base, path, config.adapter_roots())
        return row is not None and row.revision == checked.revision

    def _shown(self, name: str) -> bool:
        row = self._desired(name)
        return row is None or row.filed is None or name in self._adapters.config().adapters

    def _did(self) -> _Did:
        return _Did(self._adapters.tally.read(), self._scores.last())

    def _describe(self, name: str, did: _Did) -> dict[str, Any]:
        row = self._desired(name)
        revisions = [each for each in self._adapters.state.revisions if each.name == name and each.held]
        told = [self._describe_revision(each, row, did) for each in revisions]
        front = next(
            (each for each in told if row is not None and each["revision"] == row.revision), told[-1]
        )
        return {
            "name": name,
            "base": front["base"],
            "revision": row and row.revision,
            "source": front["source"],
            "created_by": front["created_by"],
            "created_at": front["created_at"],
            "canary": row and row.canary and {"revision": row.canary, "share": row.share, "by": row.split_by},
            "replicas": front["replicas"],
            "revisions": told,
        }

    def _describe_revision(self, revision: Revision, row: Desired | None, all_did: _Did) -> dict[str, Any]:
        did = all_did.counts.get(revision.upstream, Counts())
        state, share = "staged", 0.0
        if row is not None and row.revision == revision.revision:
            state, share = "current", 1.0 - row.share
        elif row is not None and row.canary == revision.revision:
            state, share = "canary", row.share
        return {
            "revision": revision.revision,
            "model": revision.upstream,
            "state": state,
            "share": share,
            "base": revision.base,
            "backend": revision.backend,
            "source": revision.source,
            "created_by": revision.created_by,
            "created_at": revision.created_at,
            "why": revision.why,
            "origin": revision.origin,
            "replicas": [
                {"url": each.url, "loaded": each.reachable and revision.upstream in each.models}
                for each in self._replicas(revision)
            ],
            "in_flight": self._adapters.traffic.flying(revision.upstream),
            "requests": did.requests,
            "errors": did.errors,
            "error_rate": did.errors / did.requests if did.requests else None,
            "prompt_tokens": did.prompt_tokens,
            "completion_tokens": did.completion_tokens,
            "mean_seconds": did.seconds / did.answered if did.answered else None,
            "mean_first_event_seconds": did.first_seconds / did.answered if did.answered else None,
            "scores": [asdict(each) for each in all_did.scores.get(revision.upstream, ())],
        }

    def _replicas(self, revision: Revision) -> Sequence[Replica]:
        try:
            return self._adapters.backend(revision).replicas
        except InvalidRequest:
            return ()

    # Looking things up

    def _must_fit(self, config: Config, name: str, base: str, merged_on: str | None, *, stage: bool) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                "`name` must be 1 to 128 characters without spaces, `@`, `,` or slashes.", param="name"
            )
        if base not in config.models:
            listing = ", ".join(f"`{each}`" for each in config.models)
            raise InvalidRequest(
                f"`base` is `{base}`, which is no model of models.yaml; use one of {listing}.", param="base"
            )
        taken = self._adapters.registry.table.routes.get(name)
        if taken is not None and taken.kind != "adapter":
            raise InvalidRequest(
                f"`{name}` is already the name of another {taken.kind}; choose another.", param="name"
            )
        if name in config.adapters and not stage:
            raise InvalidRequest(
                f"`{name}` stands in models.yaml; change its `source` there, or stage the revision and promote it.",
                param="name",
            )
        if merged_on is not None:
            if merged_on not in config.backends:
                listing = ", ".join(f"`{each}`" for each in config.backends)
                raise InvalidRequest(
                    f"`backend` is `{merged_on}`, which is no backend of models.yaml; use one of {listing}.",
                    param="backend",
                )
            return
        backend = self._adapters.registry.table.backends[config.models[base].backend]
        if not backend.dialect.loads_adapters:
            raise InvalidRequest(
                f"`{base}` runs on {backend.dialect.kind}, which loads no adapters at run time; merge the adapter "
                "(`praxis adapters merge`), start an engine on the result, and give its `backend`.",
                param="base",
            )

    def _desired(self, name: str) -> Desired | None:
        return next((each for each in self._adapters.state.adapters if each.name == name), None)

    def _must_live(self, name: str) -> Desired:
        found = self._desired(name)
        if found is not None:
            return found
        if self._held(name):
            raise Conflict(f"`{name}` is only staged; promote one of its revisions first.", param="name")
        raise _unknown(name)

    def _held(self, name: str) -> set[str]:
        return {each.revision for each in self._adapters.state.revisions if each.name == name and each.held}

    def _find(self, name: str, wanted: str) -> Revision:
        """The revision of `name` that begins with `wanted`, which may also be written `name@revision`."""
        given = wanted.removeprefix(f"{name}@")
        known = [each for each in self._adapters.state.revisions if each.name == name]
        if not known:
            raise _unknown(name)
        found = [each for each in known if each.revision.startswith(given)]
        if len(found) == 1 and len(given) >= _SHORTEST:
            return found[0]
        listing = ", ".join(f"`{each.revision}`" for each in known)
        what = "is not enough to tell which revision" if found else "is no revision"
        raise NotFound(f"`{given}` {what} of `{name}`; known are {listing}.", param="revision")

    async def _kept(self, name: str, before: Desired | None, after: Desired) -> Sequence[str]:
        """The revisions that stay loaded when the name turns: what answers now, the one before it, and those that have
        never been in front of users. A name that turns often leaves nothing behind."""
        history = await asyncio.to_thread(self._adapters.desired.history, name)
        fronts = {each.after for each in history}
        keep = {each for each in self._held(name) if each not in fronts} | {after.revision}
        return sorted(keep | ({before.revision} if before is not None else set()))

    async def _end_canary(self, action: Any, before: Desired, author: Author) -> None:
        revision = self._adapters.revision(before.name, before.canary or "")
        after = replace(before, canary=None, share=0.0)
        await self._adapters.write(action, revision, author, before, after)

    async def _settled(self, name: str) -> dict[str, Any]:
        await self._adapters.settle(name, self._patience())
        return await self.show(name)

    def _patience(self) -> float:
        return self._adapters.config().server.drain


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"No adapter `{name}` is loaded; `praxis adapters list` shows those that are.", param="name"
    )
