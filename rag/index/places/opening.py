"""The vector databases that models.yaml names: what each needs is looked for first, and nothing is asked of them yet,
for they may be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Engine

from praxis.config import Config
from praxis.errors import ConfigError, Problem
from praxis.section import read_secret
from praxis.vector_store import Milvus, PgVector, Qdrant
from rag import tables
from rag.index.embedding import Embedder
from rag.index.places.place import Collections, Naming, Place

Openers = Mapping[str, Callable[[Naming], Collections]]


def openers(config: Config) -> Openers:
    """By their names, how to open the vector databases that knowledge bases may lie in.

    Raises ConfigError where a variable that models.yaml names is missing or wrong.
    """
    section = config.rag.vector_store
    found: dict[str, Callable[[Naming], Collections]] = {}
    if section.pgvector is not None:
        found["pgvector"] = _pgvector(section.pgvector)
    if section.qdrant is not None:
        found["qdrant"] = _qdrant(section.qdrant)
    if section.milvus is not None:
        found["milvus"] = _milvus(section.milvus)
    return found


def open_places(openers: Openers, engine: Engine, embedder: Embedder) -> dict[str, Place]:
    """By their names, the vector databases for what `embedder` makes for this library."""
    library = tables.library_id(engine) if openers else ""
    naming = Naming(library, embedder.fingerprint, embedder.dimensions)
    return {name: Place(name, opened(naming)) for name, opened in openers.items()}


# Each client takes its time to import, so only what is used is.


def _pgvector(section: PgVector) -> Callable[[Naming], Collections]:
    from rag.index.places import pgvector

    form = "a URL such as postgresql+psycopg://user:password@host:5432/database"
    url = _secret(section.url_env, "pgvector.url_env", form)
    if not url.startswith("postgresql+psycopg://"):
        raise _unset(section.url_env, "pgvector.url_env", form)
    return lambda naming: pgvector.PgVector(url, section.collection, naming, section.timeout)


def _qdrant(section: Qdrant) -> Callable[[Naming], Collections]:
    from rag.index.places import qdrant

    named = section.api_key_env
    api_key = _secret(named, "qdrant.api_key_env", "Qdrant's API key") if named else None
    return lambda naming: qdrant.Qdrant(section.url, api_key, section.collection, naming, section.timeout)


def _milvus(section: Milvus) -> Callable[[Naming], Collections]:
    from rag.index.places import milvus

    named = section.token_env
    token = _secret(named, "milvus.token_env", "`user:password` or Milvus's API key") if named else None
    return lambda naming: milvus.Milvus(section.url, token, section.collection, naming, section.timeout)


def _secret(variable: str, key: str, form: str) -> str:
    if (value := read_secret(variable)) is None:
        raise _unset(variable, key, form)
    return value


def _unset(variable: str, key: str, form: str) -> ConfigError:
    fix = f"set `{variable}` (or `{variable}_FILE`) to {form}"
    return ConfigError("environment", [Problem(None, f"rag.vector_store.{key}", fix)])
