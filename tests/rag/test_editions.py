"""Several editions of one law: the one in force answers, the others are marked and asked for by date."""

from typing import Any

import openai
import pytest

from rag.ingest import statutes


def law(passed: str, wage: str, force: str = "") -> str:
    closing = f"第三条 本法自{force}起施行。" if force else "第三条 本法由国务院解释。"
    return (
        f"中华人民共和国示例工资法\n\n{passed} 全国人民代表大会常务委员会通过\n\n第一条 为了保护劳动者，制定本法。\n\n"
        f"第二条 加班工资不低于工资的百分之{wage}。\n\n{closing}\n"
    )


@pytest.mark.parametrize(
    ("text", "effective"),
    [
        (law("2009年8月27日", "一百"), "2009-08-27"),
        (law("2009年8月27日", "一百", "2010年1月1日"), "2010-01-01"),
        (law("1994年7月5日通过 2018年12月29日修正", "一百", "1995年1月1日"), "2018-12-29"),
        (law("2020年5月28日通过\n\n2021年1月1日 施行", "一百"), "2021-01-01"),
    ],
)
def test_a_law_applies_since_it_says_so_and_has_its_wording(text: str, effective: str) -> None:
    assert statutes.effective(text) == effective


def test_the_edition_in_force_answers_and_the_others_are_asked_for(client: openai.OpenAI) -> None:
    texts = {
        "2009.txt": law("2009年8月27日", "一百五十"),
        "2018.txt": law("2018年12月29日", "二百", "2019年1月1日"),
        "2099.txt": law("2018年12月30日", "九百", "2099年1月1日"),
        "备忘.txt": "加班工资的备忘：请财务核对加班工资。",
    }
    store = client.vector_stores.create(name="editions").id
    files = {
        name: client.files.create(file=(name, text.encode()), purpose="assistants").id
        for name, text in texts.items()
    }
    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=list(files.values()), poll_interval_ms=200
    )
    assert batch.file_counts.completed == 4

    def found(query: str = "加班工资不低于工资的多少", **filters: Any) -> dict[str, dict[str, Any]]:
        body: dict[str, Any] = {"filters": filters} if filters else {}
        hits = client.vector_stores.search(store, query=query, max_num_results=50, **body)
        return {each.filename: dict(each.attributes or {}) for each in hits}

    assert found().keys() == {"2018.txt", "备忘.txt"}
    current = found()["2018.txt"]
    assert (current["effective"], current["until"], current["version"]) == (
        "2019-01-01", "2099-01-01", "2018-12-29",
    )  # fmt: skip
    assert "superseded" not in current
    hit = client.vector_stores.search(store, query="示例工资法第二条").data[0]
    assert (hit.filename, hit.content[0].text) == ("2018.txt", "第二条 加班工资不低于工资的百分之二百。")

    older = found(type="eq", key="version", value="2009-08-27")
    assert older.keys() == {"2009.txt"}
    assert (older["2009.txt"]["superseded"], older["2009.txt"]["until"]) == (True, "2019-01-01")
    for day, name in (("2015-06-01", "2009.txt"), ("2019-01-01", "2018.txt"), ("2100-01-01", "2099.txt")):
        assert found(type="eq", key="as_of", value=day).keys() == {name, "备忘.txt"}
        hit = client.vector_stores.search(
            store, query="示例工资法第二条", filters={"type": "eq", "key": "as_of", "value": day}
        ).data[0]
        assert (hit.filename, (hit.attributes or {})["article"]) == (name, "第二条")
    assert found(type="eq", key="as_of", value="2001-01-01").keys() == {"备忘.txt"}
    assert found(type="eq", key="page", value=7) == {}
    for value in ("soon", 2015):
        with pytest.raises(openai.BadRequestError, match="2015-06-01"):
            found(type="eq", key="as_of", value=value)

    client.files.delete(files["2018.txt"])
    assert found().keys() == {"2009.txt", "备忘.txt"}
    assert "superseded" not in found()["2009.txt"]


def test_a_law_in_a_book_of_laws_gives_way_to_its_newer_edition(client: openai.OpenAI) -> None:
    other = (
        "中华人民共和国示例休假法\n\n2009年1月1日 通过\n\n第一条 年休假为五天。\n\n第二条 休假工资照发。\n"
    )
    texts = {
        "汇编.txt": law("2009年8月27日", "一百五十") + "\n" + other,
        "2018.txt": law("2018年12月29日", "二百"),
    }
    store = client.vector_stores.create(name="book").id
    files = {
        name: client.files.create(file=(name, text.encode()), purpose="assistants").id
        for name, text in texts.items()
    }
    client.vector_stores.file_batches.create_and_poll(
        store, file_ids=list(files.values()), poll_interval_ms=200
    )

    def found(query: str) -> set[tuple[str, object]]:
        hits = client.vector_stores.search(store, query=query, max_num_results=50)
        return {(each.filename, (each.attributes or {}).get("law")) for each in hits}

    wage, leave = "中华人民共和国示例工资法", "中华人民共和国示例休假法"
    assert found("加班工资不低于工资的多少") == {("2018.txt", wage), ("汇编.txt", leave)}
    hit = client.vector_stores.search(store, query="示例休假法第一条").data[0]
    assert (hit.attributes or {})["law"] == leave
    assert hit.content[0].text == "第一条 年休假为五天。"
    client.files.delete(files["2018.txt"])
    assert found("加班工资不低于工资的多少") == {("汇编.txt", wage), ("汇编.txt", leave)}
