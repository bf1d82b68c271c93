"""A lawyer's way through the real pages, in a real browser, on the real stack."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import ask, sign_in
from tests.chain.conftest import Stack

pytestmark = pytest.mark.chain


def test_a_question_is_answered_side_by_side(stack: Stack, page: Page, tmp_path: Path) -> None:
    sign_in(page, str(stack.urls["ui"]), stack.user_key)
    ask(page, "公司按基本工资计算加班费，合法吗？")
    expect(page.get_by_text("首字").nth(1)).to_be_visible(
        timeout=240_000
    )  # the figures of both finished sides
    page.screenshot(path=str(tmp_path / "compared.png"), full_page=True)
    expect(page.get_by_text("公司按基本工资计算加班费，合法吗？").first).to_be_visible()


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
    page.get_by_test_id("stTopNavLink").filter(has_text="批量提问").click()
    page.locator("input[type=file]").set_input_files(str(questions))
    page.get_by_role("button", name="开始提问").click()
    expect(page.get_by_text("已提问 1 / 1")).to_be_visible(timeout=240_000)
    expect(page.locator(".px-cell small")).to_have_count(2)  # the figures of both answers
    link = page.url
    page.goto(link)
    page.get_by_label("访问密钥").fill(stack.user_key)
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.locator(".px-asked", has_text="休息日加班不能补休")).to_be_visible()
    expect(page.locator(".px-cell small")).to_have_count(2)
    assert page.url == link
