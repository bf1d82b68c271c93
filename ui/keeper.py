"""Keeps a conversation at the gateway while it grows.

Saving has a thread of its own: an answer that streams never waits for it, a page that is closed loses nothing, and
what could not be saved is tried again until it is.
"""

from __future__ import annotations

from contextlib import closing
from threading import Event, Lock, Thread

from ui.client import Gateway, GatewayError, Json
from ui.conversation import Conversation, Side, Turn
from ui.history import History
from ui.messages import answer_of, question_of

EVERY = 1.0  # seconds between two looks at answers that grow
AGAIN = 3.0  # seconds until what failed is tried again


class Keeper:
    """Saves `conversation`, and sets its id and those of its turns when the gateway has given them."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.failure: GatewayError | None = None  # why the latest attempt to save was in vain
        self._saved: dict[str, Json] = {}  # by item: the last that the gateway took
        self._lock = Lock()
        self._working = False
        self._last_try = False
        self._wake = Event()
        self._known = Event()

    def keep(self, gateway: Gateway, within: float) -> None:
        """Save what there is and what comes; waits up to `within` seconds for all of it to have its ids."""
        self._known.clear()
        self._wake.set()
        with self._lock:
            begin, self._working = not self._working, True
        if begin:
            # The session may close its client at any moment.
            own = Gateway(gateway.url, gateway.key)
            Thread(target=self._work, args=(own,), daemon=True).start()
        self._known.wait(within)

    def end(self) -> None:
        """Save once more, and try no longer if that fails."""
        self._last_try = True
        self._wake.set()

    def _work(self, gateway: Gateway) -> None:
        history = History(gateway)
        with closing(gateway):
            while True:
                self._wake.clear()
                running = self.conversation.running
                try:
                    self._save(history)
                    self.failure = None
                except GatewayError as error:
                    self.failure = error
                self._known.set()
                if self._over(running):
                    return
                self._wake.wait(AGAIN if self.failure else EVERY)

    def _over(self, running: bool) -> bool:
        """Whether nothing is left to do; whoever has more to keep begins a new thread."""
        with self._lock:
            over = self._hopeless() or not (running or self.failure or self._wake.is_set())
            self._working = not over
            return over

    def _hopeless(self) -> bool:
        """Whether trying again cannot help: a conversation that was deleted, say, must not come back."""
        if self.failure is None:
            return False
        refused = self.failure.status is not None and 400 <= self.failure.status < 500
        return self._last_try or (refused and self.failure.status != 429)

    def _save(self, history: History) -> None:
        conversation = self.conversation
        if not conversation.turns:
            return
        if conversation.id is None:
            conversation.id = history.begin(conversation.turns[0].question)
        for turn in [turn for turn in conversation.turns if not turn.recalled]:
            if not turn.item:
                (turn.item,) = history.add(conversation.id, [question_of(turn)])
            for side in turn.replies:
                self._save_answer(history, conversation.id, turn, side)

    def _save_answer(self, history: History, conversation: str, turn: Turn, side: Side) -> None:
        item = turn.answers.get(side)
        message = answer_of(turn, side)
        if not item:
            (item,) = history.add(conversation, [message])
            turn.answers[side] = item
        elif _said(self._saved.get(item)) == _said(message):
            return
        else:
            history.replace(conversation, item, message)
        self._saved[item] = message


def _said(message: Json | None) -> Json | None:
    """The message without its clock, which alone is no reason to save it again."""
    if message is None or message["status"] != "in_progress":
        return message
    return {name: value for name, value in message.items() if name != "figures"}
