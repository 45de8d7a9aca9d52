"""Maps one after the other: how many frames, what each shows, how long it lasts."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from families import make_photo
from PIL import Image

import vitviz

BOX = (0.0, 0.0, 160.0, 120.0)
VALUES = np.array([[0, 1, 2], [3, 4, 5]], np.float32)
MAPS = {f"layer {n}, 第 {n} 层": vitviz.Heatmap(np.roll(VALUES, n), BOX, "test") for n in range(6)}


def frames(path: Path) -> list[np.ndarray]:
    """What a player shows, RGB."""
    if path.suffix == ".gif":
        with Image.open(path) as file:
            found = []
            for number in range(file.n_frames):
                file.seek(number)
                found.append(np.asarray(file.convert("RGB")))
            return found
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(read[1][..., ::-1])
    return found


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_each_frame_is_its_overlay_on_one_scale(ending: str, tmp_path: Path) -> None:
    photo, path = make_photo(), tmp_path / f"layers.{ending}"
    vitviz.animation(photo, MAPS, path, scale=(0, 5))
    shown = frames(path)
    assert len(shown) == len(MAPS)
    large = photo.resize((640, 480), Image.Resampling.LANCZOS)
    caption = next(n for n in range(shown[0].shape[0]) if (np.ptp(shown[0][n : n + 9, :9]) > 30))
    for frame, heat in zip(shown, MAPS.values(), strict=True):
        expected = np.asarray(vitviz.overlay(large, heat.scaled(4), scale=(0, 5)), int)
        near = [
            np.abs(frame[top : top + 480, :640] - expected).mean()
            for top in range(max(0, caption - 10), caption + 20)
        ]
        assert min(near) < 9
    others = [np.abs(shown[0][:, :640].astype(int) - frame[:, :640]).mean() for frame in shown[1:]]
    assert min(others) > 9  # the frames do differ


@pytest.mark.parametrize("colormap", ["inferno", "viridis"])
def test_a_gif_keeps_the_colours_of_its_bar(tmp_path: Path, colormap: str) -> None:
    """However few pixels the bar has: the lowest, the middle and the highest are in it."""
    vitviz.animation(make_photo(), MAPS, tmp_path / "a.gif", colormap=colormap)
    known = matplotlib.colormaps[colormap](np.linspace(0, 1, 32), bytes=True)[:, :3].astype(int)
    for frame in frames(tmp_path / "a.gif"):
        bar = frame[-120:].reshape(-1, 3).astype(int)
        for colour in known:
            assert np.abs(bar - colour).sum(axis=1).min() <= 3


def test_a_gif_lasts_as_asked_and_goes_round(tmp_path: Path) -> None:
    vitviz.animation(make_photo(), MAPS, tmp_path / "a.gif", seconds=0.3)
    with Image.open(tmp_path / "a.gif") as file:
        assert file.info["duration"] == 300
        assert file.info["loop"] == 0


def test_an_mp4_lasts_as_asked_and_is_vp9(tmp_path: Path) -> None:
    vitviz.animation(make_photo(), MAPS, tmp_path / "a.mp4", seconds=0.25)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(4)
    assert b"vp09" in (tmp_path / "a.mp4").read_bytes()


def test_photos_of_other_shapes_share_a_frame(tmp_path: Path) -> None:
    """As frames of a video are, each with its own photo, or of one upright and one across."""
    photos = [make_photo(), make_photo().rotate(90, expand=True)]
    boxes = [BOX, (0.0, 0.0, 120.0, 160.0)]
    maps = [vitviz.Heatmap(VALUES, box, "test") for box in boxes]
    vitviz.animation(photos, maps, tmp_path / "a.gif")
    first, second = frames(tmp_path / "a.gif")
    assert first.shape == second.shape
    assert first.shape[1] == 640
    assert (second[200:400, :60] >= 248).mean() > 0.9  # white beside the upright one
    assert (first[200:400, :60] >= 248).mean() < 0.5


@pytest.mark.parametrize(
    ("id", "changed"),
    [
        ("animation_file_ending", {"path": "a.webm"}),
        ("animation_without_maps", {"heats": []}),
        ("photos_and_frames_differ", {"photo": [make_photo()] * 2}),
        ("seconds_out_of_range", {"seconds": 0.0}),
        ("letter_not_in_font", {"heats": {"แมว": MAPS["layer 0, 第 0 层"]}}),
        ("no_such_scale", {"scale": "mine"}),
    ],
)
def test_what_cannot_be_shown_is_refused(
    id: str, changed: dict[str, object], tmp_path: Path
) -> None:
    given = {"photo": make_photo(), "heats": MAPS, "path": "a.gif", **changed}
    given["path"] = tmp_path / str(given["path"])
    with pytest.raises(vitviz.VitvizError) as raised:
        vitviz.animation(**given)
    assert raised.value.id == id
    assert not list(tmp_path.iterdir())


def test_without_the_encoder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitviz.pictures.animation.CODEC", "none")
    with pytest.raises(vitviz.VitvizError) as raised:
        vitviz.animation(make_photo(), MAPS, tmp_path / "a.mp4")
    assert raised.value.id == "no_video_encoder"
    assert not list(tmp_path.iterdir())
