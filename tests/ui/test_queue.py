"""Short work goes first, long work is done one after the other, and no place is ever lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitviz.ui.visit import queue as queue_module
from vitviz.ui.visit.queue import AT_ONCE, PATIENCE, Place, Queue


class NotYet(Exception):
    """Raised instead of waiting."""


def not_yet(*_: object) -> None:
    raise NotYet


def short_may_go(queue: Queue) -> bool:
    try:
        with queue.short(not_yet):
            return True
    except NotYet:
        return False


def long_may_go(queue: Queue) -> bool:
    try:
        with queue.long("another", "look", not_yet):
            return True
    except NotYet:
        return False


class Work(threading.Thread):
    """A long work of a visitor; the test says when it goes on, and whether it still wants to."""

    def __init__(self, queue: Queue, visitor: str, log: list[str], batches: int = 1) -> None:
        super().__init__(daemon=True)
        self.queue, self.visitor, self.log, self.batches = queue, visitor, log, batches
        self.waits, self.paused, self.begun = (threading.Event() for _ in range(3))
        self.goes_on, self.left = threading.Event(), threading.Event()
        self.places: list[Place] = []

    def tell(self, place: Place | None) -> None:
        if self.left.is_set():
            raise NotYet
        if place is None:
            self.paused.set()
        else:
            self.places.append(place)
            self.waits.set()

    def run(self) -> None:
        try:
            with self.queue.long(self.visitor, "work", self.tell) as progress:
                self.begun.set()
                for number in range(self.batches):
                    self.log.append(self.visitor)
                    self.goes_on.wait()
                    progress((number + 1) / self.batches)
        except NotYet:
            self.log.append(f"{self.visitor} left")


@contextmanager
def waiting(queue: Queue, visitors: str, log: list[str]) -> Iterator[list[Work]]:
    """The first has begun, the others stand behind it in their order."""
    works = [Work(queue, visitor, log) for visitor in visitors]
    for number, work in enumerate(works):
        work.start()
        (work.waits if number else work.begun).wait()
    yield works
    for work in works:
        work.goes_on.set()
    for work in works:
        work.join()


class TestShortWork:
    def test_two_at_once(self) -> None:
        queue = Queue()
        with queue.short():
            with queue.short():
                assert AT_ONCE == 2
                assert not short_may_go(queue)
            assert short_may_go(queue)

    def test_goes_beside_a_long_works_batch_and_before_the_next(self) -> None:
        """However many long works stand in the queue."""
        queue, log = Queue(), []
        work = Work(queue, "long", log, batches=3)
        work.start()
        work.begun.wait()
        others = [Work(queue, name, log) for name in "bcde"]
        for other in others:
            other.start()
            other.waits.wait()
        with queue.short():
            log.append("photo")
            assert not short_may_go(queue)  # the batch runs beside it
            work.goes_on.set()
            work.paused.wait()
            assert short_may_go(queue)
            log.append("photo done")
        for other in others:
            other.goes_on.set()
            other.join()
        assert log == ["long", "photo", "photo done", "long", "long", *"bcde"]

    def test_who_came_first_goes_first(self) -> None:
        queue, log = Queue(), []
        arrived = [threading.Event() for _ in range(4)]

        def ask(number: int) -> None:
            with queue.short(arrived[number].set):
                log.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        with queue.short():
            with queue.short():
                for thread, event in zip(threads, arrived, strict=True):
                    thread.start()
                    event.wait()
            # one place is free: they go through it one after the other
            for thread in threads:
                thread.join()
        assert log == [0, 1, 2, 3]

    def test_giving_up_leaves_no_place_taken(self) -> None:
        queue = Queue()
        with queue.short(), queue.short():
            for _ in range(3):
                assert not short_may_go(queue)
        with queue.short():
            assert short_may_go(queue)

    def test_an_error_gives_the_turn_back(self) -> None:
        queue = Queue()
        for _ in range(3):
            with pytest.raises(ValueError, match="wrong"), queue.short():
                raise ValueError("wrong")
        with queue.short():
            assert short_may_go(queue)


class TestLongWork:
    def test_waits_while_short_work_runs(self) -> None:
        queue = Queue()
        with queue.short():
            assert not long_may_go(queue)
        assert long_may_go(queue)

    def test_one_after_the_other_in_their_order(self) -> None:
        log: list[str] = []
        with waiting(Queue(), "abcd", log) as works:
            assert [work.places[0].ahead for work in works[1:]] == [1, 2, 3]
            assert log == ["a"]
        assert log == ["a", "b", "c", "d"]

    def test_each_visitors_first_goes_before_anybodys_second(self) -> None:
        log: list[str] = []
        with waiting(Queue(), "aabacb", log) as works:
            assert [work.places[0].ahead for work in works[1:]] == [1, 1, 3, 2, 4]
        assert log == ["a", "b", "c", "a", "b", "a"]

    def test_who_leaves_makes_room(self) -> None:
        log: list[str] = []
        with waiting(Queue(), "abcd", log) as (_, b, c, _):
            b.left.set()
            b.join()
            c.left.set()
            c.join()
        assert log == ["a", "b left", "c left", "d"]

    def test_who_leaves_between_two_batches_makes_room(self) -> None:
        queue, log = Queue(), []
        work = Work(queue, "a", log, batches=5)
        work.start()
        work.begun.wait()
        with queue.short():
            work.goes_on.set()
            work.paused.wait()
            work.left.set()
            work.join()
        assert log == ["a", "a left"]
        assert long_may_go(queue)

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
    def test_whatever_ends_it_gives_the_place_back(self, error: type[BaseException]) -> None:
        queue = Queue()

        def fail() -> None:
            with queue.long("a", "work", not_yet) as progress:
                progress(0.5)
                raise error

        with pytest.raises(error):
            fail()
        assert long_may_go(queue)
        with queue.short():
            assert short_may_go(queue)

    def test_is_not_starved_by_short_work(self) -> None:
        """After so many its next batch goes first."""
        queue, went = Queue(), []

        def go_before(place: Place | None) -> None:
            while short_may_go(queue):
                went.append(place)

        with queue.long("a", "work", go_before) as progress, queue.short():
            progress(0.5)
            assert went == [None] * PATIENCE
            assert not short_may_go(queue)  # its batch and a short work run
            progress(1.0)
            assert went == [None] * 2 * PATIENCE


class TestExpectation:
    def test_nothing_is_said_where_nothing_is_known(self) -> None:
        log: list[str] = []
        with waiting(Queue(), "ab", log) as works:
            assert works[1].places[0] == Place(1, None)

    def test_is_what_such_works_took(self) -> None:
        now = [0.0]
        queue = Queue(lambda: now[0])
        for seconds in (10.0, 50.0, 12.0):  # their median is 12
            with queue.long("earlier", "work", not_yet):
                now[0] += seconds
        with waiting(queue, "ab", []) as works:
            assert works[1].places[0] == Place(1, 12.0)
            now[0] += 5
            third = Work(queue, "c", [])
            third.start()
            third.waits.wait()
            assert third.places[0] == Place(2, 7.0 + 12.0)
            now[0] += 100  # longer than any before
            fourth = Work(queue, "d", [])
            fourth.start()
            fourth.waits.wait()
            assert fourth.places[0] == Place(3, 0.0 + 12.0 + 12.0)
            for work in (third, fourth):
                work.goes_on.set()

    def test_what_runs_tells_by_its_share(self) -> None:
        now = [0.0]
        queue = Queue(lambda: now[0])
        seen: list[Any] = []

        def look(place: Place | None) -> None:
            seen.append(place)
            raise NotYet

        with queue.long("a", "work", not_yet) as progress:
            for share, seconds in ((0.05, 1.0), (0.25, 4.0), (0.5, 5.0)):
                now[0] += seconds
                progress(share)
                with pytest.raises(NotYet), queue.long("b", "work", look):
                    pass
        # 5 s for a quarter: 15 for the rest; 10 for a half: 10
        assert seen == [Place(1, None), Place(1, 15.0), Place(1, 10.0)]

    def test_another_kind_of_work_tells_nothing(self) -> None:
        queue = Queue()
        with queue.long("a", "training", not_yet):
            pass
        with waiting(queue, "ab", []) as works:
            assert works[1].places[0].seconds is None

    def test_work_that_was_ended_tells_nothing(self) -> None:
        queue = Queue()
        with pytest.raises(ValueError, match="wrong"), queue.long("a", "work", not_yet):
            raise ValueError("wrong")
        with waiting(queue, "ab", []) as works:
            assert works[1].places[0].seconds is None


class Watched:
    """Counts who runs at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


@given(seed=st.integers(0, 2**32), visitors=st.integers(2, 12))
def test_many_threads(seed: int, visitors: int) -> None:
    """All are served, never too many at once, and afterwards every place is free. Nobody looks
    again by himself here: a lost wake-up would be waited for in vain."""
    queue, model, long = Queue(), Watched(), Watched()

    def use(chance: random.Random) -> None:
        for _ in range(4):
            fails = chance.random() < 0.3
            try:
                if chance.random() < 0.5:
                    with queue.short(), model:
                        if fails:
                            raise NotYet
                else:
                    work(chance, fails)
            except NotYet:
                pass

    def work(chance: random.Random, fails: bool) -> None:
        batches = chance.randint(1, 5)
        with queue.long(chance.randint(0, 3), "work", lambda _: None) as progress, long:
            for number in range(batches):
                with model:
                    if fails and number == batches // 2:
                        raise NotYet
                progress((number + 1) / batches)

    run_all([lambda i=i: use(random.Random(seed + i)) for i in range(visitors)])
    assert model.most <= AT_ONCE
    assert long.most <= 1
    assert long_may_go(queue)
    with queue.short():
        assert short_may_go(queue)


@given(seed=st.integers(0, 2**32))
def test_many_threads_some_of_which_leave_while_they_wait(seed: int) -> None:
    queue, done = Queue(), []

    def use(number: int) -> None:
        chance = random.Random(seed + number)
        leave = chance.random() < 0.5

        def tell(_: object = None) -> None:
            if leave:
                raise NotYet

        for _ in range(4):
            try:
                with queue.short(tell):
                    pass
                with queue.long(number % 3, "work", tell) as progress:
                    progress(0.5)
            except NotYet:
                pass
        done.append(number)

    run_all([lambda i=i: use(i) for i in range(8)])
    assert sorted(done) == list(range(8))
    assert long_may_go(queue)


def run_all(jobs: list[Callable[[], None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "PULSE", None)
        threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
