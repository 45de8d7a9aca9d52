"""Choosing a model: from this machine, from those worth a look, or from all of timm."""

from __future__ import annotations

import re
import threading

import streamlit as st

from vitviz.errors import ModelError, ModelUnavailable, VitvizError
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import ENGLISH, entry, explained, language, language_switch, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.shelf import check_allowed
from vitviz.ui.visit.state import visit
from vitviz.zoo.catalogue import BUNDLED, Offer, broken_models, count, offer, offers, search
from vitviz.zoo.load import fetch
from vitviz.zoo.settings import allow_downloads

MODEL, ICON = "model", ":material/deployed_code:"
MOST_FOUND = 20
BYTES = 4  # of a parameter, as timm's weights are stored


def page_head(title: str) -> Offer:
    """The title with the chosen model beside it. The address says which model it is; nothing in it
    is taken for a path, and a name that is not known is answered with the bundled model."""
    language_switch()
    chosen, wrong = st.query_params.get(MODEL, BUNDLED), None
    try:
        found = offer(chosen)
    except ModelError as error:
        found, wrong = offer(BUNDLED), error
    visit().model = found.name
    with st.container(horizontal=True, vertical_alignment="center", key="page_head"):
        st.title(title, anchor=False, width="content")
        label = t("models.model", name=as_code(found.name))
        if st.button(f"{label} :material/keyboard_arrow_down:", icon=ICON, key=keys.MODEL_MENU):
            _choose(found.name)
    if wrong:
        st.warning(explained(wrong), icon=":material/link_off:")
    return found


def pick(name: str) -> None:
    """Put the model into the address, which leaves the bundled one out."""
    if name == BUNDLED:
        st.query_params.pop(MODEL, None)
    else:
        st.query_params[MODEL] = name


def _choose(current: str) -> None:
    @st.dialog(t("models.heading"), width="medium", icon=ICON)
    def dialog() -> None:
        model_list(current)

    dialog()


def model_list(current: str) -> None:
    """The models on this machine and the curated ones, or what a search in timm finds."""
    text = st.text_input(
        t("models.search"),
        key=keys.MODEL_SEARCH,
        placeholder="dinov2 small",
        icon=":material/search:",
    )
    if not text.strip():
        st.caption(t("models.about"))
        found = offers()
        for name, fault in broken_models().items():
            st.caption(t("models.broken", name=as_code(name), reason=explained(fault)))
    else:
        names = search(text)
        found = [offer(name) for name in names[:MOST_FOUND]]
        if not names:
            st.info(t("models.none"), icon=":material/search_off:")
        elif len(names) > MOST_FOUND:
            st.caption(t("models.more", count=len(names) - MOST_FOUND))
    for number, model in enumerate(found):
        _row(model, number, model.name == current)


def _row(model: Offer, number: int, chosen: bool) -> None:
    """One model with what is known of it, and a button that chooses it."""
    with st.container(
        border=True,
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        key=f"model_row{number}",
    ):
        st.markdown(described(model))
        if st.button(
            t("models.chosen" if chosen else "models.choose"),
            key=keys.MODEL_CHOICE.format(model.name),
            disabled=chosen,
            on_click=pick,
            args=(model.name,),
        ):
            st.rerun()  # the whole page, which closes the dialog


def described(model: Offer) -> str:
    """Name, what is interesting about its attention, size, licence, and where its weights are."""
    note = t("models.bundled") if model.name == BUNDLED else _note(model)
    facts = [licence(model)]
    if model.parameters:
        facts.insert(0, t("models.parameters", millions=f"{model.parameters / 1e6:.0f}"))
    if model.here:
        facts.insert(0, f":green-badge[:material/check: {t('models.here')}]")
    return "  \n".join(filter(None, (as_code(model.name), note, f":small[{' · '.join(facts)}]")))


def _note(model: Offer) -> str:
    if language() == ENGLISH or not model.note:
        return model.note
    return str(entry("library.models")[model.name])


def licence(model: Offer) -> str:
    """Of the weights, marked where it does not allow every use."""
    # No Markdown, and no code either, whose brackets would end the badge; dots within numbers only.
    name = re.sub(r"(?:[^\w.-]|_|(?<!\d)\.|\.(?!\d))+", " ", model.licence or "unknown")
    if name == "unknown":
        return f":orange-badge[{t('models.no_licence')}]"
    if model.free:
        return t("models.licence", name=name)
    kind = "models.non_commercial" if model.non_commercial else "models.own_terms"
    return f":orange-badge[{t(kind, name=name)}]"


def is_here(model: Offer) -> bool:
    """Whether the weights are on this machine. If not, says what they are and under which licence,
    and offers to fetch them where the server's owner lets visitors do so."""
    if model.here:
        return True
    with st.container(border=True, key="model_card"):
        st.markdown(described(model))
        try:
            check_allowed(model)
            if not allow_downloads():
                raise ModelUnavailable(
                    "weights_not_on_server",
                    "The weights of {model} are not on this server, and visitors may not fetch "
                    "any; its owner can: python -m vitviz fetch {model}",
                    model=model.name,
                )
            _offer_to_fetch(model)
        except VitvizError as error:
            st.warning(explained(error), icon=":material/cloud_off:")
        st.button(t("models.back"), icon=":material/undo:", on_click=pick, args=(BUNDLED,))
    return False


def _offer_to_fetch(model: Offer) -> None:
    """A button that fetches the weights, then a bar and a button that stops it."""
    megabytes = round((model.parameters or count(model.name)) * BYTES / 1e6)
    failed, visit().fetch_failed = visit().fetch_failed, None
    if failed:
        st.error(explained(failed), icon=":material/cloud_off:")
    place = st.empty()
    with place.container():
        st.markdown(t("models.away", megabytes=megabytes))
        wanted = st.button(t("models.fetch"), icon=":material/download:", type="primary")
    if not wanted:
        return
    with place.container(horizontal=True, vertical_alignment="center"):
        st.button(t("models.stop"), icon=":material/close:")
        bar = st.progress(0.0, t("models.fetching"))
    lock = one_at_a_time()
    while not lock.acquire(timeout=0.2):
        bar.progress(0.0, t("models.waiting"))
    try:
        fetch(model.name, lambda share: bar.progress(share, t("models.fetching")))
    except VitvizError as error:
        visit().fetch_failed = error
    finally:
        lock.release()
    st.rerun()


@st.cache_resource
def one_at_a_time() -> threading.Lock:
    """Held by whoever fetches weights: visitors cannot fill the disk side by side."""
    return threading.Lock()
