"""`praxis bench gateway` measures what is there and names what is not; `praxis bench compare` judges two results.

Nothing here asserts a speed: the machine that runs the tests has other work.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.load.peers import nginx
from tests.fakes import peer
from tests.processes import environment, eventually, gone, praxis

TINY = ("--rounds", "2", "--clients", "2")


def measure(folder: Path, *options: str, code: int = 0, **variables: str) -> tuple[dict[str, Any], str]:
    """Run a tiny benchmark, a longer one where a busy machine answers nothing in so short a time; return its result and
    what it printed."""
    for seconds in ("0.2", "2", "20"):
        command = ("bench", "gateway", *TINY, "--json", "r.json", *options)
        done = praxis(*command, "--seconds", seconds, cwd=folder, **variables)
        if "give more `--seconds`" not in done.stderr:
            break
    assert done.returncode == code, done.stderr
    return json.loads((folder / "r.json").read_text()), done.stdout + done.stderr


def test_every_load_without_peers(tmp_path: Path) -> None:
    result, text = measure(tmp_path, "--clients", "1,8", "--rounds", "1")
    assert [(load["load"], load["clients"]) for load in result["loads"]] == [
        ("json", 1),
        ("json", 8),
        ("sse", 1),
        ("sse", 8),
        ("paced", 256),
        ("bodies", 32),
    ]
    for load in result["loads"]:
        assert list(load["subjects"]) == ["direct", "praxis"]
        assert list(load["ratios"]) == ["direct"]
        for series in load["subjects"].values():
            assert series["errors"] == {}
            assert series["requests"][0] > 0
            assert 0 < series["p50_ms"][0] <= series["p99_ms"][0]
            assert 0 <= series["others_cpu"][0] <= 1.1
            streamed = load["load"] in ("sse", "paced")
            for figure in ("first_event_p50_ms", "first_event_p99_ms", "gap_p99_ms"):
                assert (series[figure][0] is not None) is streamed
        own = load["subjects"]["praxis"]
        assert own["cpu_us"][0] > 0
        assert load["ratios"]["direct"] == [
            own["requests_per_second"][0] / load["subjects"]["direct"]["requests_per_second"][0]
        ]
    memory = result["subjects"]["praxis"]["memory_mib"]
    assert memory["highest"] >= memory["start"] > 10
    assert result["pinned"] is (len(os.sched_getaffinity(0)) > 1)
    assert "1 round of 6 loads on direct, praxis: about " in text
    assert "Left out" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json"]
    assert praxis("bench", "compare", "r.json", "r.json", cwd=tmp_path).returncode == 0


def test_peers_that_are_not_installed_are_named(tmp_path: Path) -> None:
    result, text = measure(tmp_path, "--peers", "--only", "json", PRAXIS_HOME=str(tmp_path / "home"))
    here = {"direct", "praxis"} | ({"nginx"} if nginx() else set())
    assert set(result["subjects"]) == here
    assert set(result["skipped"]) == {"nginx", "vllm-router", "litellm"} - here
    for name in result["skipped"]:
        assert f"Left out: {name} (" in text
    assert "Left out: litellm (install it with `praxis bench gateway --install-peers`)." in text
    (load,) = result["loads"]
    assert set(load["subjects"]) == here
    assert all(series["errors"] == {} for series in load["subjects"].values())


def test_a_peer_is_measured_in_turn_with_the_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    peer.install(home, "vllm-router", "fine")
    result, text = measure(
        tmp_path,
        "--subjects",
        "praxis,vllm-router",
        "--only",
        "json",
        "--attempts",
        "2",
        PRAXIS_HOME=str(home),
    )
    (load,) = result["loads"]
    rates = {name: series["requests_per_second"] for name, series in load["subjects"].items()}
    assert load["subjects"]["vllm-router"]["errors"] == {}
    assert load["ratios"] == {
        "vllm-router": [a / b for a, b in zip(rates["praxis"], rates["vllm-router"], strict=True)]
    }
    assert result["subjects"]["vllm-router"]["version"] == "7.8.9"
    assert result["subjects"]["vllm-router"]["memory_mib"]["highest"] > 1
    assert "÷ vllm-router" in text
    assert "✗" not in text


@pytest.mark.parametrize(("behaviour", "kind"), [("refuses", "http_503"), ("ends", "unreachable")])
def test_a_peer_that_fails_is_marked_and_the_rest_measured(tmp_path: Path, behaviour: str, kind: str) -> None:
    home = tmp_path / "home"
    peer.install(home, "vllm-router", behaviour)
    result, text = measure(
        tmp_path, "--subjects", "praxis,vllm-router", "--only", "json", PRAXIS_HOME=str(home)
    )
    (load,) = result["loads"]
    assert kind in load["subjects"]["vllm-router"]["errors"]
    assert load["subjects"]["vllm-router"]["requests"] == [0, 0]
    assert load["ratios"] == {"vllm-router": [None, None]}
    assert load["subjects"]["praxis"]["requests"][1] > 0
    assert (
        f"✗: requests failed, so the figure says nothing of speed: vllm-router under json, 2 clients ({kind}"
        in text
    )


def test_a_peer_that_does_not_start_is_named_with_its_reason(tmp_path: Path) -> None:
    home = tmp_path / "home"
    peer.install(home, "vllm-router", "never-starts")
    result, text = measure(tmp_path, "--peers", "--only", "json", PRAXIS_HOME=str(home))
    assert "vllm-router" not in result["subjects"]
    assert "no licence found" in result["skipped"]["vllm-router"]
    assert "Left out: vllm-router" in text
    done = praxis("bench", "gateway", *TINY, "--subjects", "vllm-router", cwd=tmp_path, PRAXIS_HOME=str(home))
    assert done.returncode == 1
    assert "no licence found" in done.stderr


def test_a_soak_reads_the_memory_ten_times(tmp_path: Path) -> None:
    result, text = measure(tmp_path, "--only", "soak", "--soak-requests", "400")
    soak = result["soak"]
    assert soak["errors"] == {}
    assert len(soak["memory_mib"]) == len(soak["answered"]) == 10
    assert soak["answered"] == sorted(soak["answered"])
    assert soak["answered"][-1] >= 400
    assert result["loads"] == []
    assert "Soak, memory of praxis in MiB" in text
    (growth,) = [each for each in result["targets"] if each["target"].startswith("its memory after")]
    assert growth["rounds"] == [soak["memory_mib"][-1] / soak["memory_mib"][0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--clients", "many"), "--clients many"),
        (("--clients", "0"), "--clients 0"),
        (("--only", "yaml"), "known are json, sse, paced, bodies, soak"),
        (("--subjects", "direct,apache"), "`--subjects apache` is unknown"),
        (("--json", "gone/r.json"), "there is no folder `gone`"),
        (("--rounds", "0"), "--rounds"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = praxis("bench", "gateway", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_a_benchmark_that_is_ended_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "praxis", "bench", "gateway", "--only", "json"]
    with subprocess.Popen(command, env=environment(), cwd=tmp_path, stderr=subprocess.PIPE) as process:
        running = psutil.Process(process.pid)
        eventually(lambda: len(running.children()) == 4, "engines, gateway and load run", within=60)
        family = running.children(recursive=True)
        process.terminate()
        assert process.wait(60) == 143
        eventually(lambda: gone(family), "nothing is left")


def test_a_peer_asked_for_by_name_must_be_there(tmp_path: Path) -> None:
    done = praxis("bench", "gateway", *TINY, "--subjects", "litellm", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "`litellm` is not installed: install it with `praxis bench gateway --install-peers`." in done.stderr
    )


def test_peers_that_cannot_be_installed_are_no_success(tmp_path: Path) -> None:
    done = praxis("bench", "gateway", "--install-peers", cwd=tmp_path, PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert "pip-peer-vllm-router.log" in done.stderr


# two results side by side


def result(ratio: list[float], *, cpu: float = 50.0, memory: float = 60.0, errors: int = 0) -> str:
    series = {"cpu_us": [cpu] * len(ratio), "errors": {"http_502": errors} if errors else {}}
    load = {"load": "json", "clients": 32, "subjects": {"praxis": series}}
    load["ratios"] = {"direct": [0.5] * len(ratio), "vllm-router": ratio, "litellm": [None] * len(ratio)}
    subjects = {"praxis": {"memory_mib": {"start": 40.0, "highest": memory}}}
    return json.dumps({"kind": "gateway", "subjects": subjects, "loads": [load]})


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (result([0.50, 0.51, 0.52]), 0),
        (result([0.80, 0.81, 0.82]), 0),
        (result([0.30, 0.31, 0.51]), 0),  # A round is as good as before: noise.
        (result([0.49, 0.49, 0.49]), 0),  # Worse in every round, but within the tolerance.
        (result([0.40, 0.41, 0.42]), 1),
        (result([0.50, 0.51, 0.52], cpu=60.0), 1),
        (result([0.50, 0.51, 0.52], memory=90.0), 1),
        (result([0.50, 0.51, 0.52], errors=1), 1),
    ],
)
def test_compare_fails_on_what_is_worse_beyond_noise(tmp_path: Path, later: str, code: int) -> None:
    (tmp_path / "a.json").write_text(result([0.50, 0.51, 0.52]))
    (tmp_path / "b.json").write_text(later)
    done = praxis("bench", "compare", "a.json", "b.json", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert ("Worse beyond noise" in done.stderr) is bool(code)


def test_results_that_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(result([0.5]))
    (tmp_path / "b.json").write_text(result([0.5]).replace("32", "64"))
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "d.json").write_text(json.dumps({"kind": "gateway", "subjects": {"nginx": {}}, "loads": []}))
    for other in ("b.json", "c.json", "d.json", "gone.json"):
        done = praxis("bench", "compare", "a.json", other, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
