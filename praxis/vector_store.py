"""`rag.vector_store` of models.yaml: where knowledge bases keep their vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, model_validator

from praxis.section import STRICT, RootUrl, Seconds

Prefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
"""What the names of Praxis's collections or tables begin with."""

Provider = Literal["faiss", "pgvector", "qdrant", "milvus"]


class VectorDatabase(BaseModel):
    """What each vector database has: the names of its collections, and how long it may take to connect or answer."""

    model_config = STRICT

    collection: Prefix = "praxis"
    timeout: Seconds = 5


class PgVector(VectorDatabase):
    """PostgreSQL with pgvector. `url_env` names the variable with its URL, for a password may stand in that."""

    url_env: str = "PRAXIS_PGVECTOR_URL"


class Qdrant(VectorDatabase):
    """A Qdrant server or cluster, spoken to over HTTP. `api_key_env` names the variable with its key, if it wants one."""

    url: RootUrl = "http://127.0.0.1:6333"
    api_key_env: str | None = None


class Milvus(VectorDatabase):
    """A Milvus, standalone or a cluster. `token_env` names the variable with its `user:password` or API key, if it wants
    one."""

    url: RootUrl = "http://127.0.0.1:19530"
    token_env: str | None = None


class VectorStore(BaseModel):
    """`provider` is where new knowledge bases go; every other one that a knowledge base may lie in has a section, too."""

    model_config = STRICT

    provider: Provider = "faiss"
    pgvector: PgVector | None = None
    qdrant: Qdrant | None = None
    milvus: Milvus | None = None

    @model_validator(mode="before")
    @classmethod
    def _provider_has_a_section(cls, values: Any) -> Any:
        if isinstance(values, dict) and (provider := values.get("provider")) in get_args(Provider)[1:]:
            return values | {provider: values.get(provider) or {}}
        return values
