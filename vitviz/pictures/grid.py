"""Where the panels, titles and colour bar of a figure lie, and how words and bar are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vitviz.heatmap import Box, Heatmap, Scale
from vitviz.pictures.letters import LINE, SIZE, families, wrapped

__all__ = ["Grid", "draw_bar", "write_lines"]

TALLEST = 8.5  # in, which leaves room for a caption on every venue's page
EDGE, GAP, BAR, TICK = 0.04, 0.04, 0.07, 0.03  # in


@dataclass(frozen=True)
class Grid:
    """Where everything lies, in inches.

    Attributes:
        width: of the figure.
        panel: the width of a panel.
        heights: of the rows.
        left, top: of the first panel.
        rows, columns: the lines of their titles.
        words: the lines that say what the numbers mean.
    """

    width: float
    panel: float
    heights: list[float]
    left: float
    top: float
    rows: list[list[str]]
    columns: list[list[str]]
    words: list[str]

    @classmethod
    def fitted(
        cls,
        width: float,
        rows: Sequence[str | int],
        columns: Sequence[str | int],
        boxes: Sequence[Box],
        label: str,
    ) -> Grid:
        """As large as the width, and the height of a page, allow."""
        shapes = [(bottom - top) / (right - left) for left, top, right, bottom in boxes]
        words = wrapped(label, width - 2 * EDGE)
        gaps = GAP * (len(columns) - 1), GAP * (len(rows) - 1)
        beside, above = _margin([[]]), _margin([[]])
        for _ in range(3):  # lines of titles need room, and room makes the lines
            panel = (width - 2 * EDGE - beside - gaps[0]) / len(columns)
            panel = min(panel, (TALLEST - above - gaps[1] - _below(words)) / sum(shapes))
            panel = max(panel, SIZE / 72)
            heights = [panel * shape for shape in shapes]
            titles = [_lines(title, height) for title, height in zip(rows, heights, strict=True)]
            heads = [_lines(title, panel) for title in columns]
            beside, above = _margin(titles), _margin(heads)
        used = beside + gaps[0] + panel * len(columns)
        left = (width - used) / 2 + beside
        return cls(width, panel, heights, left, EDGE + above, titles, heads, words)

    @property
    def height(self) -> float:
        return self.top + sum(self.heights) + GAP * (len(self.heights) - 1) + _below(self.words)

    @property
    def breadth(self) -> float:
        """Of all panels."""
        return self.panel * len(self.columns) + GAP * (len(self.columns) - 1)

    def share(self, left: float, top: float, width: float, height: float) -> Any:
        """A place as matplotlib has it: in shares of the figure, from below."""
        bottom = self.height - top - height
        return (
            left / self.width,
            bottom / self.height,
            width / self.width,
            height / self.height,
        )

    def place(self, row: int, column: int) -> Any:
        """Of a panel."""
        left, top = self.left + column * (self.panel + GAP), self.top + self._above(row)
        return self.share(left, top, self.panel, self.heights[row])

    def _above(self, row: int) -> float:
        return sum(self.heights[:row]) + GAP * row

    def write_titles(self, drawn: Figure) -> None:
        """Those of columns above, those of rows at the left, upwards."""
        for number, lines in enumerate(self.columns):
            x = self.left + number * (self.panel + GAP) + self.panel / 2
            write_lines(drawn, lines, *self.share(x, self.top - GAP, 0, 0)[:2], va="bottom")
        for number, lines in enumerate(self.rows):
            y = self.top + self._above(number) + self.heights[number] / 2
            at = self.share(self.left - GAP, y, 0, 0)[:2]
            write_lines(drawn, lines, *at, ha="right", va="center", rotation=90)


def _lines(title: str | int, width: float) -> list[str]:
    return wrapped(title, width) if isinstance(title, str) else []


def _margin(titles: Sequence[Sequence[str]]) -> float:
    """The room that the title of most lines needs."""
    most = max(map(len, titles))
    return most * LINE + GAP if most else 0.0


def _below(words: Sequence[str]) -> float:
    """The room for the colour bar, its numbers and what they mean."""
    return 2 * GAP + BAR + TICK + LINE * (1 + len(words)) + EDGE


def write_lines(drawn: Figure, lines: Sequence[str], x: float, y: float, **how: Any) -> None:
    text = {
        "ha": "center",
        "linespacing": 1.1,
        "multialignment": "center",
        "parse_math": False,
        "usetex": False,
        **how,
    }
    if lines:
        drawn.text(
            x, y, "\n".join(lines), fontsize=SIZE, fontfamily=families(), color="black", **text
        )


def draw_bar(
    drawn: Figure,
    grid: Grid,
    ends: Scale | None,
    colormap: str,
    heats: Sequence[Heatmap],
) -> None:
    """The colour bar under the panels, its numbers and what they mean."""
    low, high = ends or (0.0, 1.0)
    high = high if high > low else low + 1
    top = grid.height - _below(grid.words) + 2 * GAP
    breadth = max(0.8 * grid.breadth, min(1.5, 0.8 * grid.width))
    middle = grid.left + grid.breadth / 2
    middle = min(max(middle, 0.6 * breadth), grid.width - 0.6 * breadth)
    axis = drawn.add_axes(grid.share(middle - breadth / 2, top, breadth, BAR))
    below = ends is not None and any(heat.range[0] < low for heat in heats)
    beyond = ends is not None and any(heat.range[1] > high for heat in heats)
    bar = drawn.colorbar(
        ScalarMappable(Normalize(low, high), colormap),
        cax=axis,
        orientation="horizontal",
        extend="both" if below and beyond else "min" if below else "max" if beyond else "neither",
        extendfrac=0.03,
    )
    ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    names = [f"{tick:.6g}" for tick in ticks]
    bar.set_ticks(
        [0, 1] if ends is None else ticks, labels=["min", "max"] if ends is None else names
    )
    bar.ax.tick_params(length=72 * TICK, width=0.5, pad=1, color="black", direction="out")
    bar.ax.grid(visible=False)
    for name in bar.ax.get_xticklabels():
        name.set(
            fontsize=SIZE, fontfamily=families(), color="black", parse_math=False, usetex=False
        )
    bar.outline.set(linewidth=0.5, edgecolor="black")
    write_lines(drawn, grid.words, *grid.share(middle, grid.height - EDGE, 0, 0)[:2], va="bottom")
