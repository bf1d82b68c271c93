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
