"""The service as client commands see it: requests that either succeed or raise what to tell the person."""

import ipaddress
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from app.cli.failures import Refused, Unreachable, Usage

TIMEOUT_S = 30.0
SUBMIT_TRIES = 4
SUBMIT_PAUSE_S = 0.5
JOSE = "application/jose"
_OF_THE_ENVELOPE = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


class Service:
    """A connection to one service at `url`, as the holder of `token`. To be used in a `with` statement.

    Answers are asked for encrypted where there is an `opener` for them.
    """

    def __init__(self, url: str, token: str | None, opener: Callable[[bytes], bytes] | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._opener = opener
        headers = {"Accept": "application/json" if opener is None else JOSE, "User-Agent": "task-executor-cli"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        local = is_local(self.url)
        self._client = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=TIMEOUT_S,
            # A proxy from the environment has no way to this machine's own addresses.
            trust_env=not local,
            # Reading the authorities takes 25 ms, and plain HTTP on this machine asks none of them.
            verify=not (local and self.url.lower().startswith("http:")),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def get(
        self,
        path: str,
        params: Mapping[str, str | int | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        """The answer to a GET, 304 included. Raises Refused, Unreachable, Usage."""
        return self._request("GET", path, params=params, headers=headers, timeout=timeout_s)

    def post(
        self,
        path: str,
        content: bytes = b"",
        params: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> httpx.Response:
        """The answer to a POST, of JSON unless of another `kind`. Raises Refused, Unreachable, Usage."""
        headers = {"Content-Type": kind} if content else {}
        return self._request("POST", path, content=content, params=params, headers=headers)

    def delete(self, path: str) -> httpx.Response:
        """The answer to a DELETE. Raises Refused, Unreachable, Usage."""
        return self._request("DELETE", path)

    def put(self, path: str, content: bytes) -> httpx.Response:
        """The answer to a PUT of JSON. Raises Refused, Unreachable, Usage."""
        return self._request("PUT", path, content=content, headers={"Content-Type": "application/json"})

    def submit(self, message: bytes, *, validate_only: bool = False, encrypted: bool = False) -> httpx.Response:
        """Submits a message, again where no answer came: its message_id makes sure that it is taken only once."""
        params = {"validate_only": "true"} if validate_only else None
        kind = JOSE if encrypted else "application/json"
        for attempt in range(1, SUBMIT_TRIES):
            try:
                return self.post("/v1/tasks", message, params, kind)
            except Unreachable:
                time.sleep(SUBMIT_PAUSE_S * attempt)
        return self.post("/v1/tasks", message, params, kind)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **arguments)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Usage(f"{self.url!r} is no address of a service: write http://HOST:PORT") from None
        except httpx.TimeoutException:
            raise Unreachable(f"The service at {self.url} did not answer in time.") from None
        except httpx.TransportError as error:
            raise Unreachable(_no_answer(self.url, error)) from None
        if not response.is_success and response.status_code != HTTPStatus.NOT_MODIFIED:
            raise Refused(response.status_code, _problem(response), response.headers.get("Retry-After"))
        if self._opener is not None and response.headers.get("Content-Type") == JOSE:
            opened = self._opener(response.content)
            headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_ENVELOPE}
            return httpx.Response(response.status_code, headers=headers, content=opened, request=response.request)
        return response


def task_path(task_id: str, *rest: str) -> str:
    """The path of a task, whatever was typed as its id."""
    return "/".join(("/v1/tasks", quote(task_id, safe=""), *rest))


def is_local(url: str) -> bool:
    """The address is one of this machine's own loopback addresses."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_answer(url: str, error: httpx.TransportError) -> str:
    if "WRONG_VERSION_NUMBER" in str(error):
        hint = "It does not speak TLS: write http:// in place of https://."
    elif is_local(url):
        hint = "Is it running? `task-executor serve` starts it."
    else:
        hint = "Check the address and the network."
    return f"No service answers at {url} ({error or type(error).__name__}). {hint}"


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    """The problem document of an answer, or a stand-in where something else than our service answered."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"title": response.reason_phrase, "detail": "the answer is no problem document: is this the right address?"}
