"""Batches that this process is asking: whoever opens one anew with the same key goes on with it as it runs."""

from __future__ import annotations

from threading import Lock
from weakref import WeakKeyDictionary

import streamlit as st

from ui.batch_keeper import BatchKeeper


class Running:
    """Keepers with the key of whoever began them, for as long as anything else holds them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: WeakKeyDictionary[BatchKeeper, str] = WeakKeyDictionary()

    def add(self, keeper: BatchKeeper, key: str) -> None:
        with self._lock:
            self._keys[keeper] = key

    def find(self, batch: str, key: str) -> BatchKeeper | None:
        """The keeper that still has work with a batch of this key's; None where there is none."""
        with self._lock:
            mine = [each for each, owner in self._keys.items() if owner == key]
        return next((each for each in mine if each.batch.id == batch and each.working), None)


@st.cache_resource(show_spinner=False)  # type: ignore[untyped-decorator]
def running() -> Running:
    """This process's."""
    return Running()
