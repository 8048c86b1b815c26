"""Which addresses are nobody's business from here: everything that is not the public internet.

After the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and its updates). Of IPv6 only
global unicast is public, so what embeds an IPv4 address (NAT64, 6to4, Teredo) is not, whatever it embeds.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NOT_PUBLIC = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # shared by a carrier's customers
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "2001::/23",  # protocol assignments, Teredo among them
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# Credentials for the whole machine are to be had here, without a password. No setting opens these.
_METADATA = frozenset(
    ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)


def address_of(text: str) -> Address:
    """The address that a text spells; an IPv4 address in IPv6 clothes (::ffff:a.b.c.d) is the IPv4 address.

    Raises ValueError for what is no address in its standard spelling, and for one of this machine's interfaces (%eth0).
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a scope is this machine's own")
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def is_permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether the address may be called: it is public, or in one of the networks that the operator allows."""
    if address in _METADATA:
        return False
    return is_public(address) or any(address in network for network in allowed)


def is_public(address: Address) -> bool:
    """The address belongs to the public internet."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC)
