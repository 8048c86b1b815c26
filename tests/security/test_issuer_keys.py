"""Keys at an address: one plain document of bounded size in bounded time, or none."""

import gzip
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler

import pytest

from app.security import issuer_keys
from app.security.errors import KeyConfigurationError
from app.security.issuer_keys import IssuerKeys
from app.security.jwks import MAX_FILE_BYTES
from tests.security.forge import jwks, rsa_jwk
from tests.security.issuer import Issuer, answer
from tests.support.machine import free_port


@pytest.fixture
async def keys(issuer: Issuer) -> AsyncIterator[IssuerKeys]:
    made = IssuerKeys(issuer.url)
    yield made
    await made.close()


async def test_the_published_keys(keys: IssuerKeys) -> None:
    assert [(key.kid, key.algorithm) for key in await keys.fetch()] == [("rsa-1", "RS256"), ("ec-1", "ES256")]


async def refused(keys: IssuerKeys, sentence: str) -> None:
    with pytest.raises(KeyConfigurationError, match=sentence):
        await keys.fetch()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(issuer: Issuer, keys: IssuerKeys, status: int) -> None:
    issuer.answering = answer(b"", status, Location=issuer.url)
    await refused(keys, f"answers with status {status}")
    assert issuer.asked == 1


@pytest.mark.parametrize("status", [204, 401, 404, 500, 503])
async def test_only_200_is_an_answer(issuer: Issuer, keys: IssuerKeys, status: int) -> None:
    issuer.answering = answer(b"", status)
    await refused(keys, f"answers with status {status}")


async def test_nothing_is_unpacked(issuer: Issuer, keys: IssuerKeys) -> None:
    issuer.answering = answer(gzip.compress(issuer.document), Content_Encoding="gzip")
    await refused(keys, "plain document")


async def test_a_document_that_is_too_large_is_not_read_to_its_end(issuer: Issuer, keys: IssuerKeys) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b" " * 65_536)
                sent += 65_536
        except OSError:
            pass

    issuer.answering = endless
    await refused(keys, f"larger than {MAX_FILE_BYTES} bytes")
    assert sent < 65_536 * 1000


async def test_an_answer_has_a_time(issuer: Issuer, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "FETCH_S", 0.2)
    issuer.answering = issuer.hold
    await refused(keys, "no answer within 0.2 seconds")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"<html>", "not strict JSON"),
        (b"{}", "not a JWK Set"),
        (jwks(), "no key for RS256 or ES256"),
        (jwks(rsa_jwk(d="AQAB")), "private key"),
        (jwks(rsa_jwk(e="Aw")), "exponent"),
    ],
)
async def test_a_document_that_is_not_fit(issuer: Issuer, keys: IssuerKeys, document: bytes, sentence: str) -> None:
    issuer.document = document
    await refused(keys, f"are not usable: .*{sentence}")


async def test_nobody_there() -> None:
    keys = IssuerKeys(f"http://127.0.0.1:{free_port()}/keys")
    await refused(keys, "cannot be read")
    await keys.close()


async def test_a_proxy_of_the_environment_is_not_asked(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    keys = IssuerKeys(issuer.url)
    assert len(await keys.fetch()) == 2
    await keys.close()
