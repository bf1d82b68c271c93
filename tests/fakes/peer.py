"""A gateway that a benchmark finds installed: it forwards to the first engine, or misbehaves.

    python -m tests.fakes.peer fine|refuses|ends [--host H] [--port P] [--worker-urls URL…] …

It takes the options of vllm-router and forwards with the standard library, so it is slow.
"""

import argparse
import http.client
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_SCRIPT = """\
#!/bin/sh
exec {python} -m tests.fakes.peer {behaviour} "$@"
"""


def install(home: Path, name: str, behaviour: str) -> None:
    """Put it where `praxis bench gateway --install-peers` would put that peer."""
    script = home / "peers" / name / "bin" / name
    script.parent.mkdir(parents=True)
    script.write_text(_SCRIPT.format(python=sys.executable, behaviour=behaviour))
    script.chmod(0o755)
    (home / "peers" / name / f"lib/python3/site-packages/{name.replace('-', '_')}-7.8.9.dist-info").mkdir(
        parents=True
    )


def _handler(behaviour: str, engine: str) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(engine).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if behaviour == "ends":
                os._exit(1)
            if behaviour == "refuses":
                self._send(503, b"{}")
                return
            upstream = http.client.HTTPConnection(host)
            upstream.request("POST", self.path, body, {"content-type": "application/json"})
            self._send(200, upstream.getresponse().read())
            upstream.close()

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour", choices=["fine", "refuses", "ends", "never-starts"])
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--worker-urls", nargs="+")
    options, _ = parser.parse_known_args()
    if options.behaviour == "never-starts":
        sys.exit("no licence found")
    address = (options.host, options.port)
    _Server(address, _handler(options.behaviour, options.worker_urls[0])).serve_forever()


if __name__ == "__main__":
    main()
