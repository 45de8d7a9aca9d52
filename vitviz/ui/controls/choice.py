"""A choice whose words are in the visitor's language and whose id is in the address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from vitviz.ui.visit.state import visit


def choice(
    widget: Callable[..., Any],
    label: str,
    options: Sequence[str],
    default: str | list[str] | None,
    key: str,
    say: Callable[[str], str],
    **details: Any,
) -> Any:
    """What is chosen. Streamlit's own binding would write the words, which are those of one
    language, into the address.

    Args:
        widget: st.selectbox, st.pills or st.segmented_control, or a column's.
        options: ids.
        default: an id, or a list of them where several may be chosen; the address leaves it out.
        say: the words for an id.
        details: passed on to the widget.
    """
    named, written = st.query_params.get(key), visit().written
    held = st.session_state.get(key, default)
    if key not in st.session_state or named != written.get(key):  # opened by a link, or went back
        held = default if named is None else _read(named, isinstance(default, list))
    chosen_now = held if isinstance(held, list) else [held]
    known = held is None or all(option in options for option in chosen_now)
    st.session_state[key] = held if known else default
    words = {option: say(option) for option in options}  # of this run's language, also after it
    chosen = widget(label, options, format_func=words.__getitem__, key=key, **details)
    text = written[key] = None if chosen == default else _write(chosen)
    if text is None:
        st.query_params.pop(key, None)
    elif text != named:
        st.query_params[key] = text
    return chosen


def _read(text: str, several: bool) -> str | list[str]:
    return [part for part in text.split(",") if part] if several else text


def _write(chosen: str | list[str] | None) -> str:
    return ",".join(chosen) if isinstance(chosen, list) else chosen or ""
