"""Fetch a photo from the web without letting a visitor reach what only the server can reach."""

from __future__ import annotations

import ipaddress
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from vitviz.errors import ImageError
from vitviz.images import MAX_BYTES, TOO_LARGE

__all__ = ["fetch_image"]

MAX_REDIRECTS = 4
SECONDS = 10.0
CHUNK = 65_536
PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS = {"User-Agent": "vitviz", "Accept": "image/*", "Accept-Encoding": "identity"}

# Ranges of IANA's special-purpose registries that are not, or not in every Python, told apart by
# `is_global`; of IPv6, only global unicast and wrapped IPv4 are the open internet.
UNICAST = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/32", "3fff::/20")
]

NO_ADDRESS = "This is not a web address; it starts with https://."
NO_ANSWER = "The address does not answer; check it, or upload the photo."
TOO_SLOW = "The address answers too slowly; upload the photo instead."
PRIVATE = "This address is inside a private network; upload the photo instead."
REDIRECTED = "The address redirects too often; use the photo’s own address."


def fetch_image(url: str) -> bytes:
    """The bytes behind an http or https address, at most 25 MB within 10 seconds.

    Every address of the host, and of each host it redirects to, must be a public one; the
    connection goes to the very address that was checked, so a name cannot change its mind.

    Raises:
        ImageError: if the address is not allowed, does not answer in time, or sends too much.
    """
    opened: list[socket.socket] = []
    deadline = time.monotonic() + SECONDS
    worker = ThreadPoolExecutor(max_workers=1)
    fetched = worker.submit(_follow, url.strip(), deadline, opened)
    worker.shutdown(wait=False)
    try:
        return fetched.result(timeout=SECONDS)
    except TimeoutError as error:
        raise ImageError(TOO_SLOW) from error
    finally:
        for sock in opened:  # also one that the worker still waits for
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _follow(url: str, deadline: float, opened: list[socket.socket]) -> bytes:
    """The photo at the end of at most a few redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            connection, path, host = _connection(url, deadline)
            with closing(connection):
                connection.connect()
                opened.append(connection.sock)
                _seconds_left(deadline)
                connection.request(
                    "GET", path, headers={"Host": host, **HEADERS}, preload_content=False
                )
                response = connection.getresponse()
                if response.status not in REDIRECTS or "location" not in response.headers:
                    return _read(response, deadline)
                url = urljoin(url, response.headers["location"])
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            raise ImageError(NO_ANSWER) from error
    raise ImageError(REDIRECTED)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ImageError(TOO_SLOW)
    return left


def _connection(url: str, deadline: float) -> tuple[HTTPConnection, str, str]:
    """A connection to the checked address, the path to ask for, and the host's name."""
    try:
        parts = urllib3.util.parse_url(url)  # quotes spaces and letters beyond ASCII
        port = parts.port or PORTS[parts.scheme or ""]
    except (KeyError, urllib3.exceptions.LocationParseError) as error:
        raise ImageError(NO_ADDRESS) from error
    if not parts.host:
        raise ImageError(NO_ADDRESS)
    name = parts.host.strip("[]").rstrip(".")
    address = public_address(name, port)
    host = parts.host if parts.port is None else f"{parts.host}:{port}"
    connection = _open(str(parts.scheme), name, address, port, _seconds_left(deadline))
    return connection, parts.request_uri, host


def _open(scheme: str, name: str, address: str, port: int, seconds: float) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection(address, port, timeout=seconds)
    # The certificate must be the name's, although the connection goes to the checked address.
    return HTTPSConnection(
        address,
        port,
        timeout=seconds,
        cert_reqs="CERT_REQUIRED",
        server_hostname=name,
        assert_hostname=name,
    )


def public_address(host: str, port: int) -> str:
    """An address of the host, if all of them are public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ImageError(NO_ANSWER) from error
    addresses = [str(entry[4][0]) for entry in found]
    if not all(is_public(address) for address in addresses):
        raise ImageError(PRIVATE)
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, also when it is wrapped in IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if any(address in network for network in NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if inner := address.ipv4_mapped or address.sixtofour:
            return is_public(str(inner))
        if address not in UNICAST:
            return False
    return address.is_global and not address.is_multicast


def _read(response: urllib3.HTTPResponse, deadline: float) -> bytes:
    if response.status != 200:
        raise ImageError(
            f"The address answered with error {response.status}; check it, or upload the photo."
        )
    data = bytearray()
    while chunk := response.read(CHUNK, decode_content=False):
        data += chunk
        if len(data) > MAX_BYTES:
            raise ImageError(TOO_LARGE)
        _seconds_left(deadline)
    return bytes(data)
