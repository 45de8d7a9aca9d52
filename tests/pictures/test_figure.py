"""Many maps at once: what each panel shows, one scale, and the arrays to take away."""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from families import make_photo
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

import vitviz
from vitviz.heatmap import Heatmap
from vitviz.methods.attention import head_maps
from vitviz.pictures.export import write_attention
from vitviz.pictures.figure import draw_figure, save_figure
from vitviz.pictures.letters import families, wrapped
from vitviz.pictures.overlay import shared_scale

BOX = (0.0, 0.0, 160.0, 120.0)


def flat(value: float) -> Heatmap:
    return Heatmap(np.full((2, 2), value, np.float32), BOX, "test")


def panels(figure: Figure) -> list[np.ndarray]:
    """The pictures in a figure's panels, row by row."""
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def bar(figure: Figure) -> Axes:
    [axis] = [axis for axis in figure.axes if not axis.images]
    return axis


def test_each_panel_shows_its_own_map_on_one_scale() -> None:
    values = [[0.0, 0.25], [0.5, 1.0]]
    rows = {
        f"row {number}": dict(zip(("left", "right"), map(flat, row), strict=True))
        for number, row in enumerate(values)
    }
    figure = draw_figure(
        make_photo(), rows, colormap="viridis", alpha=1.0, smooth=False, scale=(0, 1)
    )
    for value, panel in zip([0.0, 0.25, 0.5, 1.0], panels(figure), strict=True):
        colour = np.array(matplotlib.colormaps["viridis"](value, bytes=True)[:3])
        assert (panel == colour).all()
    assert words(figure) == ["left", "right", "row 0", "row 1", "test, of a patch"]
    assert bar(figure).get_xlim() == (0, 1)


def test_only_what_the_model_saw_is_in_a_panel() -> None:
    photo = make_photo()
    heat = Heatmap(np.ones((2, 2), np.float32), (40, 0, 160, 120), "test")
    [panel] = panels(draw_figure(photo, heat, alpha=0.0))
    np.testing.assert_array_equal(panel, np.asarray(photo.crop((40, 0, 160, 120))))


def test_forms_of_heats() -> None:
    one, two = flat(0.5), flat(1.0)
    for heats, count, said in (
        (one, 1, []),
        ([one, two], 2, []),
        ({"a": one, "b": two}, 2, ["a", "b"]),
        ([[one, two], [two, one]], 4, []),
        ({"a": [one, two], "b": [two]}, 3, ["a", "b"]),
        ({0: {None: one}}, 1, ["None", "0"]),
    ):
        figure = draw_figure(make_photo(), heats)
        assert len(panels(figure)) == count
        assert words(figure)[:-1] == said


def test_none_is_the_photo_alone() -> None:
    photo = make_photo()
    first, _ = panels(draw_figure(photo, [None, flat(1.0)]))
    np.testing.assert_array_equal(first, np.asarray(photo))


def test_a_place_stays_empty_where_a_row_lacks_a_column() -> None:
    full, partial = {"a": flat(0.1), "b": flat(0.2)}, {"b": flat(0.4)}
    figure = draw_figure(make_photo(), {"1": full, "2": partial}, smooth=False)
    _, upper, lower, _ = figure.axes
    assert upper.get_position().x0 == pytest.approx(lower.get_position().x0)
    assert upper.get_position().y0 > lower.get_position().y1


def test_each_row_or_panel_has_its_own_photo() -> None:
    photos = make_photo(), make_photo(3)
    below = draw_figure(photos, [[flat(1.0)], [flat(1.0)]], alpha=0.0)
    beside = draw_figure(photos, [flat(1.0), flat(1.0)], alpha=0.0)
    for photo, panel in zip(photos * 2, panels(below) + panels(beside), strict=True):
        np.testing.assert_array_equal(panel, np.asarray(photo))


def test_maps_of_two_methods_are_compared_in_shares() -> None:
    values = np.array([[1, 3]], np.float32)
    small, large = Heatmap(values, BOX, "one"), Heatmap(1000 * values, BOX, "other")
    figure = draw_figure(make_photo(), [small, large], alpha=1.0)
    first, second = panels(figure)
    np.testing.assert_array_equal(first, second)
    assert bar(figure).get_xlim() == pytest.approx((0, 0.75), abs=0.01)
    assert words(figure) == ["share of the map’s sum"]


def test_one_method_keeps_its_numbers() -> None:
    figure = draw_figure(make_photo(), [flat(0.25), flat(0.5)], alpha=1.0)
    assert bar(figure).get_xlim() == (0, 0.5)
    low, high = (panel[0, 0] for panel in panels(figure))
    assert tuple(high) == matplotlib.colormaps["inferno"](1.0, bytes=True)[:3]
    assert tuple(low) == matplotlib.colormaps["inferno"](0.5, bytes=True)[:3]


def test_with_scales_of_their_own_both_end_at_the_last_colour() -> None:
    values = np.array([[0, 1]], np.float32)
    maps = [Heatmap(factor * values, BOX, "test") for factor in (1, 10)]
    figure = draw_figure(make_photo(), maps, alpha=1.0, scale="own")
    first, second = panels(figure)
    np.testing.assert_array_equal(first, second)
    assert [label.get_text() for label in bar(figure).get_xticklabels()] == ["min", "max"]


@pytest.mark.parametrize("photo_width", [200, 4000])
def test_panels_have_300_pixels_an_inch_or_all_there_are(photo_width: int) -> None:
    photo = make_photo().resize((photo_width, photo_width * 3 // 4))
    heat = flat(1.0).scaled(photo_width / 160)
    figure = draw_figure(photo, [heat, heat], width=3.25)
    axis = figure.axes[0]
    inches = axis.get_position().width * figure.get_figwidth()
    pixels = panels(figure)[0].shape[1]
    assert pixels == photo_width if photo_width == 200 else 300 <= pixels / inches < 303


class TestItsFile:
    @pytest.fixture
    def maps(self) -> dict[str, dict[str, Heatmap]]:
        return {"第一行": {"rollout, with a title": flat(0.5), "b": flat(1.0)}}

    @pytest.mark.parametrize(
        ("width", "inches"),
        [("cvpr-column", 3.25), ("neurips", 5.5), (2.0, 2.0), ("nature-page", 7.2047)],
    )
    def test_is_as_wide_as_asked(
        self, maps: object, width: str | float, inches: float, tmp_path: Path
    ) -> None:
        vitviz.figure(make_photo(), maps, tmp_path / "f.pdf", width=width)
        vitviz.figure(make_photo(), maps, tmp_path / "f.svg", width=width)
        vitviz.figure(make_photo(), maps, tmp_path / "f.png", width=width)
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", (tmp_path / "f.pdf").read_bytes())
        assert box is not None
        assert float(box[1]) / 72 == pytest.approx(inches, abs=0.01)
        root = ElementTree.parse(tmp_path / "f.svg").getroot()
        assert float(root.attrib["width"].removesuffix("pt")) / 72 == pytest.approx(
            inches, abs=0.01
        )
        picture = Image.open(tmp_path / "f.png")
        assert picture.width == pytest.approx(300 * inches, abs=1)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)

    def test_is_as_wide_as_asked_whatever_the_settings(self, maps: object, tmp_path: Path) -> None:
        others = {"savefig.bbox": "tight", "text.usetex": True, "font.size": 30, "axes.grid": True}
        with matplotlib.rc_context(others):
            vitviz.figure(make_photo(), maps, tmp_path / "other.png")
        vitviz.figure(make_photo(), maps, tmp_path / "own.png")
        other, own = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("other", "own"))
        np.testing.assert_array_equal(other, own)

    def test_a_pdf_has_truetype_letters_and_its_panels(self, maps: object, tmp_path: Path) -> None:
        vitviz.figure(make_photo(), maps, tmp_path / "f.pdf")
        data = (tmp_path / "f.pdf").read_bytes()
        assert b"/CIDFontType2" in data or b"/TrueType" in data
        assert b"/FontFile2" in data
        assert b"/Type3" not in data
        widths = {int(found) for found in re.findall(rb"/Width (\d+)", data)}
        assert 160 in widths  # the photo's own pixels

    def test_an_svg_has_text(self, maps: object, tmp_path: Path) -> None:
        vitviz.figure(make_photo(), maps, tmp_path / "f.svg")
        root = ElementTree.parse(tmp_path / "f.svg").getroot()
        texts = [
            "".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")
        ]
        assert {"第一行", "b", "test, of a patch", "0"} <= set(texts)
        assert "rollout, with a" in " ".join(texts)
        images = list(root.iter("{http://www.w3.org/2000/svg}image"))
        assert len(images) >= 2

    def test_matplotlibs_settings_are_as_before(self, maps: object, tmp_path: Path) -> None:
        before = dict(matplotlib.rcParams)
        with ThreadPoolExecutor(4) as threads:
            jobs = [
                threads.submit(vitviz.figure, make_photo(), maps, tmp_path / f"{n}.pdf")
                for n in range(8)
            ]
            assert [job.result() for job in jobs] == [None] * 8
        assert dict(matplotlib.rcParams) == before
        for n in range(8):
            assert b"/Type3" not in (tmp_path / f"{n}.pdf").read_bytes()

    def test_no_letter_is_cut(self, tmp_path: Path) -> None:
        """All letters lie inside: the outermost pixels are white."""
        long = "a very long title of a row that goes on and on"
        maps = {f"{long} {n}, 很长的标题": {long: flat(0.2), "b" * 60: flat(1.0)} for n in range(3)}
        vitviz.figure(make_photo(), maps, tmp_path / "f.png")
        pixels = np.asarray(Image.open(tmp_path / "f.png").convert("L"))
        edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        assert all((edge == 255).all() for edge in edges)

    def test_it_stays_on_a_page(self, tmp_path: Path) -> None:
        maps = [[flat(1.0)] * 2] * 12
        vitviz.figure(make_photo(), maps, tmp_path / "f.png", width="cvpr-page")
        width, height = Image.open(tmp_path / "f.png").size
        assert width == pytest.approx(6.875 * 300, abs=1)
        assert height <= 8.6 * 300


@pytest.mark.parametrize(
    ("id", "changed"),
    [
        ("figure_file_ending", {"path": "figure.jpg"}),
        ("figure_without_maps", {"heats": []}),
        ("figure_without_maps", {"heats": [None]}),
        ("figure_row_without_maps", {"heats": [[flat(1.0)], [None]]}),
        ("photos_and_rows_differ", {"photo": [make_photo()] * 2}),
        ("no_such_width", {"width": "science"}),
        ("no_such_width", {"width": 0.1}),
        ("no_such_scale", {"scale": "mine"}),
        ("letter_not_in_font", {"heats": {"แมว": flat(1.0)}}),
        ("letter_not_in_font", {"heats": {"שלום": flat(1.0)}}),
        ("wrong_kind", {"heats": "rollout"}),
        ("wrong_kind", {"heats": [flat(1.0), "rollout"]}),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    id: str, changed: dict[str, object], tmp_path: Path
) -> None:
    given = {"photo": make_photo(), "heats": flat(1.0), "path": "figure.png", **changed}
    given["path"] = tmp_path / str(given["path"])
    with pytest.raises(vitviz.VitvizError) as raised:
        vitviz.figure(**given)
    assert raised.value.id == id
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("width", [0.4, 0.8, 2.0])
@pytest.mark.parametrize("text", ["raw attention of all heads", "一只橘猫看着镜头", "x" * 40])
def test_lines_lose_no_letter_and_fit(text: str, width: float) -> None:
    lines = wrapped(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    font = FontProperties(family=families(), size=7)
    for line in lines:
        assert text_to_path.get_text_width_height_descent(line, font, False)[0] <= 72 * width


def test_lines_break_between_words_and_between_chinese_letters() -> None:
    assert wrapped("raw attention\nof heads", 0.75) == ["raw attention", "of heads"]
    assert wrapped("raw attention", 0.5) == ["raw", "attention"]
    assert wrapped("一二三四五六", 3.5 * 7 / 72) == ["一二三", "四五六"]


def test_one_scale_leaves_a_single_outlier_out() -> None:
    values = np.linspace(0, 1, 999, dtype=np.float32)
    maps = [
        Heatmap(values[:, None], BOX, "test"),
        Heatmap(np.array([[50.0]], np.float32), BOX, "test"),
    ]
    low, high = shared_scale(maps)
    assert low == 0
    assert high == pytest.approx(0.996, abs=1e-3)


def test_head_maps_are_the_attention_method(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, make_photo())
    for query in ("cls", (1, 2)):
        maps = head_maps(rec, 1, query)
        assert list(maps) == [None, *range(rec.num_heads(1))]
        for head, heat in maps.items():
            expected = vitviz.explain(rec, "attention", query, layer=1, head=head)
            np.testing.assert_allclose(heat.values, expected.values, rtol=1e-6)
            assert heat.box == expected.box


def test_the_arrays_are_the_recordings(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, make_photo())
    buffer = BytesIO()
    write_attention(rec, buffer)
    buffer.seek(0)
    with np.load(buffer) as arrays:
        for layer in range(rec.num_layers):
            np.testing.assert_array_equal(arrays[f"attention_{layer}"], rec.attention(layer))
        assert tuple(arrays["grid"]) == rec.grid
        assert int(arrays["num_prefix_tokens"]) == rec.num_prefix_tokens
        np.testing.assert_allclose(
            arrays["probabilities"], [p.probability for p in rec.predictions]
        )
        for name in arrays:
            word = "attention_<layer>" if name.startswith("attention") else name
            assert word in str(arrays["readme"]) or name == "readme"


@pytest.mark.parametrize("title", ["第 3 层", "各头平均", "layer 3", "5 $ and 6 $", "a_b"])
def test_titles_have_their_characters(title: str) -> None:
    figure = draw_figure(make_photo(), {title: {title: flat(1.0)}})
    assert words(figure)[:2] == [title, title]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character that no font has
        save_figure(figure, BytesIO(), "png")
