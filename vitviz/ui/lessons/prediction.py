"""From a token to a class, and what supports it."""

from __future__ import annotations

from functools import partial
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from vitviz.heatmap import Heatmap
from vitviz.inside.classifier import ClassScore, class_score, image_features, scaled_softmax
from vitviz.measures.curves import Curve, deletion
from vitviz.memo import Memo
from vitviz.methods.explain import explain
from vitviz.progress import part_of
from vitviz.recording.recording import Recording
from vitviz.ui.controls.question import method_title
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    OFFERED_CLASSES,
    calculation,
    captioned,
    choose_class,
    colours,
    in_rows,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.markdown import as_words
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.work import Work
from vitviz.ui.visit.works import on_request

LOOK = Look("inferno", 0.6, True)
COMPARED = ("attention", "relevance")
STEPS = 16  # of removing patches
WIDE = 64  # numbers in one row of a picture


def score(session: Session) -> None:
    """Features times the class's weights: the logit."""
    index = choose_class(session)
    found = _score(session, index)
    parts = (("features", found.features), ("weights", found.weights), ("products", found.products))
    for name, vector in parts:
        text = t(f"prediction.score.{name}", count=len(vector), first=f"{vector[0]:.4f}")
        picture = colours(in_rows(vector, WIDE), float(vector.abs().max()), 8)
        captioned(picture, text)
    calculation(
        "z_c",
        r"\textstyle\sum_m W_{c,m}\, f_m + b_c",
        f"{found.products.sum():.4f} {found.bias:+.4f} = {found.logit:.4f}",
    )


def softmax(session: Session) -> None:
    """The logits of the best classes, and their shares, when all are raised or scaled."""
    add, times = st.columns(2)
    added = add.slider(t("prediction.softmax.add"), -5.0, 5.0, 0.0, 0.5, key=keys.ADDED, bind=URL)
    scale = times.slider(
        t("prediction.softmax.scale"), 0.1, 2.0, 1.0, 0.1, key=keys.SCALE, bind=URL
    )
    logits = session.rec.logits.float() + added
    found = scaled_softmax(logits, scale)
    best = [p.index for p in session.rec.predictions[:5]]
    table = pd.DataFrame(
        {
            "class": [label(p.label) for p in session.rec.predictions[:5]],
            "logit": (scale * logits[best]).tolist(),
            "share": (100 * found.probabilities[best]).tolist(),
            "way": [_way(float(slope)) for slope in found.slopes[best]],
        }
    )
    number = st.column_config.NumberColumn(t("prediction.softmax.logit"), format="%.3f")
    share = st.column_config.ProgressColumn(
        t("prediction.softmax.share"), min_value=0, max_value=100, format="%.2f%%"
    )
    config: dict[str, Any] = {name: t(f"prediction.softmax.{name}") for name in ("class", "way")}
    config |= {"logit": number, "share": share}
    st.dataframe(table, hide_index=True, column_config=config)
    first, total = scale * logits[best[0]], (scale * logits).logsumexp(dim=0)
    st.latex(
        rf"\frac{{e^{{{first:.3f}}}}}{{e^{{{total:.3f}}}}} = {found.probabilities[best[0]]:.4f}"
    )
    st.caption(t("prediction.softmax.caption", count=len(logits), mean=f"{scale * found.mean:.3f}"))


def _way(slope: float) -> str:
    """Whether a class becomes more or less probable when the logits are scaled up."""
    return t("prediction.softmax.rises" if slope > 0 else "prediction.softmax.falls")


def support(session: Session) -> None:
    """Relevance for the first and the second class."""
    best = session.rec.predictions[:2]
    shown = [(str(p.index), _relevance(session, p.index), label(p.label)) for p in best]
    _maps(session, shown, "support")


def two_maps(session: Session) -> None:
    """Attention and relevance for the chosen class."""
    index = choose_class(session)
    [name] = [p.label for p in session.rec.predictions if p.index == index]
    maps = {
        "attention": explain(session.rec, "attention"),
        "relevance": _relevance(session, index),
    }
    shown = [(method, heat, method_title(method)) for method, heat in maps.items()]
    _maps(session, shown, "beside")
    st.caption(t("prediction.beside.caption", label=as_words(label(name))))


def judge(session: Session) -> None:
    """Remove patches in the order of either map, and watch the class's probability."""
    index = choose_class(session)
    rec, name = session.rec, f"judged {index}"
    curves: list[Curve] | None = session.results.last(name)
    if curves is None:
        curves = on_request(
            name,
            session.results,
            t("prediction.judge.measure"),
            ":material/science:",
            t("prediction.judge.measuring"),
            partial(_judged, rec, index, session.results, name),
        )
        if curves is None:
            return
        st.rerun()  # without the button
    found = {method_title(method): curve for method, curve in zip(COMPARED, curves, strict=True)}
    _curves(found)
    for column, (title, curve) in zip(st.columns(2), found.items(), strict=True):
        column.metric(t("prediction.judge.area", method=title), f"{curve.area:.3f}")
    lower = min(found, key=lambda title: found[title].area)
    st.markdown(t("prediction.judge.verdict", method=lower))


def _judged(
    rec: Recording, index: int, results: Memo, name: str, work: Work[list[Curve]]
) -> list[Curve]:
    """A curve for each of the compared maps, kept under a name."""
    maps = [explain(rec, "attention"), explain(rec, "relevance", target=index)]
    curves = []
    for done, heat in enumerate(maps):
        progress = part_of(work.progress, done, 1, len(maps))
        curves.append(deletion(rec, heat, index, steps=STEPS, progress=progress))
    return results.keep(None, curves, name)


def task(session: Session) -> None:
    """The same judgement for a class of one's own choice."""
    judge(session)


def _score(session: Session, index: int) -> ClassScore:
    rec = session.rec
    features = run_once(session.own, "features", None, lambda: image_features(rec))
    return class_score(rec, features, index)


def _relevance(session: Session, index: int) -> Heatmap:
    return run_once(
        session.results,
        "relevance",
        index,
        lambda: explain(session.rec, "relevance", target=index),
        most=OFFERED_CLASSES,
    )


def _maps(session: Session, shown: list[tuple[str, Heatmap, str]], name: str) -> None:
    panels = [Panel(key, title, title, heat, False) for key, heat, title in shown]
    map_sheet(
        session,
        panels,
        LOOK,
        columns=len(panels),
        scale=None,
        alt=t(f"prediction.{name}.title"),
        key=keys.LESSON_MAPS.format(name),
        on_open=lambda: None,
    )


def _curves(found: dict[str, Curve]) -> None:
    table = pd.DataFrame(
        {"method": title, "share": share, "probability": probability}
        for title, curve in found.items()
        for share, probability in zip(curve.shares, curve.values, strict=True)
    )
    lines = alt.Chart(table).mark_line(point=True)
    percent = alt.Axis(format="%")
    draw_chart(
        lines.encode(
            x=alt.X("share", title=t("prediction.judge.removed"), axis=percent),
            y=alt.Y("probability", title=t("compare.probability"), axis=percent),
            **lines_by("method", title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("method", title=t("compare.method")),
                alt.Tooltip("share", title=t("prediction.judge.removed"), format=".0%"),
                alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
            ],
        ),
        height=230,
    )


LESSON = Lesson(
    "prediction",
    (
        Step("score", score, formula=r"z_c = W_c \cdot f + b_c"),
        Step("softmax", softmax, guess=True, formula=r"p_c = \frac{e^{z_c}}{\sum_j e^{z_j}}"),
        Step("support", support),
        Step("beside", two_maps),
        Step("judge", judge, guess=True),
    ),
    task,
    {
        "Jain & Wallace 2019: Attention is not explanation": "https://arxiv.org/abs/1902.10186",
        "Chefer et al. 2021: Generic attention-model explainability": "https://arxiv.org/abs/2103.15679",
        "Petsiuk et al. 2018: RISE, deletion and insertion": "https://arxiv.org/abs/1806.07421",
    },
)
