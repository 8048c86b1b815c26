"""The receiver that docs/webhooks.md shows, against the real service."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.api.caller import Caller, message
from tests.delivery.webhooks.receiving import SECRET, delivery
from tests.support.source_tree import ROOT

PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")


@pytest.fixture
def names() -> dict[str, Any]:
    """What the page's program defines."""
    found: dict[str, Any] = {}
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(program, "docs/webhooks.md", "exec"), found)
    return found


@pytest.fixture
def receiver(names: dict[str, Any]) -> Iterator[str]:
    """Its URL while it listens."""
    handler: type[BaseHTTPRequestHandler] = names["Receiver"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tasks"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_receiver_takes_what_is_signed_and_nothing_else(
    alice: Caller, names: dict[str, Any], receiver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names["SECRET"] == SECRET
    task_id = alice.submit(message(parameters={"a": 1}, callback={"url": receiver, "secret": SECRET}))
    delivery(alice, task_id, "delivered")
    assert names["seen"] == {f"{task_id}.{sequence}" for sequence in (2, 5, 8)}
    assert f'{task_id} 8 Completed {{"a": 1}}' in capsys.readouterr().out
    forged = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    assert httpx.post(receiver, content=b"{}", headers=forged).status_code == 401
