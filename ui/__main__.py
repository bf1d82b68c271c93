"""`python -m ui`: serve the pages. The gateway is found by `PRAXIS_GATEWAY_URL`; people come by `PRAXIS_UI_URL`, where that is
not the address that is listened on."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from streamlit.starlette import App

from ui.headers import middleware

MAIN = Path(__file__).with_name("main.py")
LOCAL = ("127.0.0.1", "localhost", "::1")
UPLOAD_LIMIT = 100  # MB
SANS = "'Noto Sans CJK SC', 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', 'Source Sans', sans-serif"


def main() -> None:
    parser = argparse.ArgumentParser(prog="praxis ui", description="Serve the browser pages.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--config", help="accepted like the other processes do; the pages need no configuration"
    )
    arguments = parser.parse_args()
    public = public_urls(os.environ.get("PRAXIS_UI_URL", ""))
    require_port(arguments.host, arguments.port)
    # The server shuts down in good order on these and then raises them anew, which is the end as it was asked for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # Streamlit reads the rest of the command line as the page's own.
    sys.argv = [str(MAIN)]
    App(MAIN, middleware=middleware()).run(config=options(arguments.host, arguments.port, public))


def public_urls(given: str) -> list[SplitResult]:
    """The addresses in `given`, apart by commas or spaces. Exit 1 with one sentence where one is none."""
    urls = [urlsplit(each.rstrip("/")) for each in given.replace(",", " ").split()]
    for url in urls:
        if url.scheme not in ("http", "https") or not url.hostname or url.path:
            sys.exit(
                f"`PRAXIS_UI_URL` names `{url.geturl()}`: give where people reach the pages, such as `https://praxis.example.org`."
            )
    return urls


def require_port(host: str, port: int) -> None:
    """Exit 1 with one sentence where nobody can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"`{host}:{port}` is in use: stop what listens there, or choose another `--port`.")
        sys.exit(
            f"`{host}:{port}` cannot be listened on ({error.strerror}): choose another `--host` or `--port`."
        )


def options(host: str, port: int, public: Sequence[SplitResult]) -> Mapping[str, object]:
    """Streamlit's settings: closed to other hosts and origins, silent about errors, and nothing sent to anybody."""
    # On loopback nobody comes by another name than these, save through a proxy whose name is told, or by DNS rebinding.
    hosts = [*LOCAL, *(str(url.hostname) for url in public)] if public or _loopback(host) else []
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.allowedHosts": hosts,
        "server.corsAllowedOrigins": [f"{url.scheme}://{url.netloc}" for url in public],
        "server.maxUploadSize": UPLOAD_LIMIT,
        "server.fileWatcherType": "none",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "browser.gatherUsageStats": False,
        "logger.hideWelcomeMessage": True,
        "theme.base": "light",
        "theme.primaryColor": "#1f4e79",
        "theme.backgroundColor": "#ffffff",
        "theme.secondaryBackgroundColor": "#f5f7f9",
        "theme.textColor": "#1d2733",
        "theme.borderColor": "#dfe5eb",
        "theme.linkColor": "#1f4e79",
        "theme.baseRadius": "6px",
        "theme.font": SANS,
        "theme.headingFont": SANS,
        "theme.headingFontSizes": ["1.6rem", "1.35rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    }


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
