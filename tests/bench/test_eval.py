"""`praxis eval` as an operator uses it, against a server whose answers and failures are known."""

import csv
import io
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.command import Done, praxis
from tests.fakes.chat import Body, ChatServer, Cut, Fault, Reset, Says, Silence, Status
from tests.fakes.search import SearchServer
from tests.fakes.vllm import VLLM
from tests.processes import environment, eventually, free_port

GOLDEN = Path(__file__).parent.parent / "data" / "eval" / "golden_predictions.jsonl"
LLAMA_FACTORY_NAMES = {
    "predict_bleu-4",
    "predict_rouge-1",
    "predict_rouge-2",
    "predict_rouge-l",
    "predict_model_preparation_time",
    "predict_runtime",
    "predict_samples_per_second",
    "predict_steps_per_second",
}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A folder with the data set `five`: questions 问1 to 问5, each with the answer that `base` gives."""
    rows = [{"instruction": f"问{n}", "output": f"base answers 问{n}"} for n in range(1, 6)]
    return data_set(tmp_path, rows)


def data_set(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "five.json").write_text(json.dumps(rows))
    (folder / "dataset_info.json").write_text('{"five": {"file_name": "five.json"}}')
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "praxis", "eval", *arguments]


def praxis_eval(*arguments: str, cwd: Path, **variables: str) -> Done:
    """Run `praxis eval …`."""
    return praxis("eval", *arguments, cwd=cwd, **variables)


def run(
    server: ChatServer, folder: Path, *more: str, targets: tuple[str, ...] = ("base",)
) -> tuple[int, str]:
    """`praxis eval run` of the data set `five` into the folder `out`: its exit code and what it said."""
    models = [part for target in targets for part in ("--model", target)]
    options = ["--dataset", "five", "--dataset-dir", str(folder), "--out", "out", "--url", server.url]
    done = praxis_eval("run", *models, *options, *more, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def lines(folder: Path, target: str = "base") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{target}.jsonl").read_text().splitlines()]


def scores(folder: Path, target: str = "base") -> dict[str, Any]:
    return dict(json.loads((folder / "out" / f"{target}.scores.json").read_text()))


def test_a_run_keeps_predictions_and_scores_of_every_target(questions: Path) -> None:
    with ChatServer() as server:
        code, said = run(server, questions, "--seed", "7", "--temperature", "0", targets=("base", "tuned"))
    assert code == 0, said
    assert [line["id"] for line in lines(questions)] == [1, 2, 3, 4, 5]
    assert {key: lines(questions, "tuned")[2][key] for key in ("prompt", "predict", "label", "error")} == {
        "prompt": "问3",
        "predict": "tuned answers 问3",
        "label": "base answers 问3",
        "error": None,
    }
    assert lines(questions)[0]["completion_tokens"] == 5
    base, tuned = scores(questions), scores(questions, "tuned")
    assert base.keys() >= LLAMA_FACTORY_NAMES
    assert base["predict_rouge-l"] == 100.0 > tuned["predict_rouge-l"] > 0
    assert base["predict_samples_per_second"] == pytest.approx(5 / base["predict_runtime"])
    assert (base["rows"], base["scored"], base["errors"], base["missing"]) == (5, 5, {}, 0)
    sent = server.requests[0]
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["max_tokens"], sent["seed"]) == (
        0,
        0.7,
        50,
        1024,
        7,
    )
    record = json.loads((questions / "out" / "run.json").read_text())
    assert record["finished"]
    assert record["sampling"]["seed"] == 7


def test_order_is_kept_under_concurrency(tmp_path: Path) -> None:
    rows = [{"instruction": f"问{n}", "output": "答"} for n in range(200)]
    with ChatServer() as server:
        code, said = run(server, data_set(tmp_path, rows), "--concurrency", "16")
    assert code == 0, said
    assert [line["prompt"] for line in lines(tmp_path)] == [row["instruction"] for row in rows]


def test_default_system_prompt_and_optional_fields(questions: Path) -> None:
    with ChatServer() as server:
        code, said = run(
            server, questions, "--default-system", "律师", "--top-k", "0", "--repetition-penalty", "1.1",
            "--max-samples", "1",
        )  # fmt: skip
    assert code == 0, said
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "律师"}
    assert server.requests[0]["repetition_penalty"] == 1.1
    assert server.requests[0].keys().isdisjoint({"top_k", "seed"})


@pytest.mark.parametrize(
    ("faults", "kind", "words"),
    [
        ([Status(400)], "http_400", "fault 400"),
        ([Status(500)], "http_500", "fault 500"),
        ([Status(503, "0")] * 3, "http_503", "fault 503"),
        ([Reset()] * 3, "disconnected", "broke"),
        ([Cut()] * 3, "disconnected", "broke"),
        ([Says("")], "empty", "no text"),
        ([Says(None, "length")], "empty", "--max-new-tokens"),
        ([Body(b"<html>")], "invalid", "no JSON"),
        ([Body(b"[]")], "invalid", "no JSON object"),
        ([Body(b'{"choices": []}')], "invalid", "no chat completion"),
        ([Body(b'{"choices": [{"message": {"content": 5}}]}')], "invalid", "no chat completion"),
    ],
)
def test_a_failure_is_typed_counted_and_never_scored_as_zero(
    questions: Path, faults: list[Fault], kind: str, words: str
) -> None:
    with ChatServer(faults={"问2": list(faults)}) as server:
        code, said = run(server, questions)
    assert code == 0, said
    assert lines(questions)[1]["error"]["type"] == kind
    assert words in lines(questions)[1]["error"]["message"]
    found = scores(questions)
    assert (found["rows"], found["scored"], found["errors"]) == (5, 4, {kind: 1})
    assert found["predict_rouge-l"] == 100.0
    assert f"{kind}:1" in said


def test_no_answer_in_time(questions: Path) -> None:
    with ChatServer(faults={"问2": [Silence()]}) as server:
        code, said = run(server, questions, "--timeout", "5")
    assert code == 0, said
    assert scores(questions)["errors"] == {"timeout": 1}


def test_what_passes_when_tried_again_is_no_failure(questions: Path) -> None:
    faults: dict[str, list[Fault]] = {"问1": [Status(429, "0")], "问2": [Reset()], "问3": [Status(503, "0")]}
    with ChatServer(faults=faults) as server:
        code, said = run(server, questions)
    assert code == 0, said
    assert scores(questions)["errors"] == {}
    assert len(server.requests) == 8


def test_cut_answers_are_scored_and_counted(questions: Path) -> None:
    with ChatServer(faults={"问2": [Says("base ans", "length")]}) as server:
        code, said = run(server, questions)
    assert code == 0, said
    assert lines(questions)[1]["truncated"]
    assert (scores(questions)["scored"], scores(questions)["truncated"]) == (5, 1)


def test_tool_calls_are_compared_as_llama_factory_writes_them(questions: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": '{"base": 1}'}}
    with ChatServer(faults={"问1": [Says(None, "tool_calls", (call,))]}) as server:
        code, said = run(server, questions)
    assert code == 0, said
    assert lines(questions)[0]["predict"] == '{"name": "pay", "arguments": {"base": 1}}'


def test_a_target_that_answers_nothing_fails_the_run(questions: Path) -> None:
    with ChatServer(faults={f"问{n}": [Status(400)] for n in range(1, 6)}) as server:
        code, said = run(server, questions)
    assert code == 1
    assert "answered no row" in said
    assert scores(questions)["predict_bleu-4"] is None


def test_resuming_asks_only_what_has_no_answer(questions: Path) -> None:
    with ChatServer(faults={"问2": [Status(500)], "问4": [Says("")]}) as server:
        assert run(server, questions)[0] == 0
        kept = lines(questions)[0]
        before = len(server.requests)
        code, said = run(server, questions, "--resume")
        assert code == 0, said
        assert sorted(server.asked()[before:]) == ["问2", "问4"]
    assert scores(questions)["errors"] == {}
    assert [line["id"] for line in lines(questions)] == [1, 2, 3, 4, 5]
    assert lines(questions)[0] == kept


def test_a_line_cut_by_a_crash_is_asked_again(questions: Path) -> None:
    with ChatServer() as server:
        assert run(server, questions)[0] == 0
        file = questions / "out" / "base.jsonl"
        file.write_bytes(file.read_bytes()[:-20])
        before = len(server.requests)
        code, said = run(server, questions, "--resume")
        assert code == 0, said
        assert server.asked()[before:] == ["问5"]
    assert len(lines(questions)) == 5


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_loses_no_answer(questions: Path, how: signal.Signals) -> None:
    options = [
        "--dataset",
        "five",
        "--dataset-dir",
        ".",
        "--out",
        "out",
        "--model",
        "base",
        "--concurrency",
        "1",
    ]
    with ChatServer(faults={"问4": [Silence()]}) as server:
        process = subprocess.Popen(
            command("run", *options, "--url", server.url), cwd=questions, env=environment(), stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        eventually(lambda: "问4" in server.asked(), "the fourth question is asked")
        kept = questions / "out" / "base.jsonl"
        eventually(lambda: kept.exists() and kept.read_bytes().count(b"\n") == 3, "three answers are kept")
        process.send_signal(how)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == (1 if how is signal.SIGINT else -how)
    if how is signal.SIGINT:
        assert "--resume" in said
    with ChatServer() as server:
        code, said = run(server, questions, "--resume")
        assert code == 0, said
        assert sorted(server.asked()) == ["问4", "问5"]
    assert scores(questions)["scored"] == 5


def test_a_gateway_that_goes_away_stops_the_run_and_a_new_one_finishes_it(questions: Path) -> None:
    options = ["--dataset", "five", "--dataset-dir", ".", "--out", "out", "--model", "base"]
    more = ["--concurrency", "1", "--patience", "1"]
    with ChatServer(faults={"问3": [Silence()]}) as server:
        process = subprocess.Popen(
            command("run", *options, *more, "--url", server.url), cwd=questions, env=environment(), stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        eventually(lambda: "问3" in server.asked(), "the third question is asked")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "Nobody listens" in said
    assert "--resume" in said
    assert scores(questions)["errors"] == {"refused": 1}
    assert scores(questions)["missing"] == 2
    with ChatServer() as server:
        code, said = run(server, questions, "--resume")
        assert code == 0, said
        assert sorted(server.asked()) == ["问3", "问4", "问5"]


def test_a_gateway_that_starts_late_is_waited_for(questions: Path) -> None:
    port = free_port()
    options = ["--dataset", "five", "--dataset-dir", ".", "--out", "out", "--model", "base"]
    process = subprocess.Popen(
        command("run", *options, "--url", f"http://127.0.0.1:{port}"), cwd=questions, env=environment(), stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stderr
    assert "waiting up to 30 s" in process.stderr.readline()
    with ChatServer(port=port):
        assert process.communicate(timeout=120)
    assert process.returncode == 0


def test_a_folder_holds_one_run(questions: Path) -> None:
    with ChatServer() as server:
        assert run(server, questions, "--resume")[0] == 2
        assert run(server, questions)[0] == 0
        code, said = run(server, questions)
        assert (code, "add `--resume`" in said) == (2, True)
        code, said = run(server, questions, "--resume", "--temperature", "0")
        assert (code, "another `sampling`" in said) == (2, True)
        code, said = run(server, questions, "--resume", targets=("tuned",))
        assert code == 0, said
    assert json.loads((questions / "out" / "run.json").read_text())["targets"] == ["base", "tuned"]


def test_wrong_rows_are_refused_or_left_out_by_choice(tmp_path: Path) -> None:
    data_set(tmp_path, [{"instruction": "问", "output": "答"}, {"instruction": "问"}])
    with ChatServer() as server:
        code, said = run(server, tmp_path)
        assert (code, "row 2: it has no `output`" in said, "--skip-bad-rows" in said) == (2, True, True)
        assert server.requests == []
        code, said = run(server, tmp_path, "--skip-bad-rows")
        assert (code, "left out row 2" in said) == (0, True)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["dataset"]["skipped"]


def test_the_key_is_read_from_the_environment_and_kept_nowhere(questions: Path) -> None:
    options = ["--model", "base", "--dataset", "five", "--dataset-dir", ".", "--out", "out"]
    with ChatServer(key="sk-secret-1") as server:
        wrong = praxis_eval("run", *options, "--url", server.url, cwd=questions, PRAXIS_API_KEY="sk-other")
        assert (wrong.returncode, "PRAXIS_API_KEY" in wrong.stderr) == (1, True)
        assert not (questions / "out").exists()
        right = praxis_eval("run", *options, "--url", server.url, cwd=questions, PRAXIS_API_KEY="sk-secret-1")
        assert right.returncode == 0, right.stderr
    kept = b"".join(path.read_bytes() for path in (questions / "out").iterdir())
    assert b"sk-secret-1" not in kept + right.stdout.encode() + right.stderr.encode()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--model", "stranger"], 1, "does not know `stranger`; it knows `base`, `tuned`"),
        (["--dataset", "six"], 2, "has no data set `six`"),
        (["--url", "nonsense"], 2, "is no URL"),
        (["--temperature", "hot"], 2, "--temperature"),
        (["--resume"], 2, "--out"),
    ],
)
def test_wrong_usage(questions: Path, options: list[str], code: int, words: str) -> None:
    with ChatServer() as server:
        usual = {"--model": "base", "--dataset": "five", "--dataset-dir": ".", "--url": server.url}
        usual |= {options[0]: options[1]} if len(options) == 2 else {}
        flat = [part for pair in usual.items() for part in pair] + (options if len(options) == 1 else [])
        done = praxis_eval("run", *flat, cwd=questions)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_listens(questions: Path) -> None:
    done = praxis_eval(
        "run", "--model", "base", "--dataset", "five", "--dataset-dir", ".", "--patience", "0",
        "--url", f"http://127.0.0.1:{free_port()}", cwd=questions,
    )  # fmt: skip
    assert done.returncode == 1
    assert "praxis up" in done.stderr
    assert not (questions / ".praxis").exists()


def test_a_disk_that_takes_no_more_loses_no_answer(tmp_path: Path) -> None:
    rows = [{"instruction": f"问{n}", "output": "答" * 400} for n in range(1, 6)]
    options = [
        "--model",
        "base",
        "--dataset",
        "five",
        "--dataset-dir",
        ".",
        "--out",
        "out",
        "--concurrency",
        "1",
    ]
    with ChatServer() as server:
        done = subprocess.run(
            command("run", *options, "--url", server.url),
            cwd=data_set(tmp_path, rows),
            env=environment(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 1
        assert "cannot be written" in done.stderr
        assert "Traceback" not in done.stderr
        assert [line["id"] for line in lines(tmp_path)] == [1, 2]
        code, said = run(server, tmp_path, "--resume")
    assert code == 0, said
    assert [line["id"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]


def test_score_of_a_file_of_llama_factory(tmp_path: Path) -> None:
    done = praxis_eval("score", str(GOLDEN), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() >= LLAMA_FACTORY_NAMES
    assert round(found["predict_bleu-4"], 4) == 54.3592
    assert (found["rows"], found["scored"], found["empty_predictions"]) == (80, 80, 10)
    assert done.stderr == ""


def test_score_prints_tables_too(tmp_path: Path) -> None:
    table = praxis_eval("score", str(GOLDEN), "--format", "csv", cwd=tmp_path).stdout
    assert next(csv.DictReader(io.StringIO(table)))["predict_bleu-4"] == "54.3592"
    assert praxis_eval("score", str(GOLDEN), "--format", "md", cwd=tmp_path).stdout.startswith(
        "| predict_bleu-4 |"
    )


def test_score_of_a_run_leaves_failures_out_and_says_so(questions: Path) -> None:
    with ChatServer(faults={"问2": [Status(500)]}) as server:
        run(server, questions)
    done = praxis_eval("score", "out/base.jsonl", cwd=questions)
    assert json.loads(done.stdout)["predict_rouge-l"] == 100.0
    assert "1 of 5 rows have no answer" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no lines"),
        ('{"predict": "x"}\n', "line 1: it needs a text in `label`"),
        ('{"predict": "x", "label": "x"}\nnonsense\n', "line 2"),
        ("[]\n", "line 1: it must be an object"),
    ],
)
def test_files_that_cannot_be_scored(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "p.jsonl").write_text(content)
    done = praxis_eval("score", "p.jsonl", cwd=tmp_path)
    assert (done.returncode, words in done.stderr, done.stdout) == (2, True, "")
    assert praxis_eval("score", "gone.jsonl", cwd=tmp_path).returncode == 2


def test_compare_shows_targets_side_by_side(questions: Path) -> None:
    with ChatServer(faults={"问2": [Status(500)]}) as server:
        run(server, questions, targets=("base", "tuned"))
    done = praxis_eval("compare", "out", "--format", "json", cwd=questions)
    found = json.loads(done.stdout)
    assert [row["target"] for row in found["targets"]] == ["base", "tuned"]
    assert [row["scored"] for row in found["targets"]] == [4, 5]
    assert found["targets"][0]["errors"] == {"http_500": 1}
    assert [row["scored"] for row in found["paired"]] == [4, 4]
    table = praxis_eval("compare", "out", cwd=questions)
    assert "http_500:1" in table.stdout
    assert "all of them answered 4" in table.stderr
    files = praxis_eval("compare", "out/base.jsonl", "out/base.jsonl", "--format", "csv", cwd=questions)
    assert [row["target"] for row in csv.DictReader(io.StringIO(files.stdout))] == ["base (1)", "base (2)"]


def test_compare_says_when_the_data_sets_differ(questions: Path) -> None:
    (questions / "other.jsonl").write_text('{"predict": "x", "label": "y"}\n')
    (questions / "one.jsonl").write_text('{"predict": "x", "label": "x"}\n')
    done = praxis_eval("compare", "one.jsonl", "other.jsonl", cwd=questions)
    assert done.returncode == 0
    assert "the labels differ" in done.stderr
    assert praxis_eval("compare", str(questions / "nowhere"), cwd=questions).returncode == 2


def test_list_shows_the_runs_that_are_kept(questions: Path) -> None:
    assert "No run" in praxis_eval("list", cwd=questions).stdout
    with ChatServer() as server:
        options = ["--model", "base", "--dataset", "five", "--dataset-dir", ".", "--url", server.url]
        assert praxis_eval("run", *options, cwd=questions).returncode == 0
    found = json.loads(praxis_eval("list", "--format", "json", cwd=questions).stdout)
    assert [(row["dataset"], row["rows"], row["targets"], row["state"]) for row in found] == [
        ("five", 5, "base", "finished")
    ]


def test_list_shows_the_results_of_benchmarks_that_are_kept_beside_the_runs(questions: Path) -> None:
    kept = questions / ".praxis" / "runs"
    kept.mkdir(parents=True)
    (kept / "notes.json").write_text('{"kind": "other"}')
    (questions / "asked.jsonl").write_text(
        '{"id": 1, "query": "工资", "gold": [{"law": "劳动法", "article": "1"}]}\n'
    )
    with SearchServer({"工资": [("劳动法", "1")]}, name="statutes") as server:
        options = ["--questions", "asked.jsonl", "--url", server.url, "--json", str(kept / "found.json")]
        assert praxis("bench", "retrieval", "statutes", *options, cwd=questions).returncode == 0
    with VLLM() as engine:
        options = ["--model", engine.model, "--url", engine.url, "--num-prompts", "2", "--concurrency", "1,2"]
        done = praxis("bench", "serve", *options, "--json", str(kept / "speed.json"), cwd=questions)
        assert done.returncode == 0, done.stderr
    found = json.loads(praxis_eval("list", "--format", "json", cwd=questions).stdout)
    assert sorted((row["kind"], row["dataset"], row["rows"], row["targets"]) for row in found) == [
        ("retrieval", "asked.jsonl", 1, "statutes"),
        ("serve", "concurrency 1, concurrency 2", 4, engine.model),
    ]
    assert all(row["started"][:4].isdigit() and row["state"] == "finished" for row in found)
