"""The vector databases that models.yaml names: what each needs is looked for first, and nothing is asked of them yet,
for they may be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Engine

from praxis.config import Config
from praxis.errors import ConfigError, Problem
from praxis.section import read_secret
from praxis.vector_store import PgVector
from rag import tables
from rag.index.embedding import Embedder
from rag.index.places import pgvector
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
    return found


def open_places(openers: Openers, engine: Engine, embedder: Embedder) -> dict[str, Place]:
    """By their names, the vector databases for what `embedder` makes for this library."""
    library = tables.library_id(engine) if openers else ""
    naming = Naming(library, embedder.fingerprint, embedder.dimensions)
    return {name: Place(name, opened(naming)) for name, opened in openers.items()}


def _pgvector(section: PgVector) -> Callable[[Naming], Collections]:
    variable, form = section.url_env, "postgresql+psycopg://user:password@host:5432/database"
    url = read_secret(variable)
    if url is None or not url.startswith("postgresql+psycopg://"):
        fix = f"set `{variable}` (or `{variable}_FILE`) to a URL such as {form}"
        raise ConfigError("environment", [Problem(None, "rag.vector_store.pgvector.url_env", fix)])
    return lambda naming: pgvector.PgVector(url, section.collection, naming, section.timeout)
