"""Which explanation to believe: methods side by side, measured on the photo at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd
import streamlit as st

from vitviz.comparison import STEPS, Measured, measure, ranked, supported
from vitviz.errors import MethodError, VitvizError
from vitviz.faithfulness import Change, masked_input
from vitviz.methods import METHODS
from vitviz.overlay import input_picture, shared_scale
from vitviz.ui.browser import URL
from vitviz.ui.map_sheet import Panel, map_sheet
from vitviz.ui.photo_picker import Photo, as_code, choose_photo, sample_photos
from vitviz.ui.session import Look, Session, analyse, many_turns
from vitviz.zoo import bundled_models

FIRST = ["attention", "rollout", "relevance", "gradcam"]
RANDOM = "random"
CHANGES: dict[str, Change] = {"Remove patches": "deletion", "Reveal patches": "insertion"}
LOOK = Look("inferno", 0.6, True)


@dataclass(frozen=True)
class Wish:
    """What is compared: methods, the class by its name, and a point of a kind of curve."""

    methods: list[str]
    label: str | None
    change: Change
    step: int


def page() -> None:
    """The chosen methods on one photo, or on two photos or models beside each other."""
    st.title("Which explanation should I believe?", anchor=False)
    photo = choose_photo()
    try:
        session = analyse(photo.data, bundled_models()[0])
        if not session.rec.predictions:
            raise MethodError("This model has no classifier, so there is no class to measure.")
        wish, beside = wishes(session, photo)
    except VitvizError as error:
        st.error(f"{as_code(photo.name)}: {error}", icon=":material/error:")
        return
    if beside is None:
        compare(session, photo.alt, wish, "alone")
        return
    left, right = st.columns(2, gap="large")
    with left:
        compare(session, photo.alt, wish, "left")
    with right:
        compare(*beside, wish, "right")


def wishes(session: Session, photo: Photo) -> tuple[Wish, tuple[Session, str] | None]:
    """The controls, which serve both sides where there are two."""
    methods = st.pills(
        "Methods",
        [method for method in METHODS if method != RANDOM],
        selection_mode="multi",
        default=FIRST,
        format_func=lambda key: METHODS[key].title,
        key="methods",
        bind=URL,
        help="Random order is always measured with them.",
    )
    labels = [p.label for p in session.rec.predictions]
    left, middle, right, last = st.columns([3, 3, 3, 3], vertical_alignment="bottom")
    hint = f"{labels[0]} (the top prediction)"
    label = left.selectbox("Class", labels, None, placeholder=hint, key="target", bind=URL)
    with middle:
        beside = side_by_side(photo)
    change = right.segmented_control(
        "Direction", list(CHANGES), default="Remove patches", required=True, key="change", bind=URL
    )
    step = last.select_slider(
        "Patches changed",
        range(STEPS + 1),
        STEPS // 4,
        format_func=lambda step: f"{step / STEPS:.0%}",
        key="step",
        bind=URL,
    )
    return Wish(methods, label, CHANGES[change], step), beside


def side_by_side(photo: Photo) -> tuple[Session, str] | None:
    """Another photo, or the same one in another model, and its description."""
    first, *models = bundled_models()
    offered = {title: (other, first) for title, other in sample_photos().values()}
    offered |= {model: (photo, model) for model in models}
    hint = "another photo or model" if models else "another photo"
    chosen = st.selectbox(
        "Beside it", list(offered), None, placeholder=hint, key="beside", bind=URL
    )
    if chosen is None:
        return None
    other, model = offered[chosen]
    return analyse(other.data, model, "session beside"), other.alt


def compare(session: Session, alt_text: str, wish: Wish, key: str) -> None:
    """Maps on one scale, what the measurements say, the curves and the changed photo."""
    found, target = measurements(session, wish)
    if len(found) < 2:
        st.info("Choose a method.", icon=":material/touch_app:")
        return
    order = ranked(found)
    chosen = pick_panel(session, order, alt_text, key)
    label = session.rec.vit.labels[target]
    st.markdown(verdict(order, label))
    alone = key == "alone"
    left, right = st.columns([3, 2], gap="large") if alone else (st.container(), st.container())
    with left:
        st.altair_chart(chart(order, wish), width="stretch", alt=f"Curves of {label}.")
        scores(order)
    with right:
        changed_photo(session, chosen, wish, label)


def measurements(session: Session, wish: Wish) -> tuple[list[Measured], int]:
    """Every wanted method and random order, measured once for a class, and the class."""
    rec, kept = session.rec, session.kept
    index = {p.label: p.index for p in rec.predictions}
    target = index.get(wish.label or "", rec.predictions[0].index)
    found = []
    for method in [*wish.methods, RANDOM] if wish.methods else []:
        asked = (method, target)
        if asked not in kept:
            title = "random order" if method == RANDOM else METHODS[method].title
            try:
                with many_turns(f"Measuring {title} …") as progress:
                    kept[asked] = measure(rec, method, target, progress=progress)
            except VitvizError as error:
                st.warning(str(error), icon=":material/block:")
                continue
        found.append(kept[asked])
    return found, target


def pick_panel(session: Session, order: list[Measured], alt_text: str, key: str) -> Measured:
    """The maps in the order of their rank, in shares of their sum; a click chooses one."""
    maps = {m.method: m.heat.shares for m in order}
    held = st.session_state.get(f"chosen_{key}")
    chosen = next((m for m in order if m.method == held), order[0])
    panels = [
        Panel(
            m.method,
            f"{rank} · {METHODS[m.method].title}",
            f"Rank {rank}: {METHODS[m.method].title}. {alt_text}",
            maps[m.method],
            m is chosen,
        )
        for rank, m in enumerate(order, start=1)
    ]

    def choose() -> None:
        st.session_state[f"chosen_{key}"] = st.session_state[f"maps_{key}"].open

    map_sheet(
        session,
        panels,
        LOOK,
        columns=0,
        scale=shared_scale(maps.values()),
        alt="The maps of the methods, the best first.",
        key=f"maps_{key}",
        on_open=choose,
    )
    return chosen


def verdict(order: list[Measured], label: str) -> str:
    """Which method the model's behaviour supports here, in a sentence."""
    baseline = next(m for m in order if m.method == RANDOM)
    best = next(m for m in order if m.method != RANDOM)
    areas = (
        f"removing patches in its order leaves an area of {best.deletion.area:.2f} under the curve "
        f"({baseline.deletion.area:.2f} in random order), revealing them gives "
        f"{best.insertion.area:.2f} ({baseline.insertion.area:.2f})"
    )
    gain = best.score - baseline.score
    if supported(best, baseline):
        return (
            f"**{METHODS[best.method].title}** is what this model’s behaviour supports most here, "
            f"for {as_code(label)}: {areas}. Together that is {gain:.2f} better than random order."
        )
    return (
        f"**None of these maps** is clearly better than random order here, for {as_code(label)}. "
        f"The best, {METHODS[best.method].title}, differs by {gain:+.2f}, and random orders differ "
        f"among themselves by ±{baseline.deviation:.2f}: {areas}."
    )


def chart(order: Sequence[Measured], wish: Wish) -> alt.LayerChart:
    """The curves over each other; hovering names the values."""
    curves = [(m, m.deletion if wish.change == "deletion" else m.insertion) for m in order]
    points = pd.DataFrame(
        {
            "Method": METHODS[m.method].title,
            "Patches changed": share,
            "Probability": probability,
            "order": "random" if m.method == RANDOM else "method",
        }
        for m, curve in curves
        for share, probability in zip(curve.shares, curve.probabilities, strict=True)
    )
    axis = alt.Axis(format="%")
    # A method has one colour, whatever it is compared with and on whichever photo.
    colours = alt.Scale(domain=[method.title for method in METHODS.values()])
    shown_here = [METHODS[m.method].title for m in order]
    legend = alt.Legend(orient="bottom", columns=3, title=None, symbolOpacity=1, values=shown_here)
    base = alt.Chart(points).encode(
        x=alt.X("Patches changed", axis=axis),
        y=alt.Y("Probability", axis=axis, scale=alt.Scale(domainMin=0)),
        color=alt.Color("Method", scale=colours, legend=legend),
    )
    dashes = alt.Scale(domain=["method", "random"], range=[[1, 0], [4, 4]])
    lines = base.mark_line().encode(strokeDash=alt.StrokeDash("order", scale=dashes, legend=None))
    shown = alt.Tooltip("Probability", format=".1%"), alt.Tooltip("Patches changed", format=".0%")
    dots = base.mark_point(filled=True, size=120, opacity=0.02).encode(tooltip=["Method", *shown])
    here = alt.Chart(pd.DataFrame({"Patches changed": [wish.step / STEPS]}))
    return lines + dots + here.mark_rule(opacity=0.5).encode(x="Patches changed")


def scores(order: Sequence[Measured]) -> None:
    """Ranks and areas as a table that sorts."""
    baseline = next(m for m in order if m.method == RANDOM)
    table = pd.DataFrame(
        {
            "Rank": rank,
            "Method": METHODS[m.method].title,
            "Deletion ↓": m.deletion.area,
            "Insertion ↑": m.insertion.area,
            "Both ↑": m.score,
            "Over random": m.score - baseline.score,
        }
        for rank, m in enumerate(order, start=1)
    )
    number = st.column_config.NumberColumn(format="%.3f")
    numbers = [column for column in table.columns if column not in ("Rank", "Method")]
    st.dataframe(
        table,
        hide_index=True,
        column_config=dict.fromkeys(numbers, number),
        alt="Areas under the curves of each method.",
    )
    st.caption(
        "Areas under the class’s probability while patches are removed (deletion, low is good) or "
        "revealed (insertion, high is good), the most relevant first; both is their difference."
    )


def changed_photo(session: Session, chosen: Measured, wish: Wish, label: str) -> None:
    """What the model is given at this point of the curve."""
    curve = chosen.deletion if wish.change == "deletion" else chosen.insertion
    share = wish.step / STEPS
    pixels = masked_input(session.rec, chosen.heat, share, wish.change)
    point = int(abs(curve.shares - share).argmin())
    done = "removed" if wish.change == "deletion" else "revealed"
    text = (
        f"{share:.0%} of the patches {done}, the most relevant by {METHODS[chosen.method].title} "
        f"first: {as_code(label)} {curve.probabilities[point]:.1%}"
    )
    if chosen.method == RANDOM:
        text += " in the mean of several random orders, of which this is the first"
    st.image(input_picture(session.rec.vit, pixels), width="stretch", alt=text.replace("`", ""))
    st.caption(text)
