"""A new signing key in place of the old one, while the service runs.

The private half of the old key is gone at once. Its public half stays in a JWKS file beside the new key, with the
time `until` which tokens that it has signed may still come; the service drops it then.
"""

import json
from pathlib import Path
from typing import Any

from app.protocol import strict_json
from app.security import key_files
from app.security.errors import KeyConfigurationError
from app.security.jwks import keys_from_jwks
from app.security.keys import VerificationKey
from app.security.own_key import FILE_NAME, SigningKey, new_pem, own_signing_key

RETIRED_FILE_NAME = "retired-signing-keys.json"


def rotate_signing_key(data_dir: Path, overlap_s: float, now: float) -> SigningKey:
    """Makes a new signing key. Tokens by the old one are taken for `overlap_s` seconds more; 0 makes them void.

    Running services take it up within a second or so. Raises KeyConfigurationError.
    """
    try:
        with key_files.turn(data_dir):
            old = own_signing_key(data_dir)
            # First the old public half, then the new key: a service that reads in between knows both or the old one.
            key_files.replace(data_dir / RETIRED_FILE_NAME, _with(_retired(data_dir, now), old, now + overlap_s, now))
            key_files.replace(data_dir / FILE_NAME, new_pem())
            return own_signing_key(data_dir)
    except OSError as error:
        raise KeyConfigurationError(f"the signing key in {data_dir} cannot be replaced: {error.strerror}") from None


def retired_keys(data_dir: Path, now: float) -> list[VerificationKey]:
    """The public halves of earlier signing keys that still count. Raises KeyConfigurationError."""
    members = _retired(data_dir, now)
    return keys_from_jwks(json.dumps({"keys": members}).encode()) if members else []


def _retired(data_dir: Path, now: float) -> list[dict[str, Any]]:
    path = data_dir / RETIRED_FILE_NAME
    if not path.exists():
        return []
    try:
        members = strict_json.parse(path.read_bytes())["keys"]
        return [member for member in members if member["until"] > now]
    except (strict_json.NotJson, strict_json.ForbiddenJson, KeyError, TypeError):
        raise KeyConfigurationError(
            f"{path} is not a list of retired keys: remove it, which makes the tokens of earlier keys void"
        ) from None
    except OSError as error:
        raise KeyConfigurationError(f"the retired keys {path} cannot be read: {error.strerror}") from None


def _with(members: list[dict[str, Any]], old: SigningKey, until: float, now: float) -> bytes:
    public = {**old.verification_key.jose_key.to_dict(), "kid": old.kid, "until": int(until)}
    kept = [*members, public] if until > now else members
    return json.dumps({"keys": kept}, indent=1).encode()
