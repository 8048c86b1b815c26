"""The front as a whole: its memory of verified tokens, the keys as configured, second opinions and a fuzz."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.protocol.roles import Principal, Role
from app.security.errors import InvalidToken, KeyConfigurationError
from app.security.issuing import issue
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.tokens import TokenVerifier
from tests.security.forge import (
    CLAIMS,
    EC_KEY,
    HEADERS,
    NOW,
    RSA_KEY,
    SECRET,
    b64,
    forge,
    jwks,
    rsa_jwk,
    verifier,
    with_claims,
    with_header,
)
from tests.security.verifying import token_verifier

ALGORITHMS = ["RS256", "ES256", "HS256"]
FUZZ = settings(database=None, deadline=None, max_examples=400)


# -- the memory of verified tokens ------------------------------------------------------------------


class Clockwork:
    """A key set that counts how often a signature was really checked."""

    def __init__(self, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checks = 0
        check = verifier._keys.check_signature

        def counted(token: Any) -> None:
            self.checks += 1
            check(token)

        monkeypatch.setattr(verifier._keys, "check_signature", counted)


def test_a_verified_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    front = verifier()
    work = Clockwork(front, monkeypatch)
    token = with_claims(exp=NOW + 100)
    first = front.verify(token, NOW)
    assert front.verify(token.encode(), NOW + 99.9) is first
    assert work.checks == 1
    # Within the leeway it is still accepted, and verified anew each time.
    assert front.verify(token, NOW + 100) == first
    assert front.verify(token, NOW + 129) == first
    assert work.checks == 3
    with pytest.raises(InvalidToken, match="has expired"):
        front.verify(token, NOW + 130)


def test_a_refused_token_is_not_remembered() -> None:
    front = verifier()
    early = with_claims(nbf=NOW + 100)
    with pytest.raises(InvalidToken, match="not valid yet"):
        front.verify(early, NOW)
    assert front.verify(early, NOW + 100).subject == "alice"


def test_a_spelling_of_a_remembered_token_is_not_that_token() -> None:
    front = verifier()
    token = with_header("ES256")
    front.verify(token, NOW)
    for other in (token + "=", token + "\n", " " + token, token[:-1], token.swapcase(), "Bearer " + token):
        with pytest.raises(InvalidToken):
            front.verify(other, NOW)


def test_the_memory_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    front = verifier(cached_tokens=3)
    work = Clockwork(front, monkeypatch)
    tokens = [with_claims(jti=str(number)) for number in range(5)]
    for token in tokens:
        front.verify(token, NOW)
    assert work.checks == 5
    for token in tokens[2:]:
        front.verify(token, NOW)
    assert work.checks == 5
    front.verify(tokens[0], NOW)
    assert work.checks == 6
    assert len(front._verified) == 3


def test_the_memory_holds_no_token() -> None:
    front = verifier()
    token = with_claims()
    front.verify(token, NOW)
    assert [len(digest) for digest in front._verified] == [32]
    assert token not in repr(front._verified)


# -- the keys as configured -------------------------------------------------------------------------


def test_without_configuration_the_own_key_counts(tmp_path: Path) -> None:
    front = token_verifier(tmp_path)
    token = issue(own_signing_key(tmp_path), "alice", [Role.ADMIN], 60, NOW)
    assert front.verify(token, NOW).admin


def test_configured_keys_take_the_place_of_the_own_key(tmp_path: Path) -> None:
    own = issue(own_signing_key(tmp_path), "alice", [Role.ADMIN], 60, NOW, "issuer", "audience")
    keys_file = tmp_path / "keys.json"
    keys_file.write_bytes(jwks(rsa_jwk()))
    keys_file.chmod(0o644)
    front = token_verifier(tmp_path, "issuer", "audience", keys_file, SECRET)
    assert front.verify(with_header("RS256"), NOW).subject == "alice"
    assert front.verify(with_header("HS256"), NOW).subject == "alice"
    with pytest.raises(InvalidToken, match="no key has this kid"):
        front.verify(own, NOW)


def test_with_configured_keys_no_own_key_is_made(tmp_path: Path) -> None:
    token_verifier(tmp_path, "issuer", "audience", secret=SECRET)
    assert not (tmp_path / FILE_NAME).exists()


def test_issuer_audience_lifetime_and_leeway_are_as_configured(tmp_path: Path) -> None:
    front = token_verifier(tmp_path, "https://issuer/", "api", secret=SECRET, max_lifetime_s=700, leeway_s=0)
    claims = {**CLAIMS, "iss": "https://issuer/", "aud": "api", "iat": NOW, "exp": NOW + 700}
    token = forge(HEADERS["HS256"][0], claims)
    assert front.verify(token, NOW).subject == "alice"
    with pytest.raises(InvalidToken, match="has expired"):
        front.verify(token, NOW + 700)
    with pytest.raises(InvalidToken, match="lifetime"):
        front.verify(forge(HEADERS["HS256"][0], {**claims, "exp": NOW + 701}), NOW)
    with pytest.raises(InvalidToken, match="issuer"):
        front.verify(with_claims(), NOW)


def test_an_empty_secret_is_not_taken_for_an_absent_one(tmp_path: Path) -> None:
    with pytest.raises(KeyConfigurationError):
        token_verifier(tmp_path, secret="")
    assert not (tmp_path / FILE_NAME).exists()


# -- second opinions --------------------------------------------------------------------------------


def joserfc_key(algorithm: str) -> RSAKey | ECKey | OctKey:
    match algorithm:
        case "RS256":
            return RSAKey.import_key(RSA_KEY)
        case "ES256":
            return ECKey.import_key(EC_KEY)
        case _:
            return OctKey.import_key(SECRET)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_made_by_a_second_library_are_accepted(algorithm: str) -> None:
    token = jwt.encode(dict(HEADERS[algorithm][0]), CLAIMS, joserfc_key(algorithm), algorithms=[algorithm])
    assert verifier().verify(token, NOW).subject == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_second_library_accepts_what_the_front_accepts(algorithm: str) -> None:
    token = with_header(algorithm)
    decoded = jwt.decode(token, joserfc_key(algorithm), algorithms=[algorithm])
    assert verifier().verify(token, NOW).subject == decoded.claims["sub"]


# -- the fuzz ---------------------------------------------------------------------------------------

VALID = {algorithm: with_header(algorithm).encode() for algorithm in ALGORITHMS}
WARM = verifier()
for _token in VALID.values():
    WARM.verify(_token, NOW)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid token with a few bytes changed, put in, taken out, moved or repeated."""
    token = VALID[draw(st.sampled_from(ALGORITHMS))]
    for _ in range(draw(st.integers(1, 3))):
        first, second = sorted(draw(st.tuples(*[st.integers(0, len(token))] * 2)))
        piece = draw(st.one_of(st.binary(max_size=3), st.sampled_from([b".", b"=", b"A", b"_", b"\n"])))
        token = draw(
            st.sampled_from(
                [
                    token[:first] + piece + token[first + len(piece) :],
                    token[:first] + piece + token[first:],
                    token[:first] + token[second:],
                    token[:first] + token[first:second] + token[first:],
                    token[second:] + token[:second],
                    b".".join(reversed(token.split(b"."))),
                ]
            )
        )
    return token


@given(mutated())
@FUZZ
def test_no_mutated_token_is_accepted_and_nothing_foreign_raised(token: bytes) -> None:
    if token in VALID.values():
        return
    for front in (WARM, verifier()):
        with pytest.raises(InvalidToken):
            front.verify(token, NOW)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.none(), st.integers()))
@FUZZ
def test_no_random_token_is_accepted_and_nothing_foreign_raised(token: Any) -> None:
    with pytest.raises(InvalidToken):
        WARM.verify(token, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CLAIM = st.sampled_from(["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "roles", "scope"])


@given(st.dictionaries(CLAIM, JSON, max_size=3), st.dictionaries(st.sampled_from(["alg", "typ", "kid"]), JSON))
@FUZZ
def test_signed_tokens_of_any_content_give_a_principal_or_a_refusal(
    claims: dict[str, object], header: dict[str, object]
) -> None:
    token = forge({**HEADERS["HS256"][0], **header}, {**CLAIMS, **claims})
    try:
        principal = WARM.verify(token, NOW)
    except InvalidToken:
        return
    assert isinstance(principal, Principal)
    assert header.get("alg", "HS256") == "HS256"
    assert "kid" not in header
    assert principal.subject == claims.get("sub", "alice")
    assert not principal.admin or "admin" in str(claims["roles"])


@given(JSON, JSON)
@FUZZ
def test_parts_of_any_json_raise_nothing_foreign(header: object, payload: object) -> None:
    with pytest.raises(InvalidToken):
        WARM.verify(forge(header, payload), NOW)


def test_every_single_bit_of_a_token_counts() -> None:
    token = VALID["HS256"]
    for place in range(len(token)):
        for bit in range(8):
            flipped = token[:place] + bytes([token[place] ^ 1 << bit]) + token[place + 1 :]
            with pytest.raises(InvalidToken):
                WARM.verify(flipped, NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_parts_of_two_valid_tokens_do_not_mix(algorithm: str) -> None:
    first = with_header(algorithm).split(".")
    other = forge(HEADERS[algorithm][0], {**CLAIMS, "roles": ["admin"]}, HEADERS[algorithm][1]).split(".")
    with pytest.raises(InvalidToken, match="signature does not fit"):
        WARM.verify(".".join([first[0], other[1], first[2]]), NOW)
    with pytest.raises(InvalidToken):
        WARM.verify(".".join([b64(b'{"alg":"none"}'), other[1], ""]), NOW)
