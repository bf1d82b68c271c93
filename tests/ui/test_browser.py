"""The pages in a real browser, served by `python -m ui`."""

import re
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser import (
    ask,
    choose,
    create_store,
    open_page,
    page_of,
    sign_in,
    streamed_at_once,
    switch,
    taken_along,
    upload,
    watch_answers,
)
from tests.fakes import gateway as fake
from tests.fakes.gateway import QUOTE, FakeGateway, citation
from tests.processes import eventually
from tests.ui.pictures import png
from ui.client import Gateway, Json
from ui.history import History

pytestmark = pytest.mark.browser
KEY, OTHER = "sk-praxis-test", "sk-praxis-other"
RAW, ASSISTANT = "qwen2.5-0.5b", "labour-law"


def kept(gateway: FakeGateway) -> list[Json]:
    """What the gateway has of the latest conversation."""
    with closing(Gateway(gateway.url, KEY)) as client:
        history = History(client)
        return history.items(history.entries()[0].id)


def open_documents(page: Page) -> None:
    open_page(page, "文档")
    expect(page.get_by_role("heading", name="知识库")).to_be_visible()


def test_a_wrong_key_is_refused_and_a_right_one_let_in(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    page.goto(ui_url)
    page.get_by_label("访问密钥").fill("sk-praxis-wrong")
    page.get_by_role("button", name="登录", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("密钥不正确或已失效，请检查后重新输入。")
    sign_in(page, ui_url, KEY)
    expect(page.get_by_text("同一个问题，两种回答，一目了然")).to_be_visible()


def test_both_columns_stream_at_once(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    """Neither stream ends before the other has begun, and both are on the page while both are open."""
    hold = threading.Event()
    gateway.replies[ASSISTANT] = fake.Reply(
        ["依据条文，", "应当支付[1]。"], citations=[citation()], meet=[RAW], stall=hold
    )
    gateway.replies[RAW] = fake.Reply(["凭我所知，", "看情况。"], meet=[ASSISTANT], stall=hold)
    sign_in(page, ui_url, KEY)
    watch_answers(page)
    ask(page, "加班费怎么算？")
    try:
        expect(page.get_by_text("依据条文，")).to_be_visible()
        expect(page.get_by_text("凭我所知，")).to_be_visible()
        expect(page.get_by_text("正在回答")).to_have_count(2)
    finally:
        hold.set()
    expect(page.get_by_text("凭我所知，看情况。")).to_be_visible()
    expect(page.get_by_text("引用出处（1）")).to_be_visible()
    grounded, raw = gateway.chat_of(ASSISTANT).sent, gateway.chat_of(RAW).sent
    assert max(grounded[0], raw[0]) < min(grounded[-1], raw[-1])
    assert streamed_at_once(page, "grounded-1", "raw-1")


def test_a_marker_opens_the_article_with_the_quoted_words(
    gateway: FakeGateway, ui_url: str, page: Page
) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation(page=3)])
    sign_in(page, ui_url, KEY)
    ask(page, "加班费怎么算？")
    source = page.locator("details", has_text="《中华人民共和国劳动法》第四十四条")
    expect(source).to_be_visible()
    article = source.locator(".px-article")
    expect(article).to_be_hidden()
    page.get_by_role("link", name="[1]").click()
    expect(article).to_be_visible()
    expect(article).to_contain_text("休息日安排劳动者工作又不能安排补休的")
    expect(article.locator("mark")).to_have_text(QUOTE)
    for fact in ("第 3 页", "2018-12-29 版本", "已核对"):
        expect(source).to_contain_text(fact)
    with page.context.expect_page() as opened:
        source.get_by_role("link", name="打开原文").click()
    expect(opened.value.locator("mark")).to_have_text(QUOTE)


def test_a_citation_of_a_pdf_opens_its_page(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation(page=3)])
    gateway.sheets = {("file-law", 3): fake.PIXEL, ("file-law", 4): "unsure"}
    sign_in(page, ui_url, KEY)
    ask(page, "加班费怎么算？")
    look = page.get_by_role("button", name="查看原页（第 3 页）")
    expect(look).to_be_hidden()
    page.get_by_role("link", name="[1]").click()
    look.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("第 3 页，共 4 页")
    picture = dialog.get_by_role("img", name="已标出所引文字")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1)  # the browser draws it
    dialog.get_by_text("200 %").click()
    expect(picture).to_have_attribute("style", re.compile("200%"))
    dialog.get_by_role("button", name="下一页").click()
    expect(dialog).to_contain_text("未能在本页准确定位所引文字")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_stalled_side_holds_up_nothing_and_survives_a_switch_of_language(
    gateway: FakeGateway, ui_url: str, page: Page
) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["凭我所知，", "看情况。"], stall=hold)
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    sign_in(page, ui_url, KEY)
    ask(page, "加班费怎么算？")
    try:
        expect(page.get_by_text("引用出处（1）")).to_be_visible()
        expect(page.get_by_text("凭我所知，")).to_be_visible()
        page.get_by_role("button", name="English").click()
        expect(page.get_by_text("Sources (1)")).to_be_visible()
        expect(page.get_by_text("Answering")).to_be_visible()
    finally:
        hold.set()
    expect(page.get_by_text("凭我所知，看情况。")).to_be_visible()
    expect(page.get_by_text("Answering")).to_have_count(0)


def test_stop_keeps_what_came(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=threading.Event())
    sign_in(page, ui_url, KEY)
    ask(page, "问？")
    expect(page.get_by_text("前半")).to_be_visible()
    page.get_by_role("button", name="停止生成").click()
    expect(page.get_by_text("已停止，回答不完整")).to_be_visible()
    expect(page.get_by_text("前半")).to_be_visible()
    expect(page.get_by_role("button", name="停止生成")).to_have_count(0)
    eventually(lambda: gateway.chat_of(RAW).cancelled, "the gateway hears of it")


def test_files_are_loaded_or_say_why_not_and_are_deleted(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    files = {"劳动法.txt": "第一条".encode("gb18030"), "空白.md": b"", "程序.pdf": b"MZ\x90"}
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.write_bytes(files[path.name])
    sign_in(page, ui_url, KEY)
    open_documents(page)
    create_store(page, "案卷")
    upload(page, *paths)
    rows = page.locator(".px-upload")
    expect(rows.filter(has_text="劳动法.txt")).to_contain_text("✅ 文档已加载并索引！")
    expect(rows.filter(has_text="空白.md")).to_contain_text('❌ 未能加载："空白.md" is empty')
    expect(rows.filter(has_text="程序.pdf")).to_contain_text('❌ 未能加载："程序.pdf" is not a PDF')
    expect(page.get_by_text("已有文档（3）")).to_be_visible()
    assert sorted(content for content in gateway.tenants["office"].contents.values()) == sorted(
        files.values()
    )

    table = page.locator(".st-key-documents")
    table.get_by_role("button", name="操作").last.click()
    page.get_by_role("menuitem", name="删除").click()
    expect(page.get_by_role("dialog")).to_contain_text("确定删除“劳动法.txt”吗？将删除：1 段、1 条条文。")
    page.locator(".st-key-confirm-delete button").click()
    expect(page.get_by_text("已有文档（2）")).to_be_visible()
    assert "劳动法.txt" not in [file["filename"] for file in gateway.tenants["office"].files.values()]


def test_an_uploaded_document_answers_at_once(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    gateway.replies["my-documents"] = fake.Reply(["案卷说[1]。"], citations=[citation()])
    case = tmp_path / "案卷.txt"
    case.write_text("第一条")
    sign_in(page, ui_url, KEY)
    open_documents(page)
    create_store(page, "案卷")
    upload(page, case)
    expect(page.get_by_text("✅ 文档已加载并索引！")).to_be_visible()
    open_page(page, "提问与对比")
    choose(page, 0, "我的文档")
    expect(page.get_by_test_id("stMultiSelect")).to_contain_text("案卷")
    ask(page, "案卷怎么说？")
    expect(page.get_by_text("案卷说")).to_be_visible()
    expect(page.get_by_text("引用出处（1）")).to_be_visible()


def test_a_reload_loses_nothing_and_a_stranger_sees_nothing(
    gateway: FakeGateway, ui_url: str, page: Page, browser: Browser
) -> None:
    """The answer that still streams at the reload comes back as far as it was, and the vote with the rest."""
    hold = threading.Event()
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    sign_in(page, ui_url, KEY)
    ask(page, "加班费怎么算？")
    expect(page.get_by_text("引用出处（1）")).to_be_visible()
    page.get_by_role("button", name="A 更好").click()
    expect(page.get_by_text("存在的问题")).to_be_visible()
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=hold)
    ask(page, "那周末呢？")
    expect(page.get_by_text("前半")).to_be_visible()
    link = page.url
    assert re.fullmatch(rf"{ui_url}/(ask)?\?c=conv_[0-9a-f]+", link)
    eventually(lambda: "前半" in str(kept(gateway)), "the first words are kept")
    page.reload()
    expect(page.get_by_label("访问密钥")).to_be_visible()
    sign_in(page, link, KEY)
    hold.set()
    for text in ("加班费怎么算？", "那周末呢？", "引用出处（1）", "前半", "已停止，回答不完整"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_test_id("stBaseButton-primary").filter(has_text="A 更好")).to_be_visible()
    page.locator("details", has_text="《中华人民共和国劳动法》第四十四条").first.click()
    expect(page.locator(".px-article mark").first).to_have_text(QUOTE)
    assert page.url == link
    with page_of(browser) as other:
        sign_in(other, link, OTHER)
        expect(other.get_by_text("这个对话不存在或已被删除。")).to_be_visible()
        expect(other.get_by_text("加班费怎么算？")).to_have_count(0)


def test_a_picture_is_attached_seen_and_there_again_after_a_reload(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    next(card for card in gateway.models if card["id"] == RAW)["images"] = 4
    picture, harm = tmp_path / "片子.png", tmp_path / "程序.png"
    picture.write_bytes(png())
    harm.write_bytes(b"MZ\x90")
    sign_in(page, ui_url, KEY)
    line = page.get_by_test_id("stChatInput")
    line.locator("input[type=file]").set_input_files([str(picture), str(harm)])
    expect(page.get_by_test_id("stFileChip")).to_have_count(2)
    ask(page, "片子上是什么？")
    expect(page.get_by_role("alert")).to_contain_text("“程序.png”不是 PNG、JPEG、WebP 或 GIF 图片")
    expect(line.locator("textarea")).to_have_value("片子上是什么？")
    expect(page.get_by_role("img", name="图片 1：片子.png")).to_be_visible()
    line.locator("textarea").press("Enter")
    asked = page.locator(".px-question")
    small = asked.get_by_role("img", name="图片 1：片子.png")
    expect(small).to_be_visible()
    expect(small).to_have_js_property("naturalWidth", 320)  # the browser draws it
    expect(page.get_by_text("本栏的模型不能看图")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(1)  # that the grounded side found no evidence
    height = small.evaluate("image => image.offsetHeight")
    asked.locator("summary").click()
    eventually(lambda: small.evaluate("image => image.offsetHeight") > height, "it is larger")
    content = gateway.chat_of(RAW).body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    eventually(lambda: {item["status"] for item in kept(gateway)} == {"completed"}, "all is kept")
    link = page.url
    page.reload()
    sign_in(page, link, KEY)
    expect(small).to_be_visible()
    expect(small).to_have_js_property("naturalWidth", 320)


def test_conversations_are_found_renamed_opened_and_deleted(
    gateway: FakeGateway, ui_url: str, page: Page
) -> None:
    sign_in(page, ui_url, KEY)
    for question in ("加班费怎么算？", "试用期 *多长*？"):
        ask(page, question)
        expect(page.get_by_text("好的。")).to_have_count(2)
        page.get_by_role("button", name="新对话").click()
        expect(page.get_by_text("好的。")).to_have_count(0)
    open_page(page, "对话记录")
    rows = page.locator(".st-key-history")
    expect(rows.get_by_test_id("stPageLink")).to_have_count(2)
    search = page.get_by_placeholder("搜索标题、问题或回答中的文字")
    search.fill("试用期")
    search.press("Enter")
    expect(rows.get_by_test_id("stPageLink")).to_have_count(1)
    rows.get_by_role("button", name="重命名").click()
    page.get_by_role("dialog").get_by_label("标题").fill("试用期的长短")
    page.get_by_role("dialog").get_by_role("button", name="保存").click()
    expect(rows.get_by_text("试用期的长短")).to_be_visible()
    rows.get_by_text("试用期的长短").click()
    expect(page.locator(".px-question")).to_contain_text("试用期 *多长*？")
    open_page(page, "对话记录")
    rows.get_by_role("button", name="删除").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("确定删除“试用期的长短”吗？")
    page.locator(".st-key-confirm-delete button").click()
    expect(rows.get_by_test_id("stPageLink")).to_have_count(1)
    open_page(page, "提问与对比")
    expect(page.get_by_text("同一个问题，两种回答，一目了然")).to_be_visible()


def test_all_of_it_is_taken_along_as_files(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    sign_in(page, ui_url, KEY)
    ask(page, "加班费怎么算？")
    begins = {
        "Word": b"PK", "PDF": b"%PDF-", "Markdown": "# 加班费怎么算？".encode(), "Excel": b"PK", "CSV": b"\xef\xbb\xbf"
    }  # fmt: skip
    files = taken_along(page)
    assert files.keys() == begins.keys()
    for name, content in files.items():
        assert content.startswith(begins[name]), name
        assert len(content) > 200


def test_a_file_shows_how_far_it_is_also_after_a_reload(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    office = gateway.tenants.setdefault("office", fake.Tenant())
    office.reading = threading.Event()
    case = tmp_path / "案卷.txt"
    case.write_text("第一条")
    sign_in(page, ui_url, KEY)
    open_documents(page)
    create_store(page, "案卷")
    upload(page, case)
    row = page.locator(".px-upload", has_text="案卷.txt")
    expect(row).to_contain_text("建立索引 3/12 · 70%")
    expect(page.get_by_text("这个知识库还没有文档")).to_have_count(0)
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "70")
    page.reload()
    sign_in(page, ui_url, KEY)
    open_documents(page)
    table = page.locator(".st-key-documents")
    expect(table).to_contain_text("建立索引 3/12 · 70%")
    office.reading.set()
    expect(table).to_contain_text("可检索")


SAID = """() => [...document.querySelectorAll("[aria-label], [title], [placeholder]")]
    .flatMap(each => ["aria-label", "title", "placeholder"].map(name => each.getAttribute(name)))
    .filter(said => said && /[A-Za-z]{4}/.test(said) && !/[一-鿿]/.test(said))"""
"""What tooltips and screen readers say and is no Chinese."""


def test_the_widgets_own_words_are_in_the_page_s_language(
    gateway: FakeGateway, ui_url: str, page: Page, tmp_path: Path
) -> None:
    next(card for card in gateway.models if card["id"] == RAW)["images"] = 4
    program = tmp_path / "a.bat"
    program.write_bytes(b"MZ")
    page.goto(ui_url)
    page.get_by_label("访问密钥").fill(KEY)
    expect(page.get_by_test_id("InputInstructions")).to_have_text("按 Enter 键提交")
    page.get_by_role("button", name="显示密钥").click()
    expect(page.get_by_role("button", name="隐藏密钥")).to_be_visible()
    sign_in(page, ui_url, KEY)
    page.get_by_test_id("stChatInput").locator("input[type=file]").set_input_files(program)
    expect(page.get_by_test_id("stFileChip")).to_contain_text("不支持这种类型的文件。")
    eventually(lambda: page.evaluate(SAID) == [], "all of it is Chinese")
    switch(page, "English")
    expect(page.get_by_test_id("stFileChip")).to_contain_text("Files of this kind cannot be used.")
    switch(page, "中文")
    expect(page.get_by_test_id("stFileChip")).to_contain_text("不支持这种类型的文件。")
    open_documents(page)
    create_store(page, "案卷")
    uploader = page.get_by_test_id("stFileUploader")
    expect(uploader).to_contain_text("把文件拖到这里，或点击选择")
    uploader.locator("input[type=file]").set_input_files(program)
    expect(uploader).to_contain_text("不支持这种类型的文件。")
    eventually(lambda: page.evaluate(SAID) == [], "all of it is Chinese")
    for name in ("批量提问", "对话记录", "评价结果"):
        open_page(page, name)
        expect(page.get_by_test_id("stTopNavLink").filter(has_text=name)).to_have_attribute(
            "aria-current", "page"
        )
        eventually(lambda: page.evaluate(SAID) == [], "all of it is Chinese")


def test_english_is_one_switch_away(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    page.goto(ui_url)
    page.get_by_role("button", name="English").click()
    page.get_by_label("Access key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("One question, two answers, side by side")).to_be_visible()
    body = page.locator("body")
    eventually(lambda: re.findall("[一-鿿]+", body.inner_text()) == ["中文"], "all of it is English")


def test_the_gateway_goes_and_comes_back(gateway: FakeGateway, ui_url: str, page: Page) -> None:
    sign_in(page, ui_url, KEY)
    ask(page, "第一问？")
    expect(page.get_by_text("好的。")).to_have_count(2)
    gateway.stop()
    try:
        ask(page, "第二问？")
        expect(page.get_by_text("网关暂时无法连接。")).to_be_in_viewport()
        expect(page.get_by_text("无法连接网关，请确认服务已启动后重试。")).to_have_count(2)
        expect(page.get_by_text("好的。")).to_have_count(2)
    finally:
        gateway.start()
    expect(page.get_by_text("网关暂时无法连接。")).to_have_count(0)
    ask(page, "第三问？")
    expect(page.get_by_text("好的。")).to_have_count(4)
    expect(page.locator(".px-question", has_text="第三问？")).to_be_in_viewport()


def test_signing_out_leaves_nothing_and_another_user_sees_nothing(
    gateway: FakeGateway, ui_url: str, page: Page, browser: Browser
) -> None:
    sign_in(page, ui_url, KEY)
    ask(page, "甲的秘密问题")
    expect(page.get_by_text("好的。")).to_have_count(2)
    open_documents(page)
    create_store(page, "甲的案卷")
    with page_of(browser) as other:
        sign_in(other, ui_url, OTHER)
        expect(other.get_by_text("甲的秘密问题")).to_have_count(0)
        open_documents(other)
        expect(other.get_by_text("还没有知识库。")).to_be_visible()
        expect(other.get_by_text("甲的案卷")).to_have_count(0)
    page.get_by_role("button", name="退出登录").click()
    expect(page.get_by_label("访问密钥")).to_be_visible()
    expect(page.get_by_label("访问密钥")).to_have_value("")
    expect(page.get_by_text("甲的案卷")).to_have_count(0)
    sign_in(page, ui_url, KEY)
    expect(page.get_by_text("甲的秘密问题")).to_have_count(0)


def test_hostile_text_stays_text_and_the_key_stays_hidden(
    gateway: FakeGateway, ui_url: str, page: Page
) -> None:
    hostile = (
        '<img src="https://evil.example/a.png" onerror="window.broken = 1"><script>window.broken = 1</script>'
    )
    gateway.replies[RAW] = fake.Reply([hostile, " ![图](https://evil.example/b.png)"])
    gateway.replies[ASSISTANT] = fake.Reply(
        [f"{hostile}[1]"], citations=[citation(law=hostile, filename=hostile)]
    )
    asked: list[str] = []
    complaints: list[ConsoleMessage] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message) if message.type == "error" else None)
    sign_in(page, ui_url, KEY)
    ask(page, hostile)
    expect(page.get_by_text("引用出处（1）")).to_be_visible()
    expect(page.get_by_text("</script>")).not_to_have_count(0)
    assert page.evaluate("window.broken") is None
    assert [url for url in asked if not url.startswith((ui_url, "data:", "blob:"))] == []
    assert [message.text for message in complaints] == []
    assert KEY not in page.content()
    assert not any(KEY in url for url in [page.url, *asked])
    assert not any(KEY in request for request in gateway.requests)


@pytest.mark.parametrize("width", [1280, 1920])
def test_nothing_is_wider_than_the_window(
    gateway: FakeGateway, ui_url: str, browser: Browser, width: int
) -> None:
    long = "劳动合同" * 60
    gateway.replies[RAW] = fake.Reply([f"{long}https://example.org/{'a' * 300}\n\n```\n{'b' * 400}\n```"])
    gateway.replies[ASSISTANT] = fake.Reply(
        [f"{long}[1]"], citations=[citation(filename=f"{long}.txt", law=long)]
    )
    with page_of(browser, width, 900) as page:
        sign_in(page, ui_url, KEY)
        ask(page, long)
        expect(page.get_by_text("引用出处（1）")).to_be_visible()
        page.locator("details summary").click()
        columns = page.locator("[class*=st-key-answer-]")
        boxes = [box for column in columns.all() if (box := column.bounding_box())]
        assert len(boxes) == 2
        assert abs(boxes[0]["width"] - boxes[1]["width"]) < 2
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_tablet_the_bar_has_room_for_all(gateway: FakeGateway, ui_url: str, browser: Browser) -> None:
    with page_of(browser, 820, 1180) as page:
        sign_in(page, ui_url, KEY)
        ask(page, "加班费怎么算？")
        for again, language in (("新对话", "English"), ("New conversation", "中文")):
            # Its name is for those who cannot see it.
            expect(page.get_by_role("button", name=again)).to_be_visible()
            ends = [link.bounding_box() for link in page.get_by_test_id("stTopNavLink").all()]
            account = page.locator(".st-key-account").bounding_box()
            assert account is not None
            assert len(ends) == 5
            assert all(each and each["x"] + each["width"] <= account["x"] for each in ends)
            switch(page, language)


def test_the_pages_are_closed_to_others(ui_url: str) -> None:
    headers = httpx.get(ui_url, timeout=60).headers
    assert "img-src 'self' data: blob:" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert (
        "access-control-allow-origin"
        not in httpx.get(ui_url, headers={"origin": "https://evil.example"}, timeout=60).headers
    )
    upload_path = f"{ui_url}/_stcore/upload_file/session/file"
    assert httpx.put(upload_path, files={"file": b"x"}, timeout=60).status_code == 403
