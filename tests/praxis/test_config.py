"""models.yaml: what is right loads, what is wrong is told whole, with line, field and fix."""

from pathlib import Path

import pytest

from praxis.config import load
from praxis.errors import ConfigError
from praxis.section import read_secret

GOOD = """\
server: {auth: keys, drain: 3}
backends:
  local: {kind: vllm, replicas: ["http://127.0.0.1:8000/"], launch: {model: embedded, max_model_len: 4096}}
models:
  law: {backend: local, upstream: qwen, aliases: [default], timeouts: {idle: 3}}
  spare: {backend: local, upstream: qwen, fallback: [law]}
assistants:
  labour-law: {model: law, knowledge: [labour-law]}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "models.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> list[str]:
    """The mistakes found in `text`, as the operator reads them."""
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_loads_with_its_defaults(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert [each.url for each in config.backends["local"].replicas] == ["http://127.0.0.1:8000"]
    launch = config.backends["local"].launch
    assert launch is not None
    assert (launch.model, launch.flags) == ("embedded", {"max_model_len": 4096})
    assert config.models["law"].timeouts.idle == 3
    assert config.models["law"].timeouts.first_byte is None
    assert config.state == f"sqlite:///{tmp_path / '.praxis' / 'state.db'}"
    assert config.rag.embedding.public_name == "multilingual-e5-small"


def test_home_moves_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRAXIS_HOME", str(tmp_path / "elsewhere"))
    config = load(written(tmp_path, GOOD))
    assert config.home == tmp_path / "elsewhere"
    assert str(config.home) in config.state


def test_a_relative_state_is_relative_to_the_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, "state: sqlite:///data/x.db\n" + GOOD))
    assert config.state == f"sqlite:///{tmp_path / 'data' / 'x.db'}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("kind: vllm", "kind: vlm"), "line 3: backends.local.kind"),
        (("drain: 3", "drian: 3"), "line 1: server.drian: not known here; did you mean `drain`?"),
        (
            ("backend: local, upstream: qwen, fall", "backend: lokal, upstream: qwen, fall"),
            "did you mean `local`?",
        ),
        (("aliases: [default]", "aliases: [spare]"), "already taken by `models.spare`"),
        (("fallback: [law]", "fallback: [spare]"), "cannot fall back to itself"),
        (
            ("kind: vllm,", "kind: vllm, api_key: x,"),
            "line 3: backends.local.api_key: secrets never stand in this file",
        ),
        (("8000/", "8000/v1"), "leave out /v1: write http://127.0.0.1:8000"),
        (("http://127.0.0.1:8000/", "127.0.0.1:8000"), "write a URL such as"),
        (("//127.0.0.1:8000/", "//me:secret@127.0.0.1:8000/"), "secrets never stand in this file; leave out"),
        (
            ("model: law, know", "model: gone, know"),
            "line 8: assistants.labour-law.model: `gone` is not in `models`",
        ),
        (("upstream: qwen, al", "al"), "line 5: models.law.upstream: add `upstream: …`"),
        (("idle: 3", "idle: 0"), "line 5: models.law.timeouts.idle"),
        (("model: embedded", "model: ./no-folder"), "backends.local.launch.model: no folder"),
    ],
)
def test_a_mistake_names_line_field_and_fix(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in GOOD
    (problem,) = problems(tmp_path, GOOD.replace(*change))
    assert expected in problem


REPLICAS = 'replicas: ["http://127.0.0.1:8000/"]'


def test_replicas_have_weights_and_backends_room(tmp_path: Path) -> None:
    listed = "replicas: [http://a:1, {url: http://b:1/, weight: 2}, {url: http://c:1, weight: 0}]"
    room = "max_in_flight: 64, queue: {size: 512}, affinity: prefix, stalled_after: 5"
    config = load(written(tmp_path, GOOD.replace(REPLICAS, f"{listed}, {room}")))
    local = config.backends["local"]
    assert [(each.url, each.weight) for each in local.replicas] == [
        ("http://a:1", 1),
        ("http://b:1", 2),
        ("http://c:1", 0),
    ]
    assert (local.max_in_flight, local.queue.size, local.queue.wait) == (64, 512, 30)
    assert (local.affinity, local.stalled_after) == ("prefix", 5)
    plain = load(written(tmp_path, GOOD)).backends["local"]
    assert (plain.max_in_flight, plain.affinity) == (None, "session")


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        (
            "replicas: [8000]",
            "backends.local.replicas.0: write a URL such as http://127.0.0.1:8000, or {url:",
        ),
        ("replicas: [http://a/v1]", "backends.local.replicas.0: leave out /v1"),
        ("replicas: [{url: http://a/v1}]", "backends.local.replicas.0.url: leave out /v1"),
        ("replicas: [{weight: 1}]", "backends.local.replicas.0.url: add `url: …`"),
        (
            "replicas: [{url: http://a, weigth: 2}]",
            "replicas.0.weigth: not known here; did you mean `weight`?",
        ),
        (
            "replicas: [{url: http://a, weight: -1}]",
            "backends.local.replicas.0.weight: Input should be greater",
        ),
        ("replicas: [http://a, http://a/]", "backends.local.replicas.1: `http://a` is listed twice"),
        (f"{REPLICAS}, max_in_flight: 0", "backends.local.max_in_flight: Input should be greater"),
        (
            f"{REPLICAS}, queue: {{size: 8}}",
            "backends.local.queue: nothing waits where no replica is ever full",
        ),
        (
            f"{REPLICAS}, max_in_flight: 1, queue: {{sise: 8}}",
            "queue.sise: not known here; did you mean `size`?",
        ),
        (
            f"{REPLICAS}, affinity: sticky",
            "backends.local.affinity: Input should be 'session', 'prefix' or 'none'",
        ),
    ],
)
def test_a_mistake_in_routing_names_line_field_and_fix(tmp_path: Path, replicas: str, expected: str) -> None:
    (problem,) = problems(tmp_path, GOOD.replace(REPLICAS, replicas))
    assert problem.startswith("line 3: ")
    assert expected in problem


def test_every_mistake_is_told_not_only_the_first(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("kind: vllm", "kind: x").replace("idle: 3", "idle: -1"))
    assert len(found) == 2


def test_a_key_written_twice_is_a_mistake(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD + "backends: {}\n")
    assert problem == "line 9: backends: written twice (first on line 2); keep one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "write a mapping"),
        ("- a\n", "write a mapping"),
        ("backends: [\n", "line 2"),
        ("models: {}\n", "backends: add `backends: …`"),
        ("backends: &x {a: *y}\n", "undefined alias"),
    ],
)
def test_broken_yaml_is_told(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(tmp_path, text))


def test_an_adapter_without_its_folder_is_a_mistake(tmp_path: Path) -> None:
    text = GOOD + "adapters:\n  medical: {base: law, source: adapters/medical}\n"
    (problem,) = problems(tmp_path, text)
    assert "line 10: adapters.medical.source" in problem
    assert "adapter_config.json" in problem


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [
        ("{base: law, source: m, mode: merged}", "needs `backend: …`"),
        ("{base: law, source: m, backend: local}", "`backend` is for `mode: merged`"),
        ("{base: law, source: m, mode: merged, backend: lokal}", "did you mean `local`?"),
        ("{base: law, source: empty, mode: merged, backend: local}", "praxis-merge.json"),
    ],
)
def test_a_merged_adapter_needs_its_model_and_a_backend(tmp_path: Path, adapter: str, expected: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "praxis-merge.json").write_text('{"revision": "0123456789ab"}')
    (problem,) = problems(tmp_path, f"{GOOD}adapters:\n  medical: {adapter}\n")
    assert problem.startswith("line 10: adapters.medical")
    assert expected in problem


def test_a_missing_file_and_a_binary_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "models.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load(tmp_path / "models.yaml")


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    monkeypatch.setenv("SOME_SECRET_FILE", str(tmp_path / "secret"))
    assert read_secret("SOME_SECRET") == "from-file"
    monkeypatch.setenv("SOME_SECRET", "from-environment")
    assert read_secret("SOME_SECRET") == "from-environment"
    assert read_secret("OTHER_SECRET") is None
    config = load(written(tmp_path, GOOD))
    monkeypatch.delenv("PRAXIS_RAG_SECRET", raising=False)
    with pytest.raises(ConfigError, match="PRAXIS_RAG_SECRET"):
        config.rag.secret()
