"""Words in figures: their fonts, their lines, and what cannot be written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unicodedata import bidirectional

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

from vitviz.errors import VitvizError

__all__ = ["LINE", "SIZE", "check_letters", "families", "wrapped"]

SIZE = 7  # pt
LINE = 1.3 * SIZE / 72  # in
PIECES = re.compile(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+|\s+")  # Chinese breaks anywhere


@cache
def families() -> list[str]:
    """Fonts for titles, the first that has a character: matplotlib's own, then one with Chinese."""
    package = find_spec("zhplot")  # only its font is used; importing it would change every figure
    assert package is not None
    assert package.origin is not None
    fontManager.addfont(Path(package.origin).parent / "fonts" / "NotoSansSC-Regular.ttf")
    return ["DejaVu Sans", "Noto Sans SC"]


@cache
def _known() -> frozenset[int]:
    """The letters that the fonts have, by their numbers."""
    fonts = (get_font(findfont(FontProperties(family=name))) for name in families())
    return frozenset().union(*(font.get_charmap() for font in fonts))


def check_letters(texts: Iterable[str]) -> None:
    """Nothing, if all can be written.

    Raises:
        VitvizError: for a letter that the fonts do not have, or that is written from the right.
    """
    for text in texts:
        for letter in text:
            known = letter == "\n" or ord(letter) in _known()
            if not known or bidirectional(letter) in ("R", "AL"):
                raise VitvizError(
                    "letter_not_in_font",
                    "Figures cannot write {letter} in “{text}”: their fonts have Latin, Greek, "
                    "Cyrillic and Chinese letters; write the title with these.",
                    letter=letter if letter.isprintable() else repr(letter),
                    text=text.encode(errors="backslashreplace").decode(),
                )


def wrapped(text: str, width: float) -> list[str]:
    """Text in lines of at most so many inches, broken between words where they are not too long."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in PIECES.findall(paragraph):
            if line and not _fits(line + piece.rstrip(), width):
                lines.append(line.rstrip())
                line = ""
            line = (line + piece) if line else piece.lstrip()
            while not _fits(line.rstrip(), width) and len(line) > 1:
                most = next(
                    n for n in range(len(line) - 1, 0, -1) if n == 1 or _fits(line[:n], width)
                )
                lines.append(line[:most])
                line = line[most:]
        lines.append(line.rstrip())
    return lines


def _fits(text: str, width: float) -> bool:
    font = FontProperties(family=families(), size=SIZE)
    return (
        not text or text_to_path.get_text_width_height_descent(text, font, False)[0] <= 72 * width
    )
