"""Keeps a conversation at the gateway while it grows."""

from __future__ import annotations

from ui.client import Json
from ui.conversation import Conversation, Side, Turn
from ui.history import History
from ui.messages import answer_of, question_of
from ui.reply import Reply
from ui.saving import Saving


class Keeper(Saving):
    """Saves `conversation`, and sets its id and those of its turns when the gateway has given them."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__()
        self.conversation = conversation
        self._saved: dict[str, Json] = {}  # by item: the last that the gateway took

    @property
    def running(self) -> bool:
        return self.conversation.running

    def save(self, history: History) -> None:
        conversation = self.conversation
        if not conversation.turns:
            return
        if conversation.id is None:
            conversation.id = history.begin(conversation.turns[0].question)
        for turn in [turn for turn in conversation.turns if not turn.recalled]:
            if not turn.item:
                (turn.item,) = history.add(conversation.id, [question_of(turn)])
            for side, reply in turn.replies.items():
                self._save_answer(history, conversation.id, turn, side, reply)

    def _save_answer(self, history: History, conversation: str, turn: Turn, side: Side, reply: Reply) -> None:
        item = turn.answers.get(side)
        message = answer_of(turn, side, reply)
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
