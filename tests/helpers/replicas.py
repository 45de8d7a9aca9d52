"""Several servers behind the HAProxy that deploy/ configures, on this machine only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import light_app

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
DRAIN = 300  # seconds; the tests' visitors leave long before


def haproxy() -> str:
    """The program, which Debian installs where only root looks."""
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "apt-get install haproxy"
    return program


def until(happens: Callable[[], bool], what: str, seconds: float = 120) -> float:
    """Wait; how many seconds it took."""
    start = monotonic()
    while not happens():
        assert monotonic() - start < seconds, what
        sleep(0.2)
    return monotonic() - start


def status(address: str) -> int:
    """What an address answers; 0 if nobody is there."""
    try:
        return urllib.request.urlopen(address).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Replica:
    """A server of its own: one that ended can be started anew."""

    def __init__(self) -> None:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, self.owners_port = one.getsockname()[1], other.getsockname()[1]
        self.start()

    def start(self) -> None:
        settings = {
            "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
            "VITVIZ_METRICS_PORT": str(self.owners_port),
            "VITVIZ_DRAIN_SECONDS": str(DRAIN),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(light_app.__file__), "--port", str(self.port)],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
        )

    def ready(self) -> int:
        """What a proxy is told of it."""
        return status(f"http://127.0.0.1:{self.owners_port}/ready")

    def metrics(self) -> str:
        """What Prometheus is told of it."""
        address = f"http://127.0.0.1:{self.owners_port}/metrics"
        return urllib.request.urlopen(address).read().decode()

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)


@contextmanager
def behind_haproxy(folder: Path) -> Iterator[tuple[str, list[Replica]]]:
    """The address of a HAProxy before two of them, once both are ready."""
    with ExitStack() as stack:
        replicas = []
        for _ in range(2):
            replica = Replica()
            replicas.append(replica)
            stack.callback(lambda replica=replica: (replica.process.kill(), replica.process.wait()))
        lines = ["backend replicas from replicas"] + [
            f"    server replica{number} 127.0.0.1:{replica.port} check port {replica.owners_port}"
            for number, replica in enumerate(replicas)
        ]
        (folder / "replicas.cfg").write_text("\n".join(lines) + "\n")
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            port, owners = one.getsockname()[1], other.getsockname()[1]
        places = {
            "VITVIZ_BIND": f"127.0.0.1:{port}",
            "VITVIZ_OWNER_BIND": f"127.0.0.1:{owners}",
        }
        with (folder / "haproxy.log").open("w") as log:
            proxy = subprocess.Popen(
                [haproxy(), "-f", str(CONFIGURATION), "-f", str(folder / "replicas.cfg")],
                env={**os.environ, **places},
                stdout=log,
                stderr=log,
            )
        stack.callback(lambda: (proxy.kill(), proxy.wait()))
        for replica in replicas:
            until(lambda replica=replica: replica.ready() == 200, "a replica did not become ready")
        until(lambda: status(f"http://127.0.0.1:{owners}/ready") == 200, "HAProxy finds no replica")
        sleep(3)  # a check of the other one
        yield f"http://127.0.0.1:{port}", replicas
