"""The page that a citation opens: signed, expiring, and harmless whatever the document says."""

import httpx
import openai
import pytest

from rag.links import Links
from tests.rag.conftest import SECRET, Rag

EVIL = '<script>alert(1)</script> {braces} & "quotes"。劳动合同的试用期最长不得超过六个月。'


@pytest.fixture
def links(rag: Rag) -> Links:
    return Links(SECRET, lambda: rag.url)


@pytest.fixture
def tenant(client: openai.OpenAI) -> str:
    return str(client.default_headers["x-praxis-tenant"])


@pytest.fixture
def evil(client: openai.OpenAI) -> str:
    file_id = client.files.create(file=("<b>x</b>.txt", EVIL.encode()), purpose="assistants").id
    store = client.vector_stores.create()
    client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, poll_interval_ms=100)
    return file_id


def test_a_signed_link_shows_the_passage_marked(rag: Rag, labour_law: str, links: Links) -> None:
    hit = rag.client("operator").vector_stores.search(labour_law, query="劳动法第四十四条").data[0]
    facts = hit.attributes or {}
    start, end = int(facts["start"]), int(facts["end"])
    reply = httpx.get(links.passage(hit.file_id, start, end, "operator"), timeout=60)
    assert reply.status_code == 200
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "<h1>中华人民共和国劳动法 第四十四条</h1>" in reply.text
    assert "2018-12-29" in reply.text
    assert f"<mark>{hit.content[0].text}</mark>" in reply.text


def test_what_a_document_says_is_shown_and_never_run(links: Links, evil: str, tenant: str) -> None:
    page = httpx.get(links.passage(evil, 0, len(EVIL), tenant), timeout=60).text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {braces} &amp;" in page
    assert "<b>" not in page


def test_a_link_of_who_may_not_read_the_file_does_not_open(links: Links, evil: str) -> None:
    assert httpx.get(links.passage(evil, 0, 5, "stranger"), timeout=60).status_code == 404


def test_an_altered_expired_or_foreign_link_does_not_open(
    links: Links, evil: str, rag: Rag, tenant: str
) -> None:
    url = links.passage(evil, 0, 5, tenant)
    for bad in (
        url.replace("end=5", "end=6"),
        url.replace("tenant=t", "tenant=u"),
        url[:-2],
        links.passage(evil, 0, 5, tenant, lifetime=-1),
        Links("another secret", lambda: rag.url).passage(evil, 0, 5, tenant),
    ):
        reply = httpx.get(bad, timeout=60)
        assert reply.status_code == 403
        assert "ask again" in reply.json()["error"]["message"]


def test_a_link_to_a_deleted_file_says_so(
    links: Links, evil: str, client: openai.OpenAI, tenant: str
) -> None:
    client.files.delete(evil)
    assert httpx.get(links.passage(evil, 0, 5, tenant), timeout=60).status_code == 404
