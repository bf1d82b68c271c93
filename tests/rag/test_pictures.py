"""A page of a PDF as a picture: the cited words are marked where they stand, or nothing is; nobody sees another's pages."""

import io
import sqlite3
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from PIL import Image
from pypdf import PdfReader, PdfWriter

from rag.ingest.picture import _FILL
from rag.ingest.places import locate
from tests.processes import ROOT
from tests.rag import documents
from tests.rag.conftest import Rag

pytestmark = pytest.mark.timeout(400)

FIRST = ["第一条 为了保护劳动者的合法权益，制定本办法。", "第二条 加班工资不低于工资的百分之一百五十。"]
SECOND = ["休息日工作的，支付不低于百分之二百的工资报酬；", "第三条 本办法自公布之日起施行。"]
WORDS = "加班工资不低于工资的百分之一百五十"
SCAN = (ROOT / "tests" / "data" / "scan.png").read_bytes()
HEIGHT, WIDTH = 842, 595  # of the pages, in points


def uploaded(client: openai.OpenAI, content: bytes, name: str = "办法.pdf") -> tuple[str, str, str]:
    """A file in a store of its own; the ids of both, and the file's extracted text."""
    store = client.vector_stores.create(name="办法").id
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=(name, content), poll_interval_ms=200
    )
    assert file.status == "completed", file.last_error
    (text,) = client.vector_stores.files.content(file.id, vector_store_id=store).data
    return store, file.id, text.text or ""


def tenant_of(client: openai.OpenAI) -> str:
    return str(client.default_headers["x-praxis-tenant"])


@pytest.fixture
def look(rag: Rag, client: openai.OpenAI) -> Callable[..., httpx.Response]:
    def asked(file: str, page: int = 1, tenant: str = "", **query: Any) -> httpx.Response:
        headers = query.pop("headers", {})
        return rag.request(
            "GET",
            f"/v1/files/{file}/pages/{page}",
            tenant=tenant or tenant_of(client),
            params=query,
            headers=headers,
        )

    return asked


def marked(reply: httpx.Response) -> list[tuple[float, float, float, float]]:
    """Where the picture is marked: for each line its left, top, right and bottom, in points of the page."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(reply.content))
    scale = WIDTH / image.width
    mask = Image.frombytes("L", image.size, bytes(255 * (each == _FILL) for each in _pixels(image)))
    rows = [any(row) for row in _rows(mask)]
    found, top = [], None
    for at, row in enumerate([*rows, False]):
        if row and top is None:
            top = at
        elif not row and top is not None:
            box = mask.crop((0, top, image.width, at)).getbbox()
            assert box is not None
            # A line's lower edge and thin strokes leave slivers.
            if at - top > 5:
                found.append((box[0] * scale, top * scale, box[2] * scale, at * scale))
            top = None
    return found


def _pixels(image: Image.Image) -> list[tuple[int, ...]]:
    raw = image.convert("RGB").tobytes()
    return list(zip(raw[0::3], raw[1::3], raw[2::3], strict=True))


def _rows(mask: Image.Image) -> list[bytes]:
    raw = mask.tobytes()
    return [raw[at : at + mask.width] for at in range(0, len(raw), mask.width)]


def test_the_words_are_marked_where_they_stand_and_nothing_else_is(
    client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    _, file, text = uploaded(client, documents.pdf(FIRST, SECOND))
    start = text.index(WORDS)
    reply = look(file, start=start, end=start + len(WORDS))
    ((left, top, right, bottom),) = marked(reply)
    # 「第二条 」 is three characters of 12 points and a space, from 60 on; the line's baseline is at 760.
    assert 96 < left < 105
    assert abs(right - left - 12 * len(WORDS)) < 4
    assert HEIGHT - 760 - 14 < top < bottom < HEIGHT - 760 + 6
    told = {name: reply.headers[f"x-praxis-{name}"] for name in ("marked", "pages", "passage-pages")}
    assert told == {"marked": "words", "pages": "2", "passage-pages": "1-1"}
    assert reply.headers["cache-control"] == "private, no-store"
    other = look(file, 2, start=start, end=start + len(WORDS))
    assert (marked(other), other.headers["x-praxis-marked"]) == ([], "none")
    assert marked(look(file)) == []


def test_a_passage_over_a_page_break_is_marked_on_both_pages(
    client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    _, file, text = uploaded(client, documents.pdf(FIRST, SECOND))
    span = {"start": text.index("第二条"), "end": text.index("第三条")}
    for page, baseline in ((1, 760), (2, 780)):
        reply = look(file, page, **span)
        ((_, top, _, bottom),) = marked(reply)
        assert HEIGHT - baseline - 14 < top < bottom < HEIGHT - baseline + 6
        assert reply.headers["x-praxis-passage-pages"] == "1-2"


def test_a_page_that_lies_on_its_side_is_marked_there(
    client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(documents.pdf(FIRST))))
    writer.pages[0].rotate(90)
    out = io.BytesIO()
    writer.write(out)
    _, file, text = uploaded(client, out.getvalue())
    start = text.index(WORDS)
    reply = look(file, start=start, end=start + len(WORDS), width=842)
    assert reply.headers["x-praxis-marked"] == "words"
    picture = Image.open(io.BytesIO(reply.content))
    box = Image.frombytes("L", picture.size, bytes(each == _FILL for each in _pixels(picture))).getbbox()
    assert box is not None
    # What was at the top is now at the right, and the lines run downwards.
    assert HEIGHT - (HEIGHT - 760) - 8 < box[0] < box[2] < 760 + 16
    assert abs(box[3] - box[1] - 12 * len(WORDS)) < 5


def test_the_lines_of_a_scan_are_marked_as_far_as_their_places_are_known(
    rag: Rag, client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    _, file, text = uploaded(client, documents.mixed(FIRST[0], SCAN))
    start = text.index("第七条劳动者有权依法参加和组织工会")
    span = {"start": start, "end": start + 17}
    reply = look(file, 2, **span)
    assert reply.headers["x-praxis-marked"] == "lines"
    lines = marked(reply)
    assert len(lines) == 1, "one line of the scan holds the words"
    assert lines[0][3] - lines[0][1] < 40
    # A file that was read before places were kept.
    with sqlite3.connect(rag.folder / ".praxis" / "state.db") as state:
        state.execute("UPDATE rag_recognised SET boxes = NULL WHERE file_id = ?", (file,))
    reply = look(file, 2, **span)
    assert (marked(reply), reply.headers["x-praxis-marked"]) == ([], "unsure")


def test_nobody_sees_the_pages_of_a_file_that_is_not_theirs(
    rag: Rag, client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    store, file, _ = uploaded(client, documents.pdf(FIRST))
    nowhere = look("file-0000000000000000deadbeef", tenant="stranger")
    refused = look(file, tenant="stranger")
    assert refused.status_code == nowhere.status_code == 404
    assert refused.text == nowhere.text.replace("file-0000000000000000deadbeef", file)
    content = rag.request("GET", f"/v1/files/{file}/content", tenant="stranger")
    assert refused.text == content.text

    shares = f"/v1/vector_stores/{store}/shares"
    assert rag.request(
        "PUT", shares, tenant=tenant_of(client), json={"tenant": "stranger", "right": "read"}
    ).is_success
    assert look(file, tenant="stranger").status_code == 200
    limited = look(file, tenant="stranger", headers={"x-praxis-knowledge": "vs_other"})
    assert limited.status_code == 404
    assert look(file, tenant="stranger", headers={"x-praxis-knowledge": store}).status_code == 200
    rag.request("DELETE", shares, tenant=tenant_of(client), params={"tenant": "stranger"})
    assert look(file, tenant="stranger").status_code == 404

    assert look(file).status_code == 200
    client.files.delete(file)
    assert look(file).status_code == 404


def test_pages_of_what_an_assistant_answers_from_are_for_who_may_ask_it(
    rag: Rag, labour_law: str, look: Callable[..., httpx.Response]
) -> None:
    operator = rag.client("operator")
    kept = operator.vector_stores.files.upload_and_poll(
        vector_store_id=labour_law, file=("办法.pdf", documents.pdf(FIRST)), poll_interval_ms=200
    )
    try:
        assert look(kept.id, tenant="firm").status_code == 200
        assert look(kept.id, tenant="firm", headers={"x-praxis-models": "labour,base"}).status_code == 200
        assert look(kept.id, tenant="firm", headers={"x-praxis-models": "base"}).status_code == 404
    finally:
        operator.files.delete(kept.id)


@pytest.mark.parametrize(
    ("content", "name", "page", "query", "status", "says"),
    [
        (FIRST[0].encode(), "a.txt", 1, {}, 400, "no PDF"),
        (documents.pdf(FIRST), "a.pdf", 2, {}, 404, "1 pages"),
        (documents.pdf(FIRST), "a.pdf", 0, {}, 404, "1 pages"),
        (documents.pdf(FIRST), "a.pdf", 1, {"start": 5, "end": 2}, 400, "`end`"),
        (documents.pdf(FIRST), "a.pdf", 1, {"start": 0, "end": 5}, 400, "extracted text"),
        (documents.pdf(FIRST), "a.pdf", 1, {"width": 100_000}, 400, "width"),
        (documents.encrypted("secret"), "a.pdf", 1, {}, 400, "locked"),
        (b"%PDF-1.7\n" + b"\xde\xad\xbe\xef" * 500, "a.pdf", 1, {}, 400, "damaged"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_reason(
    client: openai.OpenAI,
    look: Callable[..., httpx.Response],
    content: bytes,
    name: str,
    page: int,
    query: dict[str, int],
    status: int,
    says: str,
) -> None:
    file = client.files.create(file=(name, content), purpose="assistants").id
    reply = look(file, page, **query)
    assert reply.status_code == status
    assert says in reply.json()["error"]["message"]


def test_a_page_that_unfolds_without_end_or_claims_a_mile_costs_little(
    client: openai.OpenAI, look: Callable[..., httpx.Response]
) -> None:
    bomb = client.files.create(file=("a.pdf", documents.bomb(400 << 20)), purpose="assistants").id
    assert look(bomb).status_code in (200, 400)
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(documents.pdf(FIRST))))
    writer.pages[0].mediabox.upper_right = (100, 90_000)
    out = io.BytesIO()
    writer.write(out)
    tall = client.files.create(file=("a.pdf", out.getvalue()), purpose="assistants").id
    reply = look(tall, width=2400)
    assert reply.status_code == 200
    assert Image.open(io.BytesIO(reply.content)).height <= 6001


@pytest.mark.parametrize(
    ("said", "words", "shown", "found"),
    [
        ("甲方应当付款。", "应当付款", "眉题 甲方 应当\r\n付款。", ["应当\r\n付款"]),
        ("居民身份证", "居民", "居⺠身份证", ["居⺠"]),
        ("the efficient way", "efficient", "the eﬃ-\r\ncient way", ["eﬃ-\r\ncient"]),
        ("甲：付款。乙：付款。", "付款", "甲：付款。乙：付款。", ["付款"]),
        ("付款。付款。", "付款", "付款。付款。付款。", None),
        ("甲方应当付款。", "应当付款", "乙方不付款。", None),
        (
            "第一行的内容第二行的文字尾",
            "内容第二行",
            "尾\r\n第二行的文字\r\n第一行的内容",
            ["内容", "第二行"],
        ),
        ("第一行的内容第二行的文字", "内容第二行", "第二行的文字\r\n第一行的内含", None),
    ],
)
def test_words_are_found_surely_or_not_at_all(
    said: str, words: str, shown: str, found: list[str] | None
) -> None:
    start = said.index(words)
    spans = locate(said, start, start + len(words), shown)
    assert (spans and [shown[begin:end] for begin, end in spans]) == found
