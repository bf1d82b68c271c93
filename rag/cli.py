"""`praxis knowledge …`: knowledge bases from the terminal, spoken over HTTP to a running gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from praxis.backup.cli import ConfigOption
from praxis.errors import InvalidRequest, NotFound, PraxisError
from rag.speaking import POLL_SECONDS, Gateway, called

URL = "http://127.0.0.1:8080"

UrlOption = Annotated[str, typer.Option("--url", envvar="PRAXIS_GATEWAY_URL", help="The gateway.")]
NameArgument = Annotated[
    str, typer.Argument(help="The knowledge base's name or id; of a shared one its id or TENANT/NAME.")
]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="All keys of this tenant.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="One key alone, by its id (key_…).")]
FilesArgument = Annotated[
    list[Path], typer.Argument(help="PDF, DOCX, HTML, TXT or Markdown.", exists=True, dir_okay=False)
]

knowledge = typer.Typer(help="Make, fill and search knowledge bases.", no_args_is_help=True)


@knowledge.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is to be called.")], url: UrlOption = URL
) -> None:
    """Make the knowledge base NAME; one that is there already is kept."""
    gateway = Gateway(url)
    found = gateway.find(name, shared=False)
    store = found or gateway.ask("POST", "/vector_stores", json={"name": name})
    typer.echo(f"{name} is {'there already' if found else 'made'}: {store['id']}")


@knowledge.command("add")
def add(
    name: NameArgument,
    files: FilesArgument,
    encoding: Annotated[
        str | None,
        typer.Option(help="The encoding of text files, such as big5; found out where it is clear."),
    ] = None,
    url: UrlOption = URL,
) -> None:
    """Read FILES into the knowledge base NAME and wait until each is searchable or refused.

    A file of the same name that is there already is replaced once the new one is in.
    """
    gateway = Gateway(url)
    store_id = gateway.store(name)
    older = {each["filename"]: each["id"] for each in gateway.files(store_id)}
    started = {path: gateway.upload(store_id, path, encoding) for path in files}
    refused = 0
    for path, file_id in started.items():
        entry = gateway.settled(store_id, file_id)
        if entry["status"] == "completed":
            typer.echo(f"{path.name}: searchable")
            if path.name in older:
                gateway.remove(store_id, older[path.name])
        else:
            refused += 1
            reason = (entry["last_error"] or {}).get("message", entry["status"])
            typer.echo(f"{path.name}: not taken. {reason}", err=True)
            gateway.ask("DELETE", f"/files/{file_id}")
    if refused:
        raise typer.Exit(1)


@knowledge.command("list")
def list_knowledge(
    name: Annotated[str | None, typer.Argument(help="List this one's files instead.")] = None,
    url: UrlOption = URL,
) -> None:
    """List the knowledge bases, own ones and those shared with you, or the files of NAME."""
    gateway = Gateway(url)
    if name is not None:
        for each in gateway.files(gateway.store(name)):
            typer.echo(f"{each['id']}  {each['status']:<11}  {each['filename']}")
        return
    stores = list(gateway.pages("/vector_stores"))
    for each in stores:
        counts, shared = each["file_counts"], each["shared"]
        mark = f"  shared to {shared['right']}" if shared else ""
        typer.echo(
            f"{each['id']}  {called(each) or '-'}  files={counts['completed']}/{counts['total']}{mark}"
        )
    if not stores:
        typer.echo("There is none; `praxis knowledge create NAME` makes one.")


@knowledge.command("search")
def search(
    name: NameArgument,
    question: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many passages.")] = 5,
    url: UrlOption = URL,
) -> None:
    """Print the passages of NAME that answer QUESTION best."""
    gateway = Gateway(url)
    body = {"query": question, "max_num_results": limit}
    found = gateway.ask("POST", f"/vector_stores/{gateway.store(name)}/search", json=body)["data"]
    for each in found:
        facts = each["attributes"]
        place = [facts.get("law") or each["filename"], facts.get("article")]
        place += [f"p. {facts['page']:g}"] if facts.get("page") else []
        typer.echo(f"{each['score']:.2f}  {' '.join(filter(None, place))}")
        typer.echo("      " + each["content"][0]["text"].replace("\n", "\n      "))
    if not found:
        typer.echo("Nothing was found.")


@knowledge.command("remove")
def remove(
    name: NameArgument,
    files: Annotated[list[str] | None, typer.Argument(help="Only these files, by name or id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: UrlOption = URL,
) -> None:
    """Delete the knowledge base NAME with its files, or only FILES of it; deleted is deleted everywhere.

    Files that another tenant added are taken out of it and stay that tenant's.
    """
    gateway = Gateway(url)
    store_id = gateway.store(name, whole=files is None)
    there = list(gateway.files(store_id))
    doomed = [each for each in there if files is None or {each["id"], each["filename"]} & set(files)]
    if files and (missing := set(files) - {each[key] for each in doomed for key in ("id", "filename")}):
        raise NotFound(
            f"`{name}` has no file `{sorted(missing)[0]}`; `praxis knowledge list {name}` shows them."
        )
    if not yes:
        what = "the whole knowledge base" if files is None else "of it"
        typer.confirm(f"Delete {what} `{name}`: {len(doomed)} files?", abort=True)
    for each in doomed:
        gateway.remove(store_id, each["id"])
    if files is None:
        gateway.ask("DELETE", f"/vector_stores/{store_id}")
    typer.echo(f"{len(doomed)} files deleted" + (f", and `{name}`." if files is None else "."))


@knowledge.command("share")
def share(
    name: NameArgument,
    tenant: TenantOption = None,
    key: KeyOption = None,
    write: Annotated[bool, typer.Option("--write", help="Let them add and remove files, too.")] = False,
    url: UrlOption = URL,
) -> None:
    """Let another tenant or key read NAME, or with `--write` change its files; without either, list its shares."""
    gateway = Gateway(url)
    path = f"/vector_stores/{gateway.store(name)}/shares"
    if tenant is None and key is None:
        listed = gateway.ask("GET", path)["data"]
        for each in listed:
            whom = f"tenant {each['tenant']}" if each["tenant"] else f"key {each['key']}"
            typer.echo(f"{each['right']:<5}  {whom}")
        if not listed:
            typer.echo(f"{name} is shared with nobody; `--tenant` or `--key` says with whom.")
        return
    made = gateway.ask(
        "PUT", path, json={"tenant": tenant, "key": key, "right": "write" if write else "read"}
    )
    typer.echo(f"{name}: {made['tenant'] or made['key']} may {made['right']}.")


@knowledge.command("unshare")
def unshare(
    name: NameArgument, tenant: TenantOption = None, key: KeyOption = None, url: UrlOption = URL
) -> None:
    """Take NAME back from another tenant or key, at once."""
    gateway = Gateway(url)
    whom = {field: value for field, value in (("tenant", tenant), ("key", key)) if value is not None}
    gateway.ask("DELETE", f"/vector_stores/{gateway.store(name)}/shares", params=whom)
    typer.echo(f"{name} is no longer shared with {tenant or key}.")


@knowledge.command("rebuild")
def rebuild(name: NameArgument, url: UrlOption = URL) -> None:
    """Read and embed every file of NAME anew, after `rag.embedding` changed."""
    gateway = Gateway(url)
    store_id = gateway.store(name)
    gateway.ask("POST", f"/vector_stores/{store_id}/rebuild")
    while counts := gateway.ask("GET", f"/vector_stores/{store_id}")["file_counts"]:
        if not counts["in_progress"]:
            break
        time.sleep(POLL_SECONDS)
    typer.echo(f"{name}: {counts['completed']} of {counts['total']} files are searchable.")
    if counts["failed"]:
        raise typer.Exit(1)


@knowledge.command("migrate")
def migrate(
    name: Annotated[str | None, typer.Argument(help="The knowledge base's name or id.")] = None,
    to: Annotated[
        str | None, typer.Option(help="faiss, or a vector database of models.yaml; without it, where it is.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every knowledge base of every tenant; for admins' keys.")
    ] = False,
    url: UrlOption = URL,
) -> None:
    """Move NAME's vectors, or with `--all` everybody's, to another place: verified there before they leave here.

    It goes on in rag though this command is ended, and after a restart.
    """
    if everything == (name is not None):
        raise InvalidRequest("Give a knowledge base, or `--all` for every one.")
    gateway = Gateway(url)
    path = (
        "/vector_stores/migrations" if everything else f"/vector_stores/{gateway.store(str(name))}/migration"
    )
    if to is not None:
        gateway.ask("POST", path, json={"to": to})
    while True:
        answer = gateway.ask("GET", path)
        moves = answer["data"] if everything else [answer]
        under_way = [each for each in moves if each["status"] == "in_progress"]
        if not under_way:
            break
        done, total = (sum(each[key] for each in under_way) for key in ("done", "total"))
        typer.echo(f"\r{len(under_way)} to go: {done} of {total} vectors  ", nl=False, err=True)
        time.sleep(POLL_SECONDS)
    typer.echo("\r", nl=False, err=True)
    for each in moves:
        typer.echo(f"{name or each['vector_store_id']}: {_told_of_move(each)}")
    if any(each["status"] == "failed" for each in moves):
        raise typer.Exit(1)


def _told_of_move(move: Mapping[str, Any]) -> str:
    """Where a knowledge base's vectors are, and how they came there."""
    if move["status"] == "failed":
        return f"still in {move['provider']}. {move['last_error']['message']}"
    if move["status"] == "none":
        return f"in {move['provider']}."
    found = f"{move['count']} vectors, checksum {move['checksum'][:12]}, verified"
    return f"in {move['provider']}, moved from {move['from']} ({found})."


@knowledge.command("move-files")
def move_files(
    to: Annotated[str, typer.Option(help="A folder's URL, such as s3://bucket/files.")],
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Copy every uploaded file to another place, verified by count and SHA-256; then write it down as `rag.files`.

    To be run on rag's machine. It may serve meanwhile: run this again for what came since.
    """
    from praxis import state
    from praxis.audit import ALL, Audit, Line
    from praxis.config import load
    from praxis.keys import at_terminal
    from rag.contents import Contents
    from rag.moving_files import moved_files

    loaded = load(config)
    home = loaded.home / "rag" / "files"
    engine = state.connect(loaded.state)
    try:
        moved = moved_files(engine, Contents(loaded.rag.files, home), Contents(to.rstrip("/"), home))
        Audit(engine).add(at_terminal(), Line("file.copy", ALL, None, f"{moved.count} to {to}"))
    finally:
        engine.dispose()
    size = f"{moved.bytes / 1e6:.1f} MB"
    typer.echo(f"{moved.count} files ({size}, checksum {moved.checksum[:12]}) are in {to}, verified.")
    if loaded.rag.files != to:
        typer.echo(f"Stop rag, run this once more, write `rag.files: {to}` and start rag.", err=True)


@knowledge.command("tune")
def tune(
    name: NameArgument,
    questions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON lines of `query` and `gold`; without it, what was learned.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another order of learning.")] = 0,
    forget: Annotated[bool, typer.Option("--forget", help="Forget what was learned.")] = False,
    url: UrlOption = URL,
) -> None:
    """Let NAME learn from questions with known answers, measured on held-out ones and kept only where it helps."""
    gateway = Gateway(url)
    path = f"/vector_stores/{gateway.store(name)}/tuning"
    if forget:
        gateway.ask("DELETE", path)
        typer.echo(f"{name}: what was learned is forgotten.")
        return
    if questions is not None:
        gateway.ask("POST", path, json={"questions": _json_lines(questions), "seed": seed})
    while (state := gateway.ask("GET", path))["status"] == "in_progress":
        typer.echo(f"\r{name}: {state['progress']:.0%}", nl=False, err=True)
        time.sleep(POLL_SECONDS)
    if questions is not None:
        typer.echo("\r", nl=False, err=True)
    if state["status"] == "failed":
        raise PraxisError(state["last_error"]["message"])
    if state["status"] == "none":
        interrupted = "Tuning was interrupted; run it again." if questions else None
        if interrupted:
            raise PraxisError(interrupted)
        typer.echo(f"{name} has learned nothing yet; `--questions FILE` lets it.")
        return
    for line in _tuning_lines(name, state):
        typer.echo(line)


def _tuning_lines(name: str, state: dict[str, Any]) -> Iterator[str]:
    """What a tuning found, as a small table."""
    yield f"{name}: {state['used']} of {state['questions']} questions have their answers here (seed {state['seed']})."
    yield f"{'held out':<24}{'recall@10':>18}{'mrr@10':>18}"
    for key, label in (("random", "any questions"), ("apart", "on laws not learned")):
        if found := state[key]:
            cells = (
                f"{found['before'][each]:.3f} → {found['after'][each]:.3f}"
                for each in ("recall@10", "mrr@10")
            )
            yield f"{label:<24}" + "".join(f"{cell:>18}" for cell in cells)
    if not state["kept"]:
        yield "It would not help and is not used."
    elif not state["applied"]:
        yield "It was learned with another embedding model and is not used; tune again."
    else:
        yield "It is kept and used from now on."


def _json_lines(path: Path) -> list[Any]:
    """The values of a file of JSON lines. Raises InvalidRequest naming the line that is none."""
    values = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except ValueError as error:
                raise InvalidRequest(f"`{path}` line {number} is no JSON ({error}).") from None
    return values
