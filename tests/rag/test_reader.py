"""Files read in a bounded process: what comes out, and the one sentence that each bad file gets."""

import io
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import psutil
import pytest

from rag.ingest.chunking import chunks
from rag.ingest.document import Document, Unreadable
from rag.ingest.worker import Limits, extract
from tests.processes import eventually
from tests.rag import documents
from tests.rag.conftest import SAMPLES

Read = Callable[..., Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(content: bytes, filename: str, limits: Limits | None = None) -> Document:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return anyio.run(extract, path, filename, limits or Limits())

    return run


def bare(text: str) -> str:
    return "".join(text.split())


def test_the_sample_pdf_reads_as_its_text(read: Read) -> None:
    text = (SAMPLES / "中华人民共和国劳动法.txt").read_text(encoding="utf-8")
    document = read((SAMPLES / "中华人民共和国劳动法.pdf").read_bytes(), "劳动法.pdf")
    assert bare(document.text) == bare(text)
    assert len(document.pages) > 10


def test_an_article_over_a_page_break_stays_one_and_knows_its_page(read: Read) -> None:
    document = read((SAMPLES / "中华人民共和国劳动法.pdf").read_bytes(), "劳动法.pdf")
    found = {each.article: each for each in chunks(document.text, 440, len) if each.article}
    assert len(found) == 107
    broken = [each for each in found.values() if document.page(each.start) != document.page(each.end - 1)]
    assert len(broken) >= 5
    for chunk in broken:
        assert chunk.law == "中华人民共和国劳动法"
        assert document.page(chunk.end - 1) == (document.page(chunk.start) or 0) + 1


def test_lines_that_the_margin_broke_are_joined_and_page_numbers_left_out(read: Read) -> None:
    line = "劳动者有下列情形之一的用人单位可以解除劳动合同但是应当提前三十日通知"
    document = read(documents.pdf([line, "本人。", "— 1 —"], [line, "书面。", "2"]), "a.pdf")
    assert document.text == f"{line}本人。\n{line}书面。"
    assert document.page(document.text.index("书面")) == 2


def test_a_pdf_that_only_forbids_changes_is_read(read: Read) -> None:
    assert "无固定期限" in read(documents.encrypted(""), "a.pdf").text


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "甲")
    return out.getvalue()


HOSTILE = [
    (b"", "a.txt", "invalid_file", "empty"),
    (b"", "a.pdf", "invalid_file", "empty"),
    (b"MZ\x90\x00" + bytes(500), "合同.pdf", "unsupported_file", "Windows program"),
    (b"\x7fELF" + bytes(500), "a.txt", "unsupported_file", "program"),
    (_zip(), "a.zip", "unsupported_file", "ZIP"),
    (_zip(), "a.docx", "unsupported_file", "ZIP archive in spite of its name `.docx`"),
    (b"\xd0\xcf\x11\xe0" + bytes(500), "a.doc", "unsupported_file", "Office"),
    (b"\x89PNG\r\n" + bytes(50), "a.png", "unsupported_file", "image"),
    (b"just text", "a.pdf", "invalid_file", "no PDF"),
    (b"a,b\n1,2\n", "a.csv", "unsupported_file", ".csv"),
    (documents.scanned(), "a.pdf", "invalid_file", "OCR"),
    (documents.encrypted("secret"), "a.pdf", "invalid_file", "password"),
    (documents.without_pages(), "a.pdf", "invalid_file", "no pages"),
    (documents.pdf(["甲乙丙"])[:200], "a.pdf", "invalid_file", "damaged"),
    (b"%PDF-1.7\n" + b"\xde\xad\xbe\xef" * 500, "a.pdf", "invalid_file", "damaged"),
    (b"\xff\xfe\x00", "a.txt", "invalid_file", "UTF-8"),
]


@pytest.mark.parametrize(
    ("content", "name", "code", "says"), HOSTILE, ids=[f"{n}-{s}" for _, n, _, s in HOSTILE]
)
def test_each_bad_file_gets_one_clear_sentence(
    read: Read, content: bytes, name: str, code: str, says: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        read(content, name)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.message.endswith(".")
    assert "Traceback" not in caught.value.message


def test_a_file_that_unfolds_without_end_is_stopped(read: Read) -> None:
    limits = Limits(memory=500 << 20, processor=60, wall=110)
    with pytest.raises(Unreadable) as caught:
        read(documents.bomb(600 << 20), "a.pdf", limits)
    assert caught.value.code == "invalid_file"


def test_a_file_that_takes_too_long_is_stopped(read: Read) -> None:
    with pytest.raises(Unreadable, match="seconds"):
        read(documents.pdf(*[["甲" * 40] * 30] * 60), "a.pdf", Limits(wall=0.05))


def test_the_reading_process_has_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file that broke out of its reader would find nothing worth having. The pipe keeps the reader waiting.
    monkeypatch.setenv("PRAXIS_RAG_SECRET", "s3cret")
    pipe = tmp_path / "upload"
    os.mkfifo(pipe)

    def readers() -> list[psutil.Process]:
        children = psutil.Process().children()
        return [each for each in children if "rag.ingest.child" in each.cmdline()]

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(anyio.run, extract, pipe, "a.txt", Limits())
        (reader,) = eventually(readers, "the reading process runs")
        found = reader.environ()
        reader.kill()
        with pytest.raises(Unreadable):
            reading.result(timeout=60)
    assert "s3cret" not in found.values()
    assert set(found) <= {"PATH", "PYTHONPATH", "PYTHONUTF8", "LC_ALL"}
