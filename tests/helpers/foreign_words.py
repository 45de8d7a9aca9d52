"""Words that try to be more than words, and where a page takes them for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

MARK = "evil"  # in each of the words below
TRAPS = [
    f"[text](https://{MARK}.example)",
    f"![x](https://{MARK}.example/x.png)",
    f"https://{MARK}.example",
    f"www.{MARK}.example",
    f"me@{MARK}.example",
    f"<img src=//{MARK}.example>",
    f":material/{MARK}:",
    f":red[{MARK}]",
    f"**{MARK}**",
    f"_{MARK}_",
    f"${MARK}$",
    f"` [{MARK}](https://{MARK}.example)",
    f"a\n\n# {MARK}\n",
    f"```\n[{MARK}](/{MARK})",
]
# What the browser shows as it is, or never shows: ids, addresses, what a field holds, data of our
# own components, options of a menu, and what is read out instead of a picture.
PLAIN = {
    "alt",
    "alt_text",
    "default",
    "element_id",
    "file_name",
    "id",
    "json",
    "mixed_data",
    "page_script_hash",
    "placeholder",
    "query_param_key",
    "raw_options",
    "src",
    "string",
    "url",
    "user_key",
    "value",
}
PLAIN_OPTIONS = {"Selectbox", "MultiSelect", "Slider"}


def obeyed(markdown: str) -> bool:
    """Whether what is marked stands anywhere but in code."""
    return any(
        MARK in (part.content + str(part.attrs))
        for token in MarkdownIt("commonmark").parse(markdown)
        for part in (token.children or [token])
        if part.type not in ("code_inline", "inline")
    )


def read_as_markdown(app: AppTest) -> Iterator[tuple[str, str]]:
    """Every text of the page that is not known to be shown as it is, with its place."""
    for element in _elements(app._tree):
        proto = getattr(element, "proto", None)
        if isinstance(proto, Message):
            yield from _texts(proto, type(proto).__name__)


def _elements(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", {}).values():
        yield from _elements(child)


def _texts(message: Message, place: str) -> Iterator[tuple[str, str]]:
    name = message.DESCRIPTOR.name
    if name == "Html":  # of ours; what stands in it is escaped for HTML
        return
    for field, value in message.ListFields():
        where = f"{place}.{field.name}"
        if field.name in PLAIN or (field.name == "options" and name in PLAIN_OPTIONS):
            continue
        for one in [value] if isinstance(value, str | Message) else _list(value):
            if isinstance(one, Message):
                yield from _texts(one, where)
            elif isinstance(one, str):
                yield where, one


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, bytes) else []
