"""`praxis config check`: every mistake with its line, its field and what to write instead."""

import json
from pathlib import Path

import pytest

from tests.processes import praxis

GOOD = """\
server: {auth: keys, drain: 15, adapter_roots: [adapters]}
backends:
  local:
    kind: vllm
    replicas: [http://127.0.0.1:8000]
models:
  law:
    backend: local
    upstream: qwen
    aliases: [default]
    timeouts: {connect: 5, idle: 30}
assistants:
  labour-law: {model: law, knowledge: [labour-law]}
"""


def check(folder: Path, text: str | bytes) -> tuple[int, str]:
    """Exit code and everything said, after checking a file of this text."""
    (folder / "models.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = praxis("config", "check", "models.yaml", cwd=folder)
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said
    return ended.returncode, said


def test_a_good_file_is_0(tmp_path: Path) -> None:
    code, said = check(tmp_path, GOOD)
    assert code == 0
    assert "in order" in said


def test_the_repository_s_own_file_is_good() -> None:
    root = Path(__file__).resolve().parents[2]
    assert praxis("config", "check", "models.yaml", cwd=root).returncode == 0


MISTAKES: dict[str, tuple[str, str, list[str]]] = {
    "limits-elsewhere": (
        "adapter_roots: [adapters]}",
        "limits: localhost:6379}",
        ["line 1", "server.limits", "redis://"],
    ),
    "limits-with-a-password": (
        "adapter_roots: [adapters]}",
        "limits: 'redis://:hush@127.0.0.1'}",
        ["line 1", "server.limits", "PRAXIS_REDIS_PASSWORD"],
    ),
    "vectors-elsewhere": (
        "assistants:",
        "rag: {vector_store: {provider: chroma}}\nassistants:",
        ["line 12", "rag.vector_store.provider", "'faiss'", "'qdrant'"],
    ),
    "vectors-with-a-url": (
        "assistants:",
        "rag: {vector_store: {pgvector: {url: 'postgresql+psycopg://u:p@h/d'}}}\nassistants:",
        ["line 12", "rag.vector_store.pgvector.url", "`url_env`"],
    ),
    "vectors-with-a-key": (
        "assistants:",
        "rag: {vector_store: {qdrant: {api_key: hush}}}\nassistants:",
        ["line 12", "rag.vector_store.qdrant.api_key", "`api_key_env`"],
    ),
    "vectors-with-a-password-in-the-url": (
        "assistants:",
        "rag: {vector_store: {milvus: {url: 'http://u:hush@127.0.0.1:19530'}}}\nassistants:",
        ["line 12", "rag.vector_store.milvus.url", "secrets never stand in this file"],
    ),
    "files-with-a-password": (
        "assistants:",
        "rag: {files: 'sftp://u:hush@host/files'}\nassistants:",
        ["line 12", "rag.files", "FSSPEC_SFTP_PASSWORD"],
    ),
    "files-by-http": (
        "assistants:",
        "rag: {files: 'https://host/files'}\nassistants:",
        ["line 12", "rag.files", "s3://bucket/praxis"],
    ),
    "files-in-no-url": (
        "assistants:",
        "rag: {files: /srv/files}\nassistants:",
        ["line 12", "rag.files", "file:///srv/praxis"],
    ),
    "unknown-key": (
        "    upstream: qwen",
        "    upstrem: qwen",
        ["line 9", "models.law.upstrem", "did you mean `upstream`"],
    ),
    "votes-longer-than-conversations": (
        "assistants:",
        "retention: {conversations: 30, votes: 31}\nassistants:",
        ["line 12", "retention", "votes go with their conversation, after 30 days"],
    ),
    "no-time-at-all": (
        "assistants:",
        "retention: {audit: 0}\nassistants:",
        ["line 12", "retention.audit", "greater than 0"],
    ),
    "retention-of-what": (
        "assistants:",
        "retention: {conversation: 30}\nassistants:",
        ["line 12", "retention.conversation", "did you mean `conversations`"],
    ),
    "unknown-section": ("assistants:", "asistants:", ["line 12", "asistants", "did you mean `assistants`"]),
    "dangling-backend": (
        "backend: local",
        "backend: remote",
        ["line 8", "models.law.backend", "`remote`", "local"],
    ),
    "dangling-model": (
        "{model: law,",
        "{model: medicine,",
        ["line 13", "assistants.labour-law.model", "`medicine`", "law"],
    ),
    "alias-of-a-model": ("aliases: [default]", "aliases: [law]", ["line 10", "models.law.aliases", "`law`"]),
    "v1-in-a-url": (
        "127.0.0.1:8000]",
        "127.0.0.1:8000/v1]",
        ["line 5", "backends.local.replicas", "http://127.0.0.1:8000"],
    ),
    "no-url": ("[http://127.0.0.1:8000]", "[localhost]", ["line 5", "backends.local.replicas", "http://"]),
    "no-replicas": ("[http://127.0.0.1:8000]", "[]", ["line 5", "backends.local.replicas"]),
    "kind": ("kind: vllm", "kind: ollama", ["line 4", "backends.local.kind", "vllm", "lightllm", "openai"]),
    "secret": (
        "    kind: vllm",
        "    kind: vllm\n    api_key: hush",
        ["line 5", "backends.local.api_key", "api_key_env"],
    ),
    "negative": ("idle: 30", "idle: -1", ["line 11", "models.law.timeouts.idle", "greater than 0"]),
    "images-as-a-word": (
        "    aliases: [default]",
        "    aliases: [default]\n    images: true",
        ["line 11", "models.law.images", "valid integer"],
    ),
    "thinking-field": (
        "    aliases: [default]",
        "    aliases: [default]\n    thinking: {field: thoughts}",
        ["line 11", "models.law.thinking.field", "reasoning_content"],
    ),
    "thinking-key": (
        "    aliases: [default]",
        "    aliases: [default]\n    thinking: {lfit: true}",
        ["line 11", "models.law.thinking.lfit", "did you mean `lift`"],
    ),
    "opened-without-lift": (
        "    aliases: [default]",
        "    aliases: [default]\n    thinking: {opened: true}",
        ["line 11", "models.law.thinking", "add `lift: true`"],
    ),
    "structured-outputs-of-vllm": (
        "    kind: vllm",
        "    kind: vllm\n    structured_outputs: true",
        ["backends.local", "`structured_outputs`", "lightllm"],
    ),
    "not-a-number": ("idle: 30", "idle: soon", ["line 11", "models.law.timeouts.idle", "number"]),
    "missing": ("    upstream: qwen\n", "", ["models.law.upstream", "add `upstream"]),
    "twice": (
        "    upstream: qwen",
        "    upstream: qwen\n    upstream: qwen",
        ["line 10", "models.law.upstream", "twice"],
    ),
    "fallback": (
        "    upstream: qwen",
        "    upstream: qwen\n    fallback: [spare]",
        ["line 10", "models.law.fallback", "`spare`"],
    ),
    "path": (
        "assistants:",
        "adapters: {a: {base: law, source: no/such}}\nassistants:",
        ["line 12", "adapters.a.source", "no/such"],
    ),
    "syntax": ("backends:", "backends: [", ["line "]),
    "tab": ("  local:", "\tlocal:", ["line 3"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_2_and_named_with_line_field_and_fix(tmp_path: Path, name: str) -> None:
    right, wrong, words = MISTAKES[name]
    assert right in GOOD
    code, said = check(tmp_path, GOOD.replace(right, wrong, 1))
    assert code == 2
    assert [word for word in words if word not in said] == [], said
    assert "hush" not in said


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("backend: local", "backend: remote")
        .replace("[default]", "[law]")
        .replace("{model: law,", "{model: x,")
    )
    code, said = check(tmp_path, text)
    assert code == 2
    assert [line for line in (8, 10, 13) if f"line {line}" not in said] == [], said


def test_an_alias_given_twice_is_named_with_both_owners(tmp_path: Path) -> None:
    second = "  medicine: {backend: local, upstream: qwen, aliases: [default]}\nassistants:"
    code, said = check(tmp_path, GOOD.replace("assistants:", second))
    assert code == 2
    assert "`default`" in said
    assert "law" in said
    assert "line 12" in said


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "[]", "law", "backends:\nmodels:\n", b"\xff\xfe\x00", "a: &a [*a]"]
)
def test_what_is_no_configuration_is_2(tmp_path: Path, text: str | bytes) -> None:
    assert check(tmp_path, text)[0] == 2


def test_json_is_yaml_too(tmp_path: Path) -> None:
    config = {
        "backends": {"b": {"kind": "openai", "replicas": ["https://api.example.org"], "api_key_env": "KEY"}},
        "models": {"m": {"backend": "b", "upstream": "m"}},
    }
    assert check(tmp_path, json.dumps(config))[0] == 0


def test_a_file_that_is_not_there_is_2(tmp_path: Path) -> None:
    ended = praxis("config", "check", "nowhere.yaml", cwd=tmp_path)
    assert ended.returncode == 2
    assert "no such file" in ended.stderr
    assert "nowhere.yaml" in ended.stderr


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    assert praxis("config", "check", cwd=tmp_path).returncode == 2
    assert praxis("config", "chekc", cwd=tmp_path).returncode == 2
