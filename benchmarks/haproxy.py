"""Several servers behind the HAProxy that deploy/ configures, on this machine only: for the
benchmark of replicas, and for the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
VITVIZ = ("-m", "vitviz", "app")
DRAIN = "300"  # seconds


def haproxy() -> str:
    """The program, which Debian installs where only root looks."""
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "apt-get install haproxy"
    return program


def until(happens: Callable[[], bool], what: str, seconds: float = 300) -> float:
    """Wait; how many seconds it took.

    Raises:
        AssertionError: with `what`, if it does not happen in that time.
    """
    start = monotonic()
    while not happens():
        assert monotonic() - start < seconds, what
        sleep(0.1)
    return monotonic() - start


def status(address: str) -> int:
    """What an address answers; 0 if nobody is there."""
    try:
        with urllib.request.urlopen(address) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Replica:
    """A server of its own; one that has ended can be started anew.

    Attributes:
        log: the file with all that it said.
    """

    def __init__(self, program: Sequence[str], settings: Mapping[str, str], folder: Path) -> None:
        self.port, self.owners_port = two_ports()
        self.log = folder / f"replica-{self.port}.log"
        self._command = [sys.executable, *program, "--port", str(self.port)]
        self._environment = {
            **os.environ,
            "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
            "VITVIZ_METRICS_PORT": str(self.owners_port),
            "VITVIZ_DRAIN_SECONDS": DRAIN,
            "PYTHONFAULTHANDLER": "1",
            **settings,
        }
        self.start()

    def start(self) -> None:
        """It becomes ready some seconds later."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    def ready(self) -> int:
        """What a proxy is told of it."""
        return status(f"http://127.0.0.1:{self.owners_port}/ready")

    def metric(self, name: str) -> float:
        """A number that Prometheus is told of it, by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.owners_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name} ")]
        return float(line.rsplit(" ", 1)[1])

    def end(self, how: signal.Signals) -> None:
        """Ask it to, or end it."""
        self.process.send_signal(how)

    def remove(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def behind_haproxy(
    folder: Path,
    count: int,
    program: Sequence[str] = VITVIZ,
    settings: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, list[Replica]]]:
    """The port of a HAProxy before so many replicas, once it finds all of them ready.

    Args:
        folder: for the list of replicas, and what HAProxy logs.
        count: of replicas.
        program: of a replica, without its port.
        settings: of a replica, in its environment.
    """
    port, owners_port = two_ports()
    with ExitStack() as stack:
        replicas = [Replica(program, settings or {}, folder) for _ in range(count)]
        for replica in replicas:
            stack.callback(replica.remove)
        lines = [
            f"    server replica{number} 127.0.0.1:{replica.port} check port {replica.owners_port}"
            for number, replica in enumerate(replicas)
        ]
        listed = folder / "replicas.cfg"
        listed.write_text("\n".join(["backend replicas from replicas", *lines, ""]))
        log = stack.enter_context((folder / "haproxy.log").open("w"))
        places = {
            "VITVIZ_BIND": f"127.0.0.1:{port}",
            "VITVIZ_OWNER_BIND": f"127.0.0.1:{owners_port}",
        }
        command = [haproxy(), "-f", str(CONFIGURATION), "-f", str(listed)]
        proxy = subprocess.Popen(command, env={**os.environ, **places}, stdout=log, stderr=log)
        stack.callback(proxy.wait)
        stack.callback(proxy.kill)

        def all_found() -> bool:
            return found(owners_port) == count

        until(lambda: status(f"http://127.0.0.1:{owners_port}/metrics") == 200, "no HAProxy")
        until(all_found, "HAProxy does not find all replicas ready")
        yield port, replicas


def found(owners_port: int) -> int:
    """How many replicas HAProxy sends visitors to."""
    with urllib.request.urlopen(f"http://127.0.0.1:{owners_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    name = 'haproxy_backend_active_servers{proxy="replicas"} '
    [line] = [line for line in lines if line.startswith(name)]
    return int(line.removeprefix(name))


def two_ports() -> tuple[int, int]:
    """Free on this machine now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
