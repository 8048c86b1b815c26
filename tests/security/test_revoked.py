"""Revoked tokens are refused, remembered or not, until the revocation ends."""

import pytest

from app.security.errors import InvalidToken
from app.security.revoked import Revoked, RevokedTokens
from tests.security.forge import NOW, verifier, with_claims

TOKEN = with_claims(jti="t-1")
SUBJECT, TOKEN_ID = Revoked("subject", "alice", NOW + 100), Revoked("token_id", "t-1", NOW + 100)


@pytest.mark.parametrize("entry", [SUBJECT, TOKEN_ID])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_revoked_token_is_refused_until_the_end(entry: Revoked, remembered: bool) -> None:
    front = verifier()
    if remembered:
        front.verify(TOKEN, NOW)
    front.revoke(RevokedTokens([entry]), NOW)
    for now in (NOW, NOW + 99.9):
        with pytest.raises(InvalidToken, match="revoked"):
            front.verify(TOKEN, now)
    assert front.verify(TOKEN, NOW + 100).subject == "alice"


@pytest.mark.parametrize(
    "entry",
    [
        Revoked("subject", "alic", NOW + 100),
        Revoked("subject", "ALICE", NOW + 100),
        Revoked("subject", "t-1", NOW + 100),
        Revoked("token_id", "alice", NOW + 100),
        Revoked("token_id", "t-10", NOW + 100),
    ],
)
def test_others_are_not(entry: Revoked) -> None:
    front = verifier()
    known = front.verify(TOKEN, NOW)
    front.revoke(RevokedTokens([entry]), NOW)
    assert front.verify(TOKEN, NOW) is known


def test_a_token_without_an_id_is_reached_by_its_subject() -> None:
    front = verifier()
    front.revoke(RevokedTokens([TOKEN_ID]), NOW)
    front.verify(with_claims(), NOW)
    front.revoke(RevokedTokens([SUBJECT]), NOW)
    with pytest.raises(InvalidToken, match="revoked"):
        front.verify(with_claims(), NOW)


def test_what_a_lifted_revocation_had_refused_is_accepted() -> None:
    front = verifier()
    front.revoke(RevokedTokens([SUBJECT]), NOW)
    front.revoke(RevokedTokens(), NOW)
    assert front.verify(TOKEN, NOW).subject == "alice"


def test_what_is_held_open_is_told() -> None:
    front = verifier()
    principal = front.verify(TOKEN, NOW)
    assert not front.has_revoked(principal, NOW)
    front.revoke(RevokedTokens([TOKEN_ID]), NOW)
    assert front.has_revoked(principal, NOW)
    assert not front.has_revoked(principal, NOW + 100)


def test_a_forged_token_does_not_learn_that_its_subject_is_revoked() -> None:
    front = verifier()
    front.revoke(RevokedTokens([SUBJECT]), NOW)
    with pytest.raises(InvalidToken, match="signature"):
        front.verify(TOKEN[:-4] + "AAAA", NOW)
