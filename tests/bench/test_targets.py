"""What a result says of the targets, and how its tables mark what cannot be believed."""

from typing import Any

import pytest

from bench.load.report import goals, memory, notes, throughput
from bench.load.targets import targets

TIMES = {"first_event_p50_ms": [None], "first_event_p99_ms": [None], "gap_p99_ms": [None]}


def series(rates: list[float], **more: Any) -> dict[str, Any]:
    figures = {"requests_per_second": rates, "errors": {}, "cpu": [0.2] * len(rates), **TIMES}
    return figures | {"engines_cpu": [0.2] * len(rates), "others_cpu": [0.0] * len(rates)} | more


def result(load: str, clients: int, ratios: dict[str, Any], **subjects: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): each for name, each in subjects.items()}
    process = {"version": "1", "memory_mib": {"start": 50.0, "after": 60.0, "highest": 70.0}}
    return {
        "subjects": dict.fromkeys(named, process),
        "skipped": {},
        "pinned": True,
        "soak": None,
        "loads": [{"load": load, "clients": clients, "subjects": named, "ratios": ratios}],
    }


def verdict(found: dict[str, Any], what: str) -> tuple[str, list[float]]:
    (target,) = [each for each in targets(found) if each.what == what]
    return target.verdict, list(target.rounds)


@pytest.mark.parametrize(
    ("ratios", "errors", "told"),
    [
        ([1.1, 1.3, 9.0], {}, "met"),
        ([1.1, 1.29, 9.0], {}, "missed"),
        ([None, 1.2, 1.5], {}, "met"),
        ([None, None, None], {}, "not measured"),
        ([2.0, 2.0, 2.0], {"http_500": 1}, "errors"),
        ([None, None, None], {"unreachable": 3}, "errors"),
    ],
)
def test_a_ratio_is_judged_by_its_median(
    ratios: list[float | None], errors: dict[str, int], told: str
) -> None:
    peer = series([100.0] * 3, errors=errors)
    found = result("json", 32, {"vllm-router": ratios}, praxis=series([130.0] * 3), vllm_router=peer)
    assert verdict(found, "json, 32 clients: praxis ÷ vllm-router")[0] == told
    assert verdict(found, "json, 256 clients: praxis ÷ vllm-router") == ("not measured", [])


def test_delays_are_taken_round_by_round() -> None:
    praxis = series([300.0] * 3, first_event_p50_ms=[12.0, 30.0, None], gap_p99_ms=[30.0, 40.0, 50.0])
    direct = series([300.0] * 3, first_event_p50_ms=[8.0, 28.0, 1.0], gap_p99_ms=[10.0, 20.0, 30.0])
    found = result("paced", 256, {"direct": [1.0] * 3}, direct=direct, praxis=praxis)
    assert verdict(found, "paced, 256 clients: first event p50 later than direct") == ("met", [4.0, 2.0])
    assert verdict(found, "paced, 256 clients: gap p99 later than direct") == ("missed", [20.0] * 3)


@pytest.mark.parametrize(
    ("highest", "marks", "told"),
    [
        (119.0, [100.0, 109.0], ("met", "met")),
        (119.0, [100.0, 111.0], ("met", "missed")),
        (121.0, [100.0, 90.0], ("missed", "met")),
    ],
)
def test_memory_is_judged_at_its_highest_and_by_its_growth(
    highest: float, marks: list[float], told: tuple[str, str]
) -> None:
    found = result("json", 1, {}, praxis=series([1.0]))
    found["soak"] = {
        "start": 50.0,
        "highest": highest,
        "answered": [20_000, 200_000],
        "memory_mib": marks,
        "errors": {},
    }
    most = verdict(found, "resident memory of praxis at most")[0]
    growth = verdict(found, "its memory after 200,000 requests ÷ after 20,000")[0]
    assert (most, growth) == told
    assert "100.0 after 20,000" in list(notes(found))[-1]


def test_tables_show_medians_and_mark_what_cannot_be_believed() -> None:
    found = result(
        "sse",
        32,
        {"direct": [0.5, 0.6, 0.7], "nginx": [2.0, 2.0, 2.0]},
        direct=series([2000.0, 2200.0, 9000.0], cpu=[0.7] * 3),
        nginx=series([50.04] * 3, errors={"cut": 1200}, others_cpu=[0.0, 0.02, 0.3]),
        praxis=series([1000.0, 1234.4, 1300.0]),
    )
    found["subjects"]["litellm"] = found["subjects"]["praxis"]
    found["skipped"]["vllm-router"] = "no licence"
    (row,) = throughput(found)
    assert row == {
        "load": "sse",
        "clients": 32,
        "direct": "2,200",
        "nginx": "50.0 ✗",
        "praxis": "1,234",
        "litellm": "",
        "÷ direct": "0.60",
        "÷ nginx": "2.00 ✗",
        "÷ litellm": "",
    }
    found["loads"][0]["subjects"]["direct"]["cpu"] = [0.75] * 3
    assert throughput(found)[0]["direct"] == "≥ 2,200"
    text = "\n".join(notes(found))
    assert "Left out: vllm-router (no licence)." in text
    assert "nginx under sse, 32 clients (cut 1,200)." in text
    assert "1 of 9 measurements lost more than 10% of a core to other programs, at worst 30%" in text
    assert "Empty: " in text
    for each in found["loads"][0]["subjects"].values():
        each["others_cpu"] = [0.4, 0.5, 0.6]
    assert "Other programs took 50% of a core that was measured on, at worst 60%" in "\n".join(notes(found))
    assert [each["subject"] for each in memory(found)] == ["nginx", "praxis", "litellm"]
    assert [each["target"] for each in goals(found)] == ["resident memory of praxis at most"]
