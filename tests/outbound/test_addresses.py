from ipaddress import ip_network

import pytest

from app.outbound.addresses import address_of, is_permitted, is_public

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::8a"]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_the_public_internet(text: str) -> None:
    assert not is_public(address_of(text))
    assert not is_permitted(address_of(text), ())


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_internet(text: str) -> None:
    assert is_permitted(address_of(text), ())


def test_an_operator_opens_networks_but_never_the_metadata_of_the_machine() -> None:
    allowed = [ip_network("10.0.0.0/8"), ip_network("169.254.0.0/16"), ip_network("fd00::/8"), ip_network("0.0.0.0/0")]
    assert is_permitted(address_of("10.1.2.3"), allowed)
    assert is_permitted(address_of("::ffff:10.1.2.3"), allowed)
    assert is_permitted(address_of("fd00::5"), allowed)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:169.254.169.254"):
        assert not is_permitted(address_of(text), allowed)


@pytest.mark.parametrize(
    "text", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1 ", "1.2.3.4.5", "fe80::1%lo", "", "a"]
)
def test_other_spellings_are_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        address_of(text)
