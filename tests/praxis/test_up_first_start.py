"""What a first start makes, and that it makes it once."""

from pathlib import Path

import pytest

from praxis.config import Config, load
from praxis.keys import Keys
from praxis.state import connect
from praxis.up.first_start import Samples, make_keys, make_secrets

MODELS = """
server: {auth: AUTH}
backends:
  local: {kind: vllm, replicas: [http://127.0.0.1:1], api_key_env: TOY_ENGINE_KEY, launch: {model: smollm2}}
  other: {kind: openai, replicas: [http://127.0.0.1:2], api_key_env: TOY_OTHER_KEY}
models: {toy: {backend: local, upstream: toy}}
assistants: {labour-law: {model: toy, knowledge: [KNOWLEDGE]}}
"""


def write(folder: Path, auth: str = "keys", knowledge: str = "labour-law") -> Config:
    """A configuration with one launched and one foreign backend."""
    file = folder / "models.yaml"
    file.write_text(MODELS.replace("AUTH", auth).replace("KNOWLEDGE", knowledge))
    return load(file)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The usual one."""
    return write(tmp_path)


def test_secrets_are_made_once_for_what_praxis_starts_and_only_this_user_reads_them(config: Config) -> None:
    pointers = make_secrets(config)
    assert sorted(pointers) == ["PRAXIS_RAG_SECRET_FILE", "TOY_ENGINE_KEY_FILE"]
    texts = {name: Path(path).read_text() for name, path in pointers.items()}
    assert len(set(texts.values())) == 2
    assert all(len(text.strip()) >= 32 for text in texts.values())
    assert all(Path(path).stat().st_mode & 0o077 == 0 for path in pointers.values())
    assert {name: Path(path).read_text() for name, path in make_secrets(config).items()} == texts


def test_secrets_that_the_operator_sets_are_kept(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRAXIS_RAG_SECRET", "of the operator")
    assert sorted(make_secrets(config)) == ["TOY_ENGINE_KEY_FILE"]


def test_the_first_keys_work_and_are_made_once(config: Config) -> None:
    made = make_keys(config)
    keys = Keys(connect(config.state))
    admin, user = keys.authenticate(made["admin"]), keys.authenticate(made["user"])
    assert admin
    assert user
    assert (admin.role, user.role) == ("admin", "user")
    assert make_keys(config) == {}


def test_without_keys_none_are_made(tmp_path: Path) -> None:
    assert make_keys(write(tmp_path, auth="none")) == {}


def test_samples_are_wanted_only_by_an_assistant_that_answers_from_them(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "law.txt").write_text("第一条")
    (folder / "README.md").write_text("not a sample")
    assert Samples(write(tmp_path), folder).needed()
    assert not Samples(write(tmp_path, knowledge="other"), folder).needed()
    (folder / "law.txt").unlink()
    assert not Samples(write(tmp_path), folder).needed()
