"""How fast the journey is: from the recording to the page, and in headless Chromium.

    python -m benchmarks.journey

Targets: the first frame within 1 s, a move of the pointer in 16 ms at 257 tokens and in 50 ms at
1,025, 50 frames a second while it plays. A move costs its listener and the frame that it asks for,
until the canvas is drawn; waiting for the screen's next frame is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import timm
import torch
from playwright.sync_api import Page, sync_playwright

import vitviz
from vitviz.journey.document import cls_document

FLAGS = ["--no-sandbox", "--disable-gpu"]
# What each frame of the component costs until it is drawn, and when the first was.
WATCH = """
const native = window.requestAnimationFrame.bind(window)
window.costs = []
window.requestAnimationFrame = (call) => native((now) => {
  const start = performance.now()
  call(now)
  for (const canvas of document.querySelectorAll(".scene, .marks, .head-photo"))
    canvas.getContext("2d").getImageData(0, 0, 1, 1)
  window.costs.push(performance.now() - start)
  if (window.journey?.state) window.first ??= performance.now()
})
window.nextFrame = () => new Promise((resolve) => native(() => native(resolve)))
"""
FIRST = """async () => {
  while (!window.first) await nextFrame()
  return window.first
}"""
# Milliseconds of each of so many moves over the part of an element that shows patches.
MOVES = """async ([selector, top, side, moves]) => {
  const node = document.querySelector(selector)
  const box = node.getBoundingClientRect()
  const costs = []
  for (let i = 0; i < moves; i++) {
    const [clientX, clientY] = [box.left + 4 + ((37 * i) % side), box.top + top + ((53 * i) % side)]
    window.costs = []
    const start = performance.now()
    node.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }))
    node.getContext("2d").getImageData(0, 0, 1, 1)
    const listened = performance.now() - start
    await nextFrame()
    costs.push(listened + window.costs.reduce((a, b) => a + b, 0))
  }
  return costs
}"""
# Frames a second from the first moment to the last, and what each of them cost.
PLAYED = """async () => {
  const { state } = window.journey
  window.costs = []
  const start = performance.now()
  while (state.playing) await nextFrame()
  return [window.costs.length / ((performance.now() - start) / 1000), window.costs]
}"""


def processor() -> str:
    """This machine's, as far as it says."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(": ")[2] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def large_model() -> vitviz.Vit:
    """32 × 32 patches, random and narrow."""
    torch.manual_seed(0)
    sizes = {"img_size": 512, "embed_dim": 96, "num_heads": 6}
    return vitviz.from_module(timm.create_model("vit_tiny_patch16_224", **sizes).eval())


@contextmanager
def browser_page() -> Iterator[Page]:
    """A desktop page that times its frames."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium-headless-shell")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(WATCH)
        yield page
        browser.close()


def spread(costs: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{statistics.median(costs):.1f} | {statistics.quantiles(costs, n=20)[-1]:.1f}"


def measure(vit: vitviz.Vit, moves: int) -> None:
    """A table of one model."""
    clock = [time.perf_counter()]
    rec = vitviz.record(vit, vitviz.samples()[0].path)
    clock.append(time.perf_counter())
    document = cls_document(rec)
    clock.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        vitviz.write_page(rec, file)
        clock.append(time.perf_counter())
        recording, made, written = (1000 * (end - start) for start, end in pairwise(clock))
        size = sum(values.nbytes for values in document.arrays.values())
        print(f"\n{rec.num_tokens} tokens, {rec.num_layers} layers of {rec.num_heads(0)} heads\n")
        print("| what | value | 95 % |\n|---|---|---|")
        print(f"| recording | {recording:.0f} ms | |")
        print(f"| from it the document, {size / 1e6:.2f} MB | {made:.0f} ms | |")
        print(f"| from it the file, {file.stat().st_size / 1e6:.2f} MB | {written:.0f} ms | |")
        with browser_page() as page:
            in_browser(page, file, moves)


def in_browser(page: Page, file: Path, moves: int) -> None:
    """The rows of what the browser does."""
    page.goto(file.as_uri())
    print(f"| navigation to the first frame | {page.evaluate(FIRST):.0f} ms | |")
    rate, costs = page.evaluate(PLAYED)
    print(f"| frames a second while it plays | {rate:.0f} | |")
    print(f"| each of them, ms | {spread(costs)} |")
    print(f"| move on the photo, ms | {spread(page.evaluate(MOVES, ['.scene', 34, 200, moves]))} |")
    page.get_by_role("button", name="Open block 5", exact=True).click()
    page.locator(".matrix-button").first.click()
    for name, selector in (("matrix", ".marks"), ("head’s photo", ".head-photo")):
        page.locator(selector).wait_for()
        costs = page.evaluate(MOVES, [selector, 4, 280, moves])
        print(f"| move on the {name}, ms | {spread(costs)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=100, help="of the pointer on each picture")
    args = parser.parse_args()
    print(processor())
    for vit in (vitviz.load_model(), large_model()):
        measure(vit, args.moves)


if __name__ == "__main__":
    main()
