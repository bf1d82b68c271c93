"""A fine-tune's revisions and its base answer one data set, and what each reached stands beside what it did for users."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.faults import status
from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import load, peft, unload
from tests.processes import Gateway, praxis

ADAPTERS = "/admin/v1/adapters"
SAYS = {"a": "Overtime is paid", "b": "Overtime is paid at one and a half", "c": "No"}
LABEL = SAYS["b"]


@pytest.fixture
def running(standing_gateway: Gateway, gateway: Serve, engine: VLLM) -> Iterator[Gateway]:
    """A gateway before an engine in which every content of an adapter says something else, and a data set `laws` of four
    questions to which the content b says the label."""
    folder = standing_gateway.folder
    for rank, name in ((8, "a"), (4, "b"), (2, "c")):
        peft(folder / "adapters" / name, rank)
    engine.tuned = {name: (text,) for name, text in SAYS.items()}
    rows = [{"instruction": f"How is overtime paid in case {n}?", "output": LABEL} for n in range(4)]
    (folder / "data").mkdir()
    (folder / "data" / "laws.json").write_text(json.dumps(rows))
    (folder / "data" / "dataset_info.json").write_text('{"laws": {"file_name": "laws.json"}}')
    running = gateway(house(engine))
    yield running
    for each in operate(running, "GET").json()["data"]:
        unload(running, each["name"])
    for each in ("adapters", "data", "runs", ".praxis/runs"):
        shutil.rmtree(folder / each, ignore_errors=True)


def operate(running: Gateway, method: str, path: str = "", key: str = "", **body: Any) -> httpx.Response:
    """An operator's request below `/admin/v1/adapters`."""
    given = {"json": body} if body else {}
    return running.request(method, ADAPTERS + path, key=key or running.admin_key, **given)


def adapters(
    running: Gateway, *arguments: str, key: str = "", fails: int = 0
) -> "subprocess.CompletedProcess[str]":
    """`praxis adapters …`, and how it ended."""
    done = praxis(
        "adapters", *arguments, "--url", running.url,
        cwd=running.folder, PRAXIS_API_KEY=key or running.admin_key, PRAXIS_HOME=str(running.folder),
    )  # fmt: skip
    assert done.returncode == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def compare(running: Gateway, name: str, *more: str, **rest: Any) -> "subprocess.CompletedProcess[str]":
    return adapters(running, "compare", name, "--dataset", "laws", "--dataset-dir", "data", *more, **rest)


def loaded(running: Gateway, name: str, source: str, *, stage: bool = False) -> str:
    """Load the content; its revision."""
    if not stage:
        return str(load(running, name, f"adapters/{source}").json()["loaded"])
    reply = operate(running, "POST", name=name, base="law", source=f"adapters/{source}", stage=True)
    return str(reply.json()["loaded"])


def told(running: Gateway, name: str) -> dict[str, list[dict[str, Any]]]:
    """The scores of each revision, as the gateway shows them."""
    revisions = operate(running, "GET", f"/{name}").json()["revisions"]
    return {each["revision"]: each["scores"] for each in revisions}


def asked(engine: VLLM) -> Counter[str]:
    """How often the engine was asked for which name."""
    return Counter(request.json["model"] for request in list(engine.asked))


def test_base_current_and_staged_revision_are_compared_and_the_scores_stay_with_them(
    running: Gateway, engine: VLLM
) -> None:
    first = loaded(running, "judged", "a")
    second = loaded(running, "judged", "b", stage=True)
    assert told(running, "judged") == {first: [], second: []}
    record = json.loads(compare(running, "judged", "--format", "json", "--out", "runs/one").stdout)
    targets = ["law", f"judged@{first}", f"judged@{second}"]
    assert [each["target"] for each in record["targets"]] == targets
    assert asked(engine) == {"qwen": 4, targets[1]: 4, targets[2]: 4}
    assert {request.json["temperature"] for request in engine.asked} == {0}
    differences = {each["target"]: each for each in record["differences"] if each["metric"] == "rouge-l"}
    assert {each["against"] for each in record["differences"]} == {targets[1]}
    assert differences[targets[2]]["verdict"] == "better"
    assert differences[targets[2]]["low"] > 0
    assert differences["law"]["rows"] == 4
    scores = told(running, "judged")
    kept = scores[second][0]
    assert (kept["dataset"], kept["rows"], kept["answered"], kept["who"]) == ("laws", 4, 4, "test-admin")
    assert kept["metrics"]["rouge-l"] == {"mean": 100.0, "low": 100.0, "high": 100.0}
    assert 0 < scores[first][0]["metrics"]["rouge-l"]["mean"] < 100
    assert set(kept["metrics"]) == {"bleu-4", "rouge-1", "rouge-2", "rouge-l", "chrf", "exact_match"}
    listed = adapters(running, "list").stdout
    assert "laws" in listed
    assert "4 of 4" in listed
    assert "100.00 (100.00–100.00)" in listed
    assert "to first event" in listed
    # The folder is a run as any other.
    again = praxis("eval", "compare", "runs/one", "--against", "law", cwd=running.folder)
    assert again.returncode == 0, again.stderr
    assert "better" in again.stdout


def test_a_run_keeps_which_revision_answered(running: Gateway) -> None:
    revision = loaded(running, "kept", "a")
    given = {"PRAXIS_API_KEY": running.user_key, "cwd": running.folder}
    options = ["--dataset", "laws", "--dataset-dir", "data", "--url", running.url, "--out", "runs/kept"]
    done = praxis("eval", "run", "--model", "law", "--model", "kept", *options, **given)
    assert done.returncode == 0, done.stderr
    for target, expected in (("law", {}), ("kept", {revision: 4})):
        scored = praxis("eval", "score", f"runs/kept/{target}.jsonl", "--format", "json", **given)
        assert json.loads(scored.stdout)["revisions"] == expected
    assert praxis("eval", "report", "runs/kept", **given).returncode == 0
    assert revision in (running.folder / "runs" / "kept" / "report.html").read_text("utf-8")


def test_the_canary_is_the_candidate_unless_another_revision_is_named(running: Gateway, engine: VLLM) -> None:
    first = loaded(running, "tried", "a")
    second = loaded(running, "tried", "b", stage=True)
    third = loaded(running, "tried", "c", stage=True)
    compare(running, "tried", "--max-samples", "1")
    assert set(asked(engine)) == {"qwen", f"tried@{first}", f"tried@{third}"}
    operate(running, "PUT", "/tried/canary", revision=second, share=0.01)
    out = compare(running, "tried", "--max-samples", "2").stdout
    assert f"tried@{second}" in out
    assert f"tried@{third}" not in out
    out = compare(running, f"tried@{third[:6]}", "--max-samples", "3").stdout
    assert f"tried@{third}" in out
    # The last of a data set is what is shown.
    shown = {
        revision: [each["rows"] for each in scores] for revision, scores in told(running, "tried").items()
    }
    assert shown == {first: [3], second: [2], third: [3]}
    refused = compare(running, f"tried@{first}", fails=1)
    assert second in refused.stderr


def test_a_staged_revision_alone_is_compared_with_its_base(running: Gateway, engine: VLLM) -> None:
    only = loaded(running, "fresh", "b", stage=True)
    done = compare(running, "fresh")
    assert "worse" in done.stdout, "the base, beside it"
    assert f"law (base), fresh@{only} (staged)" in done.stderr
    assert asked(engine) == {"qwen": 4, f"fresh@{only}": 4}
    assert len(told(running, "fresh")[only]) == 1


def test_rows_without_an_answer_are_told_and_asked_again_with_resume(running: Gateway, engine: VLLM) -> None:
    only = loaded(running, "lame", "b")
    before = len(engine.asked)
    engine.script.next(*[status(400)] * 2)
    compare(running, "lame", "--out", "runs/lame", "--concurrency", "1")
    assert told(running, "lame")[only][0]["answered"] == 4, "the base's were refused"
    assert len(engine.asked) - before == 8
    compare(running, "lame", "--out", "runs/lame", "--resume")
    assert len(engine.asked) - before == 10
    assert len(told(running, "lame")[only]) == 1
    assert "--out" in compare(running, "lame", "--resume", fails=2).stderr


def test_what_cannot_be_compared_is_refused_in_words(running: Gateway) -> None:
    assert "nobody" in compare(running, "nobody", fails=1).stderr
    loaded(running, "known", "a")
    assert "admin key" in compare(running, "known", key=running.user_key, fails=1).stderr
    assert "dataset_info.json" in adapters(
        running, "compare", "known", "--dataset", "none", "--dataset-dir", "data", fails=2
    ).stderr  # fmt: skip


def test_scores_are_taken_from_operators_and_checked(running: Gateway) -> None:
    revision = loaded(running, "checked", "a")
    place = f"/checked/revisions/{revision[:6]}/scores"
    metric = {"mean": 41.5, "low": 40.0, "high": 43.0}
    good: dict[str, Any] = {"dataset": "laws", "rows": 5, "answered": 4, "metrics": {"rouge-l": metric}}
    reply = operate(running, "POST", place, **good)
    assert reply.status_code == 200, reply.text
    assert reply.json()["who"] == "test-admin"
    assert told(running, "checked")[revision] == [reply.json()]
    operate(running, "POST", place, **good | {"dataset": "拒绝"})
    assert [each["dataset"] for each in told(running, "checked")[revision]] == ["拒绝", "laws"]
    for wrong in (
        {"answered": 6},
        {"rows": 0},
        {"metrics": {}},
        {"metrics": {"rouge-l": {"mean": "NaN"}}},
        {"who": "someone else"},
        {"dataset": ""},
    ):
        assert operate(running, "POST", place, **good | wrong).status_code == 400, wrong
    assert operate(running, "POST", "/nobody/revisions/0123/scores", **good).status_code == 404
    assert operate(running, "POST", "/checked/revisions/ffffff/scores", **good).status_code == 404
    assert operate(running, "POST", place, key=running.user_key, **good).status_code == 403
    assert len(told(running, "checked")[revision]) == 2
