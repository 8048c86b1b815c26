"""What is refused before any key is touched: other algorithms, other shapes, other spellings."""

import json
from typing import Any

import pytest

from app.security.envelopes.compact import MAX_ENVELOPE_BYTES, read_envelope
from app.security.envelopes.errors import EnvelopeTooLarge, InvalidEnvelope
from tests.security.envelopes.forge import HEADER, envelope, with_segment
from tests.security.forge import b64


def refused(text: str | bytes) -> str:
    """The cause."""
    with pytest.raises(InvalidEnvelope) as error:
        read_envelope(text if isinstance(text, bytes) else text.encode())
    return error.value.cause


def test_a_sound_envelope_is_taken_apart() -> None:
    found = read_envelope(envelope(sub="alice", typ="JOSE", cty="application/json").encode())
    assert (found.kid, found.subject) == ("ours", "alice")
    assert (len(found.encrypted_key), len(found.iv), len(found.tag)) == (256, 12, 16)


@pytest.mark.parametrize(
    "algorithm",
    [
        *(
            "RSA1_5",
            "RSA-OAEP",
            "RSA-OAEP-512",
            "dir",
            "A256KW",
            "A256GCMKW",
            "ECDH-ES",
            "HS256",
            "none",
            "rsa-oaep-256",
        ),
        *("", ["RSA-OAEP-256"], {"RSA-OAEP-256": 1}, None, 1, True, ...),
    ],
)
def test_other_key_algorithms_are_refused(algorithm: object) -> None:
    assert refused(envelope(alg=algorithm)) == "the header names other algorithms"


@pytest.mark.parametrize(
    "algorithm",
    ["A128GCM", "A192GCM", "A128CBC-HS256", "A256CBC-HS512", "a256gcm", ["A256GCM"], {}, None, 256, ...],
)
def test_other_content_algorithms_are_refused(algorithm: object) -> None:
    assert refused(envelope(enc=algorithm)) == "the header names other algorithms"


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "PBES2-HS512+A256KW", "p2c": 2**31 - 1, "p2s": "AAAAAAAAAAA"},
        {"zip": "DEF"},
        {"zip": None},
        {"crit": ["exp"]},
        {"crit": []},
        {"jwk": {"kty": "RSA"}},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/certificate"},
        {"x5c": ["MIIB"]},
        {"epk": {}},
        {"apu": "QQ"},
    ],
    ids="+".join,
)
def test_no_member_that_would_have_to_be_understood(members: dict[str, Any]) -> None:
    assert refused(envelope(**members)) == "the header has a member that is not allowed"


@pytest.mark.parametrize(
    "members", [{"cty": "JWE"}, {"cty": "JWT"}, {"cty": 1}, {"typ": "JWT"}, {"typ": "at+jwt"}, {"typ": None}]
)
def test_an_envelope_in_an_envelope_and_other_types_are_refused(members: dict[str, Any]) -> None:
    assert refused(envelope(**members)).endswith("is another one")


@pytest.mark.parametrize("kid", [..., None, 1, ["ours"], {"kid": "ours"}])
def test_a_kid_is_a_string(kid: object) -> None:
    assert refused(envelope(kid=kid)) == "the header's kid is not a string"


@pytest.mark.parametrize("length", [0, 8, 11, 13, 16, 64])
def test_the_vector_has_twelve_bytes(length: int) -> None:
    assert "another length" in refused(with_segment(2, bytes(length)))


@pytest.mark.parametrize("length", [0, 4, 8, 12, 15, 17, 32])
def test_the_tag_has_sixteen_bytes(length: int) -> None:
    assert "another length" in refused(with_segment(4, bytes(length)))


def test_a_tag_that_gives_bytes_to_the_ciphertext_is_refused() -> None:
    protected, key, iv, ciphertext, tag = envelope(bytes(24)).split(".")
    assert "another length" in refused(f"{protected}.{key}.{iv}.{ciphertext}{tag[:16]}.{tag[16:]}")


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("junk", ["=", "==", " ", "\n", "?", "+", "/", "é", "\x00"])
def test_a_segment_has_one_spelling(position: int, junk: str) -> None:
    text = with_segment(position, envelope().split(".")[position] + junk)
    with pytest.raises(InvalidEnvelope):
        read_envelope(text.encode())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7, 1000])
def test_an_envelope_has_five_segments(count: int) -> None:
    assert refused(".".join(["QQ"] * count)) == "the envelope does not have five segments"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"protected": b64(json.dumps(HEADER).encode()), "ciphertext": "QQ", "recipients": []}),
        '"' + "A.B.C.D" + '"',
        b"\xff\xfe.\xff.\xff.\xff.\xff",
        b"....",
        b"\x00",
    ],
)
def test_other_serializations_are_refused(text: str | bytes) -> None:
    refused(text)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"RSA-OAEP-256","alg":"RSA1_5","enc":"A256GCM","kid":"ours"}',
        b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"ours","kid":"theirs"}',
        b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"ours","sub":NaN}',
        b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"a\\u0000b"}',
        b"[" * 40 + b"]" * 40,
        b"[" * 3000,
        b"[]",
        b'"text"',
        b"",
        b"\xff",
    ],
)
def test_the_header_is_one_strict_json_object(header: bytes) -> None:
    refused(envelope(header=header))


def test_a_long_header_is_not_even_decoded() -> None:
    assert refused(envelope(sub="a" * 4000)) == "the header is too long"


def test_size_comes_before_everything_else() -> None:
    read_envelope(envelope(bytes(149_000)).encode())
    with pytest.raises(EnvelopeTooLarge):
        read_envelope(b"A" * (MAX_ENVELOPE_BYTES + 1))
