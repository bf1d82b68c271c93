"""One gateway of straw, one UI process and one browser for the room; every test begins with a clean gateway."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest

from tests.browser import page_of, pages
from tests.fakes.gateway import FakeGateway, running
from tests.ui.script import KEY, OTHER, leave, sign_in, visit

KEYS = {KEY: "office", OTHER: "clinic"}


@pytest.fixture(scope="session")
def shared_gateway() -> Iterator[FakeGateway]:
    with running(KEYS) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: FakeGateway) -> FakeGateway:
    shared_gateway.reset()
    return shared_gateway


@pytest.fixture(scope="session")
def ui_url(shared_gateway: FakeGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pages(shared_gateway.url, tmp_path_factory.mktemp("ui") / "ui.log") as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


@pytest.fixture
def app(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The pages' script, at the sign-in."""
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", gateway.url)
    app = visit()
    yield app
    leave(app)


@pytest.fixture
def signed_in(app: AppTest) -> AppTest:
    return sign_in(app, KEY)
