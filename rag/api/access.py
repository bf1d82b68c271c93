"""Who may do what with which knowledge base: whose it is, with whom it is shared, and what assistants answer from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from praxis.config import Config
from praxis.errors import NotPermitted
from rag import tables
from rag.api.asker import OPERATOR, Asker, asker_of
from rag.files import File, no_file
from rag.library import Library
from rag.shares import Right, Shares, shared_with
from rag.stores import Row, no_store, refuse_expired

Store = Mapping[str, Any]
"""A row of the table of stores, and as `shared` what the asker may do with it where it is another tenant's."""


class Access:
    """What an asker may do. Whatever it may not even know of is answered as if it did not exist."""

    def __init__(self, library: Library, shares: Shares, config: Callable[[], Config]) -> None:
        self._library = library
        self._shares = shares
        self._config = config

    @property
    def withdrawn(self) -> int:
        """How many shares ended since the process began."""
        return self._shares.withdrawn

    def all(self, asker: Asker) -> Mapping[str, Right]:
        """The stores that are shared with the asker."""
        return self._shares.held(asker.tenant, asker.key)

    def listed(self, asker: Asker, store: Row, right: Right | None) -> Store | None:
        """A store as a list tells the asker of it; None where its key is limited to others."""
        try:
            return self._known(asker, store, right)
        except NotPermitted:
            return None

    def readable(self, asker: Asker, store_id: str) -> Store:
        """A store that the asker has or that is shared with it.

        Raises NotFound, or NotPermitted where its key is limited to others.
        """
        store = self._library.stores.get(store_id)
        return self._known(asker, store, self.all(asker).get(store_id))

    def writable(self, asker: Asker, store_id: str) -> Store:
        """A store whose files the asker may change; raises as `readable`, and NotPermitted where it may only read."""
        store = self.readable(asker, store_id)
        if store["shared"] == "read":
            raise NotPermitted(
                f"`{store_id}` is shared with you to read; ask its owner for the right `write`.",
                param="vector_store_id",
            )
        return store

    def owned(self, asker: Asker, store_id: str) -> Store:
        """A store of the asker's tenant; raises as `readable`, and NotPermitted where it is only shared with it."""
        store = self.readable(asker, store_id)
        if store["shared"]:
            raise NotPermitted(
                f"`{store_id}` is shared with you; only its owner may do this.", param="vector_store_id"
            )
        return store

    def shareable(self, asker: Asker, store_id: str) -> Store:
        """A store whose shares the asker decides on: its own, or any where its key is an admin's; raises as `owned`."""
        return self._library.stores.get(store_id) if asker.admin else self.owned(asker, store_id)

    def searchable(self, asker: Asker, store_id: str) -> Store:
        """A store that the asker may search: what it may read, and those of the operator that an assistant names."""
        store = self._library.stores.get(store_id)
        if store["tenant"] == OPERATOR and self._answers(store):
            asker.check(store_id, store["name"])
            return store
        return self._known(asker, store, self.all(asker).get(store_id))

    async def permit(self, request: Request, store_ids: Sequence[str]) -> None:
        """Raises NotFound or NotPermitted unless whoever sent `request` may search all of these stores."""
        asker = asker_of(request)
        for each in store_ids:
            refuse_expired(await run_in_threadpool(self.searchable, asker, each))

    def opens(self, tenant: str, key: str, file_id: str) -> bool:
        """Whether a link that was made for this tenant and key may show the file: it is the tenant's, or stands in a
        store that is, that is shared with either, or that an assistant answers from."""
        file = self._library.files.find(file_id)
        if file is not None and file.tenant == tenant:
            return True
        mine = self._shares.held(tenant, key)
        return any(
            each["tenant"] == tenant or each["id"] in mine or (lent and self._answers(each))
            for each, lent in self._holding(file_id)
        )

    def file(self, asker: Asker, file_id: str) -> File:
        """A file whose pages the asker may look at: its tenant's own, or one in a store that its key may search or
        that an assistant of its models answers from. Raises NotFound, which does not say whether there is such a file."""
        file = self._library.files.find(file_id)
        if file is None:
            raise no_file(file_id)
        mine = self._shares.held(asker.tenant, asker.key)
        if file.tenant == asker.tenant or any(
            (each["tenant"] == asker.tenant and asker.may_use(each["id"], each["name"]))
            or (each["id"] in mine and asker.may_use(each["id"], ""))
            or (lent and any(asker.may_ask(name) for name in self._answers(each)))
            for each, lent in self._holding(file_id)
        ):
            return file
        raise no_file(file_id)

    def _holding(self, file_id: str) -> list[tuple[Store, bool]]:
        """The stores that hold a file, and of each whether assistants may answer from it."""
        entries, stores = tables.entries.c, tables.stores.c
        holding = sa.select(tables.stores).join(tables.entries, entries.store_id == stores.id)
        with self._library.engine.connect() as connection:
            held = [
                dict(row) for row in connection.execute(holding.where(entries.file_id == file_id)).mappings()
            ]
            lent = set(connection.execute(shared_with(OPERATOR)).scalars())
        return [(each, each["tenant"] == OPERATOR or each["id"] in lent) for each in held]

    def _known(self, asker: Asker, store: Row, right: Right | None) -> Store:
        own = store["tenant"] == asker.tenant
        if not own and right is None:
            raise no_store(store["id"])
        # The name of another tenant's store is not the operator's word: a key's limits name such a store by its id.
        asker.check(store["id"], store["name"] if own else "")
        return store | {"shared": None if own else right}

    def _answers(self, store: Mapping[Any, Any]) -> list[str]:
        """The assistants that answer from the store."""
        known = self._config().assistants.items()
        named = [name for name, each in known if store["name"] in each.knowledge]
        if named and self._library.stores.named(OPERATOR, [store["name"]]) != [store["id"]]:
            named = []
        return [*named, *(name for name, each in known if store["id"] in each.knowledge)]
