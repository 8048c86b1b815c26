"""Settings: what is wrong stops the start with one sentence that names the variable."""

import pytest

from app.settings import Settings, SettingsError


@pytest.mark.parametrize(
    "url", ["https://issuer.example/keys", "https://10.0.0.1:8443/k", "http://localhost:8000/k", "http://[::1]/k"]
)
def test_an_address_of_keys_that_nobody_can_change_on_the_way(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_KEYS_URL", url)
    assert Settings().security.jwt_keys_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://localhost.example/keys",
        "http://127.0.0.1.example/keys",
        "file:///etc/keys",
        "https:///keys",
        "https://user:password@issuer.example/keys",
        "https://issuer.example:port/keys",
        "https://[::1",
        "issuer.example/keys",
    ],
)
def test_any_other_address_of_keys(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_JWT_KEYS_URL", url)
    with pytest.raises(SettingsError, match="TASK_EXECUTOR_JWT_KEYS_URL: should be an https address"):
        Settings()


@pytest.mark.parametrize("origins", ["*", "null", "board.example", "https://a.example/", "https://a.example,*"])
def test_what_is_no_origin(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("TASK_EXECUTOR_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match=r"TASK_EXECUTOR_CORS_ORIGINS: '.*' is no origin: write https://HOST"):
        Settings()


@pytest.mark.parametrize("name", ["DOCUMENTS", "METRICS"])
def test_a_door_that_is_neither(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TASK_EXECUTOR_{name}", "ajar")
    with pytest.raises(SettingsError, match=f"TASK_EXECUTOR_{name}: should be 'open', 'token' or 'closed'"):
        Settings()
