"""The glossary's terms in a lesson's words: the first use of each is a link to what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from vitviz.ui.course.lesson import TRY, Lesson
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import ENGLISH, LANG, entry

GLOSSARY = "glossary"  # its address, and the key of its texts
BOLD = re.compile(r"\*\*(.+?)\*\*")
APART = r"`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)"  # code, a formula, a link: nothing in it is one


def words(lesson: Lesson, screen: str, tongue: str) -> str:
    """What a step says, or the task, with the links."""
    return _words(lesson.id, tuple(lesson.screens[:-1]), tongue)[screen]


@cache
def _words(lesson: str, screens: tuple[str, ...], tongue: str) -> dict[str, str]:
    """All of a lesson's, by screen: a term has its link where it comes first."""
    named = [
        f"{lesson}.{screen}" if screen == TRY else f"{lesson}.{screen}.text" for screen in screens
    ]
    terms: dict[str, dict[str, list[str]]] = entry(f"{GLOSSARY}.terms", tongue)
    linked = link_terms(
        [entry(key, tongue).format() for key in named],
        {form: term for term, found in terms.items() for form in found["forms"]},
        lambda term: f"{GLOSSARY}?{keys.TERM}={term}&{LANG}={tongue}",
        whole_words=tongue == ENGLISH,
    )
    return dict(zip(screens, linked, strict=True))


def link_terms(
    texts: Iterable[str],
    forms: Mapping[str, str],
    address: Callable[[str], str],
    *,
    whole_words: bool,
) -> list[str]:
    """Markdown texts in which each term's first use is a link; bold words stay bold.

    Args:
        texts: in the order in which they are read.
        forms: a term's id by how it is written, in any case; the longest that fits is meant.
        address: where a term's link leads.
        whole_words: whether a form must not be a part of a longer word.
    """
    written = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    alone = rf"(?<![\w-])(?:{written})(?![\w-])" if whole_words else written
    sought = re.compile(f"{APART}|{alone}", re.IGNORECASE)
    terms = {form.lower(): term for form, term in forms.items()}
    met: set[str] = set()

    def pieces(text: str) -> Iterator[tuple[str, str | None]]:
        """What a text is made of; a term's first use comes with its id."""
        end = 0
        for found in sought.finditer(text):
            term = terms.get(found[0].lower())
            if term is not None and term not in met:
                met.add(term)
                yield text[end : found.start()], None
                yield found[0], term
                end = found.end()
        yield text[end:], None

    def linked(text: str, bold: bool) -> str:
        said = ((_bold(words) if bold else words, term) for words, term in pieces(text))
        return "".join(
            words if term is None else f"[{words}]({address(term)})" for words, term in said
        )

    # Every other part was between asterisks.
    return [
        "".join(linked(part, index % 2 == 1) for index, part in enumerate(BOLD.split(text)))
        for text in texts
    ]


def _bold(text: str) -> str:
    """The asterisks stand inside a link and next to a letter: between a link's bracket and a
    Chinese letter they would not end what is bold."""
    bare = text.strip()
    return text.replace(bare, f"**{bare}**") if bare else text
