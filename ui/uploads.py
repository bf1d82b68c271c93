"""Files on their way into a knowledge base."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from praxis.i18n import Locale
from ui.client import Gateway, GatewayError, Json
from ui.library import Document, Library, Progress
from ui.wording import quoted, sentence


class Step(StrEnum):
    """Where a file is. The last two are final."""

    WAITING = "waiting"
    SENDING = "sending"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Upload:
    """One file for the knowledge base `store`, there to take the place of the file `replaces`, if any, and read in
    `encoding` where one is named; its content is held only until it is sent."""

    store: str
    filename: str
    content: bytes
    replaces: str = ""
    encoding: str = ""
    step: Step = Step.WAITING
    file: str = ""
    failure: GatewayError | str = ""
    progress: Progress = field(default_factory=Progress)

    @property
    def running(self) -> bool:
        return self.step not in (Step.DONE, Step.FAILED)

    def reason(self, locale: Locale) -> str:
        """Why it failed: the server's reason for this file, or what kept the file from being sent."""
        return (
            sentence(self.failure, locale) if isinstance(self.failure, GatewayError) else quoted(self.failure)
        )

    def advance(self, gateway: Gateway) -> None:
        """Do the next thing: announce the sending, send, or ask whether it is ready."""
        try:
            match self.step:
                case Step.WAITING:
                    self.step = Step.SENDING
                case Step.SENDING:
                    self.file = gateway.upload(self.filename, self.content)
                    self.content = b""
                    attributes: Json = {"encoding": self.encoding} if self.encoding else {}
                    self._take(Library(gateway).attach(self.store, self.file, self.replaces, attributes))
                case Step.PROCESSING:
                    self._take(Library(gateway).document(self.store, self.file))
        except GatewayError as error:
            self._fail(error)

    def _take(self, document: Document) -> None:
        self.progress = document.progress
        match document.status:
            case "completed":
                self.step = Step.DONE
            case "in_progress":
                self.step = Step.PROCESSING
            case status:
                self._fail(document.error or status)

    def _fail(self, failure: GatewayError | str) -> None:
        self.step, self.failure, self.content = Step.FAILED, failure, b""
