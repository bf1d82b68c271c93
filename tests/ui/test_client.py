"""The gateway's API as the pages call it."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from praxis.i18n import Locale
from tests.fakes.gateway import FakeGateway
from ui.client import Gateway, GatewayError
from ui.library import Library, Progress
from ui.wording import how_far, moment, sentence, size

KEY = "sk-praxis-test"


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Gateway]:
    with closing(Gateway(gateway.url, KEY)) as client:
        yield client


def test_models_assistants_and_embeddings_are_told_apart(client: Gateway) -> None:
    models = {model.id: model for model in client.models()}
    assert models["labour-law"].answers_from_documents
    assert models["medical"].parent == "qwen2.5-0.5b"
    assert [name for name, model in models.items() if not model.chats] == ["multilingual-e5-small"]


@pytest.mark.parametrize("key", ["sk-praxis-wrong", "密钥", "sk\n"])
def test_a_wrong_key_is_one_sentence(gateway: FakeGateway, key: str) -> None:
    with pytest.raises(GatewayError) as refused, closing(Gateway(gateway.url, key)) as client:
        client.models()
    assert sentence(GatewayError(refused.value.kind), Locale()) == "密钥不正确或已失效，请检查后重新输入。"


def test_the_key_is_not_in_what_is_printed(client: Gateway) -> None:
    assert KEY not in repr(client)


def test_a_file_becomes_a_document_or_says_why_not(client: Gateway) -> None:
    store, library = client.create_store("劳动争议"), Library(client)
    for name, content in (("法.txt", "第一条".encode()), ("空.txt", b"")):
        document = library.attach(store.id, client.upload(name, content))
        assert document.status == "in_progress"
        assert how_far(document.progress, Locale()) == "建立索引 3/12 · 70%"
    documents = {document.filename: document for document in library.documents(store.id)}
    assert (documents["法.txt"].status, documents["法.txt"].error) == ("completed", "")
    assert documents["空.txt"].status == "failed"
    assert "is empty" in documents["空.txt"].error
    assert [(one.name, one.completed, one.total) for one in client.stores()] == [("劳动争议", 1, 2)]
    library.delete_file(documents["法.txt"].id)
    assert [document.filename for document in library.documents(store.id)] == ["空.txt"]
    client.delete_store(store.id)
    assert client.stores() == []


def test_long_lists_are_read_to_their_end(client: Gateway) -> None:
    names = [f"库{number}" for number in range(250)]
    for name in names:
        client.create_store(name)
    assert [store.name for store in client.stores()] == names[::-1]


def test_an_error_keeps_the_servers_words_and_quotes_names() -> None:
    error = GatewayError("request_too_large", "`a.pdf` is larger than 5 bytes.")
    assert sentence(error, Locale()) == '内容过大，请减小后重试。 "a.pdf" is larger than 5 bytes.'
    assert sentence(GatewayError("never_heard_of"), Locale("en")) == "That did not work."


def test_sizes_and_moments_are_for_people() -> None:
    assert [size(count) for count in (0, 1023, 2048, 3 * 1024**2)] == ["0 B", "1023 B", "2 KB", "3.0 MB"]
    assert len(moment(1_760_000_000)) == len("2025-10-09 08:53")


def test_a_file_never_seems_to_go_back() -> None:
    steps = [
        Progress(step, done, 4 if step in ("recognising", "embedding") else 0)
        for step in ("received", "reading", "recognising", "splitting", "embedding", "ready")
        for done in (0, 4)
    ]
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert Progress("a step of tomorrow", 1, 2).share == 0.0
