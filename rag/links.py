"""Links to a passage that open in a browser without a key: signed, expiring, bound to who asked.

The signature is HMAC-SHA256 under a key derived from the secret that gateway and rag share, over the tenant and
the id of the key that asked, the file, the span and the expiry. Nothing in a link is secret, and no link outlives its expiry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import quote, urlencode

LIFETIME = 7 * 24 * 3600
"""Seconds for which a link opens."""


class Links:
    """Makes and checks links under `base()`, the root that people reach the gateway at."""

    def __init__(self, secret: str, base: Callable[[], str]) -> None:
        self._key = hmac.new(secret.encode(), b"praxis passage link", hashlib.sha256).digest()
        self._base = base

    def passage(
        self, file_id: str, start: int, end: int, tenant: str, key: str = "", lifetime: float = LIFETIME
    ) -> str:
        """The absolute URL that shows [start:end] of a file's text to `tenant`, whose `key` (its id) asked, for
        `lifetime` seconds."""
        expires = int(time.time() + lifetime)
        signature = self._signature(tenant, key, file_id, start, end, expires)
        asker = {"tenant": tenant, "key": key} if key else {"tenant": tenant}
        query = {"start": start, "end": end, **asker, "expires": expires, "signature": signature}
        return f"{self._base().rstrip('/')}/v1/files/{quote(file_id)}/passage?{urlencode(query)}"

    def opens(
        self, *, tenant: str, key: str, file_id: str, start: int, end: int, expires: int, signature: str
    ) -> bool:
        """Whether `passage` made this link under the same secret and its time is not over."""
        expected = self._signature(tenant, key, file_id, start, end, expires)
        return hmac.compare_digest(expected.encode(), signature.encode()) and time.time() < expires

    def _signature(self, tenant: str, key: str, file_id: str, start: int, end: int, expires: int) -> str:
        parts = (tenant, file_id, str(start), str(end), str(expires), *([key] if key else []))
        message = "\n".join(parts).encode()
        digest = hmac.new(self._key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
