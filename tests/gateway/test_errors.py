"""Every refusal has one shape, the right status, and a sentence that says what to do."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, COMPLETIONS, MESSAGES, ask, house, send
from tests.gateway.conftest import Serve
from tests.processes import Gateway, praxis

MIB = 1 << 20


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    """A gateway before one engine."""
    return gateway(house(engine))


def refused(reply: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The error of a reply, its shape, status and type checked."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/json")
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == kind
    assert not re.search("[\u3000-\u9fff]", body["error"]["message"]), "errors are in English"
    assert len(body["error"]["message"]) > 10
    return dict(body["error"])


PATHS = [
    "/v1/models",
    CHAT,
    COMPLETIONS,
    "/v1/embeddings",
    "/v1/files",
    "/v1/vector_stores",
    "/admin/v1/adapters",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", [None, "sk-praxis-nobody-has-this-key", "ü", "sk praxis"])
def test_without_a_good_key_there_is_nothing(
    running: Gateway, engine: VLLM, path: str, key: str | None
) -> None:
    method = "POST" if path in (CHAT, COMPLETIONS, "/v1/embeddings") else "GET"
    header = {} if key is None else {"authorization": f"Bearer {key}".encode()}
    reply = running.request(
        method, path, key=None, headers=header, content=b"{}" if method == "POST" else b""
    )
    error = refused(reply, 401, "authentication_error")
    assert key is None or key not in error["message"]
    assert not engine.asked


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "{key}", "Token {key}"])
def test_an_authorization_that_is_no_bearer_is_401(running: Gateway, header: str) -> None:
    given = {"authorization": header.format(key=running.user_key)}
    reply = running.post(CHAT, key=None, headers=given, json={"model": "law", "messages": MESSAGES})
    refused(reply, 401, "authentication_error")


def test_the_scheme_of_a_key_is_written_as_one_likes(running: Gateway) -> None:
    given = {"authorization": f"bearer {running.user_key}"}
    assert (
        running.post(CHAT, key=None, headers=given, json={"model": "law", "messages": MESSAGES}).status_code
        == 200
    )
    assert running.get("/v1/models", key=None, headers=given).status_code == 200


def test_an_unknown_model_is_404_and_names_the_known(running: Gateway, engine: VLLM, stream: bool) -> None:
    body = {"model": "nobody", "messages": MESSAGES, "stream": stream}
    error = refused(running.post(CHAT, json=body), 404, "not_found_error")
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "`nobody`" in error["message"]
    assert "`law`" in error["message"]
    assert "`default`" in error["message"]
    assert not engine.asked


NO_MODEL = [
    {},
    {"model": None},
    {"model": ""},
    {"model": 3},
    {"model": ["law"]},
    {"model": {"id": "law"}},
    {"model": True},
]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, "/v1/embeddings"])
@pytest.mark.parametrize("given", NO_MODEL, ids=json.dumps)
def test_a_model_that_is_no_name_is_400(
    running: Gateway, engine: VLLM, path: str, given: dict[str, Any]
) -> None:
    reply = running.post(path, json={"messages": MESSAGES, "prompt": "x", "input": "x", **given})
    error = refused(reply, 400, "invalid_request_error")
    assert error["param"] == "model"
    assert not engine.asked


NO_OBJECT = [
    b"",
    b"{",
    b'{"model": "law",}',
    b"[1]",
    b'"law"',
    b"null",
    b"\xff\xfe",
    b'{"model": "law\xff"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", NO_OBJECT, ids=lambda content: repr(content[:12]))
def test_a_body_that_is_no_json_object_is_400(running: Gateway, engine: VLLM, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    error = refused(running.post(CHAT, content=content, headers=headers), 400, "invalid_request_error")
    assert "JSON" in error["message"]
    assert not engine.asked


@pytest.mark.parametrize(
    "given", [{"stream": "yes"}, {"stream": 1}, {"stream": True, "stream_options": 3}], ids=json.dumps
)
def test_a_field_that_the_gateway_reads_and_cannot_is_400(
    running: Gateway, engine: VLLM, given: dict[str, Any]
) -> None:
    reply = running.post(CHAT, json={"model": "law", "messages": MESSAGES, **given})
    error = refused(reply, 400, "invalid_request_error")
    assert str(error["param"]).startswith("stream")
    assert not engine.asked


@pytest.mark.parametrize(
    "given", [{"stream": None}, {"stream_options": None}, {"tools": None}, {"stop": None}], ids=json.dumps
)
def test_a_null_is_as_good_as_silence(running: Gateway, given: dict[str, Any]) -> None:
    assert running.post(CHAT, json={"model": "law", "messages": MESSAGES, **given}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json; charset=utf-8", "application/octet-stream"]
)
def test_the_content_type_of_a_json_body_does_not_matter(running: Gateway, engine: VLLM, kind: str) -> None:
    reply = send(
        running, json.dumps({"model": "law", "messages": MESSAGES}).encode(), headers={"content-type": kind}
    )
    assert reply.status == 200
    assert engine.asked[0].header("content-type") == "application/json"


def test_a_path_that_is_not_there_is_404(running: Gateway) -> None:
    for method, path in (
        ("GET", "/nowhere"),
        ("POST", "/v1/nowhere"),
        ("GET", "/"),
        ("POST", "/v1/chat/completionss"),
    ):
        error = refused(running.request(method, path), 404, "not_found_error")
        assert f"{method} {path}" in error["message"]


def test_a_method_that_is_not_there_is_405(running: Gateway) -> None:
    for method, path in (("GET", CHAT), ("DELETE", CHAT), ("PUT", "/v1/models"), ("POST", "/healthz")):
        reply = running.request(method, path)
        refused(reply, 405, "invalid_request_error")
        assert reply.headers["allow"]


class Raw:
    """A connection to the gateway that says what it likes."""

    def __init__(self, gateway: Gateway) -> None:
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
        self.sent = 0

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, data: bytes) -> bool:
        """Send, unless the gateway has closed; False then."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        self.sent += len(data)
        return True

    def answer(self) -> bytes:
        """All that comes until the gateway closes or the body that it announced is there."""
        seen = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self._socket.recv(65536):
                seen += piece
                head, found, body = seen.partition(b"\r\n\r\n")
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
                    None,
                )
                if found and length is not None and len(body) >= int(length[15:]):
                    break
        return seen

    def answered(self) -> bool:
        """Whether something has come that can be read already."""
        self._socket.setblocking(False)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self._socket.settimeout(30)


@pytest.fixture
def raw(running: Gateway) -> Iterator[Raw]:
    with Raw(running) as connection:
        yield connection


def head(running: Gateway, *lines: str) -> bytes:
    """The head of a chat request with the user's key."""
    every = [
        f"POST {CHAT} HTTP/1.1",
        "host: praxis",
        f"authorization: Bearer {running.user_key}",
        *lines,
        "",
        "",
    ]
    return "\r\n".join(every).encode()


def test_a_body_above_25_mb_is_413_before_it_is_sent(running: Gateway, raw: Raw, engine: VLLM) -> None:
    raw.say(head(running, "content-type: application/json", f"content-length: {26 * MIB}"))
    reply = raw.answer()
    assert reply.startswith(b"HTTP/1.1 413 ")
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "request_too_large"
    assert "25" in error["message"]
    assert not engine.asked


def test_a_chunked_body_is_413_as_soon_as_it_is_above_25_mb(running: Gateway, raw: Raw, engine: VLLM) -> None:
    raw.say(head(running, "content-type: application/json", "transfer-encoding: chunked"))
    chunk = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
    while raw.sent < 200 * MIB and not raw.answered() and raw.say(chunk):
        pass
    assert raw.sent < 60 * MIB
    assert raw.answer().startswith(b"HTTP/1.1 413 ")
    assert not engine.asked


def test_a_body_just_below_25_mb_passes(running: Gateway, engine: VLLM) -> None:
    messages = [{"role": "user", "content": "x" * (24 * MIB)}]
    reply = ask(running, messages=messages)
    assert reply.status == 200
    assert engine.asked[0].json["messages"] == messages


def test_a_chunked_body_passes(running: Gateway, raw: Raw, engine: VLLM) -> None:
    body = json.dumps({"model": "law", "messages": MESSAGES}).encode()
    raw.say(head(running, "content-type: application/json", "transfer-encoding: chunked"))
    for start in range(0, len(body), 10):
        raw.say(b"%x\r\n%b\r\n" % (len(body[start : start + 10]), body[start : start + 10]))
    raw.say(b"0\r\n\r\n")
    assert raw.answer().startswith(b"HTTP/1.1 200 ")
    assert engine.asked[0].json["messages"] == MESSAGES


def test_a_request_that_comes_byte_by_byte_passes(running: Gateway, raw: Raw, engine: VLLM) -> None:
    body = json.dumps({"model": "law", "messages": MESSAGES}).encode()
    for byte in head(running, "content-type: application/json", f"content-length: {len(body)}") + body:
        raw.say(bytes([byte]))
    assert raw.answer().startswith(b"HTTP/1.1 200 ")


SMUGGLED = [
    ["content-length: 5", "transfer-encoding: chunked"],
    ["content-length: 5", "content-length: 6"],
    ["content-length: -1"],
    ["content-length: 5x"],
    ["transfer-encoding: chunked, identity"],
]


@pytest.mark.parametrize("lines", SMUGGLED, ids=" + ".join)
def test_a_body_of_two_lengths_reaches_no_engine(
    running: Gateway, raw: Raw, engine: VLLM, lines: list[str]
) -> None:
    raw.say(head(running, *lines) + b'0\r\n\r\n{"model":"law"}')
    assert raw.answer()[:12] in (b"HTTP/1.1 400", b"")
    assert not engine.asked


def test_two_authorizations_are_refused(running: Gateway, raw: Raw, engine: VLLM) -> None:
    body = json.dumps({"model": "law", "messages": MESSAGES}).encode()
    raw.say(head(running, "authorization: Bearer other", f"content-length: {len(body)}") + body)
    assert raw.answer()[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401")
    assert not engine.asked


def test_huge_headers_are_refused_or_ignored_but_harm_nothing(running: Gateway, raw: Raw) -> None:
    raw.say(head(running, "x-huge: " + "x" * MIB, "content-length: 2") + b"{}")
    assert raw.answer()[:10] in (b"HTTP/1.1 4", b"")
    assert ask(running).status == 200


def test_no_keys_is_refused_on_anything_but_loopback(running: Gateway, engine: VLLM) -> None:
    config = running.folder / "open.yaml"
    config.write_text(house(engine, server={"auth": "none"}))
    ended = praxis("gateway", "--config", str(config), "--host", "0.0.0.0", "--port", "0", cwd=running.folder)
    assert ended.returncode == 2
    assert "auth" in ended.stderr
    assert "0.0.0.0" in ended.stderr


def test_on_loopback_keys_may_be_off(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, server={"auth": "none"}))
    assert running.get("/v1/models", key=None).status_code == 200
    assert running.post(CHAT, key=None, json={"model": "law", "messages": MESSAGES}).status_code == 200
