"""Fetching a photo from an address: what is allowed, and what never happens."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trustme
from web_site import PHOTO, Site, all_closed, answer, raw, refusal

from vitviz import ImageError
from vitviz.photos import web as fetch


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
    assert refusal(site.url(host=host)) == "private_address"
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
        "http://8.8.8.8:x/",
        "http://my photos.example/",
        "http://\ud800.example/",
    ],
)
def test_only_web_addresses(url: str) -> None:
    assert refusal(url) == "no_web_address"


@pytest.mark.usefixtures("here_is_public")
def test_the_bytes_of_the_address(site: Site) -> None:
    site.pages["/a/photo.jpg?size=3"] = answer()
    assert fetch.fetch_image(f" {site.url('/a/photo.jpg?size=3')} ") == PHOTO


@pytest.mark.usefixtures("here_is_public")
def test_redirects_are_followed_and_each_is_checked(
    site: Site, opened: list[socket.socket]
) -> None:
    site.pages["/old"] = answer(b"", 302, Location="/new")
    site.pages["/new"] = answer()
    site.pages["/inside"] = answer(b"", 307, Location="http://10.0.0.1/secret")
    site.pages["/file"] = answer(b"", 302, Location="file:///etc/passwd")
    site.pages["/round"] = answer(b"", 302, Location="/round")
    assert fetch.fetch_image(site.url("/old")) == PHOTO
    assert refusal(site.url("/inside")) == "private_address"
    assert refusal(site.url("/file")) == "no_web_address"
    assert refusal(site.url("/round")) == "too_many_redirects"
    assert all_closed(opened)


@pytest.mark.usefixtures("here_is_public")
def test_an_error_of_the_address_is_told(site: Site) -> None:
    site.pages["/gone"] = answer(b"", 404)
    with pytest.raises(ImageError, match="answered with error 404; check it"):
        fetch.fetch_image(site.url("/gone"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut off",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\n\r\n",
    ],
)
@pytest.mark.usefixtures("here_is_public")
def test_what_is_not_http_is_no_answer(
    site: Site, opened: list[socket.socket], data: bytes
) -> None:
    site.pages["/"] = raw(data)
    assert refusal(site.url()) == "no_answer"
    assert all_closed(opened)


@pytest.mark.usefixtures("here_is_public")
def test_spaces_and_other_letters_are_quoted(site: Site) -> None:
    site.pages["/my%20photo%20%C3%85.jpg?of=a%20%C3%BC"] = answer()
    assert fetch.fetch_image(site.url("/my photo Å.jpg?of=a ü#top")) == PHOTO
    assert fetch.fetch_image(site.url("/my%20photo%20Å.jpg?of=a%20%c3%bc")) == PHOTO
    location = "/my photo Å.jpg?of=a ü".encode().decode("latin-1")
    site.pages["/old"] = answer(b"", 302, Location=location)
    assert fetch.fetch_image(site.url("/old")) == PHOTO


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.usefixtures("here_is_public")
def test_a_closed_port_is_told(closed_port: int) -> None:
    assert refusal(f"http://127.0.0.1:{closed_port}/") == "no_answer"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_may_be_an_ipv6_address(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(fetch, "is_public", lambda text: text == "::1")
    assert refusal(f"{scheme}://[::1]:{closed_port}/") == "no_answer"


@pytest.mark.usefixtures("here_is_public")
def test_too_much_is_not_read(
    site: Site, opened: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 100_000)
    site.pages["/"] = answer(bytes(100_001))
    assert refusal(site.url()) == "file_too_large"
    site.pages["/"] = answer(bytes(100_000))
    assert len(fetch.fetch_image(site.url())) == 100_000
    assert len(opened) == 2
    assert all_closed(opened)


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
    assert refusal("http://photos.example/") == "private_address"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("user:password@photos.example", "photos.example"),
        ("PHOTOS.example", "photos.example"),
        ("photos.example.", "photos.example."),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
@pytest.mark.usefixtures("here_is_public")
def test_hosts_as_they_are_written(
    site: Site, monkeypatch: pytest.MonkeyPatch, written: str, asked: str
) -> None:
    names = resolve_to(monkeypatch, ["127.0.0.1"])
    site.pages["/"] = answer()
    assert fetch.fetch_image(site.url(host=written).replace("http:", "HTTP:")) == PHOTO
    assert names == [asked]
    assert site.seen == [("/", f"{asked}:{site.server.server_port}")]


@pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example", "%20.example", "."])
def test_a_host_that_cannot_be(host: str) -> None:
    assert refusal(f"https://{host}/") == "no_answer"


@pytest.mark.usefixtures("here_is_public")
def test_the_certificate_must_be_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("photos.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    site = Site(context)
    site.pages["/"] = answer()
    resolve_to(monkeypatch, ["127.0.0.1"])
    url = site.url(host="photos.example")
    assert refusal(url) == "no_answer"  # not an authority anyone trusts
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert fetch.fetch_image(url) == PHOTO
    assert fetch.fetch_image(site.url(host="photos.example.")) == PHOTO
    assert refusal(site.url(host="other.example")) == "no_answer"
    site.server.shutdown()
    site.server.server_close()
