"""A backup holds all that is kept, is taken while others write, and comes back whole or not at all."""

import contextlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.adapters.desired import DesiredAdapters
from gateway.history.conversations import Conversations, Image, Item
from gateway.history.tables import images
from praxis.backup.restore import restore
from praxis.backup.take import back_up
from praxis.config import Config, load
from praxis.errors import PraxisError
from praxis.kept import everything
from praxis.keys import Keys
from praxis.state import connect, migrate, writing
from praxis.usage import Bucket, Counts, Usage
from rag import tables
from tests.processes import ROOT, environment, eventually, praxis

CONTENT = b"%PDF-1.7 overtime \x00\xff"


class House:
    """A folder with a models.yaml, a state database and uploaded files."""

    def __init__(self, folder: Path, state: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.file = folder / "models.yaml"
        config = {
            "state": state,
            "backends": {"b": {"kind": "vllm", "replicas": ["http://127.0.0.1:9"]}},
            "models": {"m": {"backend": "b", "upstream": "m"}},
        }
        self.file.write_text(json.dumps(config))
        self.state = state

    @property
    def config(self) -> Config:
        return load(self.file)

    @property
    def uploads(self) -> Path:
        return self.folder / ".praxis" / "rag" / "files"

    @contextlib.contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        engine = connect(self.state)
        try:
            yield engine
        finally:
            engine.dispose()

    def fill(self) -> str:
        """Make one of everything that is kept; returns a key."""
        with self.engine() as engine:
            owner, secret = Keys(engine).create("律所", models=["m"])
            shown = Item({"role": "user", "content": []}, "片子", [Image("image/png", CONTENT)])
            Conversations(engine).create(owner, {}, [shown])
            Keys(engine).rotate("律所", overlap=900)
            Usage(engine).add("w", 1, {Bucket(3600, "key_1", "律所", "m", "m"): Counts(1, 0, 2, 3)})
            DesiredAdapters(engine)
            migrate(engine, "rag", tables.STEPS)
            self.upload(engine, "file-1", CONTENT)
            store = {"tenant": "律所", "name": "法", "metadata": {"a": ["b", None]}, "created_at": 1}
            entry = {"status": "completed", "usage_bytes": 1, "attributes": {}, "created_at": 1}
            passage = {"text": "第四十四条", "start": 0, "end": 5, "path": "", "digest": "d"}
            with writing(engine).begin() as connection:
                connection.execute(
                    sa.insert(tables.stores).values(id="vs_1", last_active_at=1, generation=1, **store)
                )
                connection.execute(
                    sa.insert(tables.entries).values(
                        store_id="vs_1", file_id="file-1", chunk_size=1, chunk_overlap=0, **entry
                    )
                )
                for vector in (None, b"\x00\x00\x80?"):
                    connection.execute(
                        sa.insert(tables.passages).values(
                            store_id="vs_1", file_id="file-1", vector=vector, **passage
                        )
                    )
                # The last id was given and is gone: it must never come again.
                connection.execute(sa.delete(tables.passages).where(tables.passages.c.vector.is_(None)))
                connection.execute(
                    sa.insert(tables.passages).values(
                        store_id="vs_1", file_id="file-1", vector=None, **passage
                    )
                )
                connection.execute(sa.delete(tables.passages).where(tables.passages.c.id == 3))
        return secret

    def upload(self, engine: sa.Engine, name: str, content: bytes) -> None:
        """Put a file where rag puts it, the row after the bytes."""
        self.uploads.mkdir(parents=True, exist_ok=True)
        (self.uploads / f".{name}").write_bytes(content)
        (self.uploads / f".{name}").rename(self.uploads / name)
        row = {"tenant": "律所", "filename": "a.pdf", "purpose": "assistants", "sha256": "", "created_at": 1}
        with writing(engine).begin() as connection:
            connection.execute(sa.insert(tables.files).values(id=name, bytes=len(content), **row))

    def drop(self, engine: sa.Engine, name: str) -> None:
        """Delete a file as rag does, the row before the bytes."""
        with writing(engine).begin() as connection:
            connection.execute(sa.delete(tables.files).where(tables.files.c.id == name))
        (self.uploads / name).unlink()

    def rows(self) -> dict[str, list[Any]]:
        """Everything in the database."""
        held = sa.MetaData()
        with self.engine() as engine:
            held.reflect(engine)
            with engine.connect() as connection:
                return {
                    table.name: sorted(repr(tuple(row)) for row in connection.execute(sa.select(table)))
                    for table in held.sorted_tables
                }

    def next_passage(self) -> int:
        """The id that the next passage gets."""
        with self.engine() as engine, writing(engine).begin() as connection:
            values = {"text": "", "start": 0, "end": 0, "path": "", "store_id": "vs_1", "file_id": "file-1"}
            added = connection.execute(sa.insert(tables.passages).values(values))
            return int(added.inserted_primary_key[0])

    def praxis(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return praxis(*arguments, cwd=self.folder)


Build = Callable[[str], House]


@pytest.fixture
def build(tmp_path: Path, request: pytest.FixtureRequest) -> Build:
    """Make a house with its own empty database of a kind."""

    def make(kind: str) -> House:
        number = len(list(tmp_path.iterdir()))
        if kind == "postgresql":
            return House(tmp_path / f"house{number}", request.getfixturevalue("postgresql").database())
        return House(tmp_path / f"house{number}", f"sqlite:///{tmp_path}/house{number}/.praxis/state.db")

    return make


@pytest.mark.parametrize("origin", ["sqlite", "postgresql"])
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_everything_comes_back_in_either_kind_of_database(
    build: Build, tmp_path: Path, origin: str, target: str
) -> None:
    old, new = build(origin), build(target)
    secret = old.fill()
    back_up(old.config, tmp_path / "b.tar", everything())
    restore(new.config, tmp_path / "b.tar", everything(), force=False)
    before, after = old.rows(), new.rows()
    assert before.keys() == after.keys()
    if origin == target:
        assert before == after
    else:
        assert {name: len(held) for name, held in before.items()} == {
            name: len(held) for name, held in after.items()
        }
    assert {file.name: file.read_bytes() for file in new.uploads.iterdir()} == {"file-1": CONTENT}
    with new.engine() as engine:
        principal = Keys(engine).authenticate(secret)
        assert principal is not None
        assert principal.models == {"m"}
        with engine.connect() as connection:
            store = connection.execute(sa.select(tables.stores)).one()
            passage = connection.execute(sa.select(tables.passages)).one()
            picture = connection.execute(sa.select(images.c.number, images.c.content)).one()
        assert tuple(picture) == (1, CONTENT)
        assert store.metadata == {"a": ["b", None]}
        assert (passage.id, passage.text, passage.vector) == (2, "第四十四条", b"\x00\x00\x80?")
    assert new.next_passage() == 4, "no id is given twice"
    leftovers = {each.name for each in (new.folder / ".praxis").iterdir()}
    assert leftovers <= {"rag", "state.db", "state.db-wal", "state.db-shm", ".staging.lock"}


def test_what_is_there_is_replaced_only_by_force(build: Build, tmp_path: Path) -> None:
    old, new = build("sqlite"), build("sqlite")
    old.fill()
    taken = old.praxis("backup", str(tmp_path / "b.tar"))
    assert taken.returncode == 0, taken.stderr
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    with new.engine() as engine:
        Keys(engine).create("mine")
        migrate(engine, "rag", tables.STEPS)
        new.upload(engine, "file-mine", b"mine")
    cache = new.folder / ".praxis" / "rag" / "index" / "vs_1"
    cache.mkdir(parents=True)
    before = new.rows()
    refused = new.praxis("restore", str(tmp_path / "b.tar"))
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert new.rows() == before
    assert cache.exists()
    assert new.praxis("restore", str(tmp_path / "b.tar"), "--force").returncode == 0
    assert new.rows() == old.rows()
    assert [file.name for file in new.uploads.iterdir()] == ["file-1"]
    assert not cache.exists()


HOLDER = """
import sys
from pathlib import Path
from praxis.config import load
from praxis.keys import Keys
from praxis.state import connect
keys = Keys(connect(load(Path(sys.argv[1])).state))
keys.live()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_restored_under_a_running_process(build: Build, tmp_path: Path, kind: str) -> None:
    house = build(kind)
    house.fill()
    back_up(house.config, tmp_path / "b.tar", everything())
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(house.file)],
        cwd=house.folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(PraxisError, match="using this state"):
            restore(house.config, tmp_path / "b.tar", everything(), force=True)
        holder.stdin.close()

    def restored() -> bool:
        try:
            restore(house.config, tmp_path / "b.tar", everything(), force=True)
        except PraxisError as error:
            if "using this state" not in error.message:
                raise
            return False
        return True

    # A database server may notice a moment later that its client has ended.
    eventually(restored, "the state is free")


def test_a_damaged_database_is_replaced(build: Build, tmp_path: Path) -> None:
    house = build("sqlite")
    house.fill()
    back_up(house.config, tmp_path / "b.tar", everything())
    before = house.rows()
    (house.folder / ".praxis" / "state.db").write_bytes(b"no database at all" * 999)
    with pytest.raises(PraxisError, match="--force"):
        restore(house.config, tmp_path / "b.tar", everything(), force=False)
    restore(house.config, tmp_path / "b.tar", everything(), force=True)
    assert house.rows() == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_backups_are_consistent_while_others_write(build: Build, tmp_path: Path, kind: str) -> None:
    house = build(kind)
    house.fill()
    stop = threading.Event()

    def churn(writer: int) -> None:
        with house.engine() as engine:
            keys, number = Keys(engine), 0
            while not stop.is_set():
                number += 1
                house.upload(engine, f"file-{writer}-{number}", bytes([number % 256]) * 5000)
                keys.create(f"{writer}-{number}")
                if number > 3:
                    house.drop(engine, f"file-{writer}-{number - 3}")

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(churn, each) for each in range(2)]
        try:
            for attempt in range(4):
                back_up(house.config, tmp_path / f"{attempt}.tar", everything())
        finally:
            stop.set()
    for each in writers:
        each.result()
    for attempt in range(4):
        fresh = build("sqlite")
        restore(fresh.config, tmp_path / f"{attempt}.tar", everything(), force=False)
        with fresh.engine() as engine, engine.connect() as connection:
            files = connection.execute(sa.select(tables.files)).all()
        assert {file.id: file.bytes for file in files} == {
            file.name: file.stat().st_size for file in fresh.uploads.iterdir()
        }


def test_a_file_that_is_nowhere_is_told_of(build: Build, tmp_path: Path) -> None:
    house = build("sqlite")
    house.fill()
    (house.uploads / "file-1").unlink()
    with pytest.raises(PraxisError, match="file-1"):
        back_up(house.config, tmp_path / "b.tar", everything())
    assert list(tmp_path.glob("b.tar*")) == []


def test_without_a_state_there_is_nothing_to_back_up(build: Build, tmp_path: Path) -> None:
    for kind in ("sqlite", "postgresql"):
        with pytest.raises(PraxisError, match="no state"):
            back_up(build(kind).config, tmp_path / "b.tar", everything())
    house = build("sqlite")
    with pytest.raises(PraxisError, match="There is no backup"):
        restore(house.config, tmp_path / "b.tar", everything(), force=False)
    house.fill()
    nowhere = house.praxis("backup", str(tmp_path / "nowhere" / "b.tar"))
    assert nowhere.returncode == 1
    assert "No such file" in nowhere.stderr


Members = list[tuple[tarfile.TarInfo, bytes]]


def members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return [(each, tar.extractfile(each).read()) for each in tar]  # type: ignore[union-attr]


def write(archive: Path, content: Members) -> None:
    with tarfile.open(archive, "w") as tar:
        for header, data in content:
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))


def _added(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[Members], Members]:
    def change(content: Members) -> Members:
        header = tarfile.TarInfo(name)
        header.type, header.linkname = kind, link
        return [*content[:-1], (header, b"" if link else b"x"), content[-1]]

    return change


def _altered(content: Members) -> Members:
    header, data = content[1]
    return [content[0], (header, bytes([data[0] ^ 1]) + data[1:]), *content[2:]]


def _newer(content: Members) -> Members:
    header, data = content[-1]
    return [*content[:-1], (header, data.replace(b'"form": 1', b'"form": 2'))]


HOSTILE: dict[str, Callable[[Members], Members]] = {
    "a path upwards": _added("files/rag/files/../../../../evil"),
    "an absolute path": _added("/tmp/praxis-evil"),
    "a folder of nobody": _added("files/etc/evil"),
    "a symbolic link": _added("files/rag/files/link", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": _added("files/rag/files/link", tarfile.LNKTYPE, "state.db"),
    "a device": _added("files/rag/files/null", tarfile.CHRTYPE),
    "a hidden file": _added("files/rag/files/.hidden"),
    "a file that the manifest lacks": _added("files/rag/files/file-2"),
    "the same file twice": lambda content: [content[0], content[1], content[1], *content[2:]],
    "a changed byte": _altered,
    "a file left out": lambda content: [content[0], content[2]],
    "a state left out": lambda content: content[1:],
    "no manifest": lambda content: content[:-1],
    "more after the manifest": lambda content: [*content, content[1]],
    "a manifest of nonsense": lambda content: [*content[:-1], (content[-1][0], b"[1, 2]")],
    "a newer form": _newer,
}


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound backup."""
    folder = tmp_path_factory.mktemp("taken")
    house = House(folder / "house", f"sqlite:///{folder}/house/.praxis/state.db")
    house.fill()
    back_up(house.config, folder / "b.tar", everything())
    return folder / "b.tar"


def refuses(build: Build, archive: Path) -> str:
    house = build("sqlite")
    house.fill()
    before = house.rows()
    with pytest.raises(PraxisError) as refused:
        restore(house.config, archive, everything(), force=True)
    assert house.rows() == before
    assert (house.uploads / "file-1").read_bytes() == CONTENT
    assert "Nothing was changed" in refused.value.message
    return refused.value.message


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_or_damaged_archive_changes_nothing(
    build: Build, tmp_path: Path, taken: Path, what: str
) -> None:
    write(tmp_path / "evil.tar", HOSTILE[what](members(taken)))
    refuses(build, tmp_path / "evil.tar")
    assert not Path("/tmp/praxis-evil").exists()
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_cut_anywhere_changes_nothing(build: Build, tmp_path: Path, taken: Path) -> None:
    whole = taken.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.9):
        (tmp_path / "cut.tar").write_bytes(whole[: int(len(whole) * share)])
        refuses(build, tmp_path / "cut.tar")


def test_a_backup_of_a_newer_praxis_is_refused(build: Build, tmp_path: Path) -> None:
    house = build("sqlite")
    house.fill()
    with house.engine() as engine, writing(engine).begin() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99 WHERE room = 'keys'"))
    with pytest.raises(PraxisError, match="newer Praxis"):
        back_up(house.config, tmp_path / "b.tar", everything())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_of_the_version_before_comes_forward(build: Build, tmp_path: Path, kind: str) -> None:
    old, new = build("sqlite"), build(kind)
    (old.folder / ".praxis").mkdir()
    with contextlib.closing(sqlite3.connect(old.folder / ".praxis" / "state.db")) as connection:
        connection.executescript((ROOT / "tests" / "data" / "state" / "version-1.sqlite.sql").read_text())
    old.uploads.mkdir(parents=True)
    (old.uploads / "file-0001").write_bytes(b"text")
    back_up(old.config, tmp_path / "b.tar", everything())
    restore(new.config, tmp_path / "b.tar", everything(), force=False)
    assert [name for name in new.rows() if name.startswith("usage")] == []
    with new.engine() as engine:
        keys = Keys(engine)
        Usage(engine)
        assert keys.authenticate("sk-praxis-user-of-version-1") is not None
        assert len(keys.list()) == 4
