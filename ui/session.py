"""What one browser session holds. The key lives here, inside its gateway client, and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import streamlit as st

from praxis.i18n import Locale, codes
from ui.batch import Batch
from ui.client import Citation, Gateway, GatewayError, Model
from ui.comparison import Comparison
from ui.conversation import MY_DOCUMENTS, Conversation, Side
from ui.history import History
from ui.keeper import Keeper
from ui.messages import turns_of
from ui.settings import DEFAULT, Settings
from ui.uploads import Upload
from ui.votes import Votes

LINK = "c"
"""The URL's parameter that names the conversation."""

GATEWAY_URL = "http://127.0.0.1:8080"


@dataclass
class Viewed:
    """A page of a PDF that is looked at for a citation, and how large, in hundredths of its place's width."""

    citation: Citation
    page: int
    zoom: int = 100


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
    uploads: list[Upload] = field(default_factory=list)
    batch: Batch | None = None
    comparison: Comparison | None = None  # of the batch's columns
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

    def look(self, citation: Citation) -> None:
        """Open the page on which a citation stands."""
        self.viewed = Viewed(citation, citation.page or 1)

    def new_conversation(self) -> None:
        """Put the conversation away, which is kept as far as it came, and begin another."""
        self.conversation.stop()
        self.keeper = Keeper(Conversation())
        st.query_params.pop(LINK, None)

    def open(self, conversation: str) -> None:
        """Go on with a kept conversation, by whom it asked last. Raises GatewayError."""
        assert self.gateway is not None
        turns = turns_of(History(self.gateway).items(conversation))
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
        for work in (self.batch, self.comparison):
            if work:
                work.stop()
        if notice is None:
            st.query_params.clear()
        if self.gateway:
            self.gateway.close()
        st.session_state.clear()
        st.session_state["session"] = Session(self.locale, notice=notice)
