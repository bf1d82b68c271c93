"""What a proxy in front says of the client is believed only where it is trusted."""

import pytest

from tests.gateway.asking import house
from tests.gateway.conftest import Serve


@pytest.mark.parametrize(("trusted", "scheme"), [(["127.0.0.1"], "https"), (["10.9.9.9"], "http")])
def test_only_a_trusted_proxy_is_believed(own_gateway: Serve, trusted: list[str], scheme: str) -> None:
    running = own_gateway(house("http://127.0.0.1:9", server={"trusted_proxies": trusted}))
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.7"}
    reply = running.get("/healthz/", headers=forwarded, follow_redirects=False)
    assert reply.status_code == 307
    assert reply.headers["location"].startswith(f"{scheme}://")
