"""Who asks: the gateway has checked the key and says whose it is in headers; only the gateway can, by its secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request

from praxis.audit import Actor
from praxis.errors import NotAuthenticated, NotPermitted

OPERATOR = "operator"
"""The tenant that owns the knowledge bases of models.yaml."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The tenant that a request acts for, the key it came with, and the knowledge bases and models that key may use."""

    tenant: str
    key: str
    role: str
    knowledge: frozenset[str] | None  # names or ids; None is all
    models: frozenset[str] | None = None  # None is all

    @property
    def admin(self) -> bool:
        """Whether it is an admin's key."""
        return self.role == "admin"

    @property
    def actor(self) -> Actor:
        """Who the audit trail says it was."""
        return Actor(self.tenant, self.key)

    def may_use(self, store_id: str, name: str) -> bool:
        """Whether the key may use a knowledge base of its tenant."""
        return self.knowledge is None or store_id in self.knowledge or name in self.knowledge

    def may_ask(self, model: str) -> bool:
        """Whether the key may use a model or assistant."""
        return self.models is None or model in self.models

    def check(self, store_id: str, name: str) -> None:
        """Raises NotPermitted where `may_use` says no."""
        if not self.may_use(store_id, name):
            raise NotPermitted(
                f"This key may not use the knowledge base `{name or store_id}`; ask the operator for one that may.",
                param="vector_store_id",
            )


def asker_of(request: Request) -> Asker:
    """Who sent `request`. Raises NotAuthenticated where it does not say."""
    headers = request.headers
    tenant = unquote(headers.get("x-praxis-tenant", ""))
    if not tenant:
        raise NotAuthenticated("The request says no tenant; send it through the gateway.")
    return Asker(
        tenant,
        headers.get("x-praxis-key", ""),
        headers.get("x-praxis-role", "user"),
        _listed(headers.get("x-praxis-knowledge", "*")),
        _listed(headers.get("x-praxis-models", "*")),
    )


def _listed(names: str) -> frozenset[str] | None:
    if names.strip() == "*":
        return None
    return frozenset(unquote(each.strip()) for each in names.split(",") if each.strip())


Asking = Annotated[Asker, Depends(asker_of)]
"""The parameter type by which a route receives who asks."""
