"""Draws which package imports which, from the code: `python docs/draw_packages.py`.

The rows are those of the first import contract in pyproject.toml. An arrow goes from a package to
one that it imports, unless a longer way of arrows says the same.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "packages.svg"
WIDTH, STEP, BOX, HEIGHT = 920, 78, 118, 34  # px

Arrows = dict[str, set[str]]


def rows() -> list[list[str]]:
    """The packages, from those that import to those that are imported."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    named = [[name.strip().split(".")[1] for name in layer.split("|")] for layer in layers]
    return [row for row in named if row != ["__main__"]]


def imports() -> Arrows:
    """Package → the other packages that its files import."""
    found: Arrows = defaultdict(set)
    known = {name for row in rows() for name in row}
    for file in (ROOT / "vitviz").rglob("*.py"):
        importer = file.relative_to(ROOT / "vitviz").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vitviz."):
                found[importer].add(str(node.module).split(".")[1])
    return {name: (found[name] & known) - {name} for name in known}


def reached(start: str, arrows: Arrows) -> set[str]:
    """Everything that a package imports, directly or through others."""
    return set().union(*({name} | reached(name, arrows) for name in arrows[start]))


def fewest(arrows: Arrows) -> Arrows:
    """Without the arrows that a longer way says as well."""
    return {
        start: {
            end for end in ends if not any(end in reached(other, arrows) for other in ends - {end})
        }
        for start, ends in arrows.items()
    }


def svg() -> str:
    """The drawing."""
    places = {
        name: (WIDTH * (column + 0.5) / len(row), 12 + STEP * number)
        for number, row in enumerate(rows())
        for column, name in enumerate(row)
    }
    lines = [
        f'<line x1="{places[start][0]:.0f}" y1="{places[start][1] + HEIGHT}" '
        f'x2="{places[end][0]:.0f}" y2="{places[end][1] - 4}"/>'
        for start, ends in sorted(fewest(imports()).items())
        for end in sorted(ends)
    ]
    boxes = [
        f'<rect x="{x - BOX / 2:.0f}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="7"/>'
        f'<text x="{x:.0f}" y="{y + 22}">{escape(name)}</text>'
        for name, (x, y) in places.items()
    ]
    height = 12 + STEP * (len(rows()) - 1) + HEIGHT + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
            "<title>Which package of Vitviz imports which</title>",
            "<style>text { font: 15px sans-serif; text-anchor: middle; fill: #1c1917; }",
            "rect { fill: #e6f4f1; stroke: #0f766e; }",
            "line { stroke: #78716c; marker-end: url(#tip); }</style>",
            '<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7"',
            ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#78716c"/></marker>',
            f'<rect width="{WIDTH}" height="{height}" style="fill: #fff; stroke: none"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
