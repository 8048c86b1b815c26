"""Tokens that the service issues itself."""

from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from app.protocol.roles import ROLE_PERMISSIONS, Role
from app.security.errors import InvalidToken
from app.security.issuing import issue
from app.security.own_key import FILE_NAME, SigningKey, own_signing_key
from tests.security.verifying import token_verifier

NOW = 1_790_000_000.75


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    own_signing_key(path)
    return path


@pytest.fixture(scope="module")
def key(data_dir: Path) -> SigningKey:
    return own_signing_key(data_dir)


@pytest.mark.parametrize("role", Role)
def test_an_issued_token_is_accepted_with_its_role(data_dir: Path, key: SigningKey, role: Role) -> None:
    principal = token_verifier(data_dir).verify(issue(key, "alice", [role], 3600, NOW), NOW)
    assert (principal.subject, principal.permissions) == ("alice", ROLE_PERMISSIONS[role])
    assert principal.expires_at == int(NOW) + 3600
    assert principal.admin == (role is Role.ADMIN)


def test_a_second_library_reads_the_same(data_dir: Path, key: SigningKey) -> None:
    token = issue(key, "alice", [Role.SUBMITTER, Role.EXECUTOR], 60, NOW, "an issuer", "an audience")
    decoded = jwt.decode(token, RSAKey.import_key((data_dir / FILE_NAME).read_bytes()), algorithms=["RS256"])
    assert decoded.header == {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
    assert len(decoded.claims.pop("jti")) == 32
    assert decoded.claims == {
        "iss": "an issuer",
        "aud": "an audience",
        "sub": "alice",
        "roles": ["executor", "submitter"],
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }


def test_each_token_has_an_identifier_of_its_own(data_dir: Path, key: SigningKey) -> None:
    verifier = token_verifier(data_dir)
    identifiers = {verifier.verify(issue(key, "alice", [], 60, NOW), NOW).token_id for _ in range(5)}
    assert len(identifiers) == 5
    assert None not in identifiers


def test_a_token_of_another_installation_is_refused(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(InvalidToken, match="no key has this kid"):
        token_verifier(tmp_path).verify(issue(key, "alice", [Role.ADMIN], 60, NOW), NOW)


@pytest.mark.parametrize("subject", ["", " alice", "al\nice", "x" * 256, "jürgen", "\u0430lice"])
def test_subjects_that_would_be_refused_are_not_issued(key: SigningKey, subject: str) -> None:
    with pytest.raises(ValueError, match="the subject must be"):
        issue(key, subject, [Role.SUBMITTER], 60, NOW)


@pytest.mark.parametrize("lifetime_s", [0, -1, 86_401])
def test_lifetimes_that_would_be_refused_are_not_issued(key: SigningKey, lifetime_s: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 86400"):
        issue(key, "alice", [Role.SUBMITTER], lifetime_s, NOW)


def test_the_longest_lifetime_is_accepted(data_dir: Path, key: SigningKey) -> None:
    token = issue(key, "alice", [Role.SUBMITTER], 86_400, NOW)
    assert token_verifier(data_dir).verify(token, NOW).expires_at == int(NOW) + 86_400
