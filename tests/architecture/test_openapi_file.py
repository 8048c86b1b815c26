"""openapi/openapi.json is what the code says."""

from app.cli.openapi import render
from tests.support.source_tree import ROOT


def test_the_file_is_current() -> None:
    written = (ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8")
    assert written == render(), "run `make openapi`"
