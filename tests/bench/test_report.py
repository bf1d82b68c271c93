"""Reports: one file that needs nothing else, in two languages, with plots beside it."""

import base64
import json
import re
from pathlib import Path

import pytest

from tests.bench.command import praxis
from tests.fakes.chat import ChatServer, Says
from tests.fakes.search import SearchServer
from tests.fakes.vllm import VLLM

EVIL = "<script>alert(1)</script>"


def pictures(html: str) -> list[bytes]:
    """The pictures inside a page, after making sure that it asks nothing of a network and runs nothing."""
    assert not re.search(r"(?:src|href)=\"(?!data:)", html)
    assert "<script" not in html
    assert "@import" not in html
    found = [base64.b64decode(each) for each in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    assert all(each.startswith(b"\x89PNG") for each in found)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two targets over five rows, one of which says something that a browser would carry out."""
    rows = [
        {"instruction": f"问{n}{EVIL if n == 1 else ''}", "output": f"base answers 问{n}"} for n in range(5)
    ]
    (tmp_path / "five.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text('{"five": {"file_name": "five.json"}}')
    options = [
        "--model",
        "base",
        "--model",
        "tuned",
        "--dataset",
        "five",
        "--dataset-dir",
        ".",
        "--seed",
        "7",
    ]
    with ChatServer(
        faults={"问2": [Says("base answers 问2", more={"citations": [{"verified": True}]})]}
    ) as server:
        done = praxis("eval", "run", *options, "--out", "out", "--url", server.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_a_run_is_reported_in_two_languages(run: Path) -> None:
    assert praxis("eval", "report", "out", cwd=run.parent).stdout == "out/report.html\n"
    chinese = (run / "report.html").read_text()
    assert '<html lang="zh-CN">' in chinese
    for heading in (
        "得分",
        "与基准的差异",
        "各对象差异最大的行",
        "得分最低的行",
        "依据与引用",
        "设置、版本与种子",
    ):
        assert heading in chinese
    assert 'class="worse"' in chinese  # `tuned` says something else than the labels in every row
    assert "no difference" not in chinese
    assert len(pictures(chinese)) == 2
    assert (run / "report-quality.png").read_bytes() == pictures(chinese)[0]
    assert (
        praxis("eval", "report", "out", "--language", "en", "--out", "en.html", cwd=run.parent).returncode
        == 0
    )
    english = (run.parent / "en.html").read_text()
    assert '<html lang="en">' in english
    assert "Worst rows" in english
    assert "&lt;script&gt;" in english
    assert "&quot;seed&quot;: 7" in english
    assert "&quot;praxis&quot;: " in english
    assert pictures(english)


def test_results_of_the_benchmarks_are_reported(tmp_path: Path) -> None:
    gold = [{"law": "劳动法", "article": "第四十四条"}]
    (tmp_path / "q.jsonl").write_text(json.dumps({"id": 9, "query": "加班费", "gold": gold}) + "\n")
    with SearchServer({"加班费": [("劳动法", "第三条")]}) as server:
        options = ["statutes", "--questions", "q.jsonl", "--url", server.url, "--json", "found.json"]
        assert praxis("bench", "retrieval", *options, cwd=tmp_path).returncode == 0
    with VLLM() as engine:
        options = [
            "--model",
            "qwen",
            "--url",
            engine.url,
            "--num-prompts",
            "4",
            "--rate",
            "50",
            "--json",
            "fast.json",
        ]
        assert praxis("bench", "serve", *options, cwd=tmp_path).returncode == 0
    for name, words, plots in (
        ("found", ("检索评测", "ndcg@10", "劳动法 第四十四条", "sha256"), ("metrics", "search")),
        ("fast", ("速度评测", "TTFT p99", "burstiness"), ("tradeoff", "latency", "ttft")),
    ):
        assert praxis("bench", "report", f"{name}.json", cwd=tmp_path).stdout == f"{name}.html\n"
        html = (tmp_path / f"{name}.html").read_text()
        assert all(word in html for word in words)
        assert len(pictures(html)) == len(plots)
        assert all((tmp_path / f"{name}-{plot}.png").exists() for plot in plots)


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    (tmp_path / "gateway.json").write_text('{"kind": "gateway"}')
    (tmp_path / "part.json").write_text('{"kind": "serve", "date": "x"}')
    for arguments in (
        ["eval", "report", "nowhere"],
        ["bench", "report", "gateway.json"],
        ["bench", "report", "part.json"],
    ):
        done = praxis(*arguments, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
