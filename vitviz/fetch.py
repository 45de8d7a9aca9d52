"""Fetch a photo from the web without letting a visitor reach what only the server can reach."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

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
    worker = ThreadPoolExecutor(max_workers=1)
    fetched = worker.submit(_follow, url, opened)
    worker.shutdown(wait=False)
    try:
        return fetched.result(timeout=SECONDS)
    except TimeoutError as error:
        raise ImageError(TOO_SLOW) from error
    finally:
        for sock in opened:  # also one that the worker still waits for
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def _follow(url: str, opened: list[socket.socket]) -> bytes:
    """The photo at the end of at most a few redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            connection, path, host = _connection(url)
            connection.connect()
            opened.append(connection.sock)
            connection.request(
                "GET", path, headers={"Host": host, **HEADERS}, preload_content=False
            )
            response = connection.getresponse()
            if response.status in REDIRECTS and "location" in response.headers:
                url = urljoin(url, response.headers["location"])
                continue
            if response.status != 200:
                raise ImageError(
                    f"The address answered with error {response.status}; check it, or upload the "
                    "photo."
                )
            return _read(response)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ImageError(NO_ANSWER) from error
    raise ImageError(REDIRECTED)


def _connection(url: str) -> tuple[HTTPConnection, str, str]:
    """A connection to the checked address, the path to ask for, and the host's name."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError) as error:
        raise ImageError(NO_ADDRESS) from error
    if not parts.hostname:
        raise ImageError(NO_ADDRESS)
    address = public_address(parts.hostname, port)
    path = urllib3.util.Url(path=parts.path or "/", query=parts.query or None).url
    return _open(parts, address, port), path, parts.netloc.rpartition("@")[2]


def _open(parts: SplitResult, address: str, port: int) -> HTTPConnection:
    if parts.scheme == "http":
        return HTTPConnection(address, port, timeout=SECONDS)
    # The certificate must be the name's, although the connection goes to the checked address.
    return HTTPSConnection(
        address,
        port,
        timeout=SECONDS,
        cert_reqs="CERT_REQUIRED",
        server_hostname=parts.hostname,
        assert_hostname=parts.hostname,
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


def _read(response: urllib3.HTTPResponse) -> bytes:
    data = bytearray()
    while chunk := response.read(CHUNK, decode_content=False):
        data += chunk
        if len(data) > MAX_BYTES:
            raise ImageError(TOO_LARGE)
    return bytes(data)
