"""The pages' script driven without a browser."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from ui.conversation import Conversation
from ui.session import Session

MAIN = Path(__file__).resolve().parents[2] / "ui" / "main.py"
KEY, OTHER = "sk-praxis-test", "sk-praxis-other"
RAW, ASSISTANT = "qwen2.5-0.5b", "labour-law"
SECONDS = 60


def visit(key: str = "", **query: str) -> AppTest:
    """A new visitor, signed in where there is a `key`, by a URL with `query`."""
    app = AppTest.from_file(str(MAIN), default_timeout=SECONDS)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return sign_in(app, key) if key else app


def leave(app: AppTest) -> None:
    """Go without a word, as a closed browser does."""
    if "session" in app.session_state:
        session: Session = app.session_state["session"]
        session.conversation.stop()
        session.keeper.end()
        if session.gateway:
            session.gateway.close()


def sign_in(app: AppTest, key: str) -> AppTest:
    app.text_input[0].set_value(key)
    app.button[0].click().run()
    return app


def turn_to(app: AppTest, page: str) -> AppTest:
    """Go to the page of that address. Raises KeyError where there is none for this visitor."""
    # `AppTest.switch_page` knows pages that are files, and ours are not.
    addresses = {each["url_pathname"]: number for number, each in app._registered_pages.items()}
    app._page_hash = addresses[page]
    app.run()
    assert not app.exception
    return app


def conversation(app: AppTest) -> Conversation:
    session: Session = app.session_state["session"]
    return session.conversation


def link(app: AppTest) -> str:
    """The conversation that the URL names."""
    named = app.query_params["c"]
    return named if isinstance(named, str) else named[0]


def ask(app: AppTest, question: str) -> AppTest:
    app.chat_input[0].set_value(question).run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def shown(app: AppTest) -> str:
    """Every text on the page."""
    elements = [*app.markdown, *app.error, *app.warning, *app.info, *app.caption, *app.get("html")]
    return "\n".join(str(getattr(element, "value", None) or element.proto.body) for element in elements)


def choose_documents(app: AppTest) -> AppTest:
    box = next(box for box in app.selectbox if box.label == "有依据的回答")
    return box.select_index(len(box.options) - 1).run()
