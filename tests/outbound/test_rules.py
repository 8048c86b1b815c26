from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbound.errors import ForbiddenTarget
from app.outbound.rules import MAX_URL_LENGTH, OutboundRules, Target

STRICT = OutboundRules()
INNER = OutboundRules((ip_network("127.0.0.0/8"), ip_network("::1/128")), plain_http=True)

REFUSED = [
    ("http://example.com/", "https://"),
    ("file:///etc/passwd", "https://"),
    ("gopher://example.com/", "https://"),
    ("ftp://example.com/", "https://"),
    ("//example.com/", "https://"),
    ("example.com", "https://"),
    ("", "printable ASCII"),
    ("https://user:pass@example.com/", "user or a password"),
    ("https://user@example.com/", "user or a password"),
    ("https://example.com@127.0.0.1/", "user or a password"),
    ("https://example.com:22/", "port 22"),
    ("https://example.com:25/", "port 25"),
    ("https://example.com:0/", "port from 1"),
    ("https://example.com:99999/", "port 99999"),
    ("https://example.com:/", "port from 1"),
    ("https://example.com:443:443/", "name of a host"),
    ("https://example.com:+443/", "port from 1"),
    ("https://example.com#@127.0.0.1/", "#"),
    ("https://example.com\\@127.0.0.1/", "backslashes"),
    ("https://127.0.0.1\\.example.com/", "backslashes"),
    ("https://exam\tple.com/", "printable ASCII"),
    ("https://example.com/\r\nX-Injected: 1", "printable ASCII"),
    ("https://example.com/ a", "printable ASCII"),
    ("https://example.com/\x00", "printable ASCII"),
    (" https://example.com/", "printable ASCII"),
    ("https://bücher.example/", "printable ASCII"),
    ("https://\uff11\uff12\uff17.0.0.1/", "printable ASCII"),
    ("https://\u24db\u24de\u24d2alhost/", "printable ASCII"),
    ("https://example%2ecom/", "name of a host"),
    ("https:///path", "name of a host"),
    ("https://.example.com/", "name of a host"),
    ("https://example..com/", "name of a host"),
    ("https://example.com./", "name of a host"),
    ("https://-example.com/", "name of a host"),
    ("https://" + "a." * 130 + "com/", "name of a host"),
    ("https://127.0.0.1/", "public address"),
    ("https://127.0.0.1:8443/", "public address"),
    ("https://0/", "four decimal numbers"),
    ("https://0x7f.1/", "four decimal numbers"),
    ("https://0x7f000001/", "four decimal numbers"),
    ("https://2130706433/", "four decimal numbers"),
    ("https://017700000001/", "four decimal numbers"),
    ("https://127.1/", "four decimal numbers"),
    ("https://127.0.0.0x1/", "four decimal numbers"),
    ("https://0177.0.0.1/", "four decimal numbers"),
    ("https://169.254.169.254/latest/meta-data/", "public address"),
    ("https://10.0.0.1/", "public address"),
    ("https://[::1]/", "public address"),
    ("https://[::ffff:127.0.0.1]/", "public address"),
    ("https://[::ffff:7f00:1]/", "public address"),
    ("https://[64:ff9b::7f00:1]/", "public address"),
    ("https://[fd00:ec2::254]/", "public address"),
    ("https://[fe80::1%25eth0]/", "IPv6 address"),
    ("https://[fe80::1]/", "public address"),
    ("https://[::1/", "port 1"),
    ("https://[]/", "brackets"),
    ("https://::1/", "port 1"),
    ("https://::1:443/", "name of a host"),
    ("https://localhost/", "local one"),
    ("https://LOCALHOST/", "local one"),
    ("https://api.localhost/", "local one"),
    ("https://postgres/", "local one"),
    ("https://printer.local/", "local one"),
    ("https://metadata.google.internal/", "local one"),
    ("https://example.com/" + "a" * MAX_URL_LENGTH, "characters long"),
]


@pytest.mark.parametrize(("url", "complaint"), REFUSED)
def test_what_must_not_be_called(url: str, complaint: str) -> None:
    with pytest.raises(ForbiddenTarget, match=complaint):
        STRICT.target_of(url)


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/"), "example.com"),
        ("HTTPS://Example.COM/A?b=c&d", Target("https", "example.com", 443, "/A?b=c&d"), "example.com"),
        ("https://example.com?b", Target("https", "example.com", 443, "/?b"), "example.com"),
        ("https://example.com:8443/@x:y", Target("https", "example.com", 8443, "/@x:y"), "example.com:8443"),
        ("https://example.com:443/", Target("https", "example.com", 443, "/"), "example.com"),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443, "/"), "xn--bcher-kva.example"),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/"), "8.8.8.8"),
        ("https://[2606:4700::1111]:8443/", Target("https", "2606:4700::1111", 8443, "/"), "[2606:4700::1111]:8443"),
    ],
)
def test_what_may_be_called_in_its_parts(url: str, target: Target, authority: str) -> None:
    assert STRICT.target_of(url) == target
    assert target.authority == authority
    assert target.origin == f"https://{authority}"


def test_an_operator_may_allow_inner_networks_and_plain_http() -> None:
    assert INNER.target_of("http://127.0.0.1:8080/x") == Target("http", "127.0.0.1", 8080, "/x")
    assert INNER.target_of("http://localhost/") == Target("http", "localhost", 80, "/")
    assert INNER.target_of("http://[::1]/").origin == "http://[::1]"
    for url in ("http://10.0.0.1/", "http://169.254.169.254/", "http://127.0.0.1:22/", "http://0x7f.1/"):
        with pytest.raises(ForbiddenTarget):
            INNER.target_of(url)


def test_an_operator_chooses_the_ports() -> None:
    rules = OutboundRules(ports=((443, 443),))
    with pytest.raises(ForbiddenTarget, match="port 8443"):
        rules.target_of("https://example.com:8443/")


@given(st.text(alphabet=st.sampled_from("https://.:@#\\[]%?&=0x17f fdexample\t\n\r\uff20\u3002"), max_size=60))
def test_whatever_is_accepted_means_what_it_says(text: str) -> None:
    try:
        target = STRICT.target_of("https://" + text)
    except ForbiddenTarget:
        return
    written = ("https://" + text).lower()
    assert written.startswith(("https://" + target.host, "https://[" + target.host.split(":")[0]))
    assert not set("@#\\ \t\r\n") & set(target.host)
