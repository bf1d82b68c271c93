"""`rag.vector_store` of models.yaml: where knowledge bases keep their vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from praxis.section import STRICT, Seconds

Prefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
"""What the names of Praxis's collections or tables begin with."""


class PgVector(BaseModel):
    """PostgreSQL with pgvector. `url_env` names the variable with its URL, for a password may stand in that."""

    model_config = STRICT

    url_env: str = "PRAXIS_PGVECTOR_URL"
    collection: Prefix = "praxis"
    timeout: Seconds = 5


class VectorStore(BaseModel):
    """`provider` is where new knowledge bases go; every other one that a knowledge base may lie in has a section, too."""

    model_config = STRICT

    provider: Literal["faiss", "pgvector"] = "faiss"
    pgvector: PgVector | None = None

    @model_validator(mode="before")
    @classmethod
    def _provider_has_a_section(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("provider") == "pgvector":
            return values | {"pgvector": values.get("pgvector") or {}}
        return values
