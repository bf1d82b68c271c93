"""The page of a PDF behind a citation: opened, leafed through, and honest where nothing can be shown or marked."""

from streamlit.testing.v1 import AppTest

from tests.fakes import gateway as fake
from tests.fakes.gateway import PIXEL, QUOTE, FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, ask, leave, link, press, shown, visit
from ui.history import History

LOOK = "查看原页（第 3 页）"


def cited(app: AppTest, gateway: FakeGateway) -> AppTest:
    """A question whose answer cites page 3 of a PDF of four."""
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation(page=3)])
    gateway.sheets = {("file-law", page): "none" for page in (1, 2, 4)} | {("file-law", 3): PIXEL}
    return ask(app, "加班费怎么算？")


def asked(gateway: FakeGateway) -> list[str]:
    """The pages that were asked for, the latest last."""
    return [each.partition("/pages/")[2] for each in gateway.requests if "/pages/" in each]


def test_a_citation_of_a_pdf_opens_its_page_with_the_words_marked(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    press(cited(signed_in, gateway), LOOK)
    page = shown(signed_in)
    assert "第 3 页，共 4 页" in page
    assert "黄色标出的就是所引文字。" in page
    assert f'alt="《中华人民共和国劳动法.txt》第 3 页的图像，已标出所引文字：{QUOTE}"' in page
    assert asked(gateway) == [f"3?start=50&end={50 + len(QUOTE)}&width=1200"]


def test_one_leafs_to_other_pages_and_back_to_the_passage(signed_in: AppTest, gateway: FakeGateway) -> None:
    press(cited(signed_in, gateway), LOOK)
    press(signed_in, "下一页")
    assert "第 4 页，共 4 页" in shown(signed_in)
    assert "所引文字不在本页。" in shown(signed_in)
    press(signed_in, "下一页")
    assert "第 4 页，共 4 页" in shown(signed_in), "there is no further one"
    press(signed_in, "上一页")
    press(signed_in, "上一页")
    assert "第 2 页，共 4 页" in shown(signed_in)
    press(signed_in, "回到引文")
    assert "第 3 页，共 4 页" in shown(signed_in)
    assert "回到引文" not in [button.label for button in signed_in.button]
    press(signed_in, "English")
    assert "Page 3 of 4" in shown(signed_in)


def test_where_the_place_is_not_sure_the_page_says_so_and_shows_the_words(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    cited(signed_in, gateway)
    gateway.sheets["file-law", 3] = "unsure"
    press(signed_in, LOOK)
    assert "未能在本页准确定位所引文字" in shown(signed_in)
    assert f"<q>{QUOTE}</q>" in shown(signed_in)
    assert "的图像，没有标注" in shown(signed_in)


def test_a_page_of_a_file_that_is_gone_says_so_also_in_a_reopened_conversation(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    cited(signed_in, gateway)
    history = History(signed_in.session_state["session"].gateway)
    eventually(lambda: QUOTE in str(history.items(link(signed_in))), "the citation is kept")
    again = visit(KEY, c=link(signed_in))
    assert "第 3 页，共 4 页" in shown(press(again, LOOK))
    leave(again)
    gateway.sheets.clear()
    third = visit(KEY, c=link(signed_in))
    press(third, LOOK)
    assert [error.value for error in third.error] == ["原文件已被删除、替换，或不再与您共享，无法查看原页。"]
    leave(third)


def test_a_file_without_pages_offers_none(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    ask(signed_in, "加班费怎么算？")
    assert not [button.label for button in signed_in.button if "原页" in button.label]
