"""The bar on top: who answers in each column, and the drawer that says how models are asked."""

from __future__ import annotations

from typing import TypeVar

import streamlit as st

from ui.client import GatewayError, Model, Store
from ui.conversation import MY_DOCUMENTS, Choice, Side
from ui.session import Session
from ui.settings import DEFAULT, SYSTEM, Settings
from ui.wording import sentence

MOST_TOKENS = 131_072
N = TypeVar("N", int, float)
THINKING: tuple[bool | None, ...] = (None, True, False)


def choose(session: Session) -> dict[Side, Choice]:
    """Who answers, from left to right."""
    chat = [model for model in session.models if model.chats]
    assistants = [model for model in chat if model.answers_from_documents]
    models = [model for model in chat if not model.answers_from_documents]
    with st.container(key="choices"):
        left, right, *further = st.columns(3 if session.third else 2, gap="medium")
        with right:
            raw = _choose_model(session, models)
        with left:
            chosen = {Side.GROUNDED: _choose_grounding(session, assistants, raw), Side.RAW: raw}
        for column in further:
            with column:
                chosen[Side.OTHER] = _choose_other(session, models, assistants)
    return chosen


def third(session: Session, *, disabled: bool = False) -> None:
    """The switch for a third column."""
    t, key = session.locale.t, f"third-{session.locale.code}"

    def switch() -> None:
        session.third = st.session_state[key]

    # The columns stand above and are drawn before this: what is switched holds from the next run's beginning.
    st.toggle(
        t("ask.third"),
        session.third,
        key=key,
        help=t("ask.third_help"),
        on_change=switch,
        disabled=disabled,
    )


def drawer(session: Session, *, disabled: bool = False) -> None:
    """The button that opens the model settings; it tells how many are set."""
    t = session.locale.t
    count = len(session.settings.kept())
    label = t("settings.title_set", count=count) if count else t("settings.title")
    if st.button(label, icon=":material/tune:", type="tertiary", key="settings", disabled=disabled):
        st.dialog(t("settings.title"), position="right")(_settings)(session)


def _settings(session: Session) -> None:
    t, now = session.locale.t, session.settings
    server = t("settings.server")

    def number(name: str, low: N, high: N, value: N | None, step: N) -> N | None:
        entered: N | None = st.number_input(
            t(f"settings.{name}"),
            low,
            high,
            value,
            step,
            "%.2f" if isinstance(step, float) else None,
            help=t(f"settings.{name}_help"),
            placeholder=server,
        )
        return entered

    st.caption(t("settings.explained"))
    # The browser's hint about the Enter key would be in English.
    with st.form("settings-form", border=False, enter_to_submit=False):
        temperature = number("temperature", 0.0, 2.0, now.temperature, 0.1)
        top_p = number("top_p", 0.01, 1.0, now.top_p, 0.05)
        max_tokens = number("max_tokens", 1, MOST_TOKENS, now.max_tokens, 64)
        thinking = st.segmented_control(
            t("settings.thinking"),
            range(len(THINKING)),
            default=THINKING.index(now.thinking),
            required=True,
            format_func=lambda place: server if not place else t(f"settings.thinking_{place}"),
            help=t("settings.thinking_help"),
        )
        system = st.text_area(
            t("settings.system"),
            now.system,
            height=180,
            max_chars=SYSTEM,
            help=t("settings.system_help"),
            placeholder=t("settings.system_hint"),
        )
        with st.container(horizontal=True):
            save = st.form_submit_button(t("settings.save"), type="primary")
            clear = st.form_submit_button(t("settings.clear"), type="tertiary")
    if clear:
        session.settings = DEFAULT
    elif save:
        session.settings = Settings(temperature, top_p, max_tokens, THINKING[thinking or 0], system.strip())
    if clear or save:
        st.rerun()


def _choose_model(session: Session, models: list[Model]) -> Choice:
    t = session.locale.t
    chosen = _select(session, Side.RAW, _names(models), session.model, placeholder=t("ask.no_models"))
    if chosen is None:
        return Choice(t("ask.no_models"), obstacle="no_model")
    session.model = chosen
    return Choice(chosen, images=_images(models, chosen))


def _choose_other(session: Session, models: list[Model], assistants: list[Model]) -> Choice:
    """Any model of the key: a fine-tune first, and not the one that stands beside, where there is another."""
    t = session.locale.t
    tuned = [model for model in models if model.parent]
    spare = [model for model in [*tuned, *models] if model.id != session.model]
    proposed = session.other or (spare[0].id if spare else "")
    names = _names([*models, *assistants])
    chosen = _select(session, Side.OTHER, names, proposed, placeholder=t("ask.no_models"))
    if chosen is None:
        return Choice(t("ask.no_models"), obstacle="no_model")
    session.other = chosen
    return Choice(
        chosen,
        assistant=any(model.id == chosen for model in assistants),
        images=_images([*models, *assistants], chosen),
    )


def _choose_grounding(session: Session, assistants: list[Model], raw: Choice) -> Choice:
    names = {assistant.id: assistant.id for assistant in assistants}
    names[MY_DOCUMENTS] = session.locale.t("ask.my_documents")
    chosen = _select(session, Side.GROUNDED, names, session.assistant) or MY_DOCUMENTS
    session.assistant = chosen
    if chosen == MY_DOCUMENTS:
        return _choose_stores(session, raw)
    return Choice(chosen, images=_images(assistants, chosen))


def _images(models: list[Model], chosen: str) -> int:
    """How many pictures a request to the model may hold."""
    return next((model.images for model in models if model.id == chosen), 0)


def _names(models: list[Model]) -> dict[str, str]:
    return {model.id: f"{model.id} · {model.parent}" if model.parent else model.id for model in models}


def _select(
    session: Session, side: Side, names: dict[str, str], chosen: str, placeholder: str | None = None
) -> str | None:
    """One of `names`' keys. The browser knows an option by its name only, so each language has its own widget."""
    t = session.locale.t
    options = list(names)
    selected: str | None = st.selectbox(
        t(f"ask.{side}"),
        options,
        index=options.index(chosen) if chosen in options else 0,
        format_func=lambda option: names.get(option, option),
        key=f"{side}-{session.locale.code}",
        help=t(f"ask.{side}_help"),
        placeholder=placeholder,
    )
    return selected


def _choose_stores(session: Session, raw: Choice) -> Choice:
    """The raw side's model, told which of the key's own knowledge bases to search."""
    t = session.locale.t
    stores, failure = _stores(session)
    names = {store.id: store.name for store in stores if store.completed}
    chosen: list[str] = st.multiselect(
        t("ask.stores"),
        list(names),
        default=list(names),
        format_func=lambda store: names.get(store, store),
        placeholder=t("ask.stores_hint"),
        label_visibility="collapsed",
    )
    obstacle = raw.obstacle or (failure.kind if failure else None if chosen else "no_documents")
    return Choice(raw.model, tuple(chosen), obstacle, own_documents=True, images=raw.images)


def _stores(session: Session) -> tuple[list[Store], GatewayError | None]:
    """The key's knowledge bases; where they cannot be read the page says so, and the raw side still works."""
    if session.gateway is None or session.failure:
        return [], session.failure
    try:
        return session.gateway.stores(), None
    except GatewayError as error:
        if error.status == 401:
            raise
        st.error(sentence(error, session.locale))
        return [], error
