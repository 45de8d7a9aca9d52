"""Fetch a photo from the web without letting a visitor reach what only the server can reach."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from vitviz.errors import ImageError
from vitviz.photos.load import MAX_BYTES, too_large

__all__ = ["fetch_image"]

MAX_REDIRECTS = 4
SECONDS = 10.0
CHUNK = 65_536
PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS = {"User-Agent": "vitviz", "Accept": "image/*", "Accept-Encoding": "identity"}

# From https://www.iana.org/assignments/ipv6-address-space (no other IPv6 address is given out)
# and the registries of special addresses, iana-ipv4- and iana-ipv6-special-registry, beside it.
GIVEN_OUT_IPV6 = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
SPECIAL = [  # of which `ipaddress` calls some global, depending on its version
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # IETF protocol assignments, with Teredo
        "3fff::/20",  # documentation
    )
]


def fetch_image(url: str) -> bytes:
    """The bytes behind an http or https address, at most 25 MB within 10 seconds.

    Every address of the host, and of each host it redirects to, must be a public one; the
    connection goes to the very address that was checked, so a name cannot change its mind.

    Raises:
        ImageError: if the address is not allowed, does not answer in time, or sends too much.
    """
    opened: list[socket.socket] = []
    worker = ThreadPoolExecutor(max_workers=1)
    fetched = worker.submit(_follow, url, time.monotonic() + SECONDS, opened)
    worker.shutdown(wait=False)
    try:
        return fetched.result(timeout=SECONDS)
    except TimeoutError as error:
        raise _too_slow() from error
    finally:
        for sock in opened:  # wakes a worker that still waits for it, and then closes it
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _follow(url: str, deadline: float, opened: list[socket.socket]) -> bytes:
    """The photo at the end of at most a few redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            with _answer(url, deadline, opened) as response:
                location = response.headers.get("location")
                if location is None or response.status not in REDIRECTS:
                    return _read(response, deadline)
                # A header is read as Latin-1, whatever its bytes are.
                url = urljoin(url, location.encode("latin-1").decode("utf-8"))
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            _left(deadline)  # else this is only how the end of the time shows
            raise _no_answer() from error
    raise ImageError(
        "too_many_redirects", "The address redirects too often; use the photo’s own address."
    )


@contextmanager
def _answer(
    url: str, deadline: float, opened: list[socket.socket]
) -> Iterator[urllib3.HTTPResponse]:
    """The head of what the address answers; its connection is closed at the end."""
    connection, path, host = _connection(url, deadline)
    with closing(connection):
        connection.connect()
        opened.append(connection.sock)
        _left(deadline)  # only now: past the deadline, nobody else closes what was just opened
        connection.request("GET", path, headers={"Host": host, **HEADERS}, preload_content=False)
        with closing(connection.getresponse()) as response:
            yield response


def _connection(url: str, deadline: float) -> tuple[HTTPConnection, str, str]:
    """A connection to the checked address, the path to ask for, and the host's name."""
    try:
        parts = urllib3.util.parse_url(url.strip())
    except ValueError as error:
        raise _no_address() from error
    if parts.scheme not in PORTS or not parts.host:
        raise _no_address()
    host, port = parts.host.strip("[]"), parts.port or PORTS[parts.scheme]
    _left(deadline)
    address = public_address(host, port)
    if parts.scheme == "http":
        connection = HTTPConnection(address, port, timeout=_left(deadline))
    else:  # the certificate must be the name's, although the connection goes to the address
        connection = HTTPSConnection(
            address,
            port,
            timeout=_left(deadline),
            cert_reqs="CERT_REQUIRED",
            server_hostname=host,
        )
    return connection, parts.request_uri, parts.netloc or host


def _left(deadline: float) -> float:
    """Seconds until the deadline; after it, the address was too slow."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise _too_slow()
    return seconds


def public_address(host: str, port: int) -> str:
    """An address of the host, if all of them are public.

    Raises:
        ImageError: if the host has no address, or one that is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _no_answer() from error
    addresses = [str(entry[4][0]) for entry in found]
    if not all(is_public(address) for address in addresses):
        raise ImageError(
            "private_address", "This address is inside a private network; upload the photo instead."
        )
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, also when it is wrapped in IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if inner := _wrapped(address):
            return is_public(str(inner))
        if address not in GIVEN_OUT_IPV6:
            return False
    special = any(address in network for network in SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end up at."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _read(response: urllib3.HTTPResponse, deadline: float) -> bytes:
    if response.status != 200:
        raise ImageError(
            "address_error",
            "The address answered with error {status}; check it, or upload the photo.",
            status=response.status,
        )
    data = bytearray()
    while chunk := response.read(CHUNK, decode_content=False):
        _left(deadline)
        data += chunk
        if len(data) > MAX_BYTES:
            raise too_large()
    return bytes(data)


def _no_address() -> ImageError:
    return ImageError("no_web_address", "This is not a web address; it starts with https://.")


def _no_answer() -> ImageError:
    return ImageError("no_answer", "The address does not answer; check it, or upload the photo.")


def _too_slow() -> ImageError:
    return ImageError("too_slow", "The address answers too slowly; upload the photo instead.")
