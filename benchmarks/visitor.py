"""What the benchmarks of the app share: the app, and visitors who use it as a browser does."""

from __future__ import annotations

import io
import itertools
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from vitviz.photos.samples import samples

ROOT = Path(__file__).parent.parent
PATIENCE = 600.0  # seconds for a part of a page
MEGAPIXELS = 12  # of the photos that visitors bring
COMPONENTS = {  # of a whole page, by its address
    "": {"vitviz_photo_gallery", "vitviz_journey"},
    "explore": {"vitviz_photo_gallery", "vitviz_patch_map", "vitviz_map_sheet"},
    "compare": {"vitviz_photo_gallery", "vitviz_map_sheet"},
    "attention": {"vitviz_photo_gallery"},
    "class": {"vitviz_browser_memory"},
}
CONTROLS: dict[str, list[dict[str, Any]]] = {
    "Layer": [{"double_array_value": {"data": [layer]}} for layer in range(12)],
    "Head": [{"string_array_value": {"data": [head]}} for head in ("mean", *"012345")],
    "Query": [{"string_value": f"{i % 16},{i * 5 % 16}"} for i in range(16)],
    "Strength": [{"double_array_value": {"data": [i / 20]}} for i in range(21)],
    "Show": [{"string_array_value": {"data": [view]}} for view in ("Heads", "All", "Layers")],
}
EARLY = ForwardMsg.FINISHED_EARLY_FOR_RERUN  # another run makes the page
FORM = "vitviz"  # separates the parts of an upload


class Visitor:
    """A browser with one tab.

    Attributes:
        first_page: seconds until it was there.
        received: bytes of the last page.
    """

    def __init__(
        self, port: int, sample: str = "cat", page: str = "explore", more: str = ""
    ) -> None:
        """Open a page; `more` is what else its address says, such as "&step=3"."""
        self.page, self.query = page, f"sample={sample}{more}"
        self._server = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{self._server}/_stcore/health") as answer:
            given = [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie")]
        self._cookie = "; ".join(given)  # one of a proxy's may name a replica
        self._token = dict(pair.split("=", 1) for pair in given)[XSRF_COOKIE_NAME].strip('"')
        self.socket = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            additional_headers={"Cookie": self._cookie},
            max_size=None,
            compression=None,
            legacy=True,
        )
        self._session = self._uploader = ""
        self._widgets: dict[str, tuple[str, str]] = {}  # label → id, part of the page
        self._values: dict[str, dict[str, Any]] = {}
        self.received = 0
        self.first_page = self._run()

    def look_at(self, sample: str) -> float:
        """Choose a sample; seconds until the page shows it."""
        self.query = f"sample={sample}"
        return self._run()

    def change(self, label: str, value: dict[str, Any]) -> float:
        """Change a control; seconds until the page is redrawn."""
        id, part = self._widgets[label]
        self._values[id] = value
        return self._run(part)

    def bring(self, photo: bytes) -> float:
        """Upload a photo; seconds until the page shows it."""
        start, file, field = time.perf_counter(), str(uuid4()), self._uploader
        self._put(file, photo)
        info = {"file_id": file, "name": "photo.jpg", "size": len(photo)}
        self._values[field] = {"file_uploader_state_value": {"uploaded_file_info": [info]}}
        self.query = ""
        self._run()
        del self._values[field]  # the next page has another one
        return time.perf_counter() - start

    def leave(self) -> None:
        self.socket.close()

    def _put(self, file: str, photo: bytes) -> None:
        head = f'Content-Disposition: form-data; name="{file}"; filename="photo.jpg"'
        body = f"--{FORM}\r\n{head}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + photo
        request = urllib.request.Request(
            f"{self._server}/_stcore/upload_file/{self._session}/{file}",
            body + f"\r\n--{FORM}--\r\n".encode(),
            {
                "Content-Type": f"multipart/form-data; boundary={FORM}",
                "Cookie": self._cookie,
                "X-Xsrftoken": self._token,
            },
            method="PUT",
        )
        urllib.request.urlopen(request).close()

    def _run(self, part: str = "") -> float:
        """Let the server make the page anew, or a part of it; seconds until it is there."""
        message = BackMsg()
        message.rerun_script.fragment_id = part
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        states = message.rerun_script.widget_states.widgets
        states.extend(WidgetState(id=key, **value) for key, value in self._values.items())
        start = time.perf_counter()
        self.socket.send(message.SerializeToString())
        self.received = 0
        found: set[str] = set()
        while True:
            raw = self.socket.recv(timeout=PATIENCE)
            assert isinstance(raw, bytes)
            self.received += len(raw)
            answer = ForwardMsg.FromString(raw)
            if answer.WhichOneof("type") == "script_finished" and answer.script_finished != EARLY:
                if not part and not found.issuperset(COMPONENTS[self.page]):
                    raise RuntimeError(f"The page came without all of its parts: {found}.")
                return time.perf_counter() - start
            found.add(self._learn(answer))

    def _learn(self, answer: ForwardMsg) -> str:
        """Remember the address and the ids of the controls; stop at an error or a warning.

        Returns:
            Which component of ours it is, if it is one.
        """
        told = answer.WhichOneof("type")
        if told == "new_session":
            self._session = answer.new_session.initialize.session_id
        if told == "page_info_changed":
            self.query = answer.page_info_changed.query_string
        if told != "delta":
            return ""
        element = answer.delta.new_element
        part = element.WhichOneof("type")
        shown: Any = getattr(element, part or "", None)
        if part in ("exception", "alert"):
            raise RuntimeError(str(shown))
        if part == "file_uploader":
            self._uploader = shown.id
        if getattr(shown, "label", "") in CONTROLS:
            self._widgets[shown.label] = shown.id, answer.delta.fragment_id
        return str(shown.component_name) if part == "bidi_component" else ""


@contextmanager
def app(log: IO[Any] | int = subprocess.DEVNULL) -> Iterator[tuple[int, int]]:
    """The app's port and process, started for as long as it is used.

    Args:
        log: a file for all that it writes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vitviz", "app", "--port", str(port)]
    room = {"VITVIZ_MAX_VISITORS": "1000"}  # who has left counts for two minutes more
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | room, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health").close()
                break
            except OSError:
                time.sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def resident(process: int) -> float:
    """Memory of a process and of those that it started, in MB."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        parents[int(stat.parent.name)] = int(fields[1]), int(fields[21])
    pages = sum(size for pid, (parent, size) in parents.items() if process in (pid, parent))
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def processor_time(process: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@cache
def _phone_photos() -> list[bytes]:
    """The samples as a phone would take them."""
    height = round((MEGAPIXELS * 1e6 * 3 / 4) ** 0.5)
    size = height * 4 // 3, height
    noise = np.random.default_rng(0).normal(0, 6, (*size[::-1], 1))
    made = []
    for sample in samples():
        photo = Image.open(sample.path).convert("RGB").resize(size)
        pixels = np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=88)
        made.append(file.getvalue())
    return made


def photos_of_ones_own(seed: int) -> Iterator[bytes]:
    """Photos of 12 megapixels without an end, each of them another file."""
    chance = random.Random(seed)
    for photo in itertools.cycle(_phone_photos()):
        mark = chance.randbytes(16)  # in a comment
        yield photo[:2] + b"\xff\xfe\x00\x12" + mark + photo[2:]
