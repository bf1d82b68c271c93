"""Who may reach a gateway that asks for no keys: this machine only."""

from __future__ import annotations

import ipaddress

from praxis.config import Config
from praxis.errors import ConfigError, Problem


def must_be_safe(config: Config, host: str) -> None:
    """Raises ConfigError where `config` asks for no keys and `host` is not this machine alone."""
    if config.server.auth == "none" and not _loopback(host):
        fix = f"`none` is refused on `{host}`; write `keys`, or listen on 127.0.0.1"
        raise ConfigError(str(config.path), [Problem(None, "server.auth", fix)])


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
