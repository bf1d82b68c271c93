"""What one browser session holds. The key lives here, inside its gateway client, and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import streamlit as st

from praxis.i18n import Locale, codes
from ui.client import Gateway, GatewayError, Model
from ui.conversation import Conversation
from ui.uploads import Upload

GATEWAY_URL = "http://127.0.0.1:8080"


@dataclass
class Session:
    """Language, identity and work of one user. `failure` says why the gateway's models could not be read just now."""

    locale: Locale = field(default_factory=Locale)
    gateway: Gateway | None = None
    models: list[Model] = field(default_factory=list)
    failure: GatewayError | None = None
    notice: str | None = None  # a locale key, shown at the next sign-in
    assistant: str = ""  # chosen for the grounded side; the first one where this is none of them
    model: str = ""  # chosen for the raw side
    conversation: Conversation = field(default_factory=Conversation)
    uploads: list[Upload] = field(default_factory=list)

    @staticmethod
    def current() -> Session:
        """This browser session's, made on the first visit."""
        session: Session = st.session_state.setdefault("session", Session())
        return session

    def new_conversation(self) -> None:
        """Put the conversation away and begin another."""
        self.conversation.stop()
        self.conversation = Conversation()

    def switch_language(self) -> None:
        """Go on in the next language."""
        known = codes()
        self.locale = Locale(known[(known.index(self.locale.code) + 1) % len(known)])

    def sign_in(self, key: str) -> None:
        """Take the key if the gateway does; raises GatewayError where it does not."""
        gateway = Gateway(os.environ.get("PRAXIS_GATEWAY_URL", GATEWAY_URL), key)
        try:
            self.models = gateway.models()
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
        """Forget the key and all that it showed."""
        self.conversation.stop()
        if self.gateway:
            self.gateway.close()
        st.session_state.clear()
        st.session_state["session"] = Session(self.locale, notice=notice)
