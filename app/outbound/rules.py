"""Which URLs may be called, and what exactly each of them means.

A URL is read once, strictly, and the request is made of its parts: no second reader can understand it otherwise. What
readers disagree on (a backslash, a tab, a user before the host, `0x7f.1`) is refused rather than interpreted.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from app.outbound.addresses import Address, Network, address_of, is_permitted
from app.outbound.errors import ForbiddenTarget

MAX_URL_LENGTH = 2048
PORTS = ((80, 80), (443, 443), (1024, 65535))
"""First and last of each range. Below 1024 stand the services of the system: mail, shells, printers."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LOCAL_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa")


class Target(NamedTuple):
    """A URL in its parts: `host` without brackets and in lower case, `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: a port that goes without saying is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: who is called, without what for."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class OutboundRules:
    """What the operator allows beyond the public internet by https: nothing, unless told."""

    allowed_networks: tuple[Network, ...] = ()
    plain_http: bool = False
    ports: tuple[tuple[int, int], ...] = field(default=PORTS)

    def target_of(self, url: str) -> Target:
        """The URL in its parts. Raises ForbiddenTarget; what a name stands for is another question (`permits`)."""
        if len(url) > MAX_URL_LENGTH:
            raise ForbiddenTarget(f"must be at most {MAX_URL_LENGTH} characters long")
        if not _CHARACTERS.fullmatch(url):
            raise ForbiddenTarget(
                "must be a URL in printable ASCII without spaces, backslashes or #; "
                "write other letters of a host as xn--…, and percent-encode those of a path"
            )
        scheme, separator, rest = url.partition("://")
        scheme = scheme.lower()
        if not separator or not (scheme == "https" or (scheme == "http" and self.plain_http)):
            raise ForbiddenTarget(f"must begin with https://{' or http://' if self.plain_http else ''}")
        cut = re.search(r"[/?]", rest)
        authority, path = (rest, "/") if cut is None else (rest[: cut.start()], rest[cut.start() :])
        host, port = self._host_and_port(authority, _DEFAULT_PORTS[scheme])
        return Target(scheme, host, port, path if path.startswith("/") else f"/{path}")

    def permits(self, address: Address) -> bool:
        """Whether this address may be called."""
        return is_permitted(address, self.allowed_networks)

    def _host_and_port(self, authority: str, default_port: int) -> tuple[str, int]:
        if "@" in authority:
            raise ForbiddenTarget("must not hold a user or a password")
        bracket = authority.rfind("]")
        host, colon, digits = authority, "", ""
        if ":" in authority[bracket + 1 :]:
            host, colon, digits = authority.rpartition(":")
        if colon and not _PORT.fullmatch(digits):
            raise ForbiddenTarget("must have a port from 1 to 65535 behind its colon")
        port = int(digits) if colon else default_port
        if not any(first <= port <= last for first, last in self.ports):
            raise ForbiddenTarget(f"must not have the port {port}: this service does not call it")
        return self._host(host.lower()), port

    def _host(self, host: str) -> str:
        if host.startswith("["):
            return self._address(host[1:-1] if host.endswith("]") else "", "must have an IPv6 address in its brackets")
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return self._address(host, "must write an IPv4 address as four decimal numbers")
        labels = host.split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - RFC 1035, 2.3.4
            raise ForbiddenTarget("must have the name of a host")
        if not self.allowed_networks and (len(labels) == 1 or _is_local(host)):
            raise ForbiddenTarget("must have a public host: this name is a local one")
        return host

    def _address(self, text: str, complaint: str) -> str:
        try:
            address = address_of(text)
        except ValueError:
            raise ForbiddenTarget(complaint) from None
        if not self.permits(address):
            raise ForbiddenTarget("must have a public address: this one is private, local or reserved")
        return str(address)


def _is_local(host: str) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES)
