"""The vectors of others: RFC 7515, appendix A, typed in; RFC 7520 and Wycheproof where their files are at hand.

Their payloads are no access tokens, so they go through everything up to the claims, and then, to see that
nothing of them becomes a caller, through the whole front.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jose import jwk  # type: ignore[import-untyped]  # python-jose ships no types

from app.security import base64url
from app.security.compact import read_compact
from app.security.errors import InvalidToken, KeyConfigurationError
from app.security.jwks import keys_from_jwks
from app.security.keys import KeySet, VerificationKey
from app.security.tokens import TokenVerifier
from tests.security.forge import NOW, RULES, jwks

VECTORS = Path(os.environ.get("TASK_EXECUTOR_TEST_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))
SIGNATURES = VECTORS / "json_web_signature_test.json"

NOT_INVALID = {367, 370}
"""Marked invalid in the file, and byte for byte the valid token of another test."""
REFUSED_THOUGH_VALID = {372, 373}
"""Spellings of base64url that RFC 7515 does not allow and some libraries take."""
VALID_BUT_NOT_OURS = {"RS384", "RS512", "PS256", "PS384", "PS512", "ES521"}
"""Sound signatures by algorithms that the front does not know."""

Vector = tuple[dict[str, Any], str | None, dict[str, Any]]
"""A public key as a JWK, its kid, and one test."""

PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
HS256_KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
HS256_TOKEN = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
RS256_KEY = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
    "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca"
    "pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h"
    "4FRWyuXpoQ",
    "e": "AQAB",
}
RS256_TOKEN = (
    f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
    "Ge77Rw"
)
ES256_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES256_TOKEN = (
    f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
UNSECURED_TOKEN = f"eyJhbGciOiJub25lIn0.{PAYLOAD}."


def key_set(key: dict[str, Any], kid: str | None) -> KeySet | None:
    """The keys as the service would build them; None where the start would be refused."""
    if key["kty"] == "oct":
        return KeySet([VerificationKey(kid, "HS256", jwk.construct(base64url.decode(key["k"].encode()), "HS256"))])
    try:
        return KeySet(keys_from_jwks(jwks({**key, "kid": kid} if kid else key)))
    except KeyConfigurationError:
        return None


def signature_accepted(keys: KeySet | None, token: str) -> bool:
    if keys is None:
        return False
    # However sound the signature, a payload that is no set of claims makes no caller.
    with pytest.raises(InvalidToken):
        TokenVerifier(keys, RULES).verify(token, NOW)
    try:
        keys.check_signature(read_compact(token.encode()))
    except InvalidToken:
        return False
    return True


RFC_7515 = [(HS256_KEY, HS256_TOKEN), (RS256_KEY, RS256_TOKEN), (ES256_KEY, ES256_TOKEN)]


@pytest.mark.parametrize(("key", "token"), RFC_7515, ids=["A.1", "A.2", "A.3"])
def test_the_signatures_of_rfc_7515_are_accepted(key: dict[str, Any], token: str) -> None:
    assert signature_accepted(key_set(key, None), token)


@pytest.mark.parametrize(("key", "token"), RFC_7515, ids=["A.1", "A.2", "A.3"])
def test_no_other_signature_is_accepted_by_the_keys_of_rfc_7515(key: dict[str, Any], token: str) -> None:
    others = [other for _, other in RFC_7515 if other != token]
    assert not any(signature_accepted(key_set(key, None), other) for other in [*others, UNSECURED_TOKEN])


def wycheproof() -> list[Vector]:
    """Key, its kid and test, for each test of the file. Keys without a kid get that of the group's first token."""
    if not SIGNATURES.exists():
        return []
    rows = []
    for group in json.loads(SIGNATURES.read_text())["testGroups"]:
        key = group.get("public") or group["private"]
        header = json.loads(base64url.decode(group["tests"][0]["jws"].split(".")[0].encode()))
        rows += [(key, key.get("kid", header.get("kid")), test) for test in group["tests"]]
    return rows


@pytest.fixture(scope="module")
def vectors() -> list[Vector]:
    rows = wycheproof()
    if not rows:
        pytest.skip(f"the vectors are not at {SIGNATURES}: name their folder in TASK_EXECUTOR_TEST_VECTORS")
    return rows


def test_no_invalid_signature_of_wycheproof_is_accepted(
    vectors: list[Vector],
) -> None:
    invalid = [row for row in vectors if row[2]["result"] != "valid" and row[2]["tcId"] not in NOT_INVALID]
    accepted = [test["tcId"] for key, kid, test in invalid if signature_accepted(key_set(key, kid), test["jws"])]
    print(f"Wycheproof: {len(invalid) - len(accepted)} invalid refused, {len(accepted)} wrongly accepted")  # noqa: T201 - the count is what is asked for
    assert len(invalid) > 300
    assert accepted == []


def test_the_valid_signatures_of_wycheproof_are_accepted(
    vectors: list[Vector],
) -> None:
    valid = [row for row in vectors if row[2]["result"] == "valid" and row[0].get("alg") not in VALID_BUT_NOT_OURS]
    refused = {test["tcId"] for key, kid, test in valid if not signature_accepted(key_set(key, kid), test["jws"])}
    print(f"Wycheproof: {len(valid) - len(refused)} valid accepted, {len(refused)} refused")  # noqa: T201 - see above
    assert len(valid) > 15
    assert refused == REFUSED_THOUGH_VALID


@pytest.mark.parametrize("name", ["4_1.rsa_v15_signature.json", "4_4.hmac-sha2_integrity_protection.json"])
def test_the_signatures_of_rfc_7520_are_accepted(name: str) -> None:
    path = VECTORS / "rfc7520" / name
    if not path.exists():
        pytest.skip(f"the example is not at {path}: name the folder in TASK_EXECUTOR_TEST_VECTORS")
    example = json.loads(path.read_text())
    key = {member: value for member, value in example["input"]["key"].items() if member in {"kty", "n", "e", "k"}}
    token = example["output"]["compact"]
    assert signature_accepted(key_set(key, example["input"]["key"]["kid"]), token)
    assert not signature_accepted(key_set(key, "another"), token)
