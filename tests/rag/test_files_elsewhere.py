"""Uploaded files that lie on another machine: a real FTP server, which comes and goes."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import openai
import pytest

from tests.processes import environment, eventually, free_port, praxis
from tests.rag import documents
from tests.rag.conftest import SECRET, THRIFTY, Rag

pytestmark = pytest.mark.timeout(600)

LAW = """图书馆规则

第一条 读者凭证借书，每次五册。
第二条 逾期不还的，每日每册交纳五角。
"""


class Ftp:
    """An FTP server for one user with one folder. Alive inside `with`; `stop` and `start` take it away and back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"ftp://praxis@127.0.0.1:{self.port}/kept/files"
        self.variables = {"FSSPEC_FTP_PASSWORD": "ftp-word-0123"}
        folder.mkdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        user = ["-u", "praxis", "-P", self.variables["FSSPEC_FTP_PASSWORD"], "-w"]
        place = ["-i", "127.0.0.1", "-p", str(self.port), "-d", str(self.folder)]
        command = [sys.executable, "-m", "pyftpdlib", *place, *user]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        eventually(lambda: answers(self.port), "the FTP server answers")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def files(self) -> dict[str, bytes]:
        """What lies there, by name."""
        kept = self.folder / "kept" / "files"
        return {each.name: each.read_bytes() for each in kept.iterdir()} if kept.exists() else {}


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ftp]:
    with Ftp(tmp_path_factory.mktemp("ftp") / "served") as running:
        yield running


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory, model: Path, server: Ftp) -> Iterator[Rag]:
    """The document process with its files on the FTP server."""
    process = Rag(tmp_path_factory.mktemp("away"), model, **server.variables)
    keep_in(process, server.url)
    with process:
        yield process


def keep_in(rag: Rag, url: str) -> None:
    rag.file.write_text(rag.file.read_text().replace("rag: {", f"rag: {{files: '{url}', "))


def here(rag: Rag) -> list[str]:
    """What lies in the folder of files on the process's own machine."""
    return [each.name for each in (rag.folder / ".praxis" / "rag" / "files").iterdir()]


def upload(client: openai.OpenAI, name: str, content: bytes) -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


def test_bytes_lie_there_whole_and_nowhere_else(away: Rag, server: Ftp) -> None:
    client = away.client("library")
    page = documents.pdf(["读者凭证借书"])
    law, pdf = upload(client, "rules.txt", LAW.encode()), upload(client, "rules.pdf", page)
    assert server.files() == {law: LAW.encode(), pdf: page}
    store = client.vector_stores.create(name="rules").id
    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=[law, pdf], poll_interval_ms=100
    )
    assert batch.file_counts.completed == 2
    assert client.files.content(law).read() == LAW.encode()
    part = away.request("GET", f"/v1/files/{law}/content", tenant="library", headers={"range": "bytes=0-8"})
    assert (part.status_code, part.content) == (206, LAW.encode()[:9])
    drawn = away.request("GET", f"/v1/files/{pdf}/pages/1", tenant="library")
    assert (drawn.status_code, drawn.content[:4]) == (200, b"\x89PNG")
    refused = away.request("GET", f"/v1/files/{law}/pages/1", tenant="library")
    assert refused.status_code == 400
    assert here(away) == []
    client.files.delete(pdf)
    assert server.files().keys() == {law}
    client.files.delete(law)
    assert server.files() == {}


def test_what_was_changed_there_is_not_handed_out(away: Rag, server: Ftp) -> None:
    client = away.client("victim")
    file = upload(client, "a.txt", LAW.encode())
    (server.folder / "kept" / "files" / file).write_bytes(LAW.replace("五册", "九册").encode())
    answer = away.request("GET", f"/v1/files/{file}/content", tenant="victim")
    assert answer.status_code == 500
    assert "not what was uploaded" in answer.text
    assert here(away) == []
    (server.folder / "kept" / "files" / file).unlink()
    assert away.request("GET", f"/v1/files/{file}/content", tenant="victim").status_code == 404
    client.files.delete(file)


def test_away_is_503_and_all_is_made_good_when_it_is_back(away: Rag, server: Ftp) -> None:
    client = away.client("patient")
    kept, doomed = (upload(client, name, LAW.encode()) for name in ("kept.txt", "doomed.txt"))
    store = client.vector_stores.create(name="rules").id
    server.stop()
    try:
        for method, path, rest in (
            ("GET", f"/v1/files/{kept}/content", {}),
            ("POST", "/v1/files", {"data": {"purpose": "assistants"}, "files": {"file": ("x.txt", b"x")}}),
        ):
            answer = away.request(method, path, tenant="patient", **rest)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "files_away"
            assert "127.0.0.1" not in answer.text
            assert "retry-after" in answer.headers
        # What is deleted is gone for everybody; what is to be read waits, also over a crash.
        client.files.delete(doomed)
        with pytest.raises(openai.NotFoundError):
            client.files.content(doomed)
        client.vector_stores.files.create(store, file_id=kept)
        away.kill()
        away.start()
        assert client.vector_stores.files.retrieve(kept, vector_store_id=store).status == "in_progress"
        assert doomed in server.files()
    finally:
        server.start()
    eventually(
        lambda: client.vector_stores.files.retrieve(kept, vector_store_id=store).status == "completed",
        "the file is read",
        within=200,
    )
    assert client.files.content(kept).read() == LAW.encode()
    eventually(lambda: server.files().keys() == {kept}, "what was deleted is gone there too", within=200)


def test_a_crash_leaves_nothing_and_what_is_not_ours_stays(away: Rag, server: Ftp) -> None:
    client = away.client("crash")
    mine = upload(client, "mine.txt", LAW.encode())
    away.kill()
    for name in ("file-half", "somebody-elses"):
        (server.folder / "kept" / "files" / name).write_bytes(b"half an upload")
    (away.folder / ".praxis" / "rag" / "files" / ".file-half").write_bytes(b"half a draft")
    with closing(sqlite3.connect(away.folder / ".praxis" / "state.db")) as state:
        state.execute("INSERT INTO rag_leftover VALUES ('file-half')")
        state.commit()
    away.start()
    eventually(lambda: "file-half" not in server.files(), "the half upload is cleared away")
    assert {mine, "somebody-elses"} <= server.files().keys()
    assert here(away) == []


def test_files_move_verified_and_a_backup_says_where_they_are(
    tmp_path: Path, model: Path, server: Ftp
) -> None:
    (tmp_path / "home").mkdir()
    rag = Rag(tmp_path / "home", model, **server.variables)
    url = server.url.replace("/kept/files", "/moved")
    with rag:
        client = rag.client("mover")
        contents = {
            upload(client, f"{at}.txt", f"{at}{LAW}".encode()): f"{at}{LAW}".encode() for at in range(3)
        }
        moved = praxis("knowledge", "move-files", "--to", url, cwd=rag.folder, **server.variables)
        assert moved.returncode == 0, moved.stderr
        assert "3 files (" in moved.stdout
        # It may be run again, for what came since, and says the same of the same files.
        again = praxis("knowledge", "move-files", "--to", url, cwd=rag.folder, **server.variables)
        assert again.stdout == moved.stdout
        with closing(sqlite3.connect(rag.folder / ".praxis" / "state.db")) as state:
            lines = state.execute("SELECT object, detail FROM audit WHERE action = 'file.copy'").fetchall()
        assert lines == [("*", f"3 to {url}")] * 2
    damaged = rag.folder / ".praxis" / "rag" / "files" / next(iter(contents))
    damaged.write_bytes(b"damaged")
    (server.folder / "moved" / damaged.name).unlink()
    refused = praxis("knowledge", "move-files", "--to", url, cwd=rag.folder, **server.variables)
    assert refused.returncode == 1
    assert "not what was uploaded" in refused.stderr
    damaged.write_bytes(contents[damaged.name])
    assert praxis("knowledge", "move-files", "--to", url, cwd=rag.folder, **server.variables).returncode == 0
    for each in (rag.folder / ".praxis" / "rag" / "files").iterdir():
        each.unlink()
    keep_in(rag, url)
    with rag:
        for file, content in contents.items():
            assert rag.client("mover").files.content(file).read() == content
    backup = praxis("backup", str(tmp_path / "b.tar"), cwd=rag.folder, **server.variables)
    assert backup.returncode == 0, backup.stderr
    assert f"the uploaded files in `{url}`" in backup.stderr
    (tmp_path / "other").mkdir()
    other = Rag(tmp_path / "other", model, **server.variables)
    keep_in(other, url)
    restored = praxis("restore", str(tmp_path / "b.tar"), cwd=other.folder)
    assert restored.returncode == 0, restored.stderr
    # All that the state names is there: copying it to where it is finds nothing to copy, and says the same.
    same = praxis("knowledge", "move-files", "--to", url, cwd=other.folder, **server.variables)
    assert same.stdout == moved.stdout


def test_a_protocol_that_nothing_speaks_is_said_at_the_start(tmp_path: Path, model: Path) -> None:
    rag = Rag(tmp_path, model)
    keep_in(rag, "gopher://archive/files")
    command = [sys.executable, "-m", "rag", "--config", str(rag.file), "--port", str(rag.port)]
    variables = environment(PRAXIS_RAG_SECRET=SECRET, **THRIFTY)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "rag.files" in done.stderr
    assert "gopher" in done.stderr
