import base64

import pytest
from pydantic import ValidationError

from app.protocol.callbacks import EVENTS, Callback, key_of, origin_of, secret_of, sink_of, submitter_of
from app.protocol.history import ROUTES, MessageName, Party

URL = "https://hooks.example.com/tasks"


def test_events_are_the_messages_to_the_submitter_of_an_accepted_task() -> None:
    told = {str(name) for name, (_, recipient) in ROUTES.items() if recipient is Party.SUBMITTER}
    assert set(EVENTS) == told - {str(MessageName.TASK_REJECTED)}


def test_what_goes_without_saying() -> None:
    callback = Callback.model_validate({"url": URL})
    assert (callback.secret, callback.events, callback.acknowledge) == (None, None, "response")


def test_a_secret_is_not_shown_by_chance() -> None:
    secret = secret_of(bytes(32))
    assert secret not in repr(Callback.model_validate({"url": URL, "secret": secret}))


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_and_its_key(size: int) -> None:
    key = bytes(range(size))
    assert key_of(secret_of(key)) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "whsec_" + base64.b64encode(bytes(32)).decode() + "\n",
        "WHSEC_" + base64.b64encode(bytes(32)).decode(),
        "whsec_é",
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Callback.model_validate({"url": URL, "secret": secret})
    (error,) = caught.value.errors(include_input=False)
    assert error["loc"] == ("secret",)
    assert "24 to 64 random bytes" in error["msg"]


def test_a_sink_is_an_origin_and_a_submitter() -> None:
    sink = sink_of("https://a.example:8443", "alice of wonderland")
    assert (origin_of(sink), submitter_of(sink)) == ("https://a.example:8443", "alice of wonderland")
