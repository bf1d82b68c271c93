"""models.yaml: the one file that an operator edits, read whole, checked whole, and never half applied.

`load` returns a frozen `Config` or raises `ConfigError` with every mistake, each with its line, its field
and what to write instead. Relative paths in the file are relative to the file's own folder. Secrets never stand
in it: it names environment variables, and `NAME_FILE` may point to a file that holds the value of `NAME`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from praxis.errors import ConfigError, Problem
from praxis.references import references
from praxis.section import STRICT, Days, FolderUrl, Name, RootUrl, Seconds, read_secret, root_url
from praxis.vector_store import Milvus, PgVector, Qdrant, VectorStore
from praxis.yaml_lines import LinedYaml

REDIS_PASSWORD = "PRAXIS_REDIS_PASSWORD"


def _redis_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("redis", "rediss", "redis+sentinel") or not parts.netloc:
        raise ValueError("write a URL such as redis://127.0.0.1:6379/0")
    if parts.password:
        raise ValueError(
            "secrets never stand in this file; set `PRAXIS_REDIS_PASSWORD` and leave it out here"
        )
    return value


RedisUrl = Annotated[str, BeforeValidator(_redis_url)]


class Section(BaseModel):
    """A part of the file: no unknown keys, no changes after reading."""

    model_config = STRICT


class Server(Section):
    auth: Literal["keys", "none"] = "keys"
    drain: Annotated[float, Field(ge=0, le=3600)] = 15
    ready_after: Annotated[float, Field(ge=0, le=86_400)] = 600
    public_url: RootUrl | None = None
    cors_origins: list[str] = []
    trusted_proxies: list[str] = []
    limits: RedisUrl | None = None
    adapter_roots: list[Path] = [Path("adapters")]
    adapter_max_gb: Annotated[float, Field(gt=0)] = 8


class Launch(Section):
    """An engine that `praxis up` starts itself: the model, and the engine's own flags by their own names."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    model: str

    @property
    def flags(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Replica(Section):
    """One engine of a backend: its root, and its share of the requests. 0 is for when nothing else is left."""

    url: RootUrl
    weight: Annotated[float, Field(ge=0, le=100)] = 1


def _replica(value: Any) -> Any:
    if isinstance(value, str):
        return {"url": root_url(value)}
    if not isinstance(value, dict):
        raise ValueError("write a URL such as http://127.0.0.1:8000, or {url: …, weight: 2}")
    return value


class Queue(Section):
    """Where requests wait while every replica of a backend is full: `size` at most, each `wait` seconds at most."""

    size: Annotated[int, Field(ge=0, le=100_000)] = 256
    wait: Seconds = 30


class Backend(Section):
    """`max_in_flight` is of each replica; unset, no replica is ever full and nothing waits in the queue. So is
    `adapter_slots`; unset, every replica holds every adapter, and no request waits `adapter_wait` seconds for one."""

    kind: Literal["vllm", "lightllm", "openai"]
    replicas: Annotated[list[Annotated[Replica, BeforeValidator(_replica)]], Field(min_length=1)]
    api_key_env: str | None = None
    max_in_flight: Annotated[int, Field(ge=1)] | None = None
    queue: Queue = Queue()
    affinity: Literal["session", "prefix", "none"] = "session"
    stalled_after: Seconds = 20
    adapter_slots: Annotated[int, Field(ge=1, le=100_000)] | None = None
    adapter_wait: Seconds = 30
    structured_outputs: bool = False
    launch: Launch | None = None

    @model_validator(mode="after")
    def _only_lightllm_varies(self) -> Backend:
        if self.structured_outputs and self.kind != "lightllm":
            raise ValueError(
                f"`structured_outputs` is for `kind: lightllm`; with `kind: {self.kind}` leave it out"
            )
        return self

    @model_validator(mode="after")
    def _slots_are_of_vllm(self) -> Backend:
        if self.adapter_slots is not None and self.kind != "vllm":
            raise ValueError(
                f"`adapter_slots` is for `kind: vllm`, which loads adapters at run time; with `kind: {self.kind}` "
                "leave it out"
            )
        if "adapter_wait" in self.model_fields_set and self.adapter_slots is None:
            raise ValueError(
                "no request waits where every adapter is loaded; add `adapter_slots: …` (per replica)"
            )
        return self

    @property
    def constrained(self) -> bool:
        """Whether this LightLLM was started so that it heeds `response_format`."""
        mode = self.launch.flags.get("output_constraint_mode") if self.launch else None
        return self.kind == "lightllm" and (self.structured_outputs or mode in ("xgrammar", "outlines"))

    def api_key(self) -> str | None:
        return read_secret(self.api_key_env) if self.api_key_env else None


class Timeouts(Section):
    """Seconds. `first_event` bounds a stream's first event; a plain reply only where it is written."""

    connect: Seconds = 5
    first_event: Seconds = 120
    idle: Seconds = 30
    total: Seconds = 600

    @property
    def first_byte(self) -> float | None:
        """The bound on a plain (not streamed) reply, or None where the file says nothing of it."""
        return self.first_event if "first_event" in self.model_fields_set else None


class Thinking(Section):
    """Where a model's thinking is given: the field's name, and whether `<think>…</think>` is lifted into it.

    `opened` says that the chat template opens the block itself, so that a reply begins inside it; unset waits and sees.
    """

    field: Literal["reasoning", "reasoning_content", "both"] = "reasoning"
    lift: bool = False
    opened: bool | None = None

    @model_validator(mode="after")
    def _opened_needs_lift(self) -> Thinking:
        if self.opened is not None and not self.lift:
            raise ValueError("`opened` says how `lift` begins; add `lift: true` or leave `opened` out")
        return self


class Model(Section):
    """`weights` is a folder with the model's weights on this machine, for what needs to look at them. `images` is how many
    pictures a request to it may hold; 0 where it sees none."""

    backend: str
    upstream: str
    weights: Path | None = None
    images: Annotated[int, Field(strict=True, ge=0, le=1000)] = 0
    aliases: list[Name] = []
    defaults: dict[str, Any] = {}
    fallback: list[str] = []
    timeouts: Timeouts = Timeouts()
    thinking: Thinking | None = None


class Adapter(Section):
    """`hot` is loaded into the engines of its base; `merged` is a model of its own that `backend` serves."""

    base: str
    source: Path
    mode: Literal["hot", "merged"] = "hot"
    backend: str | None = None

    @model_validator(mode="after")
    def _merged_has_a_backend(self) -> Adapter:
        if self.mode == "merged" and self.backend is None:
            raise ValueError("`mode: merged` needs `backend: …`, the backend that serves the merged model")
        if self.mode == "hot" and self.backend is not None:
            raise ValueError("`backend` is for `mode: merged`; a hot adapter is where its base is")
        return self


class Embedding(Section):
    """`embedded`, a sentence-transformers folder or a hub name; prefixes where the model needs others than known."""

    model: str = "embedded"
    query_prefix: str | None = None
    passage_prefix: str | None = None

    @property
    def public_name(self) -> str:
        """What `/v1/models` and `/v1/embeddings` call it."""
        return "multilingual-e5-small" if self.model == "embedded" else Path(self.model).name


class Reranker(Section):
    """A cross-encoder, by folder or hub name, that reads the `depth` passages found first together with the question."""

    model: str
    depth: Annotated[int, Field(ge=1, le=100)] = 30


class Rag(Section):
    url: RootUrl = "http://127.0.0.1:8081"
    secret_env: str = "PRAXIS_RAG_SECRET"
    embedding: Embedding = Embedding()
    reranker: Reranker | None = None
    vector_store: VectorStore = VectorStore()
    files: FolderUrl | None = None

    def secret(self) -> str:
        """The secret by which gateway and rag know each other. Raises ConfigError when it is not set."""
        if value := read_secret(self.secret_env):
            return value
        fix = f"set `{self.secret_env}` (or `{self.secret_env}_FILE`) to the same long random text for gateway and rag"
        raise ConfigError("environment", [Problem(None, "rag.secret_env", fix)])


class Assistant(Section):
    model: str
    knowledge: Annotated[list[str], Field(min_length=1)]
    prompt: str | None = None
    top_k: Annotated[int, Field(ge=1, le=50)] = 6
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    language: Literal["zh", "en", "auto"] = "auto"
    rewrite: bool = True


class Retention(Section):
    """For how many days what was asked and done is kept; unset, for ever. A conversation counts from its last use, a vote
    and a line of the audit trail from when they were made."""

    conversations: Days | None = None
    votes: Days | None = None
    audit: Days | None = None

    @model_validator(mode="after")
    def _votes_go_with_conversations(self) -> Retention:
        if self.votes and self.conversations and self.votes > self.conversations:
            raise ValueError(
                f"votes go with their conversation, after {self.conversations:g} days; leave `votes` out or write less"
            )
        return self


class Config(Section):
    """The whole file. `root` is its folder, `home` where Praxis keeps what it makes (`PRAXIS_HOME`, else .praxis)."""

    path: Path
    home: Path
    server: Server = Server()
    state: str
    backends: Annotated[dict[Name, Backend], Field(min_length=1)]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    adapters: dict[Name, Adapter] = {}
    rag: Rag = Rag()
    assistants: dict[Name, Assistant] = {}
    retention: Retention = Retention()

    @property
    def root(self) -> Path:
        return self.path.parent

    def resolve(self, path: Path) -> Path:
        """`path` as written in the file, made absolute against the file's folder."""
        return (self.root / path.expanduser()).resolve()

    def adapter_roots(self) -> list[Path]:
        """The folders below which an adapter's source must lie."""
        return [self.resolve(each) for each in self.server.adapter_roots]


def load(path: Path) -> Config:
    """Read and check `path`. Raises ConfigError with every mistake in it."""
    path = path.resolve()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            str(path), [Problem(None, "", "no such file; give another with --config")]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [Problem(None, "", f"cannot be read as UTF-8 text: {error}")]) from error
    document = LinedYaml(text)
    problems = list(document.problems)
    if not problems and not isinstance(document.value, dict):
        problems.append(Problem(1, "", "write a mapping with at least `backends` and `models`"))
    if problems:
        raise ConfigError(str(path), problems)
    return _validate(path, document)


def _validate(path: Path, document: LinedYaml) -> Config:
    values = dict(document.value)
    unknown = [key for key in ("path", "home") if key in values]
    home = Path(os.environ.get("PRAXIS_HOME") or path.parent / ".praxis").resolve()
    given = {key: value for key, value in values.items() if value is not None and key not in unknown}
    given["state"] = _state_url(given.get("state"), path.parent, home)
    problems = [_unknown_key(document, (key,), list(Config.model_fields)) for key in unknown]
    try:
        config = Config.model_validate(given | {"path": path, "home": home})
    except ValidationError as error:
        problems += [_translate(document, each) for each in error.errors()]
        raise ConfigError(str(path), problems) from None
    problems += references(config, document)
    if problems:
        raise ConfigError(str(path), sorted(problems, key=lambda each: each.line or 0))
    return config


def _state_url(value: Any, root: Path, home: Path) -> Any:
    if value is None:
        return f"sqlite:///{home / 'state.db'}"
    match = re.fullmatch(r"sqlite:///(?!/)(.+)", value) if isinstance(value, str) else None
    return f"sqlite:///{(root / match[1]).resolve()}" if match else value


def _translate(document: LinedYaml, error: Any) -> Problem:
    """One pydantic error in an operator's words."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return _unknown_key(document, path, _fields_at(path[:-1]))
    field = ".".join(str(part) for part in path)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        message = f"add `{path[-1]}: …`"
    elif error["type"] == "string_pattern_mismatch":
        message = "a name must not contain spaces, commas or `@`"
    return Problem(document.line(path), field, message)


def _unknown_key(document: LinedYaml, path: tuple[str | int, ...], known: list[str]) -> Problem:
    key = str(path[-1])
    close = difflib.get_close_matches(key, known, n=1)
    if key in ("api_key", "secret", "password", "token"):
        hint = f"secrets never stand in this file; name an environment variable with `{key}_env`"
    elif close:
        hint = f"not known here; did you mean `{close[0]}`?"
    else:
        hint = f"not known here; known are {', '.join(f'`{each}`' for each in sorted(known))}"
    return Problem(document.line(path), ".".join(str(part) for part in path), hint)


_SECTIONS: dict[str, type[BaseModel]] = {
    "server": Server,
    "backends.*": Backend,
    "backends.*.replicas.*": Replica,
    "backends.*.queue": Queue,
    "models.*": Model,
    "models.*.timeouts": Timeouts,
    "models.*.thinking": Thinking,
    "adapters.*": Adapter,
    "rag": Rag,
    "rag.embedding": Embedding,
    "rag.vector_store": VectorStore,
    "rag.vector_store.pgvector": PgVector,
    "rag.vector_store.qdrant": Qdrant,
    "rag.vector_store.milvus": Milvus,
    "assistants.*": Assistant,
    "retention": Retention,
}


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    if not path:
        return [each for each in Config.model_fields if each not in ("path", "home")]
    pattern = ".".join(
        "*" if isinstance(part, int) or (index == 1 and path[0] != "rag") else str(part)
        for index, part in enumerate(path)
    )
    section = _SECTIONS.get(pattern)
    return list(section.model_fields) if section else []
