"""A sample is seen once for all visitors, and what a visitor does stays that visitor's."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from time import sleep

import lesson_pages
import pytest
from light_model import light_model
from pages import PATIENCE, at, opened, page
from PIL import Image
from streamlit.testing.v1 import AppTest
from visits import recording, session

import vitviz
from vitviz.memo import Memo
from vitviz.ui.app import warm_up
from vitviz.ui.course.widgets import for_all, run_once
from vitviz.ui.visit.kept import Kept
from vitviz.ui.visit.session import Photo, Session
from vitviz.ui.visit.shared_samples import MOST_HELD, SharedSamples
from vitviz.ui.visit.turns import QUEUE
from vitviz.zoo.catalogue import BUNDLED, offer

APP = Path(__file__).parents[2] / "app.py"


def made(key: str = "a", *, bundled: bool = False, whole: bool = False) -> Session:
    picture = Image.new("RGB", (60, 40))
    rec = vitviz.record(light_model(), picture)
    kept, model = Kept(rec, rests=False), offer(BUNDLED)
    model = model if bundled else replace(model, name="another")
    return Session(model, Photo(key, b"", key, key, "", sample=True), whole, picture, 1.0, kept)


def test_copies_share_what_the_model_computed_and_no_result_of_their_own() -> None:
    samples, first = SharedSamples(), made()
    mine = samples.keep(first)
    yours = samples.find(first.rec.vit, "a", False)
    assert yours is not None
    assert mine.rec.pixels is yours.rec.pixels is first.rec.pixels
    assert mine.rec.layers is yours.rec.layers
    assert mine.jpeg is yours.jpeg
    assert mine.small_jpeg is yours.small_jpeg
    mine.rec.derived.keep("key", 1)
    assert yours.rec.derived.find("key") is None
    mine.results.keep("key", 2)
    assert yours.results.find("key") == 2


def test_who_comes_second_takes_what_the_first_made() -> None:
    samples = SharedSamples()
    ours = [samples.keep(made()), samples.keep(made())]
    assert ours[0].rec.pixels is ours[1].rec.pixels
    assert samples.find(light_model(), "a", True) is None
    assert samples.find(light_model(), "b", False) is None
    assert samples.find(object(), "a", False) is None


@pytest.mark.parametrize("bundled", [True, False])
def test_only_the_bundled_models_stay_when_all_visitors_leave(bundled: bool) -> None:
    samples, vit = SharedSamples(), light_model()
    mine = samples.keep(made(bundled=bundled))
    gc.collect()
    assert samples.find(vit, "a", False) is not None
    del mine
    gc.collect()
    assert (samples.find(vit, "a", False) is not None) == bundled


def test_those_that_stay_are_bounded() -> None:
    samples, vit = SharedSamples(), light_model()
    first = made(bundled=True)
    for number in range(MOST_HELD + 2):
        samples.keep(replace(first, photo=replace(first.photo, key=str(number))))
    del first
    gc.collect()
    there = [samples.find(vit, str(n), False) is not None for n in range(MOST_HELD + 2)]
    assert there == [False, False] + [True] * MOST_HELD


@pytest.fixture
def runs() -> Iterator[list[int]]:
    """The sizes of the batches that the model is given."""
    sizes: list[int] = []
    hook = light_model().module.register_forward_pre_hook(
        lambda _, given: sizes.append(len(given[0]))
    )
    yield sizes
    hook.remove()


@pytest.mark.usefixtures("light")
class TestTwoVisitors:
    def test_one_forward_pass_for_both(self, runs: list[int]) -> None:
        first = opened("explore", sample="cat")
        assert sum(runs) == 1
        second = opened("explore", sample="cat")
        assert sum(runs) == 1
        assert session(first) is not session(second)
        assert recording(first).pixels is recording(second).pixels
        opened("explore", sample="coffee")
        assert sum(runs) == 2

    def test_after_the_warm_up_the_first_pages_run_no_model(
        self, runs: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vitviz.ui.app.serving", lambda: True)
        answered: list[int] = []
        warm_up(lambda: answered.append(sum(runs)))
        [first] = answered
        assert 0 < first < sum(runs)
        assert sum(runs) >= len(vitviz.samples())
        runs.clear()
        opened("explore", sample="coffee")
        at(AppTest.from_file(str(APP), default_timeout=PATIENCE))
        assert sum(runs) == 0

    def test_a_comparison_is_measured_once(self, runs: list[int]) -> None:
        first = page("compare", sample="cat", methods="attention")
        runs.clear()
        second = page("compare", sample="cat", methods="attention", lang="zh")
        assert sum(runs) == 0
        tables = [app.dataframe[0].value.to_numpy()[:, 2:] for app in (first, second)]
        assert (tables[0] == tables[1]).all()
        page("compare", sample="cat", methods="attention", exact="true")
        assert sum(runs) > 0

    def test_what_a_lesson_computes_of_it_is_computed_once(self, runs: list[int]) -> None:
        """What the model says without each block."""
        lesson_pages.opened("pretraining", sample="cat", step="7")
        assert sum(runs) > 1
        runs.clear()
        lesson_pages.opened("pretraining", sample="cat", step="7", lang="zh")
        assert sum(runs) == 0

    def test_a_photo_of_ones_own_is_nobody_elses(self, runs: list[int]) -> None:
        apps = [self.own_photo() for _ in range(2)]
        assert sum(runs) == 2
        assert recording(apps[0]).pixels is not recording(apps[1]).pixels
        assert session(apps[0]).results is recording(apps[0]).derived

    def own_photo(self) -> AppTest:
        def show() -> None:
            import vitviz
            from vitviz.ui.controls.photo_picker import open_photo
            from vitviz.ui.visit.analyse import analyse
            from vitviz.zoo.catalogue import BUNDLED

            analyse(open_photo(vitviz.samples()[0].path.read_bytes(), "cat.jpg"), BUNDLED)

        app = AppTest.from_function(show, default_timeout=120).run()
        assert not app.exception
        return app


class TestOnce:
    """What takes long is computed by the first who asks, in a turn; the others find it."""

    def test_who_waited_finds_it(self) -> None:
        memory, computed, begun = Memo(), [], Barrier(3)

        def ask(_: int) -> str:
            begun.wait()
            return run_once(memory, "name", "asked", compute)

        def compute() -> str:
            computed.append(1)
            sleep(0.2)
            return "found"

        with QUEUE.short(), ThreadPoolExecutor(3) as pool:  # one turn is left
            found = list(pool.map(ask, range(3)))
        assert found == ["found"] * 3
        assert len(computed) == 1

    def test_what_visitors_typed_is_their_own(self) -> None:
        """Nothing that is kept for all hangs on it."""
        app = lesson_pages.opened("captions", step="4", caption="my secret")
        assert session(app).own.find(("my secret",), "caption") is not None
        for memory in (for_all(), session(app).results):
            assert "secret" not in str(vars(memory))
