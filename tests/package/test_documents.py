"""What the documents say of the code is still true."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import open_clip
import pytest
import transformers
from clips import TOKENIZER, TRANSFORM, processor, small
from detectors import SIZE, detector
from videos import processor as video_processor
from videos import video

import vitviz

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
]


def test_the_drawing_of_the_packages_is_fresh() -> None:
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_packages.py"))
    assert drawing["svg"]() == drawing["PICTURE"].read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"`((?:vitviz|tests|docs|benchmarks|assets|\.ci)/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_public_name_has_its_place_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    listed = {name.rsplit(".", 1)[1] for name in re.findall(r"^::: (vitviz[\w.]+)$", text, re.M)}
    assert set(vitviz.__all__) - {"__version__"} <= listed


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r"([\w/-]+\.md)$", menu, re.M)) == pages


def test_one_version_everywhere() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None
    assert cited[1] == vitviz.__version__
    assert f"## {vitviz.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_hooks_are_the_checks_of_make_lint() -> None:
    hooks = re.findall(r"entry: \.venv/bin/(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    lint = (ROOT / "Makefile").read_text().split("lint:")[1].split("\n\n")[0]
    assert set(hooks) == set(re.findall(r"\$\(BIN\)/(\S+)", lint))


def test_documents_need_nothing_that_tests_need() -> None:
    """`make test` does without what `make docs` installs."""
    wanted = (ROOT / "docs" / "requirements.txt").read_text()
    assert "mkdocs" in wanted
    assert "mkdocs" not in (ROOT / "requirements-dev.txt").read_text()
    assert "mkdocs" not in str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def test_the_snippets_on_ones_own_model_run() -> None:
    """Those that are whole; the others show a part of a script."""
    text = (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.S)
    whole = [snippet for snippet in snippets if snippet.startswith("import")]
    assert len(whole) == 2
    exec("\n".join(whole), {})


def test_the_snippets_on_interventions_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "interventions.md").read_text(encoding="utf-8")
    known: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)), known)
    assert known["both"].edits == tuple(known["edits"])
    assert (tmp_path / "trace.png").stat().st_size > 0


def test_the_snippets_on_prompts_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small random models instead of those that the hub has."""
    text = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")
    one, siglip = small("open_clip").clip.module, small("Siglip").clip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        open_clip, "create_model_and_transforms", lambda _, pretrained: (one, pretrained, TRANSFORM)
    )
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda _: TOKENIZER)
    for auto, made in (("Model", siglip.module), ("Processor", processor("Siglip"))):
        owner = getattr(transformers, f"Auto{auto}")
        monkeypatch.setattr(owner, "from_pretrained", lambda _, made=made: made)
    known: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)), known)
    assert known["rec"].outputs == "sigmoid"
    assert (tmp_path / "prompts.png").stat().st_size > 0


def test_the_snippets_on_detectors_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small random DETR instead of the one that the hub has."""
    text = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")
    images = transformers.DetrImageProcessor(size=SIZE)
    monkeypatch.chdir(tmp_path)
    for owner, made in (
        (transformers.DetrForObjectDetection, detector().module.model),
        (transformers.DetrImageProcessor, images),
    ):
        monkeypatch.setattr(owner, "from_pretrained", lambda _, made=made: made)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)), {})
    assert (tmp_path / "best.png").stat().st_size > 0
    assert (tmp_path / "best-query.png").stat().st_size > 0


def test_the_snippets_on_videos_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small random VideoMAE instead of the one that the hub has."""
    text = (ROOT / "docs" / "video.md").read_text(encoding="utf-8")
    text = text.replace("patch=(3, 4)", "patch=(3, 1)")  # of a smaller grid
    monkeypatch.chdir(tmp_path)
    for owner, made in (
        (transformers.VideoMAEForVideoClassification, video().tall.model),
        (transformers.VideoMAEImageProcessor, video_processor()),
    ):
        monkeypatch.setattr(owner, "from_pretrained", lambda _, made=made: made)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)), {})
    assert (tmp_path / "clip.gif").stat().st_size > 0
    assert (tmp_path / "clip.png").stat().st_size > 0
