"""`praxis bench serve` against engines whose every pause and failure is known.

Engines can only be slower than told, never faster, so times are bounded from below and by each other.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.command import Done, praxis
from tests.fakes.faults import Fault, cut, error_event, hang_up, silent, slow, status, without_done
from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.processes import Gateway

SAYS = tuple("加班费按百分之一百五十支付")


def serve(url: str, folder: Path, *more: str, model: str = "qwen", **variables: str) -> Done:
    options = ["--model", model, "--url", url, "--num-prompts", "8", "--format", "json", *more]
    return praxis("bench", "serve", *options, cwd=folder, **variables)


def rounds(done: Done) -> list[dict[str, Any]]:
    """The first round of every target and load."""
    assert done.returncode == 0, done.stderr
    return [run["rounds"][0] for run in json.loads(done.stdout)["runs"]]


def test_figures_have_the_names_of_vllms_benchmark(tmp_path: Path) -> None:
    with VLLM(says=SAYS) as engine:
        (found,) = rounds(serve(engine.url, tmp_path, "--rate", "50"))
    names = "duration completed failed total_input_tokens total_output_tokens request_throughput output_throughput"
    names += " total_token_throughput max_output_tokens_per_s max_concurrent_requests"
    assert {*names.split(), "input_lens", "output_lens", "ttfts", "start_times", "errors"} <= found.keys()
    for each in ("ttft", "tpot", "itl", "e2el"):
        assert {f"{kind}_{each}_ms" for kind in ("mean", "median", "std", "p99")} <= found.keys()
    assert (found["completed"], found["failed"], found["errors_by_type"]) == (8, 0, {})
    assert found["total_output_tokens"] == 8 * len(SAYS)
    assert found["request_throughput"] == pytest.approx(8 / found["duration"])
    assert not found["estimated_tokens"]


def test_first_chunk_first_token_and_first_text_are_told_apart(tmp_path: Path) -> None:
    with VLLM(says=SAYS, thinks=("想", "一", "想")) as engine:
        engine.script.always(slow(first=0.05, gap=0.06))
        (found,) = rounds(serve(engine.url, tmp_path, "--concurrency", "1", "--num-prompts", "3"))
    assert found["median_first_chunk_ms"] >= 50
    assert found["median_first_chunk_ms"] + 30 <= found["median_ttft_ms"]  # The role comes before a token,
    assert (
        found["median_ttft_ms"] + 100 <= found["median_first_visible_ms"]
    )  # three thoughts before the text.
    assert found["median_first_visible_ms"] + 500 <= found["median_e2el_ms"]
    assert found["median_itl_ms"] >= 30
    tokens = len(SAYS) + 3
    assert found["mean_tpot_ms"] == pytest.approx(
        (found["mean_e2el_ms"] - found["mean_ttft_ms"]) / (tokens - 1), rel=0.01
    )


def test_half_a_character_is_a_token_too(tmp_path: Path) -> None:
    """Engines send an event without text for a token that ends in the middle of a character; vLLM's client counts it."""
    with VLLM(says=("", "加", "", "班")) as engine:
        engine.script.always(slow(first=0.05, gap=0.1))
        (found,) = rounds(serve(engine.url, tmp_path, "--concurrency", "1", "--num-prompts", "3"))
    assert found["median_ttft_ms"] + 50 <= found["median_first_visible_ms"]
    assert found["median_tpot_ms"] >= 60
    assert found["median_itl_ms"] < 1.8 * found["median_tpot_ms"]  # A gap for each token: none is missed.


def test_waiting_at_the_client_is_counted(tmp_path: Path) -> None:
    """Ten are due at once and one is let through at a time: the last waits for nine, which the engine does not see."""
    with VLLM() as engine:
        engine.script.always(slow(head=0.05))
        options = ["--rate", "inf", "--max-concurrency", "1", "--num-prompts", "10", "--warm-up", "0"]
        (found,) = rounds(serve(engine.url, tmp_path, *options))
    assert found["max_concurrent_requests"] == 1
    assert max(found["queue_times"]) >= 9 * 0.05
    assert found["p99_client_queue_time_ms"] >= 400
    assert found["p99_e2el_including_client_queue_ms"] >= found["p99_client_queue_time_ms"] + 50
    assert found["median_ttft_ms"] < found["median_ttft_from_due_ms"]


def test_an_open_loop_keeps_its_schedule_while_the_engine_stalls(tmp_path: Path) -> None:
    with VLLM() as engine:
        engine.script.always(slow(head=3.0))
        (found,) = rounds(
            serve(engine.url, tmp_path, "--rate", "40", "--num-prompts", "20", "--warm-up", "0")
        )
    # All twenty are due within half a second, before the first answer.
    assert found["max_concurrent_requests"] >= 15
    starts = found["start_times"]
    assert starts == sorted(starts)
    assert 0.4 < starts[-1] < 10, "one after the other they would take a minute"


def test_a_closed_loop_has_so_many_under_way(tmp_path: Path) -> None:
    with VLLM() as engine:
        engine.script.always(slow(head=0.15))
        found = rounds(serve(engine.url, tmp_path, "--concurrency", "1,4", "--num-prompts", "16"))
    assert [each["max_concurrent_requests"] for each in found] == [1, 4]
    assert found[1]["request_throughput"] > found[0]["request_throughput"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(503), "http_503"),
        (status(400), "http_400"),
        (hang_up(), "disconnected"),
        (cut(), "disconnected"),
        (without_done(), "cut"),
        (error_event(), "stream_error"),
        (silent(), "timeout"),
    ],
)
def test_failures_are_typed_and_infinite_in_adjusted_percentiles(
    tmp_path: Path, fault: Fault, kind: str
) -> None:
    with VLLM() as engine:
        engine.script.next(*[Fault()] * 4, *[fault] * 2)  # Four of the calibration and the warm-up.
        options = ["--concurrency", "1", "--timeout", "5", "--goodput", "ttft:60000"]
        done = serve(engine.url, tmp_path, *options)
    (found,) = rounds(done)
    assert (found["completed"], found["failed"], found["errors_by_type"]) == (6, 2, {kind: 2})
    assert found["error_rate"] == 0.25
    assert found["adj_p99_e2el_ms"] == "inf"
    assert found["adj_p50_e2el_ms"] >= found["p50_e2el_ms"]
    assert found["slo_attainment"] == 0.75
    assert [each is None for each in found["ttfts"]].count(True) == 2
    assert f"requests failed ({kind} 2)" in done.stderr


def test_goodput_counts_what_keeps_every_bound(tmp_path: Path) -> None:
    with VLLM() as engine:
        engine.script.next(*[Fault()] * 4, *[slow(head=3.0)] * 2)
        options = ["--concurrency", "1", "--goodput", "ttft:2900", "--goodput", "e2el:60000"]
        (found,) = rounds(serve(engine.url, tmp_path, *options))
    assert found["slo_attainment"] == 0.75
    assert found["request_goodput"] == pytest.approx(6 / found["duration"])


def test_prompts_are_rows_of_a_data_set(tmp_path: Path) -> None:
    rows = [{"instruction": f"问{n}", "output": "答"} for n in range(3)]
    (tmp_path / "three.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text('{"three": {"file_name": "three.json"}}')
    with VLLM() as engine:
        options = ["--dataset", "three", "--dataset-dir", ".", "--warm-up", "0", "--output-len", "7"]
        rounds(serve(engine.url, tmp_path, *options))
        asked = [each.json for each in engine.asked]
    assert {each["messages"][0]["content"] for each in asked} == {"问0", "问1", "问2"}
    assert {each["max_tokens"] for each in asked} == {7}
    assert all(each["stream"] and each["stream_options"]["include_usage"] for each in asked)


def test_prompts_of_a_set_length_are_all_different(tmp_path: Path) -> None:
    with VLLM() as engine:
        rounds(serve(engine.url, tmp_path, "--input-len", "300", "--ignore-eos"))
        asked = [each.json for each in engine.asked][4:]
    assert len({each["messages"][0]["content"] for each in asked}) == 8
    assert all(each["ignore_eos"] for each in asked)


def test_through_the_gateway_with_its_key(tmp_path: Path) -> None:
    with VLLM() as engine, Gateway(tmp_path, house(engine)) as gateway:
        options = ["--rounds", "2", "--concurrency", "2", "--json", "r.json"]
        done = serve(gateway.url, tmp_path, *options, model="law", PRAXIS_API_KEY=gateway.user_key)
        assert done.returncode == 0, done.stderr
        refused = serve(gateway.url, tmp_path, model="law", PRAXIS_API_KEY="sk-wrong")
    kept = json.loads((tmp_path / "r.json").read_text())
    assert len(kept["runs"][0]["rounds"]) == 2
    assert kept["runs"][0]["rounds"][0]["failed"] == 0
    assert gateway.user_key not in (tmp_path / "r.json").read_text()
    assert (refused.returncode, "http_401" in refused.stderr) == (1, True)


def test_tables_show_every_target_and_load(tmp_path: Path) -> None:
    with VLLM() as engine:
        options = ["--model", "qwen", "--url", engine.url, "--num-prompts", "4", "--rate", "20,40"]
        shown = praxis("bench", "serve", *options, "--format", "md", cwd=tmp_path).stdout
    assert [line.split(" | ")[1] for line in shown.splitlines()[2:]] == ["rate 20", "rate 40"]
    assert "client CPU" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rate", "1", "--concurrency", "1"], "one of them"),
        (["--rate", "0"], "above 0"),
        (["--rate", "fast"], "--rate fast"),
        (["--concurrency", "inf"], "--concurrency inf"),
        (["--max-concurrency", "2"], "--rate"),
        (["--goodput", "speed:3"], "ttft"),
        (["--percentiles", "101"], "percentile"),
        (["--dataset", "x"], "--dataset-dir"),
        (["--json", "nowhere/r.json"], "no folder"),
        (["--url", "nonsense"], "is no URL"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: list[str], words: str) -> None:
    done = serve("http://127.0.0.1:9", tmp_path, *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_nobody_listens(tmp_path: Path) -> None:
    done = serve("http://127.0.0.1:9", tmp_path)
    assert (done.returncode, "refused" in done.stderr) == (1, True)


def test_compare_fails_on_what_is_slower(tmp_path: Path) -> None:
    for name, fault in {"fast": Fault(), "slow": slow(head=1.0)}.items():
        with VLLM() as engine:
            engine.script.always(fault)
            options = ["--concurrency", "8", "--rounds", "2", "--warm-up", "0", "--json", f"{name}.json"]
            assert serve(engine.url, tmp_path, *options).returncode == 0
    worse = praxis("bench", "compare", "fast.json", "slow.json", cwd=tmp_path)
    assert (worse.returncode, "median_ttft_ms" in worse.stderr) == (1, True)
    assert praxis("bench", "compare", "slow.json", "slow.json", cwd=tmp_path).returncode == 0
