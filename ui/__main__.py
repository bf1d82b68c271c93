"""`python -m ui`: serve the pages. The gateway is found by `PRAXIS_GATEWAY_URL`."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from streamlit.starlette import App

from ui.headers import middleware

MAIN = Path(__file__).with_name("main.py")
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
    require_port(arguments.host, arguments.port)
    # The server shuts down in good order on these and then raises them anew, which is the end as it was asked for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # Streamlit reads the rest of the command line as the page's own.
    sys.argv = [str(MAIN)]
    App(MAIN, middleware=middleware()).run(config=options(arguments.host, arguments.port))


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


def options(host: str, port: int) -> Mapping[str, object]:
    """Streamlit's settings: closed to other origins, silent about errors, and nothing sent to anybody."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        # On loopback nobody comes by another name, save by DNS rebinding.
        "server.allowedHosts": ["127.0.0.1", "localhost", "::1"] if _loopback(host) else [],
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
