"""The indexes by themselves: right after every change, and never another document's passage."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praxis.errors import InvalidRequest
from rag.index import filters
from rag.index.faiss_store import FaissStore
from rag.index.keywords import Keywords, tokens
from rag.index.lexicon import statutory

WORDS = ["加班费怎么算", "试用期最长六个月", "解除劳动合同", "Overtime pay 150", "社会保险", "工资"]


def test_terms_are_characters_pairs_and_words() -> None:
    assert list(tokens("加班 费ABC Pay150")) == ["加", "班", "费", "加班", "班费", "abc", "pay150"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.sampled_from(WORDS)), max_size=120))
def test_the_keyword_index_is_always_as_one_made_anew(changes: list[tuple[bool, int, str]]) -> None:
    index, living = Keywords(), dict[int, str]()
    for at, (adds, id_, text) in enumerate(changes):
        if adds:
            living[1000 + at] = text
            index.add(1000 + at, text)
        elif living:
            gone = sorted(living)[id_ % len(living)]
            del living[gone]
            index.remove([gone])
    fresh = Keywords()
    for id_, text in living.items():
        fresh.add(id_, text)
    for query in (*WORDS, "没有"):
        found, expected = index.search(query, 200), fresh.search(query, 200)
        assert dict(found).keys() == dict(expected).keys()
        assert np.allclose([score for _, score in found], [score for _, score in expected], rtol=1e-4)
        assert all(score > 0 for _, score in found)


def test_vectors_can_be_deleted_and_their_ids_are_not_taken_over(tmp_path: Path) -> None:
    store = FaissStore(4)
    rows = np.eye(4, dtype=np.float32)
    store.put([1, 2, 3], ["a", "a", "b"], ["x", "y", "z"], rows[:3])
    store.delete("a")
    store.put([4], ["c"], ["x"], rows[3:])
    assert store.cosines([1, 2, 3, 4], rows[3]) == {3: 0.0, 4: 1.0}
    assert (store.ids_of("a"), store.ids_of("b")) == ([], [3])
    store.save(tmp_path, "made-7")
    again = FaissStore(4)
    assert again.load(tmp_path, "made-7", [3, 4], ["b", "c"], ["z", "x"])
    assert again.cosines([4], rows[3]) == {4: 1.0}


@pytest.mark.parametrize(
    ("key", "ids"),
    [("made-8", [3, 4]), ("made-7", [3]), ("made-7", [3, 5])],
    ids=["generation", "count", "ids"],
)
def test_a_cache_of_something_else_is_not_read(tmp_path: Path, key: str, ids: list[int]) -> None:
    store = FaissStore(4)
    store.put([3, 4], ["b", "c"], ["x", "y"], np.eye(4, dtype=np.float32)[:2])
    store.save(tmp_path, "made-7")
    assert not FaissStore(4).load(tmp_path, key, ids, ["x"] * len(ids), ["y"] * len(ids))


def test_a_damaged_cache_is_not_read(tmp_path: Path) -> None:
    store = FaissStore(4)
    store.put([3], ["b"], ["x"], np.eye(4, dtype=np.float32)[:1])
    store.save(tmp_path, "made-7")
    (tmp_path / "vectors.faiss").write_bytes(b"garbage")
    assert not FaissStore(4).load(tmp_path, "made-7", [3], ["b"], ["x"])


@pytest.mark.parametrize(
    ("document", "matches"),
    [
        ({"type": "eq", "key": "year", "value": 2020.0}, True),
        ({"type": "ne", "key": "missing", "value": 1}, True),
        ({"type": "eq", "key": "missing", "value": 1}, False),
        ({"type": "gt", "key": "year", "value": "2019"}, False),
        ({"type": "lte", "key": "name", "value": "z"}, True),
        ({"type": "eq", "key": "final", "value": 1}, False),
        ({"type": "nin", "key": "name", "value": ["a", "b"]}, True),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "final", "value": True},
                    {"type": "in", "key": "year", "value": [2020]},
                ],
            },
            True,
        ),
    ],
)
def test_filters(document: object, matches: bool) -> None:
    assert filters.parse(document)({"year": 2020, "name": "law", "final": True}) is matches


@pytest.mark.parametrize(
    "document",
    [
        1,
        {},
        {"type": "and", "filters": []},
        {"type": "in", "key": "a", "value": "x"},
        {"type": "eq", "key": 1, "value": 1},
    ],
)
def test_wrong_filters_are_refused(document: object) -> None:
    with pytest.raises(InvalidRequest, match="filters"):
        filters.parse(document)


def test_filters_are_not_nested_without_end() -> None:
    document: object = {"type": "eq", "key": "a", "value": 1}
    for _ in range(50):
        document = {"type": "and", "filters": [document]}
    with pytest.raises(InvalidRequest, match="deep"):
        filters.parse(document)


def test_peoples_words_become_the_statutes() -> None:
    assert statutory("公司不给加班费") == "延长工作时间 工资报酬"
    assert statutory("老板辞退我") == "解除劳动合同"
    assert statutory("劳动合同的期限") == ""


def test_a_kept_keyword_index_is_as_one_made_anew(tmp_path: Path) -> None:
    index, fresh, file = Keywords(), Keywords(), tmp_path / "store" / "keywords.npz"
    for at in range(200):
        index.add(at, WORDS[at % len(WORDS)] * (1 + at % 3))
    index.remove(range(0, 60, 2))
    index.save(file, "made-7")
    index.add(500, "年休假三天")
    assert Keywords.load(file, "made-8", set(index.ids()) - {500}) is None
    assert Keywords.load(file, "made-7", index.ids()) is None, "another passage came since"
    again = Keywords.load(file, "made-7", set(index.ids()) - {500})
    assert again is not None
    for changed in (index, again):
        if 500 not in changed.ids():
            changed.add(500, "年休假三天")
        changed.remove([1, 61, 63])
    for at in sorted(index.ids() - {500}):
        fresh.add(at, WORDS[at % len(WORDS)] * (1 + at % 3))
    fresh.add(500, "年休假三天")
    for query in (*WORDS, "年休假"):
        expected = dict(fresh.search(query, 300))
        for each in (index, again):
            found = dict(each.search(query, 300))
            assert found.keys() == expected.keys()
            assert all(np.isclose(found[id_], expected[id_], rtol=1e-4) for id_ in found)
    file.write_bytes(b"garbage")
    assert Keywords.load(file, "made-7", set()) is None
