"""The names under which controls keep what was chosen, some of them in the address."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from vitviz.ui.visit import keys


def test_no_key_is_given_twice() -> None:
    """Two controls would have the later one's, and one's value would be the other's in a link."""
    tree = ast.parse(Path(keys.__file__).read_text())
    assigned = [
        name.id
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    assert not [name for name, times in Counter(assigned).items() if times > 1]
