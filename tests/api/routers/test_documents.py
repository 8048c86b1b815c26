import httpx
import pytest


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_is_guarded_and_names_no_other_host(nobody: httpx.Client, path: str) -> None:
    page = nobody.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-frame-options"] == "DENY"
    assert "://" not in page.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("swagger.js", "text/javascript"),
        ("redoc.standalone.js", "text/javascript"),
        ("favicon.png", "image/png"),
    ],
)
def test_what_the_pages_need_is_here_and_may_be_kept(nobody: httpx.Client, name: str, kind: str) -> None:
    asset = nobody.get(f"/docs/assets/{name}")
    assert asset.status_code == 200
    assert asset.headers["content-type"].startswith(kind)
    assert asset.headers["cache-control"] == "public, max-age=3600"
    assert len(asset.content) > 100


def test_an_asset_that_is_known_is_not_sent_again(nobody: httpx.Client) -> None:
    etag = nobody.get("/docs/assets/swagger-ui.css").headers["etag"]
    assert nobody.get("/docs/assets/swagger-ui.css", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=99999999-", "bytes=none"])
def test_a_part_of_an_asset_is_not_to_be_had(nobody: httpx.Client, asked: str) -> None:
    whole = nobody.get("/docs/assets/favicon.png")
    part = nobody.get("/docs/assets/favicon.png", headers={"Range": asked})
    assert (part.status_code, part.content, part.headers["accept-ranges"]) == (200, whole.content, "none")


def test_redoc_comes_without_the_picture_of_its_makers_host(nobody: httpx.Client) -> None:
    assert "cdn.redoc" not in nobody.get("/docs/assets/redoc.standalone.js").text


def test_the_document_is_served_without_a_token(nobody: httpx.Client) -> None:
    response = nobody.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["openapi"].startswith("3.1")
