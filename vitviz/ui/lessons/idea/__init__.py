"""What attention is, where it came from, and the way through a Vision Transformer."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import streamlit as st
import torch.nn.functional as F
from PIL import Image

from vitviz.inside.architecture import shapes
from vitviz.inside.attention_steps import collected, entropy
from vitviz.inside.tokens import patch_pixels
from vitviz.pictures.input import input_picture
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    attention_heat,
    chosen_patch,
    followed,
    followed_steps,
    pick_patch,
)
from vitviz.ui.lessons.idea.alignment import READ, WEIGHTS, WRITTEN, alignment
from vitviz.ui.parts.course_map import course_map
from vitviz.ui.parts.drawing import draw
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import entry, t
from vitviz.ui.visit.order import NUMBERS
from vitviz.ui.visit.session import Session

SIDE = 260  # px of a patch by itself
LETTER = re.compile("`(.+?)`")  # in the table of letters, as the documentation writes it
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
USES = ("translation", "language", "photos", "clip", "detection", "segmentation", "generation")
PARTS = {  # of the table: the lesson of each, and whose shape it shows
    "patches": ("tokens", "patches"),
    "embedding": ("tokens", "embedded"),
    "positions": ("positions", "placed"),
    "queries": ("attention", "queries"),
    "weights": ("matrix", "weights"),
    "joined": ("manyheads", "joined"),
    "mlp": ("layers", "joined"),
    "classifier": ("prediction", "logits"),
}


def question(session: Session) -> None:
    """The chosen patch by itself, and in its photo."""
    alone, photo = st.columns([2, 3])
    with photo:
        patch = pick_patch(session)
    pixels = patch_pixels(session.rec, patch)
    picture = input_picture(session.rec.vit, pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    text = t("idea.question.alone", row=patch[0], col=patch[1])
    alone.image(picture, caption=text, alt=text)


def mean(session: Session) -> None:
    """One patch's attention in a typical head, against plain averaging over all tokens."""
    steps, (layer, head) = followed_steps(session), followed(session)
    rec, patch = session.rec, chosen_patch(session)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, steps.weights))
    count = len(steps.weights)
    found = collected(rec, layer, head)[rec.num_prefix_tokens :]
    own = patch[0] * rec.grid[1] + patch[1]
    others = F.cosine_similarity(found, found[own], dim=-1).sum() - 1
    rows = {
        "largest": (f"{1 / count:.1%}", f"{steps.weights.max():.1%}"),
        "looked_at": (f"{count}", f"{math.exp(entropy(steps.weights)):.0f}"),
        "alike": ("1.00", f"{others / (len(found) - 1):.2f}"),
    }
    names = [t("idea.mean.plain"), t("idea.mean.attention")]
    index = [t(f"idea.mean.{name}") for name in rows]
    numbers.table(pd.DataFrame(rows.values(), index=index, columns=names))
    numbers.caption(t("idea.mean.caption", layer=layer, head=head))


def before(session: Session) -> None:
    """A decoder that looks at what the encoder read, drawn by hand."""
    del session
    number = st.segmented_control(
        t("idea.before.word"),
        range(len(WRITTEN)),
        default=1,
        required=True,
        format_func=WRITTEN.__getitem__,
        key=keys.WRITTEN_WORD,
    )
    squeezed = st.toggle(t("idea.before.squeezed"), key=keys.SQUEEZED)
    best = READ[int(np.argmax(WEIGHTS[number]))]
    alt = t("idea.before.alt", word=WRITTEN[number], best=best)
    draw(alignment(number, squeezed=squeezed, alt=alt), keys.ALIGNMENT)
    st.caption(t("idea.before.one_vector" if squeezed else "idea.before.drawn"))


def kinds(session: Session) -> None:
    """Self-attention beside cross-attention."""
    here = f"{session.rec.num_tokens}{TIMES}{session.rec.num_tokens}"
    drawn = f"{len(WRITTEN)}{TIMES}{len(READ)}"
    rows = {
        t(f"idea.kinds.{row}"): [
            t(f"idea.kinds.{row}_{kind}", here=here, drawn=drawn) for kind in ("self", "cross")
        ]
        for row in ("asks", "asked", "weights", "where")
    }
    names = [t("idea.kinds.self"), t("idea.kinds.cross")]
    st.table(pd.DataFrame(rows.values(), index=list(rows), columns=names))


def uses(session: Session) -> None:
    """Where attention is used, with sources."""
    del session
    columns = ("tokens", "kind", "source")
    table = {
        t(f"idea.uses.{use}.what"): [t(f"idea.uses.{use}.{column}") for column in columns]
        for use in USES
    }
    names = [t(f"idea.uses.{column}") for column in columns]
    st.table(pd.DataFrame(table.values(), index=list(table), columns=names))


def the_map(session: Session) -> None:
    """The model as a drawing that leads to the lessons."""
    del session
    course_map("idea", "step")


def architecture(session: Session) -> None:
    """The model as a table."""
    found = vars(shapes(session.rec))
    rows = [
        (
            t(f"idea.architecture.{part}"),
            t(f"idea.architecture.{part}_does", hidden=found["hidden"][-1]),
            TIMES.join(map(str, found[shape])),
            str(NUMBERS[lesson]),
        )
        for part, (lesson, shape) in PARTS.items()
        if lesson in NUMBERS
    ]
    names = [t(f"idea.architecture.{name}") for name in ("part", "does", "shape", "lesson")]
    st.table(pd.DataFrame(rows, columns=names).set_index(names[0]))


def notation(session: Session) -> None:
    """What each letter means in all lessons, drawn as in a formula."""
    del session
    head = f"| {t('idea.notation.letter')} | {t('idea.notation.meaning')} |\n| --- | --- |\n"
    rows = "\n".join(f"| {a} | {b} |" for a, b in entry("idea.notation.rows"))
    st.markdown(head + LETTER.sub(r"$\1$", rows).replace(" × ", TIMES))


def task(session: Session) -> None:
    """How many tokens the chosen patch effectively looks at."""
    steps, (layer, head) = followed_steps(session), followed(session)
    pick_patch(session, attention_heat(session, steps.weights))
    row, col = chosen_patch(session)
    st.markdown(
        t(
            "idea.task",
            row=row,
            col=col,
            layer=layer,
            head=head,
            count=f"{math.exp(entropy(steps.weights)):.0f}",
            tokens=len(steps.weights),
        )
    )


LESSON = Lesson(
    "idea",
    (
        Step("question", question, guess=True),
        Step("mean", mean, formula=r"o = \sum_j a_j\, v_j,\quad a_j \geq 0,\quad \sum_j a_j = 1"),
        Step("before", before, guess=True),
        Step("kinds", kinds, guess=True),
        Step("uses", uses),
        Step("map", the_map),
        Step("architecture", architecture),
        Step("notation", notation),
    ),
    task,
    {
        "Bahdanau et al. 2014: Jointly learning to align and translate": "https://arxiv.org/abs/1409.0473",
        "Vaswani et al. 2017: Attention is all you need": "https://arxiv.org/abs/1706.03762",
        "Dosovitskiy et al. 2020: An image is worth 16x16 words": "https://arxiv.org/abs/2010.11929",
    },
)
