"""Links to a passage that open in a browser without a key: signed, expiring, bound to a tenant.

The signature is HMAC-SHA256 under a key derived from the secret that gateway and rag share, over the tenant, the
file, the span and the expiry. Nothing in a link is secret, and no link outlives its expiry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import quote, urlencode

LIFETIME = 7 * 24 * 3600.0
"""Seconds for which a link opens."""


def sign(
    secret: str, *, base: str, tenant: str, file_id: str, start: int, end: int, lifetime: float = LIFETIME
) -> str:
    """The absolute URL under `base` (the gateway's public root) that shows [start:end] of the file's text."""
    expires = int(time.time() + lifetime)
    signature = _signature(secret, tenant, file_id, start, end, expires)
    query = {"start": start, "end": end, "tenant": tenant, "expires": expires, "signature": signature}
    return f"{base.rstrip('/')}/v1/files/{quote(file_id)}/passage?{urlencode(query)}"


def verify(
    secret: str, *, tenant: str, file_id: str, start: int, end: int, expires: int, signature: str
) -> bool:
    """Whether `sign` made this link with the same secret and it has not expired."""
    expected = _signature(secret, tenant, file_id, start, end, expires)
    return hmac.compare_digest(expected.encode(), signature.encode()) and time.time() < expires


def _signature(secret: str, tenant: str, file_id: str, start: int, end: int, expires: int) -> str:
    key = hmac.new(secret.encode(), b"praxis passage link", hashlib.sha256).digest()
    message = "\n".join((tenant, file_id, str(start), str(end), str(expires))).encode()
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).rstrip(b"=").decode()
