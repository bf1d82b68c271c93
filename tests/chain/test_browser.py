"""A lawyer's way through the real pages, in a real browser, on the real stack."""

import csv
import io
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openpyxl import load_workbook
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import (
    ask,
    choose,
    create_store,
    open_page,
    page_of,
    sign_in,
    streamed_at_once,
    taken_along,
    upload,
    watch_answers,
)
from tests.chain.conftest import Stack
from tests.chain.test_documents import STATUTE
from tests.processes import eventually
from tests.rag.documents import pdf
from tests.ui.test_export import docx_text, pdf_text

pytestmark = pytest.mark.chain

ANSWERED = 240_000  # milliseconds that an answer may take on a busy machine
QUOTED = "The tenant shall pay a deposit of 9000 yuan to the landlord before moving in."
LEASE = (
    "Lease of the shop in Harbour Street",
    QUOTED,
    "The landlord shall return the deposit within 14 days after the tenant has moved out.",
)
ASKED = "What shall the tenant pay before moving in?"
"""What even the small model answers in the words of the lease, which is how it comes to cite them."""


def test_a_lawyer_asks_documents_of_his_own(
    stack: Stack, page: Page, browser: Browser, tmp_path: Path
) -> None:
    pages, lawyer = str(stack.urls["ui"]), new_key(stack, "lawyer")
    sign_in(page, pages, lawyer)
    fill_a_knowledge_base(page, tmp_path)
    open_page(page, "提问与对比")
    choose(page, 0, "我的文档")
    ask(page, ASKED)
    expect(page.locator(".px-stats")).to_have_count(2, timeout=ANSWERED)
    expect(page.get_by_text("引用出处（1）")).to_be_visible()
    look_the_citation_up(page)
    page.get_by_role("button", name="A 更好").click()
    expect(page.get_by_text("存在的问题")).to_be_visible()
    everything_is_in_the_files(page)

    link = page.url.partition("#")[0]
    page.reload()
    sign_in(page, link, lawyer)
    assert page.url == link
    expect(page.locator(".px-question")).to_contain_text(ASKED)
    expect(page.get_by_test_id("stBaseButton-primary").filter(has_text="A 更好")).to_be_visible()
    page.get_by_role("link", name="[1]").first.click()
    expect(page.locator(".px-article mark").first).to_contain_text(QUOTED)
    with page_of(browser) as other:
        another_user_sees_none_of_it(other, link, new_key(stack, "colleague"))


def test_answers_stream_at_once_are_stopped_and_outlive_the_gateway(stack: Stack, page: Page) -> None:
    sign_in(page, str(stack.urls["ui"]), stack.user_key)
    choose(page, 1, "rambler")
    watch_answers(page)
    ask(page, "公司按基本工资计算加班费，合法吗？")
    expect(answer(page, "grounded-1").locator(".px-stats")).to_be_visible(timeout=ANSWERED)
    expect(answer(page, "raw-1")).to_contain_text("正在回答")
    page.get_by_role("button", name="停止生成").click()
    expect(answer(page, "raw-1")).to_contain_text("已停止，回答不完整")
    assert streamed_at_once(page, "grounded-1", "raw-1")

    ask(page, "What if it is in the contract?")
    expect(answer(page, "raw-2").get_by_test_id("stMarkdown")).to_have_text(
        re.compile(r"\S"), timeout=ANSWERED
    )
    with gateway_killed(stack):
        expect(page.get_by_text("网关暂时无法连接。")).to_be_in_viewport()
        expect(answer(page, "raw-2")).to_contain_text("回答中断，以上内容不完整")
    expect(page.get_by_text("网关暂时无法连接。")).to_have_count(0)
    ask(page, "Thank you.")
    expect(answer(page, "raw-3").get_by_test_id("stMarkdown")).to_have_text(
        re.compile(r"\S"), timeout=ANSWERED
    )
    page.get_by_role("button", name="停止生成").click()
    expect(answer(page, "raw-3")).to_contain_text("已停止，回答不完整")
    eventually(lambda: httpx.get(f"{stack.url}/readyz").is_success, "the gateway is as it was")


def test_a_wrong_key_is_told_in_one_sentence(stack: Stack, page: Page) -> None:
    page.goto(str(stack.urls["ui"]))
    page.get_by_label("访问密钥").fill("sk-praxis-wrong")
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.get_by_role("alert").first).to_be_visible()


def test_a_batch_is_answered_and_opened_again_by_its_address(
    stack: Stack, page: Page, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.csv"
    questions.write_text("question\n休息日加班不能补休，工资怎么算？\n")
    sign_in(page, str(stack.urls["ui"]), stack.user_key)
    open_page(page, "批量提问")
    page.locator("input[type=file]").set_input_files(str(questions))
    page.get_by_role("button", name="开始提问").click()
    expect(page.get_by_text("已提问 1 / 1")).to_be_visible(timeout=ANSWERED)
    expect(page.locator(".px-cell small")).to_have_count(2)  # the figures of both answers
    link = page.url
    page.goto(link)
    page.get_by_label("访问密钥").fill(stack.user_key)
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.locator(".px-asked", has_text="休息日加班不能补休")).to_be_visible()
    expect(page.locator(".px-cell small")).to_have_count(2)
    assert page.url == link


def new_key(stack: Stack, name: str) -> str:
    """The key of somebody who has nothing yet."""
    made = stack.praxis("keys", "create", name)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def fill_a_knowledge_base(page: Page, folder: Path) -> None:
    """A contract as PDF and a statute in GB18030, both of which are read."""
    lease, statute = folder / "lease.pdf", folder / "条例.txt"
    lease.write_bytes(pdf(LEASE))
    statute.write_text(STATUTE, encoding="gb18030")
    open_page(page, "文档")
    create_store(page, "案卷")
    upload(page, lease, statute)
    expect(page.get_by_text("✅ 文档已加载并索引！")).to_have_count(2)
    listed = page.locator(".st-key-documents")
    for told in ("lease.pdf", "1 页", "3 条", "《青云市图书馆借阅条例》2020-03-01 版"):
        expect(listed).to_contain_text(told)


def look_the_citation_up(page: Page) -> None:
    """The quoted words are marked in their article, in the file's text, and on the page as it was printed."""
    page.get_by_role("link", name="[1]").first.click()
    source = page.locator("details", has_text="lease.pdf")
    expect(source.locator(".px-article mark")).to_contain_text(QUOTED)
    with page.context.expect_page() as opened:
        source.get_by_role("link", name="打开原文").click()
    expect(opened.value.locator("mark")).to_contain_text(QUOTED)
    opened.value.close()
    page.get_by_role("button", name="查看原页（第 1 页）").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="已标出所引文字")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def everything_is_in_the_files(page: Page) -> None:
    """Question, sources and verdict, read with what opens such files."""
    files = taken_along(page)
    table = csv.reader(io.StringIO(files["CSV"].decode("utf-8-sig"), newline=""))
    sheet = load_workbook(io.BytesIO(files["Excel"])).active
    texts = {
        "Word": docx_text(files["Word"]),
        "PDF": pdf_text(files["PDF"]),
        "Markdown": files["Markdown"].decode(),
        "Excel": "\n".join(str(cell) for row in sheet.values for cell in row),
        "CSV": "\n".join(cell for row in table for cell in row),
    }
    for name, text in texts.items():
        for said in (ASKED, QUOTED, "lease.pdf", "A 更好"):
            assert "".join(said.split()) in "".join(text.split()), f"{name}: {said}"


def another_user_sees_none_of_it(page: Page, link: str, key: str) -> None:
    sign_in(page, link, key)
    expect(page.get_by_text("这个对话不存在或已被删除。")).to_be_visible()
    expect(page.get_by_text(ASKED)).to_have_count(0)
    open_page(page, "对话记录")
    expect(page.get_by_text("还没有")).to_be_visible()
    open_page(page, "文档")
    expect(page.get_by_text("还没有知识库。")).to_be_visible()
    expect(page.get_by_text("案卷")).to_have_count(0)


def answer(page: Page, name: str) -> Locator:
    """The card of an answer, such as `raw-1`."""
    return page.locator(f"[class*=st-key-answer-][class*={name}]")


@contextmanager
def gateway_killed(stack: Stack) -> Iterator[None]:
    """The gateway ended by force, which its supervisor learns of only afterwards, and starts another."""
    pids = stack.urls["pids"]
    os.kill(pids["supervisord"], signal.SIGSTOP)
    try:
        os.kill(pids["gateway"], signal.SIGKILL)
        yield
    finally:
        os.kill(pids["supervisord"], signal.SIGCONT)
