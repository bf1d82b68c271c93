"""The two ways in, below ASGI and through it, say the same to whatever bytes a client sends."""

import json
import random
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually


@pytest.fixture(scope="module", params=["direct", "asgi"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that takes the hot paths this way."""
    extra = ["--asgi"] if request.param == "asgi" else []
    with Gateway(tmp_path_factory.mktemp("way"), house("http://127.0.0.1:9"), *extra) as running:
        yield running


@pytest.fixture
def running(way: Gateway, engine: VLLM) -> Iterator[Gateway]:
    way.configure(house(engine))
    yield way
    eventually(way.idle, "no request is in flight after the test")


class Talk:
    """A connection that sends raw bytes and reads whole replies."""

    def __init__(self, running: Gateway) -> None:
        self._socket = socket.create_connection(("127.0.0.1", running.port), timeout=30)
        self._seen = b""

    def close(self) -> None:
        self._socket.close()

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """The next reply: status, headers, and the body with its framing taken off."""
        while b"\r\n\r\n" not in self._seen:
            self._more()
        head, _, self._seen = self._seen.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        if "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            assert headers["transfer-encoding"] == "chunked"
            body = b""
            while size := int(self._line(), 16):
                body += self._take(size)
                assert self._line() == b""
            assert self._line() == b""
        return int(first.split()[1]), headers, body

    def ended(self) -> bool:
        """Whether the gateway closed, with nothing more said."""
        try:
            return self._seen == b"" and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _line(self) -> bytes:
        while b"\r\n" not in self._seen:
            self._more()
        line, _, self._seen = self._seen.partition(b"\r\n")
        return line

    def _take(self, size: int) -> bytes:
        while len(self._seen) < size:
            self._more()
        taken, self._seen = self._seen[:size], self._seen[size:]
        return taken

    def _more(self) -> None:
        piece = self._socket.recv(65536)
        assert piece, f"closed after {self._seen!r}"
        self._seen += piece


@pytest.fixture
def talk(running: Gateway) -> Iterator[Talk]:
    with closing(Talk(running)) as talk:
        yield talk


def body(**rest: object) -> bytes:
    return json.dumps({"model": "law", "messages": MESSAGES} | rest).encode()


def request(running: Gateway, content: bytes, *lines: str, path: str = CHAT, version: str = "1.1") -> bytes:
    """A chat request; `lines` follow the usual headers."""
    head = [
        f"POST {path} HTTP/{version}",
        "Host: praxis",
        f"Authorization: Bearer {running.user_key}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def answered(talk: Talk) -> bool:
    status, _, content = talk.reply()
    return status == 200 and "150%" in content.decode()


def test_one_connection_serves_many_requests_of_every_length(
    running: Gateway, talk: Talk, engine: VLLM
) -> None:
    """The same head again and again, but for its length; and between them other heads and other paths."""
    for number in range(12):
        content = body(user="x" * (7**number % 1000))
        talk.say(request(running, content))
        assert answered(talk)
        assert engine.asked[-1].json["user"] == "x" * (7**number % 1000)
        if number % 4 == 3:
            talk.say(b"GET /healthz HTTP/1.1\r\nhost: praxis\r\n\r\n")
            assert talk.reply()[0] == 200
            talk.say(request(running, content, "x-request-id: given-1"))
            status, headers, _ = talk.reply()
            assert (status, headers["x-request-id"]) == (200, "given-1")
    assert len(engine.asked) == 15


def test_a_remembered_head_does_not_outlive_its_key(running: Gateway, talk: Talk, engine: VLLM) -> None:
    secret = running.keys.create("passing")[1]
    asking = request(running, body()).replace(running.user_key.encode(), secret.encode())
    for _ in range(3):
        talk.say(asking)
        assert answered(talk)
    running.keys.revoke("passing")

    def refused() -> bool:
        talk.say(asking)
        return talk.reply()[0] == 401

    eventually(refused, "the revoked key is refused")


@pytest.mark.parametrize("stream", [False, True])
def test_every_cut_of_a_request_is_the_same_request(
    running: Gateway, talk: Talk, engine: VLLM, stream: bool
) -> None:
    asking = request(running, body(stream=stream))
    chance = random.Random(7)
    whole = None
    for _ in range(25):
        edges = sorted(chance.sample(range(1, len(asking)), chance.randint(1, 6)))
        for start, end in zip([0, *edges], [*edges, len(asking)], strict=True):
            talk.say(asking[start:end])
        status, _, content = talk.reply()
        assert status == 200
        content = content.replace(b"\n", b"")[-40:]
        whole = whole or content
        assert content == whole
    assert len(engine.asked) == 25


def test_a_request_byte_by_byte(running: Gateway, talk: Talk) -> None:
    for byte in request(running, body()):
        talk.say(bytes([byte]))
    assert answered(talk)


def test_pipelined_requests_are_answered_in_their_order(running: Gateway, talk: Talk, engine: VLLM) -> None:
    health = b"GET /healthz HTTP/1.1\r\nhost: praxis\r\n\r\n"
    asking = [request(running, body(user=str(number), stream=number % 2 == 1)) for number in range(6)]
    talk.say(asking[0] + asking[1] + health + asking[2] + health + health + b"".join(asking[3:]))
    kinds = [talk.reply()[1]["content-type"].split(";")[0] for _ in range(9)]
    plain, sse = "application/json", "text/event-stream"
    assert kinds == [plain, sse, plain, plain, plain, plain, sse, plain, sse]
    assert [seen.json["user"] for seen in engine.asked] == list("012345")


def test_a_chunked_request(running: Gateway, talk: Talk, engine: VLLM) -> None:
    content = body()
    head = request(running, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    talk.say(head + b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (9, content[:9], len(content) - 9, content[9:]))
    assert answered(talk)
    talk.say(request(running, content))
    assert answered(talk)


def test_a_client_that_asks_before_it_sends(running: Gateway, talk: Talk) -> None:
    content = body()
    talk.say(request(running, content, "Expect: 100-continue")[: -len(content)])
    while b"\r\n\r\n" not in talk._seen:
        talk._more()
    assert talk._seen.startswith(b"HTTP/1.1 100 ")
    talk._seen = b""
    talk.say(content)
    assert answered(talk)


def test_connection_close_is_kept(running: Gateway, talk: Talk) -> None:
    talk.say(request(running, body(), "Connection: close"))
    status, headers, _ = talk.reply()
    assert (status, headers["connection"]) == (200, "close")
    assert talk.ended()


def test_a_query_does_not_matter(running: Gateway, talk: Talk) -> None:
    talk.say(request(running, body(), path=f"{CHAT}?api-version=2024-02-01"))
    assert answered(talk)


SMUGGLED = b"GET /healthz HTTP/1.1\r\nhost: praxis\r\n\r\n"

ODD: dict[str, tuple[bytes, bytes]] = {
    "two lengths": (b"Content-Length: ", b"Content-Length: 3\r\nContent-Length: "),
    "length and chunks": (b"Content-Type", b"Transfer-Encoding: chunked\r\nContent-Type"),
    "negative length": (b"Content-Length: ", b"Content-Length: -"),
    "hexadecimal length": (b"Content-Length: ", b"Content-Length: 0x"),
    "space before the colon": (b"Content-Length:", b"Content-Length :"),
    "folded line": (b"Content-Type: ", b"X-Folded: a\r\n b\r\nContent-Type: "),
    "bare newline": (b"Content-Type: application/json\r\n", b"Content-Type: application/json\n"),
    "null byte": (b"Content-Type: ", b"X-Null: a\0b\r\nContent-Type: "),
    "no such version": (b"HTTP/1.1", b"HTTP/9.9"),
    "no method": (b"POST ", b"P@ST "),
}
"""What separates two servers' ideas of where a request ends, or is no request."""


@pytest.mark.parametrize("name", ODD)
def test_what_could_smuggle_a_request_is_refused_or_harmless(
    running: Gateway, talk: Talk, engine: VLLM, name: str
) -> None:
    usual = request(running, body())
    talk.say(usual)
    assert answered(talk)
    odd = usual.replace(*ODD[name], 1)
    assert odd != usual
    talk.say(odd + SMUGGLED)
    status, headers, content = talk.reply()
    assert status == 400
    assert headers["connection"] == "close"
    if way_is_direct(running):
        assert json.loads(content)["error"]["type"] == "invalid_request_error"
    assert talk.ended()
    assert len(engine.asked) == 1


def way_is_direct(running: Gateway) -> bool:
    return "--asgi" not in running.more


def test_a_head_without_end_is_refused(gateway: Serve, engine: VLLM) -> None:
    """Below ASGI only: uvicorn's own protocol has no bound."""
    talk = Talk(gateway(house(engine)))
    talk.say(f"POST {CHAT} HTTP/1.1\r\n".encode())
    for number in range(200):
        try:
            talk.say(b"x-filler-%d: %s\r\n" % (number, b"x" * 1000))
        except OSError:
            break
    status, _, content = talk.reply()
    assert status == 400
    assert "65536" in json.loads(content)["error"]["message"]
    talk.close()
    assert not engine.asked


def test_two_keys_in_one_head_are_refused(running: Gateway, talk: Talk, engine: VLLM) -> None:
    talk.say(request(running, body(), f"Authorization: Bearer {running.user_key}"))
    status, _, content = talk.reply()
    assert (status, json.loads(content)["error"]["type"]) == (401, "authentication_error")
    assert not engine.asked


def test_bodies_up_to_25_mb_go_through_and_above_are_refused(
    running: Gateway, talk: Talk, engine: VLLM
) -> None:
    frame = len(body(user=""))
    talk.say(request(running, body(user="x" * (25 * 2**20 - frame))))
    assert answered(talk)
    assert len(engine.asked[0].json["user"]) == 25 * 2**20 - frame
    talk.say(request(running, body(user="x" * (25 * 2**20 - frame + 1)))[:5000])
    status, _, content = talk.reply()
    assert (status, json.loads(content)["error"]["type"]) == (413, "request_too_large")


def test_a_browser_from_elsewhere_gets_its_headers(way: Gateway, engine: VLLM) -> None:
    config = json.loads(house(engine))
    config["server"]["cors_origins"] = ["https://firm.example"]
    way.configure(json.dumps(config))
    reply = way.post(
        CHAT, json={"model": "law", "messages": MESSAGES}, headers={"origin": "https://firm.example"}
    )
    assert reply.status_code == 200
