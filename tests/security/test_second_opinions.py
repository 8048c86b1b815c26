"""The same tokens before this front, joserfc and PyJWT. Where they differ the table says why: ours refuses more."""

from collections.abc import Callable
from typing import Any, NamedTuple

import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.security.errors import InvalidToken
from tests.security.forge import CLAIMS, EC_KEY, HEADERS, NOW, RSA_KEY, SECRET, b64, forge, verifier, with_header

ALGORITHMS = ("RS256", "ES256", "HS256")


def front(token: str, _algorithm: str) -> bool:
    try:
        return verifier().verify(token, NOW).subject == "alice"
    except InvalidToken:
        return False


def by_joserfc(token: str, algorithm: str) -> bool:
    keys: dict[str, RSAKey | ECKey | OctKey] = {
        "RS256": RSAKey.import_key(RSA_KEY),
        "ES256": ECKey.import_key(EC_KEY),
        "HS256": OctKey.import_key(SECRET),
    }
    try:
        decoded = joserfc.jwt.decode(token, keys[algorithm], algorithms=[algorithm])
        rules = joserfc.jwt.JWTClaimsRegistry(
            now=int(NOW),
            leeway=30,
            iss={"essential": True, "value": "issuer"},
            aud={"essential": True, "value": "audience"},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        rules.validate(decoded.claims)
    except (JoseError, ValueError, TypeError):
        return False
    return bool(decoded.claims["sub"] == "alice")


def by_pyjwt(token: str, algorithm: str) -> bool:
    keys: dict[str, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | str] = {
        "RS256": RSA_KEY.public_key(),
        "ES256": EC_KEY.public_key(),
        "HS256": SECRET,
    }
    # Its clock cannot be set: times are left to the other two.
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "iat", "sub"]}
    try:
        claims = jwt.decode(
            token, keys[algorithm], algorithms=[algorithm], audience="audience", issuer="issuer", options=options
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return bool(claims["sub"] == "alice")


class Case(NamedTuple):
    """Who accepts it; `why` where they do not agree."""

    token: Callable[[str], str]
    ours: bool
    joserfc: bool
    pyjwt: bool
    why: str = ""


def claims(**changed: object) -> Callable[[str], str]:
    def make(algorithm: str) -> str:
        header, signer = HEADERS[algorithm]
        return forge(header, {name: value for name, value in {**CLAIMS, **changed}.items() if value is not ...}, signer)

    return make


def raw_claims(text: str) -> Callable[[str], str]:
    return lambda algorithm: forge(HEADERS[algorithm][0], text.encode(), HEADERS[algorithm][1])


def header(**changed: object) -> Callable[[str], str]:
    return lambda algorithm: with_header(algorithm, **changed)


def padded(algorithm: str) -> str:
    token = with_header(algorithm)
    return token + "=" * (-len(token.rsplit(".", 1)[1]) % 4)


def unsigned(algorithm: str) -> str:
    _, payload, _ = with_header(algorithm).split(".")
    return f"{b64(NONE)}.{payload}."


NONE = b'{"alg":"none"}'
TWICE = (
    '{"iss":"issuer","aud":"audience","iat":1789999940,"exp":1790000600,"sub":"mal","sub":"alice","roles":["admin"]}'
)
CASES = {
    "valid": Case(header(), True, True, True),
    "valid, a list of audiences": Case(claims(aud=["other", "audience"]), True, True, True),
    "valid, nothing but what is required": Case(claims(roles=...), True, True, True),
    "the signature of another token": Case(
        lambda algorithm: f"{with_header(algorithm).rsplit('.', 1)[0]}.{claims(jti='x')(algorithm).rsplit('.', 1)[1]}",
        False, False, False,
    ),
    "no signature": Case(lambda algorithm: with_header(algorithm).rsplit(".", 1)[0] + ".", False, False, False),
    "unsigned": Case(unsigned, False, False, False),
    "another issuer": Case(claims(iss="other"), False, False, False),
    "another audience": Case(claims(aud="other"), False, False, False),
    "no subject": Case(claims(sub=...), False, False, False),
    "no expiry": Case(claims(exp=...), False, False, False),
    "an unknown crit": Case(header(crit=["x"], x=1), False, False, False),
    "names twice": Case(raw_claims(TWICE), False, True, True, "both take the last of two names; others the first"),
    "an address of a key": Case(header(jku="https://x"), False, True, True, "both ignore what they do not use"),
    "another kid": Case(header(kid="other"), False, True, True, "both were handed the key; here the kid finds it"),
    "another typ": Case(header(typ="logout+jwt"), False, True, True, "both take a token for any purpose"),
    "a lifetime of years": Case(claims(exp=NOW + 1e8), False, True, True, "neither bounds it"),
    "padding": Case(padded, False, False, True, "PyJWT decodes leniently"),
}  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", CASES)
def test_three_readers_of_one_token(name: str, algorithm: str) -> None:
    case = CASES[name]
    token = case.token(algorithm)
    found = (front(token, algorithm), by_joserfc(token, algorithm), by_pyjwt(token, algorithm))
    assert found == (case.ours, case.joserfc, case.pyjwt)
    assert case.why or len(set(found)) == 1, "a difference is explained"
    assert not case.ours or (case.joserfc and case.pyjwt), "what we accept, both accept"
