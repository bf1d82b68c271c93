"""The settings drawer, a batch with its comparison, and a search with its sources, in a real browser."""

import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import ask, open_page, sign_in
from tests.fakes import gateway as fake
from tests.fakes.gateway import PIXEL, FakeGateway, citation
from tests.ui.script import ASSISTANT, KEY, RAW
from tests.ui.test_comparison import ALONE, GROUNDED, JUDGE, referee
from tests.ui.test_library import fill

pytestmark = pytest.mark.browser


def test_the_drawer_sets_how_models_are_asked(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    sign_in(page, ui_url, KEY)
    page.get_by_role("button", name="模型设置").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("spinbutton", name="温度").fill("0.3")
    drawer.get_by_role("textbox", name="系统提示").fill("只用中文回答。")
    drawer.get_by_role("button", name="应用").click()
    expect(drawer).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("模型设置.*2"))).to_be_visible()
    ask(page, "加班费怎么算？")
    expect(page.get_by_text("好的。")).to_have_count(2)
    for model in (ASSISTANT, RAW):
        body = gateway.chat_of(model).body
        assert (body["temperature"], body["messages"][0]["content"]) == (0.3, "只用中文回答。")


def test_a_batch_outlives_its_page_and_is_compared(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    hold = threading.Event()
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}[1]。"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply([ALONE, "。"], stall=hold)
    gateway.replies[JUDGE] = referee({"总评": GROUNDED, "证据链": GROUNDED})
    questions = tmp_path / "问题.csv"
    questions.write_bytes("问题\n加班费怎么算？\n试用期多长？\n年休假几天？\n".encode("gb18030"))
    sign_in(page, ui_url, KEY)
    open_page(page, "批量提问")
    page.locator("input[type=file]").set_input_files(str(questions))
    page.get_by_role("button", name="开始提问（3 个问题 × 2 栏）").click()
    expect(page.locator(".px-cell").filter(has_text=ALONE)).to_have_count(3)
    expect(page).to_have_url(re.compile(rf"{ui_url}/batch\?b=conv_[0-9a-f]+"))
    link = page.url
    page.reload()
    page.get_by_label("访问密钥").fill(KEY)
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.get_by_text("已提问 0 / 3")).to_be_visible()  # it is still asked
    hold.set()
    expect(page.get_by_text("已提问 3 / 3")).to_be_visible()

    page.get_by_text("逐项比较", exact=True).click()
    page.get_by_role("button", name="逐项比较（3 个问题）").click()
    expect(page.get_by_role("heading", name="比较备忘录：A 与 B")).to_be_visible()
    expect(page.get_by_text("A 在 3 题上更好")).to_be_visible()
    open_page(page, "对话记录")
    row = page.locator(".st-key-history").get_by_test_id("stPageLink")
    expect(row).to_contain_text("问题.csv · 3 个问题")
    row.click()
    expect(page).to_have_url(link)
    expect(page.get_by_role("heading", name="问题.csv")).to_be_visible()
    page.get_by_role("button", name="展开").first.click()
    expect(page.get_by_text("引用出处（1）")).to_be_visible()
    expect(page.get_by_text("写明了依据=2").first).to_be_visible()


def test_what_a_search_finds_opens_in_its_file_and_on_its_page(
    gateway: FakeGateway, ui_url: str, page: Page
) -> None:
    lines = [f"第{number}条 寻常的规定。\n" for number in range(1, 61)]
    lines[49] = "第50条 罕见情形另行处理。\n"
    fill(gateway, "vs-1", 长="".join(lines))
    gateway.tenants["office"].files["file-长"]["filename"] = "长.pdf"
    gateway.sheets = {("file-长", 3): PIXEL}
    sign_in(page, ui_url, KEY)
    open_page(page, "文档")
    page.get_by_text("检索", exact=True).click()
    search = page.get_by_label("在这个知识库中检索")
    search.fill("罕见情形")
    search.press("Enter")
    page.get_by_role("button", name="查看原页（第 3 页）").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="已标出所引文字")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="在原文中查看").click()
    here = page.locator("#px-here")
    expect(here).to_be_in_viewport()
    expect(here.locator("mark")).to_have_text("罕见情形")
    page.get_by_role("button", name="返回检索结果").click()
    expect(page.get_by_text("找到 1 段")).to_be_visible()
    expect(search).to_have_value("罕见情形")
