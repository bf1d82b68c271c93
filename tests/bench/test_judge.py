"""`praxis eval judge`: both orders, ties on disagreement, typed failures; the judge is a server whose verdicts are known."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.command import Done, praxis
from tests.fakes.chat import ChatServer, Fault, Says, Silence, Status
from tests.processes import environment, eventually

Body = dict[str, Any]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Answers of `base` and `tuned` to six questions; `tuned`'s say 好, and row 6 has none of `base`'s."""
    for target, word in {"base": "差", "tuned": "好"}.items():
        rows = [
            {"id": n, "prompt": f"问{n}", "label": f"答{n}", "predict": f"{word}{n}" + "。" * n}
            for n in range(1, 7)
        ]
        if target == "base":
            rows[-1] |= {"predict": "", "error": {"type": "timeout", "message": "x"}}
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (tmp_path / f"{target}.jsonl").write_text("".join(lines))
    return tmp_path


def prefers(word: str) -> Callable[[Body], Fault]:
    """A judge who finds better whichever answer begins with `word`."""

    def verdict(body: Body) -> Fault:
        shown = body["messages"][-1]["content"]
        first = shown.split("<答复A>\n")[1]
        return Says(f"理由……\n[[{'A' if first.startswith(word) else 'B'}]]")

    return verdict


def judge(folder: Path, answers: Callable[[Body], Fault], *more: str) -> tuple[Done, list[Body]]:
    with ChatServer(models=("referee",), answers=answers) as server:
        options = ["base.jsonl", "tuned.jsonl", "--judge", "referee", "--url", server.url, "--format", "json"]
        return praxis("eval", "judge", *options, *more, cwd=folder), server.requests


def test_the_better_target_wins_in_both_orders(answers: Path) -> None:
    done, requests = judge(answers, prefers("好"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["first"], found["second"]) == ("tuned", "base")
    assert (found["wins"], found["ties"], found["losses"], found["errors"]) == (5, 0, 0, {})
    assert (found["win_rate"]["mean"], found["flipped"]) == (1.0, 0.0)
    assert len(requests) == 10  # Five pairs, twice; row 6 has one answer only.
    assert {request["temperature"] for request in requests} == {0}
    system = requests[0]["messages"][0]["content"]
    for criterion in ("计算依据", "证据链", "事实认定", "差额", "抗辩", "起草", "服务当事人"):
        assert criterion in system
    assert "<参考答案>\n答" in requests[0]["messages"][1]["content"]
    kept = [json.loads(line) for line in (answers / "judged.jsonl").read_text().splitlines()]
    assert {row["winner"] for row in kept} == {"first"}
    assert all(len(row["said"]) == 2 for row in kept)


def test_a_judge_who_prefers_the_first_place_decides_nothing(answers: Path) -> None:
    done, _ = judge(answers, lambda body: Says("[[A]]"))
    found = json.loads(done.stdout)
    assert (found["wins"], found["ties"], found["losses"]) == (0, 5, 0)
    assert (found["win_rate"]["mean"], found["flipped"]) == (0.5, 1.0)


def test_the_last_verdict_counts_and_thinking_does_not(answers: Path) -> None:
    said = "<think>[[A]]</think>开始以为[[A]]，其实\n[[C]]"
    done, _ = judge(answers, lambda body: Says(said))
    assert json.loads(done.stdout)["ties"] == 5
    assert json.loads(done.stdout)["flipped"] == 0.0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Says("都不错"), "no_verdict"),
        (Says("[[A]] 或 [[B]] 不好说"), None),
        (Says(""), "empty"),
        (Status(400), "http_400"),
        (Silence(), "timeout"),
    ],
)
def test_failures_are_typed_and_in_no_share(answers: Path, fault: Fault, kind: str | None) -> None:
    good = prefers("好")

    def verdict(body: Body) -> Fault:
        return fault if re.search("<问题>\n问3", body["messages"][-1]["content"]) else good(body)

    done, _ = judge(answers, verdict, "--timeout", "5", "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if kind is None:
        return
    assert (found["pairs"], found["judged"], found["errors"]) == (5, 4, {kind: 1})
    assert found["win_rate"]["mean"] == 1.0


ITEMS = ("计算依据", "证据链", "事实认定", "差额计算", "回应用人单位的抗辩", "起草请求", "服务当事人")


def by_item(
    better: dict[str, str], form: str = "{item}：[[{letter}]] 因为答复{letter}更完整"
) -> Callable[[Body], Fault]:
    """A judge with a favourite of its own on each item, by the word with which the better answer begins; else a tie."""

    def verdict(body: Body) -> Fault:
        shown = body["messages"][-1]["content"]
        first = shown.split("<答复A>\n")[1]
        lines = []
        for item, word in better.items():
            letter = ("A" if first.startswith(word) else "B") if word else "C"
            lines.append(form.format(item=item, letter=letter))
        return Says("\n".join(lines))

    return verdict


def test_every_criterion_is_judged_by_itself_in_both_orders(answers: Path) -> None:
    better = dict(zip(ITEMS, ("好", "差", "", "好", "好", "", ""), strict=True)) | {"总评": "差"}
    done, _ = judge(answers, by_item(better))
    found = json.loads(done.stdout)
    assert (found["wins"], found["losses"]) == (0, 5)
    assert {
        name: (each["wins"], each["ties"], each["losses"]) for name, each in found["criteria"].items()
    } == {name: {"好": (5, 0, 0), "差": (0, 0, 5), "": (0, 5, 0)}[better[name]] for name in ITEMS}
    rate = found["criteria"]["计算依据"]["win_rate"]
    assert rate["mean"] == 1.0
    assert 0.5 < rate["low"] < 0.6  # Five pairs are few.
    kept = [json.loads(line) for line in (answers / "judged.jsonl").read_text().splitlines()]
    assert kept[0]["criteria"]["计算依据"] == {
        "winner": "first",
        "verdicts": ["A", "A"],
        "reason": "因为答复A更完整",
    }
    done, requests = judge(answers, by_item(better), "--resume", "--format", "csv")
    assert requests == []
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert [row[rows[0].index("criterion")] for row in rows[1:]] == ["all in all", *ITEMS]


@pytest.mark.parametrize(
    "form",
    [
        "- **{item}**：[[{letter}]] 更准",
        "| {item} | [[{letter}]] | 更准 |",
        "3. {item}（见[1]）：更准 [[ {letter} ]]",
        "### 二、{item}\n更准。\n[[{letter}]]\n",
    ],
)
def test_a_judge_may_write_as_it_likes(answers: Path, form: str) -> None:
    better = {"证据链": "好", "总评": "好"}
    done, _ = judge(answers, by_item(better, form), "--sample", "1")
    found = json.loads(done.stdout)
    assert (found["wins"], found["criteria"]["证据链"]["wins"]) == (1, 1)
    assert found["criteria"]["计算依据"] == {
        "judged": 0, "wins": 0, "ties": 0, "losses": 0, "win_rate": None, "flipped": None,
    }  # fmt: skip
    kept = json.loads((answers / "judged.jsonl").read_text())
    assert "更准" in kept["criteria"]["证据链"]["reason"]


def test_a_reply_that_says_nothing_of_the_whole_is_a_failure(answers: Path) -> None:
    done, _ = judge(answers, by_item({"证据链": "好"}))
    assert done.returncode == 1
    assert "no_verdict" in done.stderr


def test_a_judge_who_never_decides_fails(answers: Path) -> None:
    done, _ = judge(answers, lambda body: Says("不好说"))
    assert done.returncode == 1
    assert "no_verdict" in done.stderr


def asked(requests: list[Body]) -> list[str]:
    """Which questions the judge was asked, in order."""
    return [re.findall("<问题>\n(问.)", request["messages"][-1]["content"])[0] for request in requests]


def test_a_judge_that_was_stopped_goes_on_where_it_was(answers: Path) -> None:
    good = prefers("好")
    with ChatServer(models=("referee",)) as server:

        def verdict(body: Body) -> Fault:
            return Silence() if asked([body]) == ["问4"] else good(body)

        server.answers = verdict
        options = [
            "base.jsonl",
            "tuned.jsonl",
            "--judge",
            "referee",
            "--url",
            server.url,
            "--concurrency",
            "1",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "praxis", "eval", "judge", *options],
            cwd=answers,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: "问4" in asked(server.requests), "the fourth pair is judged", within=60)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert (process.returncode, "--resume" in said) == (1, True)
    done, requests = judge(answers, good, "--resume")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["wins"] == 5
    assert sorted(asked(requests)) == ["问4", "问4", "问5", "问5"]
    kept = [json.loads(line) for line in (answers / "judged.jsonl").read_text().splitlines()]
    assert [row["id"] for row in kept] == [1, 2, 3, 4, 5]


def test_pairs_that_failed_are_judged_again_and_no_others(answers: Path) -> None:
    good = prefers("好")

    def busy(body: Body) -> Fault:
        return Status(400) if asked([body]) == ["问2"] else good(body)

    assert json.loads(judge(answers, busy)[0].stdout)["errors"] == {"http_400": 1}
    done, requests = judge(answers, good, "--resume")
    assert asked(requests) == ["问2", "问2"]
    assert (json.loads(done.stdout)["wins"], json.loads(done.stdout)["errors"]) == (5, {})


def test_verdicts_of_two_judges_are_not_mixed(answers: Path) -> None:
    assert judge(answers, prefers("好"), "--resume")[0].returncode == 2  # There is nothing to go on with.
    assert judge(answers, prefers("好"))[0].returncode == 0
    for options, word in (
        ([], "add `--resume`"),
        (["--resume", "--rubric", "medical"], "another `--out`"),
        (["--resume", "--no-reference"], "another `--out`"),
    ):
        done, requests = judge(answers, prefers("好"), *options)
        assert (done.returncode, word in done.stderr, requests) == (2, True, []), done.stderr


def test_a_gateway_that_goes_away_stops_the_judge(answers: Path) -> None:
    with ChatServer(models=("referee",)) as server:
        good = prefers("好")

        def verdict(body: Body) -> Fault:
            return Silence() if asked([body]) == ["问2"] else good(body)

        server.answers = verdict
        options = ["--judge", "referee", "--url", server.url, "--concurrency", "1", "--patience", "1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "praxis", "eval", "judge", "base.jsonl", "tuned.jsonl", *options],
            cwd=answers,
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: "问2" in asked(server.requests), "the second pair is judged", within=60)
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, "Stopped early" in said, "--resume" in said) == (1, True, True), said
    done, requests = judge(answers, good, "--resume")
    assert sorted(set(asked(requests))) == ["问2", "问3", "问4", "问5"]
    assert json.loads(done.stdout)["wins"] == 5


def test_a_rubric_of_ones_own(answers: Path) -> None:
    (answers / "mine.yaml").write_text(
        "name: mine\nrole: 你是法官。\ncriteria: [{name: 简洁, what: 越短越好}]\n"
    )
    done, requests = judge(answers, prefers("差"), "--rubric", "mine.yaml", "--no-reference", "--sample", "2")
    found = json.loads(done.stdout)
    assert (found["rubric"], found["losses"], found["pairs"]) == ("mine", 2, 2)
    assert "你是法官。" in requests[0]["messages"][0]["content"]
    assert "- 简洁：越短越好" in requests[0]["messages"][0]["content"]
    assert "参考答案" not in requests[0]["messages"][1]["content"]


def test_the_medical_rubric_ships(answers: Path) -> None:
    done, requests = judge(answers, prefers("好"), "--rubric", "medical", "--sample", "1")
    assert done.returncode == 0, done.stderr
    assert "医生" in requests[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rubric", "nowhere.yaml"], "shipped are `legal` and `medical`"),
        (["--rubric", "empty.yaml"], "`criteria`"),
        (["--rubric", "twice.yaml"], "`简洁` is the name of two"),
        (["--first", "nobody"], "`nobody` is no target"),
        (["--out", "nowhere/x.jsonl"], "no folder"),
        (["third.jsonl"], "--first"),
    ],
)
def test_wrong_usage(answers: Path, options: list[str], words: str) -> None:
    (answers / "empty.yaml").write_text("name: x\n")
    (answers / "twice.yaml").write_text(f"criteria: [{', '.join(['{name: 简洁, what: 短}'] * 2)}]\n")
    (answers / "third.jsonl").write_text((answers / "base.jsonl").read_text())
    done, requests = judge(answers, prefers("好"), *options)
    assert (done.returncode, words in done.stderr, requests) == (2, True, [])
