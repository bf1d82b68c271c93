"""The adapters that models.yaml names: taken over into the state database, so that they have revisions and a history as well.

The file is heeded when it says something new; what operators do in between, such as a rollback, stays.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.adapters.desired import FILE, Author, Revision, first_of
from praxis.config import Config
from praxis.errors import Overloaded, PraxisError, UpstreamError

if TYPE_CHECKING:
    from gateway.adapters.reconcile import Adapters

logger = logging.getLogger("praxis.gateway.adapters")


async def take_over(adapters: Adapters, config: Config) -> None:
    """Bring into the state database what `config` names, and take out what it names no more. The caller has the lease."""
    for row in adapters.state.adapters:
        if row.filed and row.name not in config.adapters:
            gone = adapters.known(row.name, row.revision)
            if gone is not None:
                await adapters.write("unload", gone, Author(FILE, origin=FILE), row, None, keep=())
    for name in config.adapters:
        try:
            await _take(adapters, config, name)
        except PraxisError as error:
            logger.error("adapter refused", extra={"adapter": name, "reason": error.message})


async def _take(adapters: Adapters, config: Config, name: str) -> None:
    section = config.adapters[name]
    path = config.resolve(section.source)
    # Where the file says is the operator's own word, so it needs no root.
    checked = await adapters.checked(config, section.base, path, None, merged=section.mode == "merged")
    revision = Revision(
        name,
        checked.revision,
        section.base,
        str(checked.path),
        FILE,
        time.time(),
        origin=FILE,
        backend=section.backend,
    )
    row = next((each for each in adapters.state.adapters if each.name == name), None)
    if row is not None:
        known = adapters.known(name, checked.revision)
        same = known is not None and known.place == revision.place
        if row.filed == checked.revision and same:
            return
        try:
            await adapters.hold(revision)
        except (Overloaded, UpstreamError) as error:
            if revision.backend is not None:
                # A probe will tell; until then the name stays as it is.
                adapters.awaited.add(revision.upstream)
                logger.info("adapter awaited", extra={"adapter": name, "reason": error.message})
                return
            if isinstance(error, UpstreamError):
                raise
            # Nobody is up: then nobody answers with what was there either.
    after = replace((row or first_of(revision)).answering(revision), filed=checked.revision)
    await adapters.write("load", revision, Author(FILE, origin=FILE), row, after, keep=[checked.revision])
