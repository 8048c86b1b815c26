"""Attacks on the form of a token and on its header. Every token here is truly signed where it can be."""

import json
import socket
from contextlib import closing

import pytest

from app.security.compact import MAX_TOKEN_BYTES
from app.security.errors import InvalidToken
from tests.security.forge import (
    CLAIMS,
    HEADERS,
    NOW,
    SECRET,
    b64,
    es256,
    forge,
    hs256,
    rsa_jwk,
    verifier,
    with_claims,
    with_header,
)

VALID = with_header()
HEAD, BODY, SIGNATURE = VALID.split(".")
NO_KEY = "no key has this kid and algorithm"
NOT_ALLOWED = "member that is not allowed"
NOT_CANONICAL = "not canonical base64url"


def refused(token: object, cause: str) -> None:
    with pytest.raises(InvalidToken, match=cause):
        verifier().verify(token, NOW)  # type: ignore[arg-type]  # attackers do not keep to types


def test_the_token_that_the_attacks_start_from_is_valid() -> None:
    assert verifier().verify(VALID, NOW).subject == "alice"


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", ""])
@pytest.mark.parametrize("members", [{}, {"kid": "rsa-1"}])
def test_unsigned_tokens(alg: str, members: dict[str, str]) -> None:
    refused(forge({"alg": alg, **members}, CLAIMS, lambda _: b""), NO_KEY)


@pytest.mark.parametrize("signature", ["", "AAAA", b64(bytes(32)), b64(bytes(64)), b64(bytes(256))])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])
def test_signatures_stripped_or_made_up(algorithm: str, signature: str) -> None:
    head, body, _ = with_header(algorithm).split(".")
    refused(f"{head}.{body}.{signature}", "signature does not fit")


@pytest.mark.parametrize("alg", [["HS256"], {"HS256": 1}, 256, True, 1.5])
def test_an_algorithm_that_is_not_a_string(alg: object) -> None:
    refused(with_header(alg=alg), "alg is not a string")


def test_no_algorithm() -> None:
    refused(forge({"typ": "JWT"}, CLAIMS), "alg is not a string")


@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["x"], "x": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": True},
        {"jwk": rsa_jwk()},
        {"x5c": ["MIIB"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"nonce": "1"},
    ],
    ids=",".join,
)
def test_members_of_the_header_that_are_not_allowed(members: dict[str, object]) -> None:
    refused(with_header(**members), NOT_ALLOWED)


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_an_address_of_a_key_is_refused_and_never_fetched(member: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as canary:
        canary.setblocking(False)
        refused(with_header(**{member: f"http://127.0.0.1:{canary.getsockname()[1]}/keys"}), NOT_ALLOWED)
        with pytest.raises(BlockingIOError):
            canary.accept()


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_types_of_an_access_token(typ: str | None) -> None:
    assert verifier().verify(with_header(typ=typ), NOW).subject == "alice"


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "JOSE", "secevent+jwt", "JWE", "", " JWT", 1, ["JWT"], {}])
def test_types_of_other_tokens(typ: object) -> None:
    refused(with_header(typ=typ), "typ is not that of an access token")


@pytest.mark.parametrize("member", ["x5t", "x5t#S256"])
def test_a_certificate_thumbprint_beside_the_kid_changes_nothing(member: str) -> None:
    assert verifier().verify(with_header("RS256", **{member: "AAAA"}), NOW).subject == "alice"
    refused(with_header("RS256", kid="unknown", **{member: "rsa-1"}), NO_KEY)


@pytest.mark.parametrize("spoil", [" {}", "{} ", "{}\n", "{}=", "{}==", "!{}", "{}!", "\r{}", "{}\x00", "{}%3D"])
@pytest.mark.parametrize("segment", [0, 1, 2])
def test_other_spellings_of_a_segment(segment: int, spoil: str) -> None:
    segments = [HEAD, BODY, SIGNATURE]
    segments[segment] = spoil.format(segments[segment])
    refused(".".join(segments), NOT_CANONICAL)


def test_the_other_base64_alphabet() -> None:
    tokens = (with_claims(jti=str(number)) for number in range(1000))
    token = next(token for token in tokens if "-" in token.split(".")[2] or "_" in token.split(".")[2])
    head, body, signature = token.split(".")
    refused(f"{head}.{body}.{signature.replace('-', '+').replace('_', '/')}", NOT_CANONICAL)


def test_the_fifteen_other_last_characters_of_an_es256_signature() -> None:
    token = with_header("ES256")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    first = alphabet.index(token[-1])
    assert first % 16 == 0
    for last in alphabet[first + 1 : first + 16]:
        refused(token[:-1] + last, NOT_CANONICAL)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"HS256"}',
        b'{"alg":"HS256","kid":"rsa-1","kid":"x"}',
        b'{"alg":"HS256","\\u0061lg":"HS256"}',
    ],
)
def test_names_that_appear_twice_in_the_header(header: bytes) -> None:
    refused(forge(header, CLAIMS), "header is not strict JSON")


@pytest.mark.parametrize("more", ['"roles":["admin"]', '"sub":"bob"', '"x":{"a":1,"a":2}', '"\\u0065xp":1'])
def test_names_that_appear_twice_in_the_claims(more: str) -> None:
    payload = json.dumps(CLAIMS)[:-1] + "," + more + "}"
    refused(forge(HEADERS["HS256"][0], payload.encode()), "payload is not strict JSON")


@pytest.mark.parametrize("kid", [{"a": 1}, ["rsa-1"], 1, True])
def test_a_kid_that_is_not_a_string(kid: object) -> None:
    refused(with_header("RS256", kid=kid), "kid is not a string")


def test_a_kid_that_is_null_is_not_an_absent_kid() -> None:
    refused(forge({"alg": "HS256", "kid": None}, CLAIMS), "kid is not a string")


@pytest.mark.parametrize("part", [b"", b"[]", b'"x"', b"1", b"null", b"{", b"\xff\xfe", b'\xef\xbb\xbf{"alg":"HS256"}'])
def test_a_header_or_payload_that_is_no_object(part: bytes) -> None:
    refused(forge(part, CLAIMS), "the header is not")
    refused(forge(HEADERS["HS256"][0], part), "the payload is not")


@pytest.mark.parametrize("bad", [b'"\\ud800"', b'"\\u0000"', b"[" * 2000 + b"]" * 2000, b"NaN", b"1e999", b"9" * 101])
def test_values_in_the_claims_that_no_json_reader_agrees_on(bad: bytes) -> None:
    payload = json.dumps(CLAIMS).encode()[:-1] + b',"x":' + bad + b"}"
    refused(forge(HEADERS["HS256"][0], payload), "payload is not strict JSON")


@pytest.mark.parametrize(
    "token",
    [
        f"{HEAD}.{BODY}",
        f"{HEAD}",
        "",
        "...",
        f"{VALID}.",
        f"{VALID}.{SIGNATURE}",
        f"{VALID}.{SIGNATURE}.{SIGNATURE}",
        json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
    ],
    ids=["no signature", "header", "empty", "dots", "a dot more", "four", "five", "JSON"],
)
def test_other_forms_than_three_segments(token: str) -> None:
    refused(token, "three segments")


def test_an_encrypted_token_and_a_webhook_signature_are_no_bearer_tokens() -> None:
    encrypted = ".".join([b64(b'{"alg":"RSA-OAEP-256","enc":"A256GCM"}'), b64(bytes(256)), b64(bytes(12)), "AA", "AA"])
    refused(encrypted, "three segments")
    refused("v1," + b64(hs256(b"msg.1790000000.{}")), "three segments")
    refused(forge({"alg": "HS256", "typ": "JOSE"}, b'{"type":"task_status"}'), "typ is not that of an access token")


def test_the_size_is_capped_exactly() -> None:
    spare = MAX_TOKEN_BYTES - len(with_claims(x=""))
    lengths = {len(token): token for token in (with_claims(x="a" * (spare * 3 // 4 - back)) for back in range(-4, 5))}
    assert verifier().verify(lengths[MAX_TOKEN_BYTES], NOW).subject == "alice"
    refused(next(token for length, token in lengths.items() if length > MAX_TOKEN_BYTES), "too long")
    refused(b"a" * (MAX_TOKEN_BYTES + 1), "too long")
    refused(b"a" * 64_000_000, "too long")
    refused("[" * 100_000, "too long")


def test_deep_nesting_below_the_size_cap() -> None:
    for header in (b"[" * 4000, b'{"alg":' * 800):
        refused(f"{b64(header)}.{BODY}.{SIGNATURE}", "header is not strict JSON")


@pytest.mark.parametrize("token", [None, 1, [VALID], {"token": VALID}, bytearray(VALID.encode())])
def test_what_is_not_text(token: object) -> None:
    refused(token, "not text")


@pytest.mark.parametrize(
    "token", [VALID + "é", "\ud800" + VALID, VALID.replace("e", "\u0435", 1)], ids=["accent", "surrogate", "homoglyph"]
)
def test_text_that_is_not_ascii(token: str) -> None:
    refused(token, "not ASCII")


@pytest.mark.parametrize(
    "token",
    [b"\xff" + VALID.encode(), VALID.encode("utf-16"), VALID.encode() + b"\xc3\xa9"],
    ids=["0xff", "utf-16", "utf-8"],
)
def test_bytes_that_are_not_ascii(token: bytes) -> None:
    refused(token, NOT_CANONICAL)


def test_bytes_and_text_are_the_same_token() -> None:
    assert verifier().verify(VALID.encode(), NOW) == verifier().verify(VALID, NOW)


def test_der_and_impossible_values_in_an_es256_signature() -> None:
    head, body, _ = with_header("ES256").split(".")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    true = es256(f"{head}.{body}".encode())
    r, s = int.from_bytes(true[:32], "big"), int.from_bytes(true[32:], "big")
    der = bytes.fromhex("3044") + b"\x02\x20" + true[:32] + b"\x02\x20" + true[32:]
    impossible = [(0, 0), (r, 0), (0, s), (order, s), (r, order), (2**256 - 1, 2**256 - 1)]
    raw = [first.to_bytes(32, "big") + second.to_bytes(32, "big") for first, second in impossible]
    for signature in [der, true + b"\x00", b"\x00" + true, true[:-1], *raw]:
        refused(f"{head}.{body}.{b64(signature)}", "signature does not fit")


def test_a_refusal_never_repeats_what_the_token_says() -> None:
    with pytest.raises(InvalidToken) as refusal:
        verifier().verify(with_header("RS256", kid="canary\r\n"), NOW)
    assert "canary" not in refusal.value.cause
    assert SECRET not in refusal.value.cause
