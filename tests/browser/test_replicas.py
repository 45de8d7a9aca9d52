"""Two servers behind HAProxy, in a browser: a visitor keeps theirs, one that ends takes nobody
along, and the policy for what a page may load breaks nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import light_app
import pytest
from playwright.sync_api import Browser, expect
from waiting import a_run, wait_until_idle

import vitviz
from benchmarks.haproxy import Replica, behind_haproxy, until

# Streamlit's one script in the page, for crawlers; and a quicker way to compute with long integers,
# which its protobuf does without.
REFUSED = {"script-src-elem inline", "script-src wasm-eval"}
LINK = "/explore?sample=coffee&attention_layer=2"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Replica]]]:
    program = [str(light_app.__file__)]
    with behind_haproxy(tmp_path_factory.mktemp("haproxy"), 2, program) as (port, replicas):
        yield f"http://127.0.0.1:{port}", replicas


class Visitor:
    """A browser of its own, which notes what the policy refuses."""

    def __init__(self, browser: Browser, address: str, link: str) -> None:
        self.context = browser.new_context(reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.add_init_script(
            """window.refused = []
            addEventListener("securitypolicyviolation", (event) =>
                refused.push(`${event.violatedDirective} ${event.blockedURI}`))"""
        )
        self.go(address + link)

    def go(self, address: str) -> None:
        self.page.goto(address)
        wait_until_idle(self.page)

    @property
    def replica(self) -> str:
        """Which one the cookie names."""
        [cookie] = [c["value"] for c in self.context.cookies() if c["name"] == "replica"]
        return cookie

    @property
    def link(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.page.url).query)

    @property
    def refused(self) -> set[str]:
        return set(self.page.evaluate("refused"))

    def connected(self) -> bool:
        app = self.page.locator("[data-testid=stApp]")
        return app.get_attribute("data-test-connection-state") == "CONNECTED"

    def missing_pictures(self) -> list[str]:
        return self.page.evaluate(
            "[...document.images].filter((i) => !i.naturalWidth).map((i) => `${i.alt} ${i.src}`)"
        )

    def wait_for_pictures(self) -> None:
        try:
            until(lambda: not self.missing_pictures(), "pictures are missing", 60)
        except AssertionError:
            raise AssertionError(self.missing_pictures()) from None

    def bring(self, photo: Path) -> None:
        self.page.get_by_role("button", name="Your own photo").click()
        self.page.locator("input[type=file]").set_input_files(photo)
        mine = self.page.get_by_role("button", name="Your photo", exact=True)
        expect(mine).to_have_attribute("aria-pressed", "true")
        wait_until_idle(self.page)


def visitors(replica: Replica) -> float:
    """How many are in, as Prometheus is told."""
    return replica.metric('vitviz_visitors{state="inside"}')


def test_servers_end_and_their_visitors_go_on(
    browser: Browser, servers: tuple[str, list[Replica]]
) -> None:
    address, replicas = servers

    one = Visitor(browser, address, LINK)
    [home] = [replica for replica in replicas if visitors(replica) == 1]
    [away] = [replica for replica in replicas if replica is not home]
    other = Visitor(browser, address, LINK)  # to the one with fewer visitors
    assert (visitors(home), visitors(away)) == (1, 1)
    first, second = one.replica, other.replica
    assert first != second

    # Pages, pictures, uploads and charts come from the same one, and the policy lets them.
    one.bring(next(sample.path for sample in vitviz.samples() if sample.id == "cat"))
    one.wait_for_pictures()
    assert one.refused <= REFUSED
    other.go(f"{address}/pretraining?step=6")
    drawn = other.page.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")
    expect(drawn).to_have_count(1)
    assert other.refused <= REFUSED
    other.go(address + LINK)
    assert (one.replica, other.replica) == (first, second)

    # An update: home is asked to end. Who is there goes on, with the photo; nobody comes any more.
    home.end(signal.SIGTERM)
    until(lambda: home.ready() == 404, "it does not drain")
    one.page.wait_for_timeout(5_000)  # two checks
    third = Visitor(browser, address, LINK)
    assert third.replica == second
    one.page.get_by_role("button", name="Coffee").first.click()
    wait_until_idle(one.page)
    one.page.get_by_role("button", name="Your photo", exact=True).click()
    wait_until_idle(one.page)
    one.wait_for_pictures()
    assert one.replica == first
    assert home.process.poll() is None
    one.context.close()
    until(lambda: home.process.poll() is not None, "it waits for nobody")
    assert home.process.returncode == 0, home.log.read_text()
    home.start()
    until(lambda: home.ready() == 200, "it does not come back")

    # A death: its visitors are at the other one, by themselves and with the same page; what they
    # change is made there, with all the rest.
    link = other.link
    away.end(signal.SIGKILL)
    for visitor in (other, third):
        until(lambda visitor=visitor: visitor.replica == first, "a visitor is lost")
        until(visitor.connected, "a visitor is not back")
        wait_until_idle(visitor.page)
        assert visitor.link == link
        layer = visitor.page.get_by_role("slider", name="Layer")
        layer.focus()
        with a_run(visitor.page):
            layer.press("ArrowRight")
        until(lambda visitor=visitor: visitor.link["attention_layer"] == ["3"], "nothing is made")
        assert visitor.link == link | {"attention_layer": ["3"]}
        visitor.wait_for_pictures()
    assert visitors(home) == 2
    for visitor in (other, third):
        visitor.context.close()
