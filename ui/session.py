"""What one browser session holds. The key lives here, inside its gateway client, and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakSet

import streamlit as st
from streamlit.runtime import Runtime, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from praxis.i18n import Locale, codes
from ui.batch import Batch
from ui.batch_keeper import BatchKeeper
from ui.client import Citation, Gateway, GatewayError, Model
from ui.comparison import Comparison
from ui.conversation import MY_DOCUMENTS, Conversation, Side
from ui.history import History
from ui.keeper import Keeper
from ui.messages import turns_of
from ui.pictures import Picture
from ui.running import running
from ui.settings import DEFAULT, Settings
from ui.uploads import Upload
from ui.votes import Votes

LINK = "c"
"""The URL's parameter that names the conversation."""

BATCH_LINK = "b"
"""The one that names the batch."""

GATEWAY_URL = "http://127.0.0.1:8080"


@dataclass
class Viewed:
    """A page of a PDF that is looked at for a citation, and how large, in hundredths of its place's width."""

    citation: Citation
    page: int
    zoom: int = 100


@dataclass(frozen=True, slots=True)
class Watched:
    """Tells whether a browser `session` is still connected, to whoever asks from another thread."""

    session: str
    runtime: Runtime = field(repr=False, compare=False)

    def __call__(self) -> bool:
        return bool(self.runtime.is_active_session(self.session))


@dataclass
class Draft:
    """A question that is not asked yet: the pictures that wait for it, its words where they have to be written again, and why
    it was not asked, as locale keys with what fills them in."""

    pictures: list[Picture] = field(default_factory=list)
    text: str = ""
    problems: list[tuple[str, dict[str, object]]] = field(default_factory=list)


@dataclass
class Session:
    """Language, identity and work of one user. `failure` says why the gateway's models could not be read just now."""

    locale: Locale = field(default_factory=Locale)
    gateway: Gateway | None = None
    operator: bool = False  # whether it is an admin's
    models: list[Model] = field(default_factory=list)
    failure: GatewayError | None = None
    notice: str | None = None  # a locale key, shown at the next sign-in
    assistant: str = ""  # chosen for the grounded side; the first one where this is none of them
    model: str = ""  # chosen for the raw side
    other: str = ""  # chosen for the third one
    third: bool = False  # whether there is a third one
    settings: Settings = DEFAULT
    blind: bool = False  # whether the next answers are compared without knowing whose they are
    keeper: Keeper = field(default_factory=lambda: Keeper(Conversation()))
    draft: Draft = field(default_factory=Draft)
    uploads: list[Upload] = field(default_factory=list)
    batch_keeper: BatchKeeper | None = None
    watched: Watched | None = None  # this browser
    begun: WeakSet[BatchKeeper] = field(default_factory=WeakSet)  # what it had asked or saw being asked
    viewed: Viewed | None = None  # the page of a PDF that stands open
    opened: int | None = None  # the number of its question whose answers are shown whole

    @staticmethod
    def current() -> Session:
        """This browser session's, made on the first visit."""
        session: Session = st.session_state.setdefault("session", Session())
        return session

    @property
    def conversation(self) -> Conversation:
        return self.keeper.conversation

    @property
    def batch(self) -> Batch | None:
        return self.batch_keeper.batch if self.batch_keeper else None

    @property
    def comparison(self) -> Comparison | None:
        """Of the batch's columns."""
        return self.batch_keeper.comparison if self.batch_keeper else None

    def look(self, citation: Citation) -> None:
        """Open the page on which a citation stands."""
        self.viewed = Viewed(citation, citation.page or 1)

    def new_conversation(self) -> None:
        """Put the conversation away, which is kept as far as it came, and begin another."""
        self.conversation.stop()
        self.keeper = Keeper(Conversation())
        self.draft = Draft()
        st.query_params.pop(LINK, None)

    def open(self, conversation: str) -> None:
        """Go on with a kept conversation, by whom it asked last. Raises GatewayError."""
        assert self.gateway is not None
        history = History(self.gateway)
        turns = turns_of(history.items(conversation), partial(history.picture, conversation))
        votes = Votes(self.gateway).mine(conversation)
        for turn in turns:
            turn.vote = votes.get(turn.item)
        self.conversation.stop()
        self.keeper = Keeper(Conversation(conversation, turns))
        if not turns:
            return
        last = turns[-1]
        self.third, self.settings = Side.OTHER in last.choices, last.settings
        # The widgets would go on showing what was chosen before.
        for widget in (*Side, "third"):
            st.session_state.pop(f"{widget}-{self.locale.code}", None)
        for side, choice in last.choices.items():
            match side:
                case Side.GROUNDED:
                    self.assistant = MY_DOCUMENTS if choice.own_documents else choice.model
                case Side.RAW:
                    self.model = choice.model
                case Side.OTHER:
                    self.other = choice.model

    def begin_batch(self, batch: Batch, within: float) -> None:
        """Ask the questions, and have it kept; waits up to `within` seconds until it has its URL."""
        self.batch_keeper = BatchKeeper(batch)
        self.go_on(batch, within)

    def begin_comparison(self, comparison: Comparison) -> None:
        """Have the columns of the batch compared, and kept in the place of an earlier comparison."""
        assert self.batch_keeper is not None
        self.batch_keeper.comparison = comparison
        self.go_on(comparison)

    def put_comparison_away(self) -> None:
        """Let another take its place."""
        if self.batch_keeper:
            self.batch_keeper.comparison = None

    def go_on(self, work: Batch | Comparison, within: float = 0.0) -> None:
        """Do what is left of it, in the background, and have it kept."""
        assert self.gateway is not None
        assert self.batch_keeper is not None
        work.start(self.gateway, self._look_at(self.batch_keeper))
        running().add(self.batch_keeper, self.gateway.key)
        self.batch_keeper.keep(self.gateway, within)

    def open_batch(self, batch: str) -> None:
        """Go on with a kept batch: as it runs, where this key has it running, and else as the gateway has it.

        Raises GatewayError.
        """
        assert self.gateway is not None
        keeper = running().find(batch, self.gateway.key)
        if keeper:
            keeper.join(self._look_at(keeper))
        self.batch_keeper = keeper or BatchKeeper.reopened(History(self.gateway), batch)
        self.opened = None

    def _look_at(self, keeper: BatchKeeper) -> Watched:
        self.begun.add(keeper)
        self.watched = self.watched or watched()
        return self.watched

    def new_batch(self) -> None:
        """Put the batch away, which is kept and goes on where it runs."""
        self.batch_keeper = self.opened = None
        st.query_params.pop(BATCH_LINK, None)

    def switch_language(self) -> None:
        """Go on in the next language."""
        known = codes()
        self.locale = Locale(known[(known.index(self.locale.code) + 1) % len(known)])

    def sign_in(self, key: str) -> None:
        """Take the key if the gateway does; raises GatewayError where it does not."""
        gateway = Gateway(os.environ.get("PRAXIS_GATEWAY_URL", GATEWAY_URL), key)
        try:
            self.models, self.operator = gateway.models(), gateway.operable()
        except GatewayError:
            gateway.close()
            raise
        self.gateway, self.failure, self.notice = gateway, None, None

    def refresh(self) -> None:
        """Read the models again; what was known stays where the gateway cannot be reached."""
        assert self.gateway is not None
        try:
            self.models, self.failure = self.gateway.models(), None
        except GatewayError as error:
            if error.status == 401:
                self.sign_out("sign_in.expired")
            else:
                self.failure = error

    def sign_out(self, notice: str | None = None) -> None:
        """Forget the key and all that it showed. One whose key has ended comes back to where they were."""
        self.conversation.stop()
        self.keeper.end()
        if self.watched:
            for keeper in list(self.begun):
                keeper.leave(self.watched)
        if notice is None:
            st.query_params.clear()
        if self.gateway:
            self.gateway.close()
        st.session_state.clear()
        st.session_state["session"] = Session(self.locale, notice=notice)


def watched() -> Watched:
    """This browser."""
    context = get_script_run_ctx()
    return Watched(context.session_id if context else "", get_instance())
