"""Fetching a photo from an address: what is allowed, and what never happens."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from vitviz import ImageError, fetch

PHOTO = b"a photo's bytes"
Handle = Callable[[BaseHTTPRequestHandler], None]


def answer(body: bytes = PHOTO, status: int = 200, **headers: str) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle


class Site:
    """A web server of this machine with one function a path; `url` takes a path."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        pages: dict[str, Handle] = {}
        self.pages, self.seen = pages, (seen := [])

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers["Host"]))
                pages[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "https" if context else "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server.server_port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def here_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's 127.0.0.1, and only that, counts as an address of the open internet."""
    real = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda text: text == "127.0.0.1" or real(text))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "192.0.0.9",
        "192.88.99.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "fec0::1",
        "64:ff9b:1::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
    ],
)
def test_addresses_that_only_the_server_reaches(address: str) -> None:
    assert not fetch.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_open_internet(address: str) -> None:
    assert fetch.is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "a@127.0.0.1"]
)
def test_this_machine_is_not_asked(site: Site, host: str) -> None:
    site.pages["/"] = answer()
    with pytest.raises(ImageError, match=r"private|does not answer"):
        fetch.fetch_image(site.url(host=host))
    assert not site.seen


@pytest.mark.parametrize(
    "url",
    [
        "",
        "photo",
        "//a",
        "https://",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "http://[::1",
        "http://8.8.8.8:99999/",
    ],
)
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(ImageError, match="not a web address"):
        fetch.fetch_image(url)


@pytest.mark.usefixtures("here_is_public")
def test_the_bytes_of_the_address(site: Site) -> None:
    site.pages["/a/photo.jpg?size=3"] = answer()
    assert fetch.fetch_image(f" {site.url('/a/photo.jpg?size=3')} ") == PHOTO


@pytest.mark.usefixtures("here_is_public")
def test_redirects_are_followed_and_each_is_checked(site: Site) -> None:
    site.pages["/old"] = answer(b"", 302, Location="/new")
    site.pages["/new"] = answer()
    site.pages["/inside"] = answer(b"", 307, Location="http://10.0.0.1/secret")
    site.pages["/file"] = answer(b"", 302, Location="file:///etc/passwd")
    site.pages["/round"] = answer(b"", 302, Location="/round")
    assert fetch.fetch_image(site.url("/old")) == PHOTO
    for path, says in (("inside", "private"), ("file", "not a web"), ("round", "redirects")):
        with pytest.raises(ImageError, match=says):
            fetch.fetch_image(site.url(f"/{path}"))


@pytest.mark.usefixtures("here_is_public")
def test_an_error_of_the_address_is_told(site: Site) -> None:
    site.pages["/gone"] = answer(b"", 404)
    with pytest.raises(ImageError, match="error 404"):
        fetch.fetch_image(site.url("/gone"))


@pytest.mark.usefixtures("here_is_public")
def test_a_closed_port_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ImageError, match="does not answer"):
        fetch.fetch_image(f"http://127.0.0.1:{port}/")


@pytest.mark.usefixtures("here_is_public")
def test_too_much_is_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 100_000)
    site.pages["/"] = answer(bytes(100_001))
    with pytest.raises(ImageError, match="larger than"):
        fetch.fetch_image(site.url())
    site.pages["/"] = answer(bytes(100_000))
    assert len(fetch.fetch_image(site.url())) == 100_000


@pytest.mark.usefixtures("here_is_public")
def test_a_dripping_server_is_left_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte comes in time, but the photo never does; nothing is left waiting for it."""
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    gone = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(600):
                request.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            gone.set()

    site.pages["/"] = drip
    with pytest.raises(ImageError, match="too slowly"):
        fetch.fetch_image(site.url())
    assert gone.wait(timeout=30)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names resolve to each of the answers in turn; returns the names asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: object, **kwargs: object) -> object:
        if host[0].isdigit():
            return real(host, port, *args, **kwargs)
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@pytest.mark.usefixtures("here_is_public")
def test_a_name_cannot_change_its_mind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    site.pages["/"] = answer()
    assert fetch.fetch_image(site.url(host="photos.example")) == PHOTO
    assert asked == ["photos.example"]
    assert site.seen == [("/", f"photos.example:{site.server.server_port}")]


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(ImageError, match="private"):
        fetch.fetch_image("http://photos.example/")


@pytest.mark.usefixtures("here_is_public")
def test_the_certificate_must_be_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("photos.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    site = Site(context)
    site.pages["/"] = answer()
    resolve_to(monkeypatch, ["127.0.0.1"])
    with pytest.raises(ImageError, match="does not answer"):  # not an authority anyone trusts
        fetch.fetch_image(site.url(host="photos.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert fetch.fetch_image(site.url(host="photos.example")) == PHOTO
    with pytest.raises(ImageError, match="does not answer"):
        fetch.fetch_image(site.url(host="other.example"))
    site.server.shutdown()
    site.server.server_close()
