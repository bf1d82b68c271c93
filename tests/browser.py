"""A real headless Chromium for tests that drive the pages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.processes import environment, eventually, free_port

TIMEOUT = 60_000  # milliseconds; generous, because nothing here measures speed
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; raises FileNotFoundError where the machine has none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError(
            "no `chromium` on this machine: install it with `apt-get install chromium fonts-noto-cjk`"
        )
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=2 * TIMEOUT)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A fresh visitor's page: no cookies or state of another."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="zh-CN", accept_downloads=True
    )
    context.set_default_timeout(TIMEOUT)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, url: str, key: str) -> None:
    """Open the pages and sign in, in Chinese."""
    page.goto(url)
    page.get_by_label("访问密钥").fill(key)
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.get_by_test_id("stChatInput")).to_be_visible()


def switch(page: Page, language: str) -> None:
    """Go on in `language`; words of another length move the button away under one's hand until all are drawn."""
    page.get_by_role("button", name=language).click()
    expect(page.get_by_role("button", name=language)).to_have_count(0)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def open_page(page: Page, name: str) -> None:
    """Go to a page by its link on top."""
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def choose(page: Page, column: int, name: str) -> None:
    """Have the column, 0 being the left one, answered by `name`."""
    page.get_by_test_id("stSelectbox").nth(column).click()
    page.get_by_role("option", name=name, exact=True).click()


def ask(page: Page, question: str) -> None:
    """Send a question."""
    box = page.get_by_test_id("stChatInput").locator("textarea")
    box.fill(question)
    box.press("Enter")


WATCH = """() => {
    const seen = window.seen = {};
    new MutationObserver(() => {
        for (const card of document.querySelectorAll("[class*=st-key-answer-]")) {
            const moments = seen[card.className.match(/st-key-answer-\\w+-(\\w+-\\d+)/)[1]] ??= {};
            if (card.querySelector("[data-testid=stMarkdown]")?.innerText.trim()) moments.first ??= performance.now();
            if (card.querySelector(".px-stats")) moments.end ??= performance.now();
        }
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def watch_answers(page: Page) -> None:
    """Note from now on when each answer shows its first words and when it ends, for `streamed_at_once`."""
    page.evaluate(WATCH)


def streamed_at_once(page: Page, *answers: str) -> bool:
    """Whether each of the answers that were watched, such as `raw-1`, had begun on the page before any had ended."""
    seen = page.evaluate("window.seen")
    return bool(max(seen[each]["first"] for each in answers) < min(seen[each]["end"] for each in answers))


def create_store(page: Page, name: str) -> None:
    """Make a knowledge base on the documents page, which chooses it."""
    page.get_by_label("新建知识库").fill(name)
    page.get_by_role("button", name="新建").click()
    expect(page.get_by_role("heading", name="知识库")).to_be_visible()


def upload(page: Page, *files: Path) -> None:
    """Send files into the chosen knowledge base of the documents page."""
    page.locator("input[type=file]").set_input_files([str(file) for file in files])
    expect(page.get_by_test_id("stFileChip")).to_have_count(len(files))
    page.get_by_role("button", name="上传", exact=False).last.click()


def taken_along(page: Page) -> dict[str, bytes]:
    """What is on the page as files, by the name of their format."""
    files = {}
    for name in ("Word", "PDF", "Markdown", "Excel", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        files[name] = download.value.path().read_bytes()
    return files


@contextmanager
def pages(gateway_url: str, log: Path) -> Iterator[str]:
    """`python -m ui` in front of a gateway; yields the address of the pages."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "ui", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment(PRAXIS_GATEWAY_URL=gateway_url),
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: _serves(process, url, log), "the pages answer", within=60)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def _serves(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, f"the pages ended:\n{log.read_text()}"
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=30).is_success
    except httpx.TransportError:
        return False
