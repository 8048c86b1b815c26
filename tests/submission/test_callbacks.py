import copy
import json
from typing import Any

import pytest

from app.outbound.rules import OutboundRules
from app.protocol.callbacks import Registration, key_of, sealing_purpose
from app.protocol.messages import SubmitTask
from app.security.sealing import Sealer
from app.submission.callbacks import Callbacks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SEALER = Sealer([bytes(32)])
KEPT: dict[str, bytes] = {}


async def kept(task_id: str) -> bytes | None:
    return KEPT.get(task_id)


CALLBACKS = Callbacks(OutboundRules(), SEALER, kept)


def sent(**callback: Any) -> dict[str, Any]:
    """A message with a callback."""
    return {
        "type": "submit_task",
        "header": {"message_id": "m-1", "timestamp": "2026-01-31T10:00:00Z"},
        "body": {
            "task_specification": {
                "type": "echo",
                "parameters": {"n": 10**30, "secret": SECRET},
                "callback": {"url": "https://hooks.example.com/tasks", **callback},
            },
            "priority": 1,
        },
    }


def registered(message: dict[str, Any], submitter: str = "alice") -> Registration:
    made = CALLBACKS.register(SubmitTask.model_validate(message).body.task_specification.callback, submitter)
    assert made is not None
    return made


def test_a_message_without_a_secret_is_kept_as_it_came() -> None:
    message = sent()
    text = json.dumps(message, indent=3)
    assert CALLBACKS.kept_text(message, text) is text
    assert CALLBACKS.covered(message) is message


def test_one_with_a_secret_is_kept_without_it_and_otherwise_alike() -> None:
    message = sent(secret=SECRET)
    before = copy.deepcopy(message)
    kept_message = json.loads(CALLBACKS.kept_text(message, json.dumps(message)))
    # What is called a secret elsewhere is the task's own matter.
    assert kept_message == sent()
    assert message == before


def test_a_fingerprint_stands_for_it_in_the_content() -> None:
    covered = CALLBACKS.covered(sent(secret=SECRET))
    callback = covered["body"]["task_specification"]["callback"]
    assert SECRET not in json.dumps(callback)
    assert covered == CALLBACKS.covered(sent(secret=SECRET))
    assert covered != CALLBACKS.covered(sent(secret="whsec_" + "B" * 32)) != CALLBACKS.covered(sent())


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"body": None},
        {"body": {"task_specification": []}},
        {"body": {"task_specification": {"callback": "https://a.example"}}},
        {"body": {"task_specification": {"callback": {"url": 1}}}},
    ],
)
def test_whatever_the_message_is(value: Any) -> None:
    assert CALLBACKS.kept_text(value, "text") == "text"
    assert CALLBACKS.covered(value) is value


@pytest.mark.parametrize("secret", [7, {"a": SECRET}, [SECRET], "", "not one"])
def test_what_is_no_secret_is_not_kept_either(secret: Any) -> None:
    message = sent(secret=secret)
    assert json.loads(CALLBACKS.kept_text(message, "text")) == sent()


def test_an_address_that_must_not_be_called() -> None:
    for url, wrong in (("https://10.0.0.1/", True), ("https://hooks.example.com/", False)):
        errors = CALLBACKS.check(SubmitTask.model_validate(sent(url=url)))
        assert [error.pointer for error in errors] == ["/body/task_specification/callback/url"] * wrong


def test_what_is_stored() -> None:
    made = registered(sent(secret=SECRET, events=["TaskFailed", "TaskFailed"], acknowledge="request"))
    assert made.sink == "https://hooks.example.com alice"
    assert (made.events, made.acknowledge) == (("TaskFailed",), "request")
    assert made.sealed_secret is not None
    assert SEALER.open(made.sealed_secret, sealing_purpose("alice")) == key_of(SECRET)
    assert registered(sent()).sealed_secret is None
    assert CALLBACKS.register(None, "alice") is None


async def test_a_retried_message_gets_the_secret_of_the_failed_task() -> None:
    KEPT["failed"] = b"sealed"
    made = await CALLBACKS.with_secret_of("failed", registered(sent()))
    assert made is not None
    assert made.sealed_secret == b"sealed"
    assert await CALLBACKS.with_secret_of("failed", None) is None
