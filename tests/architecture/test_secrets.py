"""No key, token or password stands in any file of the project."""

import re

import pytest

from tests.architecture.test_files import texts
from tests.support.source_tree import ROOT

# Pieced together, so that this file does not contain what it looks for.
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRI" + "VATE KEY-----\n[A-Za-z0-9+/=\n]{64}",
    "a key of Amazon": r"\bA(KIA|SIA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "a private JWK": r'"kty"[^{}]*"d"\s*:\s*"[A-Za-z0-9_-]{40,}"',
}


def test_no_file_holds_a_secret() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path, text in texts()
        for what, pattern in SECRETS.items()
        if re.search(pattern, text)
    ]
    assert found == []


def test_no_file_of_keys_is_kept() -> None:
    assert [
        path for path, _ in texts() if path.suffix in {".pem", ".key", ".p12", ".pfx", ".jks"} or path.name == ".env"
    ] == []


def test_images_take_nothing_but_what_is_named() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ".data" in ignored or "*" in ignored, "the data directory has the signing key"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a private key", "-----BEGIN PRI" + "VATE KEY-----\n" + "A" * 64),
        ("a key of Amazon", "AKIA" + "A" * 16),
        ("a token of GitHub", "ghp_" + "a" * 36),
        ("a token of Slack", "xoxb-" + "1" * 12),
        ("a key of Google", "AIza" + "a" * 35),
        ("a private JWK", '{"kty": "EC", "d": "' + "a" * 43 + '"}'),
    ],
)
def test_the_patterns_find_what_they_look_for(what: str, text: str) -> None:
    assert re.search(SECRETS[what], text)
