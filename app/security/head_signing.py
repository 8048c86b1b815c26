"""Signing heads of the audit trail with the service's own key, and telling by whose key a head was signed.

A head is a compact JWS (RFC 7515) of a type of its own, which no door takes for a token. The public halves of all
keys that have signed heads stay in the data directory: heads are checked long after a key was replaced.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from app.protocol import strict_json
from app.protocol.audit_heads import Head, head_of
from app.security import base64url, key_files
from app.security.compact import CompactToken, json_object
from app.security.errors import InvalidToken, KeyConfigurationError
from app.security.jwks import keys_from_file
from app.security.keys import VerificationKey
from app.security.own_key import FILE_NAME, SigningKey, own_signing_key

KEYS_FILE_NAME = "audit-head-keys.json"
TYPE = "audit-head+jwt"

_SEGMENTS = 3


class NotAHead(Exception):
    """No head signed by one of the keys; the message says why in a few words."""


def sign_head(data_dir: Path, head: Head) -> bytes:
    """The head signed by the service's own key, which is made where there is none. Raises KeyConfigurationError."""
    key = own_signing_key(data_dir)
    try:
        _remember(data_dir / KEYS_FILE_NAME, key)
    except OSError as error:
        raise KeyConfigurationError(f"{data_dir / KEYS_FILE_NAME} cannot be written: {error.strerror}") from None
    except (strict_json.NotJson, strict_json.ForbiddenJson, KeyError, TypeError):
        raise KeyConfigurationError(f"{data_dir / KEYS_FILE_NAME} is not a list of keys: mend it or move it") from None
    return key.sign(head.claims(), TYPE).encode()


def head_keys(data_dir: Path) -> list[VerificationKey]:
    """The keys of this data directory that have signed heads. Raises KeyConfigurationError where there is none."""
    path = data_dir / KEYS_FILE_NAME
    if path.exists():
        return keys_from_file(path)
    if (data_dir / FILE_NAME).exists():
        return [own_signing_key(data_dir).verification_key]
    raise KeyConfigurationError(f"there is no key in {data_dir} that has signed heads")


def read_head(signed: bytes, keys: Iterable[VerificationKey]) -> Head:
    """The head in a compact JWS, its signature checked by the key that it names. Raises NotAHead."""
    segments = signed.split(b".")
    if len(segments) != _SEGMENTS:
        raise NotAHead("it is no compact JWS")
    try:
        header, payload, signature = map(base64url.decode, segments)
        members = json_object(header, "header")
    except (ValueError, InvalidToken):
        raise NotAHead("it is no compact JWS") from None
    if members.keys() != {"alg", "kid", "typ"} or members["typ"] != TYPE:
        raise NotAHead("its header is not that of a head")
    key = next((key for key in keys if key.kid == members["kid"]), None)
    if key is None or key.algorithm != members["alg"]:
        raise NotAHead(f"it names the key {str(members['kid'])[:64]!r}, which is not known here")
    if not key.verifies(CompactToken(key.algorithm, key.kid, signed[: signed.rindex(b".")], payload, signature)):
        raise NotAHead("its signature does not fit")
    try:
        return head_of(json_object(payload, "payload"))
    except (ValueError, InvalidToken):
        raise NotAHead("what is signed is no head") from None


def _remember(path: Path, key: SigningKey) -> None:
    members = strict_json.parse(path.read_bytes())["keys"] if path.exists() else []
    if not any(member["kid"] == key.kid for member in members):
        members.append({**key.verification_key.jose_key.to_dict(), "use": "sig", "kid": key.kid})
        key_files.replace(path, json.dumps({"keys": members}, indent=1).encode())
