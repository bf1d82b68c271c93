"""Input as people have it, and disks that are full: a clear line each, and nothing lost."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.command import Done, praxis
from tests.fakes.chat import ChatServer, Says
from tests.fakes.search import SearchServer
from tests.fakes.vllm import VLLM
from tests.processes import environment

BOM = b"\xef\xbb\xbf"


def run(server: ChatServer, folder: Path, *more: str) -> Done:
    options = ["--model", "base", "--dataset", "odd", "--dataset-dir", ".", "--out", "out"]
    return praxis("eval", "run", *options, "--url", server.url, *more, cwd=folder)


def data_set(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    (folder / "dataset_info.json").write_bytes(BOM + json.dumps({"odd": {"file_name": name}}).encode())


def test_a_data_set_with_a_mark_and_mixed_line_ends(tmp_path: Path) -> None:
    rows = [
        json.dumps({"instruction": f"问{n}", "output": "答\u2028案"}, ensure_ascii=False) for n in range(4)
    ]
    data_set(tmp_path, "odd.jsonl", BOM + f"{rows[0]}\r\n{rows[1]}\n\n{rows[2]}\r{rows[3]}".encode())
    with ChatServer() as server:
        done = run(server, tmp_path)
    assert done.returncode == 0, done.stderr
    kept = [json.loads(line) for line in (tmp_path / "out" / "base.jsonl").read_bytes().splitlines()]
    assert [row["prompt"] for row in kept] == ["问0", "问1", "问2", "问3"]
    assert {row["label"] for row in kept} == {"答\u2028案"}


def test_a_row_of_five_megabytes(tmp_path: Path) -> None:
    """It is asked and kept whole; the text that is scored is the answer, not the question."""
    long = "证" * (5 * 2**20 // 3)
    rows = [{"instruction": long, "output": "答"}, {"instruction": "短", "output": "答"}]
    data_set(tmp_path, "odd.json", json.dumps(rows, ensure_ascii=False).encode())
    with ChatServer(answers=lambda request: Says("答")) as server:
        done = run(server, tmp_path)
        asked = server.asked()
    assert done.returncode == 0, done.stderr
    assert long in asked
    first = json.loads((tmp_path / "out" / "base.jsonl").read_text().splitlines()[0])
    assert (first["prompt"], first["predict"]) == (long, "答")


def test_predictions_from_another_system(tmp_path: Path) -> None:
    lines = [json.dumps({"predict": "好", "label": "好"}) for _ in range(3)]
    (tmp_path / "p.jsonl").write_bytes(BOM + f"{lines[0]}\r\n{lines[1]}\r{lines[2]}\n".encode())
    done = praxis("eval", "score", "p.jsonl", cwd=tmp_path)
    assert json.loads(done.stdout)["rows"] == 3


@pytest.mark.timeout(400)
def test_many_rows_are_scored_and_have_intervals(tmp_path: Path) -> None:
    line = json.dumps({"predict": "好", "label": "好的"}) + "\n"
    (tmp_path / "p.jsonl").write_text(line * 100_000)
    done = praxis("eval", "score", "p.jsonl", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["rows"], found["intervals"]["predict_chrf"]["rows"]) == (100_000, 100_000)


def test_ids_that_recur_are_named_and_never_paired(tmp_path: Path) -> None:
    row = json.dumps({"id": 7, "prompt": "问", "predict": "好", "label": "好"}) + "\n"
    (tmp_path / "a.jsonl").write_text(row * 2)
    (tmp_path / "b.jsonl").write_text(row)
    compared = praxis("eval", "compare", "a.jsonl", "b.jsonl", cwd=tmp_path)
    assert (compared.returncode, "two rows of the same id" in compared.stderr) == (0, True)
    judged = praxis("eval", "judge", "a.jsonl", "b.jsonl", "--judge", "x", cwd=tmp_path)
    assert (judged.returncode, "two rows of the same id" in judged.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--json", "--misses"])
def test_a_full_disk_loses_no_figure_of_a_retrieval(tmp_path: Path, option: str) -> None:
    gold = [{"law": "a", "article": "第一条"}]
    (tmp_path / "q.jsonl").write_text(json.dumps({"query": "问", "gold": gold}) + "\n")
    with SearchServer({"问": [("a", "第一条")]}) as server:
        options = ["statutes", "--questions", "q.jsonl", "--url", server.url, option, "/dev/full"]
        done = praxis("bench", "retrieval", *options, cwd=tmp_path)
    assert (done.returncode, "No space left" in done.stderr, "hit@10" in done.stdout) == (1, True, True)


def test_a_full_disk_loses_no_figure_of_a_speed_run(tmp_path: Path) -> None:
    with VLLM() as engine:
        options = ["--model", "qwen", "--url", engine.url, "--num-prompts", "2", "--json", "/dev/full"]
        done = praxis("bench", "serve", *options, cwd=tmp_path)
    assert (done.returncode, "No space left" in done.stderr, "TTFT p50" in done.stdout) == (1, True, True)


def test_a_full_disk_stops_a_judge_with_a_line(tmp_path: Path) -> None:
    judged_pair(tmp_path)
    with ChatServer(answers=lambda request: Says("[[A]]")) as server:
        options = ["a.jsonl", "b.jsonl", "--judge", "base", "--url", server.url, "--out", "out.jsonl"]
        done = subprocess.run(
            [sys.executable, "-m", "praxis", "eval", "judge", *options],
            cwd=tmp_path,
            env=environment(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)),
            capture_output=True,
            text=True,
            timeout=240,
        )
    said = (
        "`out.jsonl` cannot be written" in done.stderr,
        "--resume" in done.stderr,
        "Traceback" in done.stderr,
    )
    assert (done.returncode, *said) == (1, True, True, False), done.stderr


def test_verdicts_go_to_a_file_and_to_nothing_else(tmp_path: Path) -> None:
    """They are read again to go on with: a device would be read without end."""
    judged_pair(tmp_path)
    done = praxis(
        "eval", "judge", "a.jsonl", "b.jsonl", "--judge", "base", "--out", "/dev/full", cwd=tmp_path
    )
    assert (done.returncode, "is no regular file" in done.stderr) == (2, True)


def judged_pair(folder: Path) -> None:
    for name in ("a", "b"):
        row = {"id": 1, "prompt": "问", "predict": name, "label": "好"}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
