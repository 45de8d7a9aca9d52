"""The page that needs no server: what is in the file."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from families import make_photo, random_module
from journeys import KINDS, layered, of_channels, recorded, rounding_of, rows_of
from numpy.typing import NDArray
from phrases import places
from timm.models.vision_transformer import ParallelScalingBlock

import vitviz
from vitviz.errors import MethodError, Phrase, VitvizError, VitvizWarning
from vitviz.heatmap import Heatmap
from vitviz.journey import page as pages
from vitviz.journey.document import cls_document, layer_arrays, layer_maps
from vitviz.journey.page import HERE, MODULES, bundle, page, words
from vitviz.ui.visit.language import texts

LARGEST = 8_000_000  # bytes
KIND = {"query": np.float16, "key": np.float16, "map": np.uint8, "most": np.float32}


class Reader(HTMLParser):
    """What a browser makes of a page: texts outside scripts, the scripts, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.said = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.said += data
        elif self.cdata_elem == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def spoken(text: str) -> dict[str, Any]:
    """The header of a page and its words."""
    [found] = [said for attributes, said in Reader(text).scripts if attributes.get("id")]
    return json.loads(found)


def held(text: str) -> dict[str, NDArray[Any]]:
    """The arrays in a page that layers are made from, flat."""
    return {
        name: np.frombuffer(zlib.decompress(b64decode(said)), KIND[name.split()[0]])
        for attributes, said in Reader(text).scripts
        if (name := attributes.get("data-name")) and name.split()[0] in KIND
    }


@pytest.fixture(scope="module")
def bundled() -> vitviz.Recording:
    return vitviz.record(vitviz.load_model(), vitviz.samples()[0].path)


@pytest.mark.parametrize("kind", KINDS)
def test_its_layers_are_the_recordings(kind: str) -> None:
    rec = recorded(kind)
    text = page(rec)
    header, arrays = spoken(text)["header"], held(text)
    for layer in range(rec.num_layers):
        sent = layer_arrays(rec, layer)
        whole = {name: arrays[name].reshape(sent[name].shape) for name in sent}
        exact = rec.attention(layer).numpy()
        made = rows_of(whole, header, layer)
        if "dim" in header["layers"][layer]:
            np.testing.assert_allclose(made, exact, rtol=rounding_of(whole, header, layer))
        else:
            np.testing.assert_allclose(made, exact, atol=exact.max() / 255)


def test_it_stays_below_8_mb(bundled: vitviz.Recording) -> None:
    maps = [vitviz.explain(bundled, method) for method in ("rollout", "attention", "legrad")]
    text = page(bundled, maps)
    assert 1_000_000 < len(text.encode()) < LARGEST
    assert "map 0" not in held(text)  # queries and keys fit
    assert Reader(text).tags.count("img") == 3


def test_it_asks_no_other_host(bundled: vitviz.Recording) -> None:
    text = page(bundled, [vitviz.explain(bundled, "rollout")])
    reader = Reader(text)
    assert "link" not in reader.tags
    assert all(address.startswith("data:") for address in reader.addresses)
    hosts = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", bundle(), flags=re.I))
    assert hosts == {"http://www.w3.org/2000/svg"}  # the name of SVG's namespace, no address
    assert not re.search(r"@import|url\(|fetch\(|import\(", text)


def rung(rec: vitviz.Recording, most: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """A page of a model for whose layers there are so many bytes beside the rest."""
    rest = sum(len(text) for text in pages._packed(cls_document(rec).arrays).values())
    monkeypatch.setattr(pages, "MOST_BYTES", rest + int(most))
    return page(rec)


def test_maps_are_sent_where_they_are_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where not even they fit, the class token's rows alone, which the page says."""
    rec = recorded("vit")
    sizes = [
        sum(
            len(text)
            for layer in range(rec.num_layers)
            for text in pages._packed(of_layer(rec, layer)).values()
        )
        for of_layer in (layer_arrays, layer_maps)
    ]
    assert sizes[1] < sizes[0]
    first, second, third = (
        rung(rec, most, monkeypatch) for most in (sizes[0], sizes[0] - 1, sizes[1] - 1)
    )
    assert {name.split()[0] for name in held(first)} == {"query", "key"}
    assert {name.split()[0] for name in held(second)} == {"map", "most"}
    assert spoken(second)["header"]["layers"] == [{"heads": 3}] * 3
    assert held(third) == {}
    assert spoken(third)["header"]["missing"] == {"layers": words("en")["missing"]["layers"]}
    assert spoken(first)["header"]["missing"] == {}


def test_many_maps_leave_less_for_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    rec = recorded("vit")
    heat = vitviz.explain(rec, "rollout")
    rung(rec, 1e9, monkeypatch)
    all_of_it = sum(len(text) for text in pages._layers(rec, 10**9).values())
    assert held(rung(rec, all_of_it, monkeypatch))
    assert "query 0" not in held(page(rec, [heat]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_maps_are_called_as_the_rest_of_the_page(language: pages.Language) -> None:
    """Every method, as in the app; and a map that shows nothing says so."""
    said, rec = words(language), recorded("vit")
    app = texts("zh")["library"]
    titles = {id: method.title for id, method in vitviz.METHODS.items()}
    if language == "zh":
        titles = {id: words["title"] for id, words in app["methods"].items()}
        assert said["notices"] == {id: app["errors"][id] for id in said["notices"]}
    assert said["methods"] == titles
    nothing = Heatmap(np.zeros(rec.grid, np.float32), rec.box, "rollout")
    with pytest.warns(VitvizWarning):
        shown = Reader(page(rec, [nothing], language=language)).said
    assert f"{titles['rollout']} · {said['notices']['map_is_zero']}" in shown
    for notice in ("map_is_zero", "map_is_constant"):
        same = np.full(rec.grid, notice == "map_is_constant", np.float32)
        found = Heatmap(same, rec.box, "rollout").notice
        assert found is not None
        assert words("en")["notices"][notice] == str(found)


HOSTILE = "</script><b id='broken'>{{ 7*7 }}<!--<script>"


def test_names_stay_text(monkeypatch: pytest.MonkeyPatch) -> None:
    module = random_module("dinov2 registers")
    labels = [f"{HOSTILE}{index}" for index in range(5)]
    vit = vitviz.from_module(module, labels=labels, name=f"model {HOSTILE}")
    rec = vitviz.record(vit, make_photo())
    monkeypatch.setattr(Heatmap, "notice", Phrase("none", "{it}", it=HOSTILE))
    foreign = Heatmap(np.ones(rec.grid, np.float32), rec.box, f"method {HOSTILE}")
    with pytest.warns(VitvizWarning):  # the notice
        text = page(rec, [foreign])
    reader, usual = Reader(text), Reader(page(recorded("dinov2 registers")))
    assert set(reader.tags) == {*usual.tags, "h2", "figure", "figcaption", "img"}
    assert reader.tags.count("script") == usual.tags.count("script")
    assert reader.said.count(HOSTILE) == 4  # title, foot, the map's title and notice
    assert set(spoken(text)["header"]["labels"].values()) <= set(labels)
    assert "49" not in reader.said


def shape(found: Any, key: str = "") -> dict[str, Any]:
    """Every text's places by its key."""
    if isinstance(found, str):
        assert found.strip(), key
        return {key: places(found)}
    items = found.items() if isinstance(found, dict) else enumerate(found)
    return {k: v for name, value in items for k, v in shape(value, f"{key}.{name}").items()}


def test_its_languages_say_the_same() -> None:
    assert shape(words("zh")) == shape(words("en"))
    assert not re.search(r"[\u4e00-\u9fff]", json.dumps(words("en"), ensure_ascii=False))


def test_its_language_is_that_of_the_page() -> None:
    """Also where it says what is not there."""
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, block_fn=ParallelScalingBlock
    )
    text = page(vitviz.record(vitviz.from_module(module), make_photo()), language="zh")
    assert '<html lang="zh">' in text
    assert spoken(text)["words"] == words("zh")
    assert spoken(text)["header"]["missing"] == {"stream": words("zh")["missing"]["stream"]}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_layered_models_page_holds_the_whole_and_says_what_it_does_not(language: Any) -> None:
    text = page(layered(), language=language)
    assert len(text.encode()) < 1_000_000
    header, said = spoken(text)["header"], words(language)["missing"]
    assert header["missing"] == {name: said[name] for name in ("matrices", "layers")}
    assert [layer["grid"] for layer in header["layers"]] == [[n, n] for n in (56, 28, 14, 7)]
    assert not held(text)


def test_every_module_is_bundled_after_those_that_it_imports() -> None:
    folder = Path(str(HERE / "web"))
    assert sorted(MODULES) == sorted(file.stem for file in folder.glob("*.js"))
    for number, name in enumerate(MODULES):
        text = (folder / f"{name}.js").read_text()
        imports = re.findall(r'^import \{[^}]*\} from "\./(\w+)\.js"$', text, flags=re.M)
        assert len(imports) == len(re.findall(r"^import\b", text, flags=re.M)), name
        assert set(imports) <= set(MODULES[:number]), name


def test_no_two_modules_define_the_same_name() -> None:
    defined = re.findall(
        r"^(?:export )?(?:async )?(?:function|const|let|class) +([\w$]+|\{[^}]*\}|\[[^\]]*\])",
        "\n".join((HERE / "web" / f"{name}.js").read_text() for name in MODULES),
        flags=re.M,
    )
    assert len(defined) > 60
    assert len(defined) == len(set(defined)), sorted(n for n in defined if defined.count(n) > 1)


def test_the_bundle_is_one_plain_script() -> None:
    assert not re.search(r"^(import|export)\b", bundle(), flags=re.M)


class TestErrors:
    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(VitvizError) as caught:
            vitviz.write_page(recorded("vit"), tmp_path / "none" / "cat.html")
        assert caught.value.id == "file_not_written"

    @pytest.mark.parametrize("language", ["fr", "", "../texts/en", None, ["en"]])
    def test_a_language_that_there_is_not(self, tmp_path: Path, language: Any) -> None:
        with pytest.raises(VitvizError, match="choose one of en, zh") as caught:
            vitviz.write_page(recorded("vit"), tmp_path / "cat.html", language=language)
        assert caught.value.id == "no_such_language"
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("heats", ["rollout", [1], Heatmap])
    def test_maps_of_the_wrong_kind(self, tmp_path: Path, heats: Any) -> None:
        with pytest.raises(VitvizError) as caught:
            vitviz.write_page(recorded("vit"), tmp_path / "cat.html", heats)
        assert caught.value.id == "wrong_kind"

    def test_a_map_of_another_photo_or_model(self, tmp_path: Path) -> None:
        rec = recorded("vit")
        photo = vitviz.record(rec.vit, make_photo(1))
        torch.manual_seed(1)
        other = vitviz.from_module(timm.create_model("vit_tiny_patch16_224", img_size=(64, 96)))
        for foreign in (photo, vitviz.record(other, make_photo())):
            with pytest.raises(MethodError) as caught:
                vitviz.write_page(rec, tmp_path / "a.html", [vitviz.explain(foreign, "rollout")])
            assert caught.value.id == "map_not_of_page"
        assert not list(tmp_path.iterdir())
        vitviz.write_page(rec, tmp_path / "a.html", [vitviz.explain(rec, "rollout")])

    def test_a_model_whose_channels_look(self, tmp_path: Path) -> None:
        before = tmp_path / "cat.html"
        before.write_text("as it was")
        with pytest.raises(MethodError, match="does not have one map over all tokens"):
            vitviz.write_page(of_channels(), before)
        assert [file.read_text() for file in tmp_path.iterdir()] == ["as it was"]
