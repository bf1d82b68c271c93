"""A gateway is backed up while it serves, and nothing is restored under it."""

from pathlib import Path

from gateway.adapters.scores import Score, Scores
from gateway.history.conversations import Conversations
from praxis.config import load
from praxis.keys import Keys
from praxis.state import connect
from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve
from tests.processes import praxis


def test_a_serving_gateway_is_backed_up_whole(gateway: Serve, engine: VLLM, tmp_path: Path) -> None:
    running = gateway(house(engine))
    assert ask(running).status == 200
    score = Score("laws", 3, 2, {"rouge-l": {"mean": 41.5, "low": None, "high": None}}, 1.5, "test-admin")
    state = connect(load(running.file).state)
    Scores(state).add("backed-up", "0123456789ab", score)
    state.dispose()
    question = {"role": "user", "content": "加班费怎么算？"}
    begun = running.post("/v1/conversations", json={"metadata": {"title": "加班费"}, "items": [question]})
    assert begun.status_code == 200, begun.text
    archive = str(tmp_path / "b.tar")
    taken = praxis("backup", archive, cwd=running.folder)
    assert taken.returncode == 0, taken.stderr
    refused = praxis("restore", archive, "--force", cwd=running.folder)
    assert refused.returncode == 1
    assert "stop `praxis up`" in refused.stderr
    assert ask(running).status == 200
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "models.yaml").write_text(house(engine))
    restored = praxis("restore", archive, cwd=tmp_path / "other")
    assert restored.returncode == 0, restored.stderr
    database = connect(f"sqlite:///{tmp_path / 'other' / '.praxis' / 'state.db'}")
    owner = Keys(database).authenticate(running.user_key)
    assert owner is not None
    kept = Conversations(database)
    assert begun.json()["id"] in [row["id"] for row in kept.list(owner, 20, None, "加班费怎么").rows]
    assert Scores(database).last()["backed-up@0123456789ab"] == [score]
    database.dispose()
