import time
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest

from app.protocol.audit_heads import Head
from app.protocol.history import GENESIS
from app.security.claims import ClaimRules
from app.security.errors import InvalidToken, KeyConfigurationError
from app.security.head_signing import KEYS_FILE_NAME, TYPE, NotAHead, head_keys, read_head, sign_head
from app.security.keys import KeySet
from app.security.own_key import own_signing_key
from app.security.rotation import rotate_signing_key
from app.security.tokens import TokenVerifier

HEAD = Head(1, GENESIS, None, datetime(2026, 11, 26, 10, tzinfo=UTC), 3, "ab" * 32)


def test_a_head_is_read_back(tmp_path: Path) -> None:
    assert read_head(sign_head(tmp_path, HEAD), head_keys(tmp_path)) == HEAD


def test_another_library_reads_it(tmp_path: Path) -> None:
    signed = sign_head(tmp_path, HEAD).decode()
    (key,) = jwt.PyJWKSet.from_json((tmp_path / KEYS_FILE_NAME).read_text()).keys
    assert jwt.get_unverified_header(signed) == {"alg": "RS256", "kid": key.key_id, "typ": TYPE}
    assert jwt.decode(signed, key, ["RS256"]) == HEAD.claims()


def test_heads_of_keys_that_were_replaced_are_read_for_good(tmp_path: Path) -> None:
    before = sign_head(tmp_path, HEAD)
    rotate_signing_key(tmp_path, 0, time.time())
    after = sign_head(tmp_path, HEAD)
    assert before != after
    for signed in (before, after, sign_head(tmp_path, HEAD)):
        assert read_head(signed, head_keys(tmp_path)) == HEAD
    assert len(head_keys(tmp_path)) == 2
    assert (tmp_path / KEYS_FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_head_is_no_token_and_a_token_is_no_head(tmp_path: Path) -> None:
    key, now = own_signing_key(tmp_path), int(time.time())
    rules = ClaimRules("i", "a", 3600, leeway_s=0)
    claims = {"iss": "i", "aud": "a", "sub": "alice", "iat": now, "exp": now + 60, "roles": ["submitter"]}
    verifier = TokenVerifier(KeySet([key.verification_key]), rules)
    verifier.verify(key.sign(claims).encode(), now)
    with pytest.raises(InvalidToken, match="typ"):
        verifier.verify(key.sign(claims, TYPE).encode(), now)
    with pytest.raises(NotAHead, match="header"):
        read_head(key.sign(HEAD.claims()).encode(), [key.verification_key])


def test_what_is_no_head(tmp_path: Path) -> None:
    signed, keys = sign_head(tmp_path / "one", HEAD), head_keys(tmp_path / "one")
    header, payload, signature = signed.split(b".")
    other = sign_head(tmp_path / "two", HEAD)
    for altered, why in (
        (b"", "no compact JWS"),
        (b"a.b", "no compact JWS"),
        (header + b"." + payload + b".", "signature"),
        (header + b"." + other.split(b".")[0] + b"." + signature, "signature"),
        (other, "not known"),
        (own_signing_key(tmp_path / "one").sign({"number": 1}, TYPE).encode(), "no head"),
    ):
        with pytest.raises(NotAHead, match=why):
            read_head(altered, keys)


def test_keys_that_are_not_there_or_spoilt(tmp_path: Path) -> None:
    with pytest.raises(KeyConfigurationError, match="no key"):
        head_keys(tmp_path)
    key = own_signing_key(tmp_path)
    assert [each.kid for each in head_keys(tmp_path)] == [key.kid]
    (tmp_path / KEYS_FILE_NAME).write_text("[]")
    with pytest.raises(KeyConfigurationError, match="not a list of keys"):
        sign_head(tmp_path, HEAD)
