"""A translation drawn by hand: which words a decoder looks at while it writes one.

No model made these numbers. They are such as Bahdanau et al. 2014, arXiv 1409.0473, figure 3, shows
of a trained one.
"""

from __future__ import annotations

from html import escape

__all__ = ["READ", "WEIGHTS", "WRITTEN", "alignment"]

READ = ("The", "red", "cup", "stands", "on", "the", "table")
WRITTEN = ("红色的", "杯子", "放在", "桌子", "上")
WEIGHTS = (  # a row for each word that is written, a column for each that is read
    (0.05, 0.80, 0.08, 0.02, 0.02, 0.01, 0.02),
    (0.10, 0.10, 0.72, 0.03, 0.02, 0.01, 0.02),
    (0.02, 0.02, 0.08, 0.66, 0.18, 0.01, 0.03),
    (0.01, 0.02, 0.04, 0.03, 0.06, 0.14, 0.70),
    (0.01, 0.01, 0.02, 0.12, 0.72, 0.04, 0.08),
)
WIDTH, STEP, BELOW = 560, 80, 190  # px
WIDEST = 14  # px of a line for a weight of 1


def alignment(chosen: int, *, squeezed: bool, alt: str) -> str:
    """The drawing as SVG.

    Args:
        chosen: which word is being written.
        squeezed: whether all that was read goes through one vector, as without attention.
        alt: what there is to see.
    """
    middle = WIDTH / 2
    to = middle + (chosen - (len(WRITTEN) - 1) / 2) * 100
    lines, shares = [], []
    for number, weight in enumerate(WEIGHTS[chosen]):
        x = STEP * (number + 0.5)
        if squeezed:
            lines.append(_line(x, BELOW - 16, middle, 118, 1.5))
        else:
            lines.append(_line(x, BELOW - 16, to, 40, WIDEST * weight))
            shares.append(_text(x, BELOW + 26, f"{weight:.0%}", "share"))
    if squeezed:
        lines.append(_line(middle, 92, to, 40, 1.5))
        shares.append(f'<rect x="{middle - 26}" y="92" width="52" height="26" rx="6"/>')
        shares.append(_text(middle, 105, "c", ""))
    written = (
        _text(middle + (number - (len(WRITTEN) - 1) / 2) * 100, 24, word, _kind(number, chosen))
        for number, word in enumerate(WRITTEN)
    )
    read = (_text(STEP * (number + 0.5), BELOW, word, "") for number, word in enumerate(READ))
    parts = "".join((*lines, *shares, *written, *read))
    return (
        f'<svg class="alignment" viewBox="0 0 {WIDTH} {BELOW + 40}" role="img" '
        f'aria-label="{escape(alt)}">{parts}</svg>'
    )


def _kind(number: int, chosen: int) -> str:
    return "chosen" if number == chosen else "later" if number > chosen else ""


def _line(x: float, y: float, to_x: float, to_y: float, width: float) -> str:
    return f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke-width="{width:.2f}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'
