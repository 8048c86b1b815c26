import httpx
import pytest

from tests.api.caller import Caller, message


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/tasks", "/nothing", "/openapi.json", "/docs"])
def test_the_ordinary_way_tells_browsers_to_be_careful(nobody: httpx.Client, path: str) -> None:
    headers = nobody.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] in {"no-store", "no-cache"}
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_the_slim_way_too(alice: Caller) -> None:
    accepted = alice.post(message())
    task_id = accepted.headers["location"].rpartition("/")[2]
    alice.finished(task_id)
    status = alice.get(task_id)
    unchanged = alice.get(task_id, If_None_Match=status.headers["etag"])
    for response in (accepted, status, alice.post(b"{"), alice.get("nothing")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert unchanged.status_code == 304
    assert unchanged.headers["cache-control"] == "no-store"


def test_no_other_origin_is_let_in(alice: Caller) -> None:
    for origin in ("https://evil.example", "null"):
        response = alice.http.get("/v1/tasks", headers={"Origin": origin})
        assert not [name for name in response.headers if name.startswith("access-control")]
