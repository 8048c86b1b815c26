"""Attacks on the claims of truly signed tokens, and what roles and scopes permit."""

import pytest

from app.protocol.roles import ROLE_PERMISSIONS, Permission, Principal, Role
from app.security.errors import InvalidToken
from tests.security.forge import CLAIMS, HEADERS, NOW, forge, hs256, verifier, with_claims

LEEWAY_S = 30
MAX_LIFETIME_S = 86_400


def accepted(now: float = NOW, /, **claims: object) -> Principal:
    return verifier().verify(with_claims(**claims), now)


def refused(cause: str, now: float = NOW, /, **claims: object) -> None:
    with pytest.raises(InvalidToken, match=cause):
        accepted(now, **claims)


@pytest.mark.parametrize("value", [..., None, [1], {}, "9999999999", "", True, False])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_times_that_are_not_numbers(name: str, value: object) -> None:
    if name == "nbf" and value is ...:
        assert accepted(nbf=...).subject == "alice"
    else:
        refused(f"{name} is not a number", **{name: value})


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"0x10", b"01"])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_times_that_are_not_json_numbers(name: str, value: bytes) -> None:
    payload = forge_payload(name, value)
    with pytest.raises(InvalidToken, match="payload is not strict JSON"):
        verifier().verify(forge(HEADERS["HS256"][0], payload), NOW)


def forge_payload(name: str, value: bytes) -> bytes:
    others = ",".join(f'"{key}":"{text}"' for key, text in CLAIMS.items() if key != name)
    return b'{"' + name.encode() + b'":' + value + b"," + others.encode() + b"}"


@pytest.mark.parametrize("exp", [1e300, 1e308, 10**18, 10**99, NOW + MAX_LIFETIME_S + 1])
def test_lifetimes_beyond_the_longest(exp: float) -> None:
    refused("lifetime", exp=exp)


@pytest.mark.parametrize("iat", [-1e308, -(10**98), 0, -1])
def test_times_of_issue_that_would_stretch_the_lifetime(iat: float) -> None:
    refused("lifetime", iat=iat)


def test_the_longest_lifetime_is_exact() -> None:
    assert accepted(iat=NOW, exp=NOW + MAX_LIFETIME_S).expires_at == NOW + MAX_LIFETIME_S
    refused("lifetime", iat=NOW, exp=NOW + MAX_LIFETIME_S + 0.5)


def test_a_token_that_expires_before_it_was_issued() -> None:
    refused("lifetime", iat=NOW + 20, exp=NOW + 10)
    refused("lifetime", iat=NOW, exp=NOW)


def test_the_leeway_after_expiry_is_exact() -> None:
    expiry = NOW + 100
    assert accepted(expiry + LEEWAY_S - 0.001, exp=expiry).subject == "alice"
    refused("has expired", expiry + LEEWAY_S, exp=expiry)
    refused("has expired", expiry + LEEWAY_S + 1, exp=expiry)


@pytest.mark.parametrize(("name", "cause"), [("nbf", "not valid yet"), ("iat", "issued in the future")])
def test_the_leeway_before_the_beginning_is_exact(name: str, cause: str) -> None:
    assert accepted(**{name: NOW + LEEWAY_S}).subject == "alice"
    refused(cause, **{name: NOW + LEEWAY_S + 0.001})
    refused(cause, **{name: NOW + 300})


def test_fractions_of_a_second_are_numbers_too() -> None:
    assert accepted(exp=NOW + 0.5).expires_at == NOW + 0.5


@pytest.mark.parametrize("aud", ["audience", ["audience"], ["other", "audience"]])
def test_audiences_that_include_this_service(aud: object) -> None:
    assert accepted(aud=aud).subject == "alice"


@pytest.mark.parametrize(
    "aud",
    [..., None, "", "other", "Audience", "audience/", "audience ", "audienc", [], ["other"], 1, True, {"audience": 1},
     ["audience", 1], [["audience"]], "other audience"],
)  # fmt: skip
def test_audiences_of_others(aud: object) -> None:
    refused("another audience", aud=aud)


@pytest.mark.parametrize(
    "iss", [..., None, "", "issue", "issuer/", "Issuer", " issuer", "https://issuer", ["issuer"], 1, {"issuer": 1}]
)
def test_issuers_that_are_not_exactly_ours(iss: object) -> None:
    refused("issuer is another", iss=iss)


@pytest.mark.parametrize(
    "sub",
    ["a", "a b", "alice@example.com", "auth0|65f", "CN=alice, O=Example", "system:serviceaccount:a:b", "x" * 255, "~!"],
)
def test_subjects_as_issuers_write_them(sub: str) -> None:
    assert accepted(sub=sub).subject == sub


BAD_IDENTIFIERS = [
    None, "", 1, True, ["alice"], {"a": 1}, "x" * 256, "x" * 4000, " alice", "alice ", " ", "al\tice", "alice\n",
    "\nalice", "al\x7fice", "\u0430lice", "ali\u0441e", "alice\u200b", "\uff41lice", "jürgen",
]  # fmt: skip


@pytest.mark.parametrize("sub", [..., *BAD_IDENTIFIERS])
def test_subjects_that_are_none_or_look_like_another(sub: object) -> None:
    refused("sub is not a string of 1 to 255", sub=sub)


@pytest.mark.parametrize("jti", BAD_IDENTIFIERS)
def test_token_identifiers_that_are_no_short_string(jti: object) -> None:
    refused("jti is not a string of 1 to 255", jti=jti)


def test_nul_and_half_surrogates_do_not_pass_the_json_reader() -> None:
    refused("payload is not strict JSON", sub="al\x00ice")
    refused("payload is not strict JSON", sub="alice\ud800")


def test_a_token_identifier_is_optional_and_kept() -> None:
    assert accepted(jti=...).token_id is None
    assert accepted(jti="id-1").token_id == "id-1"


@pytest.mark.parametrize("role", Role)
def test_a_role_gives_the_permissions_of_the_table(role: Role) -> None:
    principal = accepted(roles=[role.value])
    assert principal.permissions == ROLE_PERMISSIONS[role]
    assert principal.admin == (role is Role.ADMIN)


def test_roles_add_up_and_unknown_ones_count_for_nothing() -> None:
    both = accepted(roles=["submitter", "executor", "submitter"])
    assert both.permissions == frozenset(Permission)
    assert not both.admin
    unknown = accepted(roles=["Admin", "admin ", "root", "offline_access", ""])
    assert unknown.permissions == frozenset()
    assert not unknown.admin


@pytest.mark.parametrize("roles", ["admin", None, 1, {"admin": True}, [["admin"]], [1], [None], ["submitter", {}]])
def test_roles_that_are_no_list_of_strings(roles: object) -> None:
    refused("roles is not a list of strings", roles=roles)


@pytest.mark.parametrize(
    ("scope", "permissions"),
    [
        ("submit_task", {Permission.SUBMIT_TASK}),
        ("openid monitor_task profile submit_task", {Permission.MONITOR_TASK, Permission.SUBMIT_TASK}),
        ("submit_task monitor_task execute_task", set(Permission)),
        ("admin submitter", set()),
        ("SUBMIT_TASK submit_task\tmonitor_task", set()),
        ("", set()),
    ],
)
def test_a_scope_gives_the_permissions_it_names(scope: str, permissions: set[Permission]) -> None:
    principal = accepted(roles=..., scope=scope)
    assert principal.permissions == permissions
    assert not principal.admin


@pytest.mark.parametrize("scope", [None, 1, ["submit_task"], {"submit_task": 1}])
def test_a_scope_that_is_no_string(scope: object) -> None:
    refused("scope is not a string", roles=..., scope=scope)


def test_a_scope_cannot_add_to_what_the_roles_say() -> None:
    assert accepted(roles=[], scope="submit_task").permissions == frozenset()
    assert accepted(roles=["executor"], scope="submit_task").permissions == ROLE_PERMISSIONS[Role.EXECUTOR]


def test_a_token_without_roles_and_scope_permits_nothing() -> None:
    assert accepted(roles=...).permissions == frozenset()


def test_roles_from_anywhere_but_the_signed_claims_count_for_nothing() -> None:
    header = {**HEADERS["HS256"][0], "roles": ["admin"]}
    with pytest.raises(InvalidToken, match="member that is not allowed"):
        verifier().verify(forge(header, CLAIMS), NOW)
    head, _, signature = with_claims().split(".")
    body = forge({}, {**CLAIMS, "roles": ["admin"]}).split(".")[1]
    with pytest.raises(InvalidToken, match="signature does not fit"):
        verifier().verify(f"{head}.{body}.{signature}", NOW)
    nested = forge(HEADERS["HS256"][0], {**CLAIMS, "realm_access": {"roles": ["admin"]}, "role": "admin"}, hs256)
    assert not verifier().verify(nested, NOW).admin
