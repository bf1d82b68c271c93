"""Pages that are pictures, or whose text layer is garbled, are noticed one by one and recognised."""

from pathlib import Path

import anyio
import pytest

from rag.ingest.chunking import chunks
from rag.ingest.document import Document
from rag.ingest.ocr import _Box, lines
from rag.ingest.pdf import is_garbled
from rag.ingest.worker import Limits, Pages, extract
from tests.processes import ROOT
from tests.rag import documents

SCAN = (ROOT / "tests" / "data" / "scan.png").read_bytes()
"""A scanned page of 《劳动法》, slightly askew: articles 4 to 10."""
MOJIBAKE = "µÚËÄÌõ ÓÃÈËµ¥Î»Ó¦µ±ÒÀ·¨½¨Á¢ºÍÍêÉÆ¹æÕÂÖÆ¶È£¬±£ÕÏÀÍ¶¯ÕßÏíÓÐ"

# Loading the models and recognising a page takes half a minute where many share few cores.
pytestmark = pytest.mark.timeout(400)


def read(folder: Path, content: bytes, limits: Limits | None = None, pages: Pages | None = None) -> Document:
    path = folder / "upload"
    path.write_bytes(content)
    return anyio.run(extract, path, "a.pdf", limits or Limits(), None, pages)


def test_only_pages_without_usable_text_are_recognised(tmp_path: Path) -> None:
    done: list[tuple[int, int, int]] = []
    content = documents.mixed("第三条 劳动者享有平等就业的权利。", SCAN, "", (MOJIBAKE, SCAN), "附则")
    document = read(
        tmp_path, content, pages=Pages({}, lambda page, _, at, total: done.append((page, at, total)))
    )
    assert document.ocr == (2, 4)
    assert done == [(2, 1, 2), (4, 2, 2)]
    assert "第七条劳动者有权依法参加和组织工会。" in document.text
    assert "µ" not in document.text
    assert "2 —" not in document.text, "the page's number is left out"
    articles = [each for each in chunks(document.text, 400, len) if each.article]
    assert [each.article for each in articles][:8] == [f"第{each}条" for each in "三四五六七八九十"]
    assert [document.recognised(each.start, each.end) for each in articles][:2] == [False, True]
    assert document.page(document.text.index("第七条")) == 2


def test_pages_recognised_before_are_not_recognised_again(tmp_path: Path) -> None:
    pages = Pages({1: ["早已认出。"]}, lambda *_: pytest.fail("recognised again"))
    assert read(tmp_path, documents.mixed(SCAN), pages=pages).text == "早已认出。"


def test_a_page_that_cannot_be_recognised_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    content = documents.mixed("第三条 劳动者享有平等就业的权利。", SCAN)
    document = read(tmp_path, content, Limits(page_memory=200 << 20))
    assert document.text == "第三条 劳动者享有平等就业的权利。"
    assert document.ocr == ()
    assert document.notes == ("Page 2 could not be read: recognising its text failed.",)


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        (MOJIBAKE, True),
        (
            "锘挎枃浠跺ご鏄竴涓猇TF8鐨勫瓧绗︿覆琚綋浣淕BK瑙ｇ爜浜嗭紝鎵€浠ヤ細鏄剧ず鎴愯繖鏍风殑涔辩爜锛屾病鏈変汉璇诲緱鎳傚畠"
            * 2,
            True,
        ),
        ("(cid:12)(cid:99)(cid:3)" * 9, True),
        ("\ue001\ue002\ue003\ue004 " * 9, True),
        ("!\"#$%&'()*+,-./:;<=>?@[]^_{|}~" * 3, True),
        ("第一条 为了保护劳动者的合法权益，调整劳动关系，建立和维护劳动制度，制定本法。" * 3, False),
        ("阿莫西林 布洛芬 奥美拉唑 氯吡格雷 阿托伐他汀 二甲双胍 缬沙坦 胺碘酮", False),
        ("L'été où les élèves étaient là, déjà fatigués, à côté du café.", False),
        ("目录........................................................3", False),
        ("2024 12.5 3,400 98% 17 2023 11.0 3,100 95% 16", False),
        ("", False),
    ],
)
def test_garbled_text_is_told_from_unusual_text(text: str, garbled: bool) -> None:
    assert is_garbled(text) is garbled


def test_boxes_of_one_height_are_one_line() -> None:
    boxes = [_Box("乙", 60, 80, 11, 31), _Box("下", 10, 30, 50, 70), _Box("甲", 10, 30, 10, 30)]
    boxes.append(_Box("丙", 82, 99, 12, 30))
    assert lines(boxes) == ["甲 乙丙", "下"]
