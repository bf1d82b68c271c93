"""LLaMA-Factory's data sets: every layout, and every wrong row named."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bench.eval.datasets import Dataset, load, names
from praxis.errors import ConfigError

SAMPLES = Path(__file__).parent.parent / "data" / "eval" / "datasets"

OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


def dataset(folder: Path, rows: Any, **entry: Any) -> Dataset:
    """The data set `d` of these rows; bytes are the file itself."""
    entry = {"file_name": "d.json"} | entry
    content = rows if isinstance(rows, bytes) else json.dumps(rows, ensure_ascii=False).encode()
    (folder / entry["file_name"]).write_bytes(content)
    (folder / "dataset_info.json").write_text(json.dumps({"d": entry}))
    return load("d", folder)


def reasons(data: Dataset) -> list[str]:
    return [str(each) for each in data.bad]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("legal_alpaca", 120), ("legal_openai", 60), ("legal_sharegpt", 60), ("medical_alpaca", 120)],
)
def test_sample_data_sets(name: str, rows: int) -> None:
    data = load(name, SAMPLES)
    assert [each.id for each in data.examples] == list(range(1, rows + 1))
    assert data.bad == []
    assert all(each.messages[-1]["role"] == "user" and each.label for each in data.examples)
    assert len(load(name, SAMPLES, max_samples=7).examples) == 7


def test_sample_data_sets_are_listed() -> None:
    assert names(SAMPLES) == ["legal_alpaca", "legal_openai", "legal_sharegpt", "medical_alpaca"]


def test_alpaca_joins_instruction_and_input(tmp_path: Path) -> None:
    data = dataset(tmp_path, [{"instruction": "问", "input": "详情", "output": "答"}])
    assert data.examples[0].messages == [{"role": "user", "content": "问\n详情"}]
    assert (data.examples[0].prompt, data.examples[0].label) == ("问\n详情", "答")


def test_alpaca_system_and_history_are_read_where_columns_name_them(tmp_path: Path) -> None:
    row = {"q": "今", "a": "答", "s": "律师", "h": [["昔", "旧"]], "input": "不读"}
    columns = {"prompt": "q", "response": "a", "system": "s", "history": "h"}
    data = dataset(tmp_path, [row], columns=columns)
    assert data.examples[0].messages == [
        {"role": "system", "content": "律师"},
        {"role": "user", "content": "昔"},
        {"role": "assistant", "content": "旧"},
        {"role": "user", "content": "今"},
    ]


def test_columns_that_an_entry_does_not_name_are_gone(tmp_path: Path) -> None:
    row = {"instruction": "问", "input": "详情", "output": "答", "system": "律师", "history": [["昔", "旧"]]}
    named = dataset(tmp_path, [row], columns={"prompt": "instruction", "response": "output"})
    assert named.examples[0].messages == [{"role": "user", "content": "问"}]
    silent = dataset(tmp_path, [row])
    assert silent.examples[0].messages == [{"role": "user", "content": "问\n详情"}]
    with pytest.raises(ConfigError, match=r"`columns\.response`.*must name each"):
        dataset(tmp_path, [row], columns={"prompt": "instruction"})


def test_sharegpt_roles_tools_and_calls(tmp_path: Path) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "加班费多少"},
            {"from": "function_call", "value": '{"name": "pay", "arguments": {"base": 3000}}'},
            {"from": "observation", "value": "150%"},
            {"from": "gpt", "value": "一倍半"},
        ],
        "system": "律师",
        "tools": '[{"name": "pay", "parameters": {}}]',
    }
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    example = dataset(tmp_path, [row], formatting="sharegpt", columns=columns).examples[0]
    assert [message["role"] for message in example.messages] == ["system", "user", "assistant", "tool"]
    call = example.messages[2]["tool_calls"][0]
    assert call["function"] == {"name": "pay", "arguments": '{"base": 3000}'}
    assert example.messages[3] == {"role": "tool", "tool_call_id": call["id"], "content": "150%"}
    assert example.tools == [{"type": "function", "function": {"name": "pay", "parameters": {}}}]
    assert example.label == "一倍半"


def test_a_system_turn_wins_over_the_system_column(tmp_path: Path) -> None:
    row = {
        "conversations": [
            {"from": "system", "value": "医生"},
            {"from": "human", "value": "问"},
            {"from": "gpt", "value": "答"},
        ],
        "system": "律师",
    }
    columns = {"messages": "conversations", "system": "system"}
    data = dataset(tmp_path, [row], formatting="sharegpt", columns=columns)
    assert data.examples[0].messages[0] == {"role": "system", "content": "医生"}


def test_openai_tags_know_only_the_roles_that_they_name(tmp_path: Path) -> None:
    good = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]
    tool = [good[0], {"role": "assistant", "content": "用"}, {"role": "tool", "content": "果"}, good[1]]
    data = dataset(
        tmp_path,
        [{"messages": good}, {"messages": tool}],
        formatting="sharegpt",
        columns={"messages": "messages"},
        tags=OPENAI_TAGS,
    )
    assert [each.id for each in data.examples] == [1]
    assert reasons(data) == ["row 2: turn 3 has the role `tool`, which `tags` does not name"]


def test_openai_layout_merges_results_of_tools_and_adds_no_system_prompt(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "问"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "一"},
        {"role": "tool", "content": "二"},
        {"role": "assistant", "content": "答"},
    ]
    example = dataset(tmp_path, [{"messages": messages}], formatting="openai").examples[0]
    assert [message["role"] for message in example.messages] == ["user", "assistant", "tool"]
    assert example.messages[2]["content"] == "一\n二"


def test_images_are_sent_where_the_text_names_them(tmp_path: Path) -> None:
    (tmp_path / "chart.png").write_bytes(b"PNG")
    rows = [
        {"instruction": "看<image>说", "output": "涨", "images": ["chart.png"]},
        {"instruction": "看", "output": "涨", "images": ["chart.png"]},
        {"instruction": "<image>", "output": "涨", "images": ["gone.png"]},
    ]
    columns = {"prompt": "instruction", "response": "output", "images": "images"}
    data = dataset(tmp_path, rows, columns=columns)
    url = "data:image/png;base64," + base64.b64encode(b"PNG").decode()
    assert data.examples[0].messages[0]["content"] == [
        {"type": "text", "text": "看"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "说"},
    ]
    assert data.examples[0].prompt == "看<image>说"
    assert [reason.split(":")[0] for reason in reasons(data)] == ["row 2", "row 3"]
    assert "1 images for 0 `<image>`" in reasons(data)[0]
    assert "gone.png" in reasons(data)[1]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_jsonl_with_any_newline_and_bom(tmp_path: Path, newline: str, bom: bytes) -> None:
    lines = ['{"instruction": "一\u2028", "output": "1"}', "", '{"instruction": "二", "output": "2"}', ""]
    data = dataset(tmp_path, bom + newline.join(lines).encode(), file_name="d.jsonl")
    assert [(each.id, each.prompt, each.label) for each in data.examples] == [
        (1, "一\u2028", "1"),
        (2, "二", "2"),
    ]


def test_json_with_bom(tmp_path: Path) -> None:
    rows = '[{"instruction": "问", "output": "答"}]'.encode("utf-8-sig")
    assert len(dataset(tmp_path, rows).examples) == 1


def test_wrong_rows_are_named_by_number_and_reason(tmp_path: Path) -> None:
    lines = [
        '{"instruction": "问", "output": "答"}',
        '{"instruction": "问", "output"',
        "[1]",
        '{"instruction": "问"}',
        '{"instruction": "问", "output": 3}',
        '{"instruction": "", "output": "答"}',
        '{"instruction": "\\ud800", "output": "答"}',
    ]
    data = dataset(tmp_path, "\n".join(lines).encode(), file_name="d.jsonl")
    assert [each.id for each in data.examples] == [1]
    found = reasons(data)
    assert [reason.split(":")[0] for reason in found] == [f"row {number}" for number in range(2, 8)]
    for reason, words in zip(
        found,
        [
            "no JSON",
            "must be an object",
            "no `output`",
            "must be a text, not int",
            "question is empty",
            "surrogate",
        ],
        strict=True,
    ):
        assert words in reason


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "must be a list of turns"),
        (["human"], "1 turns"),
        (["human", "gpt", "human"], "3 turns"),
        (["gpt", "human"], "turn 1 is of `assistant`"),
        (["human", "human"], "turn 2 is of `user`"),
        (["human", "lawyer"], "has the role `lawyer`"),
        (["system"], "0 turns"),
    ],
)
def test_wrong_conversations_are_named(tmp_path: Path, turns: list[str], words: str) -> None:
    row = {"conversations": [{"from": turn, "value": "文"} for turn in turns]}
    data = dataset(tmp_path, [row], formatting="sharegpt")
    assert data.examples == []
    assert words in reasons(data)[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"formatting": "parquet"}, "`formatting` is `parquet`"),
        ({"ranking": True}, "no single answer"),
        ({"columns": []}, "`columns` must be an object"),
        ({"file_name": "d.csv"}, "only .json and .jsonl"),
        ({"formatting": "sharegpt", "tags": {"role_tag": "role"}}, r"`tags\.content_tag`"),
    ],
)
def test_entries_that_cannot_be_used(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dataset(tmp_path, [], **entry)


def test_data_sets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--dataset-dir"):
        load("d", tmp_path)
    (tmp_path / "dataset_info.json").write_text(
        '{"d": {"file_name": "gone.json"}, "hub": {"hf_hub_url": "x/y"}}'
    )
    with pytest.raises(ConfigError, match="has no data set `e`; it has `d`, `hub`"):
        load("e", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load("d", tmp_path)
    with pytest.raises(ConfigError, match="needs a `file_name`"):
        load("hub", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[]", "no rows"), (b"", "no rows"), (b"[1,", "no JSON"), (b"\xff[]", "not UTF-8")],
)
def test_files_that_hold_no_data_set(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dataset(tmp_path, content)
