"""A caller that encrypts what it sends, with jwcrypto, and reads encrypted answers, with joserfc."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import RSAKey
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk

from app.protocol.roles import Role
from app.security.envelopes.recipients import Recipient
from tests.api.caller import Caller, Callers, Json

JOSE = {"Content-Type": "application/jose"}
ENCRYPTED = {"Accept": "application/jose"}
_PRIVATE = rsa.generate_private_key(65_537, 2048)
_KEY = RSAKey.import_key(_PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
_REGISTRY: Any = joserfc_jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM"])


def published(http: httpx.Client) -> Json:
    """The key that the service wants to be written to."""
    keys = http.get("/.well-known/jwks.json").json()["keys"]
    found: Json = next(key for key in keys if key["use"] == "enc")
    return found


def encrypted(content: object, key: Json, **members: object) -> str:
    """A compact JWE by jwcrypto; `members` of its header, `...` leaves one out."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], **members}
    protected = json.dumps({name: value for name, value in header.items() if value is not ...})
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    made = jwcrypto_jwe.JWE(raw, recipient=jwcrypto_jwk.JWK(**key), protected=protected)
    text: str = made.serialize(compact=True)
    return text


def opened(answer: httpx.Response | str) -> Any:
    """What is inside an encrypted answer, by joserfc."""
    if isinstance(answer, httpx.Response):
        assert answer.headers["content-type"] == "application/jose", answer.text
        answer = answer.text
    plaintext = joserfc_jwe.decrypt_compact(answer, _KEY, registry=_REGISTRY).plaintext
    assert plaintext is not None
    return json.loads(plaintext)


@dataclass
class Correspondent:
    """A submitter whose token is bound to a key."""

    caller: Caller
    key: Json

    @classmethod
    def of(cls, callers: Callers, *roles: Role, subject: str | None = None) -> "Correspondent":
        """With a subject of its own, unless one is given."""
        caller = callers.make(
            *(roles or (Role.SUBMITTER,)), subject=subject, bound_to=Recipient("mine", _PRIVATE.public_key())
        )
        return cls(caller, published(caller.http))

    def envelope(self, content: object, **members: object) -> str:
        """The content, from this sender."""
        return encrypted(content, self.key, **{"sub": self.caller.subject, **members})

    def post(self, content: object, query: str = "", **headers: str) -> httpx.Response:
        """POST /v1/tasks of an envelope; what is no text yet is put into one."""
        text = content if isinstance(content, str) else self.envelope(content)
        return self.caller.http.post(f"/v1/tasks{query}", content=text, headers={**JOSE, **headers})

    def submit(self, content: Json) -> str:
        """The task_id of an accepted message."""
        response = self.post(content)
        assert response.status_code == 202, response.text
        return str(response.json()["body"]["details"]["task_id"])

    def read(self, path: str) -> Any:
        """What an encrypted answer to a GET says."""
        return opened(self.caller.http.get(path, headers=ENCRYPTED))
