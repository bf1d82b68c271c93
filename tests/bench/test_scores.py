"""`praxis eval score` and `compare`: intervals, thinking, which target is better, and what answers rest on."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.command import praxis
from tests.fakes.chat import ChatServer, Fault, Says

GOLDEN = Path(__file__).parent.parent / "data" / "eval" / "golden_predictions.jsonl"


def predictions(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file.name


def score(folder: Path, *arguments: str) -> dict[str, Any]:
    done = praxis("eval", "score", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def compare(folder: Path, *arguments: str) -> dict[str, Any]:
    done = praxis("eval", "compare", *arguments, "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_mean_has_its_interval(tmp_path: Path) -> None:
    found, again = (score(tmp_path, str(GOLDEN), "--seed", "3") for _ in range(2))
    assert found["intervals"] == again["intervals"]
    assert found["bootstrap"] == {"seed": 3, "resamples": 2000, "confidence": 0.95}
    for name in ("bleu-4", "rouge-1", "rouge-2", "rouge-l", "chrf", "exact_match"):
        each = found["intervals"][f"predict_{name}"]
        assert each["mean"] == pytest.approx(found[f"predict_{name}"])
        assert each["low"] < each["mean"] < each["high"]
        assert each["rows"] == 80
    table = praxis("eval", "score", str(GOLDEN), "--seed", "3", "--format", "csv", cwd=tmp_path).stdout
    row = next(csv.DictReader(io.StringIO(table)))
    assert float(row["predict_chrf_low"]) < float(row["predict_chrf"]) < float(row["predict_chrf_high"])


def test_thinking_is_removed_where_wanted(tmp_path: Path) -> None:
    rows = [
        {"predict": "<think>想一想</think>\n好的答案", "label": "好的答案"},
        {"predict": "想一想</think>好的答案", "label": "<think>\n\n</think>\n\n好的答案"},
        {"predict": "好的答案", "label": "好的答案"},
        {"predict": "<think>没有想完", "label": "好的答案"},
    ]
    file = predictions(tmp_path / "p.jsonl", rows)
    assert score(tmp_path, file)["predict_exact_match"] == 25
    without = score(tmp_path, file, "--remove-thinking")
    assert (without["predict_exact_match"], without["predict_rouge-l"]) == (75, 75)


def test_compare_says_which_target_is_better(tmp_path: Path) -> None:
    label = "用人单位应当支付加班费"
    rows = [{"id": n, "prompt": f"问{n}", "label": label} for n in range(30)]
    base = [row | {"predict": "不知道" if row["id"] % 3 else label} for row in rows]
    files = {
        "base": base,
        "tuned": [row | {"predict": label} for row in rows],
        "same": [row | {"predict": "我不知道" if row["id"] == 4 else row["predict"]} for row in base],
    }
    names = [predictions(tmp_path / f"{name}.jsonl", each) for name, each in files.items()]
    found = compare(tmp_path, *names, "--rows", "2")
    by_target = {(each["target"], each["metric"]): each for each in found["differences"]}
    better = by_target["tuned", "exact_match"]
    assert (better["against"], better["verdict"], better["rows"]) == ("base", "better", 30)
    assert better["difference"] == pytest.approx(200 / 3)
    assert 0 < better["low"] < better["difference"] < better["high"]
    assert by_target["same", "rouge-l"]["verdict"] == "no difference beyond noise"
    assert len(found["rows"]) == 2
    widest = found["rows"][0]
    assert (widest["id"], widest["spread"], widest["prompt"]) == (1, 100, "问1")
    assert widest["predictions"] == {"base": "不知道", "tuned": label, "same": "不知道"}
    other = compare(tmp_path, *names, "--against", "tuned")["differences"]
    assert {(each["target"], each["verdict"]) for each in other if each["metric"] == "chrf"} == {
        ("base", "worse"),
        ("same", "worse"),
    }
    shown = praxis("eval", "compare", *names, cwd=tmp_path).stdout
    assert "Row 1: 问1" in shown
    assert praxis("eval", "compare", *names, "--against", "nobody", cwd=tmp_path).returncode == 2
    assert praxis("eval", "compare", *names, "--by", "nothing", cwd=tmp_path).returncode == 2


def test_grounding_is_counted_from_what_the_gateway_reports(tmp_path: Path) -> None:
    right = {"marker": 1, "verified": True, "quote": "加班费"}
    wrong = {"marker": 2, "verified": False, "quote": "休息"}
    said: dict[str, Fault] = {
        "问1": Says("按第四十四条支付[1]。", more={"citations": [right, wrong]}),
        "问2": Says(
            "按第九百条支付。",
            more={"citations": [], "unverified": [{"law": "劳动法", "article": "第九百条"}]},
        ),
        "问3": Says("资料中没有依据。", more={"citations": []}),
        "外1": Says("知识库中没有找到能支持回答的内容。", more={"citations": []}),
        "外2": Says("天气很好[1]。", more={"citations": [wrong]}),
    }

    def answer(request: dict[str, Any]) -> Fault:
        return said[request["messages"][-1]["content"]]

    for name, questions in {"inside": ["问1", "问2", "问3"], "outside": ["外1", "外2"]}.items():
        rows = [{"instruction": question, "output": "答"} for question in questions]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text(
        '{"inside": {"file_name": "inside.json"}, "outside": {"file_name": "outside.json"}}'
    )
    with ChatServer(answers=answer) as server:
        for name in ("inside", "outside"):
            options = ["--model", "base", "--dataset", name, "--dataset-dir", ".", "--out", f"run-{name}"]
            done = praxis("eval", "run", *options, "--url", server.url, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    found = score(tmp_path, "run-inside/base.jsonl", "--unanswerable", "run-outside/base.jsonl")["grounding"]
    shares = {name: each["mean"] for name, each in found.items() if isinstance(each, dict)}
    assert shares == pytest.approx(
        {
            "cited": 1 / 3,
            "citations_verified": 1 / 2,
            "articles_exist": 1 / 2,
            "abstained_wrongly": 1 / 3,
            "abstained_rightly": 1 / 2,
        }
    )
    assert (found["answers"], found["citations"], found["unanswerable"]) == (3, 2, 2)
    kept = json.loads((tmp_path / "run-inside" / "base.scores.json").read_text())["grounding"]
    assert kept["cited"] == found["cited"]
    assert kept["abstained_rightly"] is None


def test_answers_without_documents_have_no_grounding(tmp_path: Path) -> None:
    assert score(tmp_path, str(GOLDEN))["grounding"] is None
