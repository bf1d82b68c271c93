"""`praxis bench retrieval` against a knowledge base whose every hit is known."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.bench.command import Done, praxis
from tests.fakes.search import Hit, SearchServer

LABOUR, CONTRACT, CODE = "中华人民共和国劳动法", "中华人民共和国劳动合同法", "中华人民共和国民法典"
A44, A36, C19, C20, C21 = (
    (LABOUR, "第四十四条"),
    (LABOUR, "第三十六条"),
    (CONTRACT, "第十九条"),
    (CONTRACT, "第二十条"),
    (CONTRACT, "第二十一条"),
)


def questions(folder: Path, gold: dict[str, Sequence[tuple[str, str]]]) -> Path:
    """A file of these questions with their gold articles; the ids are 1, 2, 3 …"""
    lines = [
        {"id": n, "query": query, "gold": [{"law": law, "article": article} for law, article in articles]}
        for n, (query, articles) in enumerate(gold.items(), start=1)
    ]
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return file


def bench(server: SearchServer, file: Path, *more: str, **variables: str) -> Done:
    options = ["statutes", "--questions", str(file), "--url", server.url]
    return praxis("bench", "retrieval", *options, *more, cwd=file.parent, **variables)


def result(server: SearchServer, file: Path, *more: str) -> dict[str, Any]:
    done = bench(server, file, "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def means(found: dict[str, Any]) -> dict[str, float]:
    return {name: each["mean"] for name, each in found["metrics"].items()}


def test_metrics_are_those_of_the_field(tmp_path: Path) -> None:
    # One question finds its article first; one finds the second of two at rank 4, which counts distinct articles.
    file = questions(tmp_path, {"甲": [A44], "乙": [A36, C19]})
    finds: dict[str, Sequence[Hit]] = {"甲": [A44, C19], "乙": [C20, C20, None, C21, A44, A36]}
    with SearchServer(finds) as server:
        found = means(result(server, file, "--at", "1,3,5"))
    assert found == pytest.approx(
        {
            "hit@1": 0.5,
            "hit@3": 0.5,
            "hit@5": 1.0,
            "recall@1": 0.5,
            "recall@3": 0.5,
            "recall@5": 0.75,
            "mrr@10": (1 + 1 / 4) / 2,
            # 1/log2(5) of an ideal 1 + 1/log2(3)
            "ndcg@10": (1 + 0.430677 / 1.630930) / 2,
        },
        abs=1e-6,
    )


def test_intervals_hold_the_mean_and_repeat_with_their_seed(tmp_path: Path) -> None:
    file = questions(tmp_path, {f"问{n}": [A44] for n in range(40)})
    with SearchServer({f"问{n}": [A44] for n in range(0, 40, 2)}) as server:
        first, again = (result(server, file, "--seed", "1")["metrics"]["hit@10"] for _ in range(2))
    assert first == again
    assert first["low"] < first["mean"] == 0.5 < first["high"]
    # The normal approximation of a share of one half over 40 rows.
    assert first["high"] - first["low"] == pytest.approx(2 * 1.96 * (0.25 / 40) ** 0.5, abs=0.05)


@pytest.mark.parametrize(
    ("law", "article"),
    [
        (f"{CODE}·合同编", "第五百零九条"),
        (CODE, "第509条"),
        (f"《{CODE}》", "第 五百零九 条"),
    ],
)
def test_one_article_by_its_other_names(tmp_path: Path, law: str, article: str) -> None:
    file = questions(tmp_path, {"甲": [(CODE, "第五百零九条")]})
    with SearchServer({"甲": [(law, article)]}) as server:
        assert means(result(server, file))["hit@1"] == 1


@pytest.mark.parametrize("other", ["第五百零九条之一", "第五百条", "第九百零五条"])
def test_another_article_is_no_hit(tmp_path: Path, other: str) -> None:
    file = questions(tmp_path, {"甲": [(CODE, "第五百零九条")]})
    with SearchServer({"甲": [(CODE, other)]}) as server:
        assert means(result(server, file))["hit@1"] == 0


def test_a_search_asks_for_as_many_passages_as_wanted(tmp_path: Path) -> None:
    file = questions(tmp_path, {"甲": [A44]})
    with SearchServer({"甲": [C19, A44]}) as server:
        assert means(result(server, file, "--limit", "1"))["hit@10"] == 0
        assert server.requests == [{"query": "甲", "max_num_results": 1}]


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    file = questions(tmp_path, {f"问{n}": [A44] for n in range(50)})
    with SearchServer({}) as server:
        drawn = [
            [row["query"] for row in result(server, file, "--sample", "5", "--seed", seed)["rows"]]
            for seed in ("1", "1", "2")
        ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(each) for each in drawn] == [5, 5, 5]


def test_failed_searches_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    file = questions(tmp_path, {"甲": [A44], "乙": [A44], "丙": [A44]})
    with SearchServer({"甲": [A44], "乙": 500, "丙": [A44]}) as server:
        done = bench(server, file, "--format", "json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert means(found)["hit@1"] == 1
    assert (found["questions"], found["answered"], found["errors"]) == (3, 2, {"http_500": 1})
    assert "1 of 3 searches failed" in done.stderr
    with SearchServer({"甲": 400, "乙": 400, "丙": 400}) as server:
        assert bench(server, file).returncode == 1


def test_misses_can_be_read(tmp_path: Path) -> None:
    file = questions(tmp_path, {"加班费怎么算": [A44], "试用期多久": [C19, C20]})
    with SearchServer({"加班费怎么算": [A44], "试用期多久": [A36, C20]}) as server:
        done = bench(server, file, "--misses", "misses.md", "--format", "csv", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "misses.md").read_text()
    assert "加班费" not in text
    assert "试用期多久" in text
    assert f"missed: {CONTRACT} 第十九条" in text
    assert "ranks 2" in text
    figures = {row["figure"]: row["value"] for row in csv.DictReader(io.StringIO(done.stdout))}
    assert figures["recall@10"] == "0.7500"
    assert float(figures["latency p95 ms"]) >= float(figures["latency p50 ms"]) > 0
    kept = json.loads((tmp_path / "r.json").read_text())
    assert kept["rows"][1]["ranks"] == [2]
    assert kept["settings"]["sha256"]


def test_articles_that_the_knowledge_base_lacks_are_named(tmp_path: Path) -> None:
    file = questions(tmp_path, {"甲": [A44, C19]})
    with SearchServer({"甲": [A44], f"{LABOUR} 第四十四条": [A44]}) as server:
        done = bench(server, file, "--check-gold")
    assert f"1 gold articles are not in the knowledge base: {CONTRACT} 第十九条" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no lines"),
        ('{"query": "x", "gold": []}\n', "line 1"),
        ('{"query": "x", "gold": [{"law": "y"}]}\n', "`law` and an `article`"),
        ('{"query": " ", "gold": [{"law": "y", "article": "z"}]}\n', "`query`"),
        ("nonsense\n[]\n", "line 2"),
        ('{"id": 1, "query": "x", "gold": [{"law": "y", "article": "z"}]}\n' * 2, "more than once: `1`"),
    ],
)
def test_questions_that_cannot_be_asked(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(content)
    with SearchServer({}) as server:
        done = bench(server, file)
        assert (done.returncode, words in done.stderr, server.requests) == (2, True, [])


def test_questions_with_a_mark_and_any_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    lines = [json.dumps({"query": f"问{n}", "gold": [{"law": "a", "article": "第一条"}]}) for n in range(4)]
    file.write_bytes(b"\xef\xbb\xbf" + f"{lines[0]}\r\n{lines[1]}\n\n{lines[2]}\r{lines[3]}".encode())
    with SearchServer({}) as server:
        assert result(server, file)["questions"] == 4


def test_wrong_usage(tmp_path: Path) -> None:
    file = questions(tmp_path, {"甲": [A44]})
    with SearchServer({}, name="other", key="sk-1") as server:
        unknown = bench(server, file, PRAXIS_API_KEY="sk-1")
        assert (unknown.returncode, "no knowledge base `statutes`; it sees `other`" in unknown.stderr) == (
            1,
            True,
        )
        keyless = bench(server, file)
        assert (keyless.returncode, "PRAXIS_API_KEY" in keyless.stderr) == (1, True)
        assert bench(server, file, "--at", "0").returncode == 2
        assert bench(server, file, "--json", "nowhere/r.json").returncode == 2
    gone = praxis(
        "bench", "retrieval", "statutes", "--questions", str(file), "--url", server.url, "--patience", "0", cwd=tmp_path
    )  # fmt: skip
    assert (gone.returncode, "praxis up" in gone.stderr) == (1, True)


def test_compare_is_paired_and_fails_on_what_is_worse(tmp_path: Path) -> None:
    file = questions(tmp_path, {f"问{n}": [A44] for n in range(30)})
    everything: dict[str, Sequence[Hit]] = {f"问{n}": [A44] for n in range(30)}
    for name, finds in {"all": everything, "one": everything | {"问1": []}, "few": {"问1": [A44]}}.items():
        with SearchServer(finds) as server:
            assert bench(server, file, "--json", f"{name}.json").returncode == 0

    def compare(before: str, after: str) -> Done:
        options = ["--time-tolerance", "1000", "--format", "json"]
        return praxis("bench", "compare", f"{before}.json", f"{after}.json", *options, cwd=tmp_path)

    assert compare("all", "all").returncode == 0
    assert compare("all", "one").returncode == 0  # One question of thirty is noise.
    worse = compare("all", "few")
    assert worse.returncode == 1
    assert "hit@10" in worse.stderr
    verdicts = {row["figure"]: row["verdict"] for row in json.loads(worse.stdout)}
    assert (verdicts["mrr@10"], verdicts["errors"]) == ("worse", "")
    assert compare("few", "all").returncode == 0
    (tmp_path / "gateway.json").write_text('{"kind": "gateway", "subjects": {}, "loads": []}')
    assert compare("all", "gateway").returncode == 2
