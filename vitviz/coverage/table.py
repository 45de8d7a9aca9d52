"""docs/coverage.md, from what the check found."""

from __future__ import annotations

from collections.abc import Iterable

import timm

from vitviz.coverage.check import Coverage
from vitviz.coverage.families import Family, members, without_attention
from vitviz.methods.explain import METHODS

__all__ = ["report"]


HEAD = """# Which models can be shown

`python -m vitviz coverage --out docs/coverage.md` makes this page. One small model of each family,
with random weights, is recorded and checked: its logits are those without recording; each row of a
map sums to 1; the values weighted by the map are what the model's own attention gave; and the value
that stands for a patch depends most on the pixels in that patch's place. “Exact” means that all of
this holds. Nothing here says how good a model is.

“Global” is one map over all tokens, “windowed” one in each window (put back where the window lies),
“pooled keys” a coarser grid of keys, each made from the patches around it (a stride may pass one
by), “class attention” the class token's row alone, “pooling” the attention-pooling head's;
“channel” attention is between channels and has no map on the photo.
How many attention modules of the checked model are not shown, and why, is in the last columns; the
app says beside the map how many there are.
"""


def report(covered: Iterable[tuple[Family, Coverage]]) -> str:
    """A page in Markdown: a table of families, then every name of timm with its family."""
    rows = list(covered)
    lines = [
        HEAD,
        f"timm {timm.__version__}.",
        "",
        "| family | models | checked on | maps, layers of each | exact | methods | not shown | |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(family, found) for family, found in rows),
        "",
        "## Every name",
        "",
        *(f"- **{family.title}**: {', '.join(members(family))}" for family, _ in rows),
        "",
        "## Without softmax attention",
        "",
        *(f"- `{file}`: {', '.join(names)}" for file, names in without_attention().items()),
    ]
    return "\n".join(lines) + "\n"


def _row(family: Family, found: Coverage) -> str:
    maps = ", ".join(f"{kind} {count}" for kind, count in found.maps.items()) or "none"
    failed = ", ".join(name for name, held in found.checks.items() if not held)
    exact = "yes" if found.exact else f"no: {failed}" if failed else "nothing to show"
    methods = (
        "all" if set(METHODS) - set(found.methods) <= {"pooling"} else ", ".join(found.methods)
    )
    cells = (
        family.title,
        str(len(members(family))),
        family.model,
        maps,
        exact,
        methods or "none",
        str(found.left_out or ""),
        family.why,
    )
    return f"| {' | '.join(cells)} |"
