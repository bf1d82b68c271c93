"""Knowledge bases on their page: what the files hold, how they were split, search, shares, replacing and deleting."""

import pytest
from streamlit.testing.v1 import AppTest

from rag.ingest.text import known_encoding
from tests.fakes.gateway import PIXEL, FakeGateway, Tenant
from tests.ui.script import KEY, press, shown, sign_in, turn_to
from ui.encodings import ENCODINGS, meant
from ui.found import marked

OLD = "《示例工资法》\n2009-08-27\n第一条 加班工资不低于工资的百分之一百五十。\n"
NEW = "《示例工资法》\n2018-12-29\n第一条 加班工资不低于工资的百分之二百。\n第二条 <b>本法</b>自公布之日起施行。\n"
MEMO = "备忘：请财务核对加班工资。\n"


def fill(gateway: FakeGateway, store: str, **files: str | bytes) -> dict[str, str]:
    """Files in a knowledge base of the office, read; their ids by name."""
    office = gateway.tenants.setdefault("office", Tenant())
    office.stores.setdefault(
        store, {"id": store, "object": "vector_store", "created_at": 1, "name": f"库{store}"}
    )
    ids = {}
    for name, text in files.items():
        content = text.encode() if isinstance(text, str) else text
        ids[name] = file = f"file-{name}"
        office.contents[file] = content
        office.files[file] = {
            "id": file,
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "filename": f"{name}.txt",
        }
        office.attach(store, file)
        office.look(store, file)
    return ids


@pytest.fixture
def office(gateway: FakeGateway) -> Tenant:
    return gateway.tenants.setdefault("office", Tenant())


@pytest.fixture
def documents(app: AppTest, gateway: FakeGateway) -> AppTest:
    """The page, with a knowledge base of two editions of a law and a memo."""
    fill(gateway, "vs-1", 旧=OLD, 新=NEW, 备忘=MEMO)
    app.text_input[0].set_value(KEY)
    app.button[0].click().run()
    return turn_to(app, "documents")


def act(app: AppTest, file: str, what: str) -> AppTest:
    app.menu_button(key=f"act-file-{file}").click(what).run()
    assert not app.exception
    return app


def confirm(app: AppTest, file: str, what: str) -> AppTest:
    """Say yes to the open question; it is there only in a run in which it was asked."""
    app.menu_button(key=f"act-file-{file}").click(what)
    app.button(key="confirm-delete").click().run()
    assert not app.exception
    return app


def replace(app: AppTest, file: str, content: bytes) -> AppTest:
    """Choose a new file in the open question, and have it take the file's place."""
    opener = app.menu_button(key=f"act-file-{file}")
    opener.click("replace")
    app.file_uploader(key=f"replace-file-{file}").upload("更新.txt", content, "text/plain").run()
    app.menu_button(key=f"act-file-{file}").click("replace")
    app.button(key="confirm-replace").click().run()
    assert not app.exception
    return app


def go(app: AppTest, room: str) -> AppTest:
    next(each for each in app.segmented_control if each.key.startswith("documents-room")).set_value(
        room
    ).run()
    assert not app.exception
    return app


def test_the_list_tells_what_files_hold_and_which_editions_gave_way(documents: AppTest) -> None:
    page = shown(documents)
    assert "2 条 · 4 段" in page
    assert "《示例工资法》2018-12-29 版" in page
    assert "已被新版取代，适用至 2018-12-29" in page
    assert page.count("已被新版取代") == 1
    kinds = set(documents.file_uploader[0].proto.type)
    assert kinds >= {".pdf", ".docx", ".html", ".htm", ".xhtml", ".txt", ".text", ".md", ".markdown"}


def test_how_a_file_was_split_is_shown_a_page_at_a_time(
    documents: AppTest, gateway: FakeGateway, office: Tenant
) -> None:
    fill(gateway, "vs-1", 长=("".join(f"第{number}条 规定{number}。\n" for number in range(1, 20_001))))
    documents.run()
    act(documents, "长", "preview")
    assert "第 1–20 段，共 20,000 段" in shown(documents)
    pages = documents.get("pagination")[0]
    assert pages.num_pages == 1000
    pages.set_value(1000).run()
    page = shown(documents)
    assert "第 19981–20000 段" in page
    assert "规定20000。" in page
    assert "规定19980。" not in page
    press(documents, "返回文件列表")
    assert "已有文档（4）" in [each.value for each in documents.subheader]


def test_a_preview_shows_text_as_text_and_survives_its_files_end(documents: AppTest, office: Tenant) -> None:
    act(documents, "新", "preview")
    page = shown(documents)
    assert "&lt;b&gt;本法&lt;/b&gt;" in page
    assert "<b>本法</b>" not in page
    assert "现行有效" in page
    del office.members["vs-1", "file-新"]
    documents.run()
    assert "这个文件已被删除、移出或替换。" in shown(documents)
    press(documents, "返回文件列表")
    assert "已有文档（2）" in [each.value for each in documents.subheader]


def test_a_search_shows_scores_words_and_editions(documents: AppTest, gateway: FakeGateway) -> None:
    go(documents, "search")
    documents.text_input(key="finding-vs-1").set_value("加班工资是多少").run()
    page = shown(documents)
    assert "<mark>加班工资</mark>" in page
    assert "《示例工资法》第一条" in page
    assert "相关度 0." in page
    assert "百分之一百五十" not in page
    searches = sum("/search" in each for each in gateway.requests)
    documents.run()
    assert sum("/search" in each for each in gateway.requests) == searches, (
        "each search is in the audit trail"
    )
    documents.selectbox[0].set_value("all").run()
    page = shown(documents)
    assert "百分之一百五十" in page
    assert "已被新版取代，适用至 2018-12-29" in page
    documents.text_input(key="finding-vs-1").set_value("qqq").run()
    assert "没有找到相关内容" in shown(documents)


def test_a_result_opens_where_it_stands_in_its_file(documents: AppTest, gateway: FakeGateway) -> None:
    lines = [f"第{number}条 寻常的规定。\n" for number in range(1, 101)]
    lines[59] = "第60条 罕见情形另行处理。\n"
    fill(gateway, "vs-1", 长="".join(lines))
    go(documents, "search")
    documents.text_input(key="finding-vs-1").set_value("罕见").run()
    documents.button(key="open-1").click().run()
    page = shown(documents)
    assert "第 41–60 段，共 100 段" in page
    here = page.split('id="px-here"')[1].split("</article>")[0]
    assert "<mark>罕见</mark>情形" in here
    assert page.count("<mark>") == 1
    documents.get("pagination")[0].set_value(1).run()
    assert "第 1–20 段" in shown(documents)
    press(documents, "返回检索结果")
    assert documents.text_input(key="finding-vs-1").value == "罕见"
    assert "找到 1 段" in shown(documents)


def test_a_result_in_a_pdf_opens_its_page(documents: AppTest, gateway: FakeGateway, office: Tenant) -> None:
    office.files["file-备忘"]["filename"] = "备忘.pdf"
    gateway.sheets = {("file-备忘", 3): PIXEL}
    go(documents, "search")
    documents.text_input(key="finding-vs-1").set_value("财务").run()
    documents.button(key="look-1").click().run()
    assert "data:image/png;base64," in shown(documents)
    (asked,) = [each for each in gateway.requests if "/pages/3" in each]
    assert f"start=0&end={len(MEMO)}" in asked


def test_a_list_is_told_by_the_knowledge_base_alone(documents: AppTest, gateway: FakeGateway) -> None:
    assert "B" in shown(documents)
    assert not [each for each in gateway.requests if each.partition("?")[0].endswith("/v1/files")]


def test_the_encoding_of_a_text_is_chosen_by_how_it_reads(
    documents: AppTest, gateway: FakeGateway, office: Tenant
) -> None:
    content = "不明白的第一行。\n第一條 本法自公布日施行。\n".encode("big5")
    fill(gateway, "vs-1", 條例=content)
    documents.run()
    assert "可在右边的“操作”中选择它的编码" in shown(documents)
    assert "encoding" not in documents.menu_button(key="act-file-备忘").options
    act(documents, "條例", "encoding")
    choice = documents.radio(key="encoding-file-條例")
    assert "UTF-8" not in choice.options
    fetched = [each for each in gateway.requests if each.endswith("/content")]
    documents.menu_button(key="act-file-條例").click("encoding")
    documents.radio(key="encoding-file-條例").set_value("big5").run()
    documents.menu_button(key="act-file-條例").click("encoding")
    documents.run()
    assert "不明白的第一行。" in shown(documents)
    assert [each for each in gateway.requests if each.endswith("/content")] == fetched
    documents.menu_button(key="act-file-條例").click("encoding")
    documents.button(key="confirm-encoding").click().run()
    assert not documents.exception
    assert office.members["vs-1", "file-條例"]["attributes"] == {"encoding": "big5"}
    assert office.look("vs-1", "file-條例")["status"] == "completed"


@pytest.mark.parametrize(
    ("language", "act_on_it", "asked"),
    [
        ("中文", "换编码重读", "“章程.txt”是按 GB18030 读出的。"),
        ("English", "Read in another encoding", "“章程.txt” was read as GB18030."),
    ],
)
def test_a_text_that_was_read_in_the_wrong_encoding_is_read_in_another(
    app: AppTest, gateway: FakeGateway, office: Tenant, language: str, act_on_it: str, asked: str
) -> None:
    content = "甲乙章程\n第一條 本章程自公布日施行。\n".encode("big5")
    fill(gateway, "vs-1", 章程=content)
    fill(gateway, "vs-2")
    office.attach("vs-2", "file-章程")
    if language == "English":
        press(app, language)
    sign_in(app, KEY)
    turn_to(app, "documents")
    app.radio(key="store").set_value("vs-1").run()
    assert act_on_it in app.menu_button(key="act-file-章程").options
    act(app, "章程", "reread")
    assert asked in shown(app)
    choice = app.radio(key="encoding-file-章程")
    assert choice.value == "gb18030", "the one in which it was read"
    assert app.button(key="confirm-encoding").disabled
    app.menu_button(key="act-file-章程").click("reread")
    choice.set_value("big5").run()
    app.menu_button(key="act-file-章程").click("reread")
    app.button(key="confirm-encoding").click().run()
    assert not app.exception
    (here,) = [file for store, file in office.members if store == "vs-1"]
    assert here != "file-章程"
    assert office.contents[here] == content
    assert office.members["vs-1", here]["attributes"] == {"encoding": "big5"}
    assert office.passages("vs-1", here)[1]["text"] == "第一條 本章程自公布日施行。\n"
    assert office.look("vs-2", "file-章程")["progress"]["encoding"] == "gb18030", (
        "elsewhere it stays as it was"
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_encoding_that_a_file_was_read_in_is_one_of_those_to_choose_from(encoding: str) -> None:
    assert meant(known_encoding(encoding)) == encoding


def share(app: AppTest) -> None:
    next(each for each in app.button if each.label == "共享" and each.form_id).click().run()
    assert not app.exception


def test_a_knowledge_base_is_shared_and_taken_back(documents: AppTest, office: Tenant) -> None:
    go(documents, "sharing")
    assert "目前没有共享" in shown(documents)
    share(documents)
    assert "请填写机构名称或密钥编号。" in shown(documents)
    documents.text_input[-1].set_value("office")
    share(documents)
    assert "is the tenant's own" in shown(documents)
    documents.text_input[-1].set_value("医院")
    documents.selectbox[-1].set_value("write")
    share(documents)
    assert [(each["tenant"], each["right"]) for each in office.shares.values()] == [("医院", "write")]
    documents.button(key="unshare-tenant-医院").click().run()
    documents.button(key="unshare-tenant-医院").click()
    documents.button(key="confirm-delete").click().run()
    assert office.shares == {}
    assert "目前没有共享" in shown(documents)


def test_a_file_is_replaced_once_the_new_one_is_ready(documents: AppTest, office: Tenant) -> None:
    act(documents, "旧", "replace")
    assert "新文件处理失败时，旧文件不受影响" in shown(documents)
    assert "另行上传新版" in shown(documents)
    replace(documents, "旧", NEW.encode())
    names = [each["filename"] for each in office.files.values()]
    assert sorted(names) == ["备忘.txt", "新.txt", "更新.txt"]
    assert "已有文档（3）" in [each.value for each in documents.subheader]


def test_a_file_that_fails_leaves_the_old_one_and_says_why(documents: AppTest, office: Tenant) -> None:
    act(documents, "旧", "replace")
    replace(documents, "旧", b"MZ\x90")
    page = shown(documents)
    assert "文件为空、损坏、加密或无法辨认" in page
    assert "is not a PDF" in page
    assert "没有替换：旧文件仍在使用。" in page
    assert "file-旧" in office.files


def test_deleting_says_what_goes_and_from_where(
    documents: AppTest, gateway: FakeGateway, office: Tenant
) -> None:
    act(documents, "新", "delete")
    assert "将删除：4 段、2 条条文。它只在知识库“库vs-1”中" in shown(documents)
    fill(gateway, "vs-2")
    office.attach("vs-2", "file-新")
    act(documents, "新", "delete")
    assert "“新.txt”在 2 个知识库中：库vs-1、库vs-2。" in shown(documents)
    confirm(documents, "新", "delete")
    assert list(office.members) == [("vs-1", "file-旧"), ("vs-1", "file-备忘"), ("vs-2", "file-新")]
    assert "file-新" in office.files


def test_a_knowledge_base_goes_with_the_files_that_are_nowhere_else(
    documents: AppTest, gateway: FakeGateway, office: Tenant
) -> None:
    fill(gateway, "vs-0")
    office.attach("vs-0", "file-新")
    press(documents, "删除知识库")
    assert "其中有 3 个文件，共 8 段、3 条条文" in shown(documents)
    next(each for each in documents.button if each.label == "删除知识库").click()
    documents.button(key="confirm-delete").click().run()
    assert list(office.stores) == ["vs-0"]
    assert list(office.files) == ["file-新"]


def test_what_others_share_to_read_offers_no_change(
    app: AppTest, gateway: FakeGateway, office: Tenant
) -> None:
    fill(gateway, "vs-1", 新=NEW)
    office.stores["vs-1"]["shared"] = {"tenant": "乙所", "right": "read"}
    del office.files["file-新"]
    app.text_input[0].set_value(KEY)
    app.button[0].click().run()
    turn_to(app, "documents")
    assert app.menu_button(key="act-file-新").options == ["查看切分"]
    assert [each.label for each in app.button if each.label in ("删除知识库", "上传")] == []
    assert "共享" not in next(iter(app.segmented_control)).options


@pytest.mark.parametrize(
    ("query", "text", "words"),
    [
        ("加班工资是多少？", "加班工资不低于工资", ["加班工资"]),
        ("劳动法第四十四条", "第四十四条 有下列情形", ["第四十四条"]),
        ("Overtime pay", "overtime PAY for payroll", ["overtime", "PAY"]),
        ("可以吗", "可以", []),
        ("a+b", "a+b", []),
        ("", "任何", []),
    ],
)
def test_the_words_of_a_question_are_found_in_a_passage(query: str, text: str, words: list[str]) -> None:
    runs = marked(query, text)
    assert "".join(run for run, _ in runs) == text
    assert [run for run, is_marked in runs if is_marked] == words


def test_the_page_speaks_english_too(app: AppTest, gateway: FakeGateway) -> None:
    fill(gateway, "vs-1", 新=NEW)
    press(app, "English")
    app.text_input[0].set_value(KEY)
    app.button[0].click().run()
    turn_to(app, "documents")
    assert "2 articles · 4 passages" in shown(app)
