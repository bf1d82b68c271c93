"""`--track`: settings and figures in a tracker, through its own client; TensorBoard's stands for all, which are told alike."""

import json
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.bench.command import praxis
from tests.fakes.chat import ChatServer
from tests.fakes.search import SearchServer
from tests.fakes.vllm import VLLM


def tracked(folder: Path) -> dict[str, EventAccumulator]:
    """What TensorBoard has of each run, by its name."""
    found = {}
    for run in (folder / ".praxis" / "runs" / "tensorboard").iterdir():
        found[run.name] = EventAccumulator(str(run))
        found[run.name].Reload()
    return found


def values(run: EventAccumulator, name: str) -> list[float]:
    return [event.value for event in run.Scalars(name)]


def test_a_run_is_tracked_target_by_target(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"instruction": f"问{n}", "output": f"base answers 问{n}"} for n in range(3)
    ]
    (tmp_path / "three.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text('{"three": {"file_name": "three.json"}}')
    options = ["--model", "base", "--model", "tuned", "--dataset", "three", "--dataset-dir", "."]
    with ChatServer() as server:
        more = ["--out", "out", "--url", server.url, "--track", "tensorboard"]
        done = praxis("eval", "run", *options, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = tracked(tmp_path)
    assert set(found) == {"out base", "out tuned"}
    assert values(found["out base"], "predict_exact_match") == [100.0]
    assert values(found["out tuned"], "predict_exact_match") == [0.0]
    assert {"predict_bleu-4", "predict_bleu-4_low", "scored"} <= set(found["out base"].Tags()["scalars"])
    (settings,) = found["out base"].Tensors("settings/text_summary")
    assert b'"dataset.name": "three"' in settings.tensor_proto.string_val[0]


def test_rounds_of_a_load_are_steps_of_one_run(tmp_path: Path) -> None:
    options = ["--num-prompts", "3", "--concurrency", "1", "--rounds", "2", "--track", "tensorboard"]
    with VLLM() as engine:
        done = praxis("bench", "serve", "--model", engine.model, "--url", engine.url, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ((name, run),) = tracked(tmp_path).items()
    assert f"{engine.model} concurrency 1" in name
    assert values(run, "completed") == [3, 3]
    assert len(values(run, "client.cpu")) == 2


def test_retrieval_is_tracked(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text(
        '{"id": 1, "query": "工资", "gold": [{"law": "劳动法", "article": "1"}]}\n'
    )
    with SearchServer({"工资": [("劳动法", "1")]}) as server:
        options = ["--questions", "asked.jsonl", "--url", server.url, "--track", "tensorboard"]
        done = praxis("bench", "retrieval", "statutes", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = tracked(tmp_path).values()
    assert values(run, "hit_1.mean") == [1.0]


def test_a_tracker_that_is_not_there_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    """SwanLab is among no requirements."""
    (tmp_path / "asked.jsonl").write_text(
        '{"id": 1, "query": "工资", "gold": [{"law": "劳动法", "article": "1"}]}\n'
    )
    with SearchServer({}) as server:
        options = ["--questions", "asked.jsonl", "--url", server.url, "--track", "swanlab"]
        done = praxis("bench", "retrieval", "statutes", *options, cwd=tmp_path)
    assert (done.returncode, "pip install swanlab" in done.stderr) == (2, True)
    assert server.requests == []
