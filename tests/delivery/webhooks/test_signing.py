import os
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.delivery.webhooks.signing import headers_of
from app.protocol.callbacks import key_of, secret_of


def signed(body: bytes, timestamp: int, *keys: bytes) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers_of("task.7", timestamp, body, keys)}


def test_the_example_of_the_specification() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert dict(headers)[b"webhook-signature"] == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_library_of_the_standard_agrees_with_either_of_two_secrets() -> None:
    keys = [os.urandom(32), os.urandom(24)]
    headers = signed(b'{"a":1}', int(time.time()), *keys)
    for key in keys:
        assert Webhook(secret_of(key)).verify(b'{"a":1}', headers) == {"a": 1}


def test_what_was_altered_replayed_or_signed_by_others_does_not_verify() -> None:
    key, now = os.urandom(32), int(time.time())
    webhook = Webhook(secret_of(key))
    headers = signed(b"{}", now, key)
    for body, changed in (
        (b"{ }", headers),
        (b"{}", {**headers, "webhook-id": "task.8"}),
        (b"{}", {**headers, "webhook-timestamp": str(now + 1)}),
        (b"{}", signed(b"{}", now - 301, key)),
        (b"{}", signed(b"{}", now, os.urandom(32))),
    ):
        with pytest.raises(WebhookVerificationError):
            webhook.verify(body, changed)
