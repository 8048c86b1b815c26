"""Who may call, and what pages may."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from app.protocol.quotas import NOTHING_SET, Quota
from app.protocol.rates import Rate
from app.settings.section import Section, listed

NO_LIMIT = "off"

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


class SecuritySettings(Section):
    """Who may call."""

    jwt_issuer: str = Field(default="task-executor", min_length=1, description="The `iss` that tokens must have.")
    jwt_audience: str = Field(default="task-executor", min_length=1, description="The `aud` that tokens must have.")
    jwt_keys_file: Path | None = Field(default=None, description="JWKS file with the public keys of your issuer.")
    jwt_keys_url: str | None = Field(
        default=None,
        description="Address of your issuer's JWKS, over https (or http on this machine). Read at the start, at "
        "intervals, and when a token names a key that is not known.",
    )
    jwt_keys_refresh_s: float = Field(default=300, ge=10, description="Seconds between two reads of JWT_KEYS_URL.")
    jwt_secret: str | None = Field(default=None, repr=False, description="HS256 secret of at least 32 bytes.")
    sealing_keys_file: Path | None = Field(
        default=None,
        description="File with the keys that seal the secrets of webhooks, each the base64 of 32 bytes, a line each. "
        "Where it is not set, `sealing-keys` in the data directory. Services that share a database need the same.",
    )
    jwt_max_lifetime_s: int = Field(default=86_400, ge=60, description="Longest lifetime of a token, in seconds.")
    encryption_keys_dir: Path | None = Field(
        default=None,
        description="Directory of the RSA keys for encrypted messages, the same for all services on one database. "
        "Where it is not set, `encryption-keys` in the data directory.",
    )
    encryption_overlap_s: float = Field(
        default=604_800, ge=0, description="Seconds for which a retired key still opens messages."
    )
    rate_limit: str = Field(
        default="6000/minute",
        description="How often one submitter may call, over all services on one database: a number and a unit (second, "
        "minute, hour, day), or off. An admin sets others for single submitters.",
    )
    quota: str | None = Field(
        default=None,
        description="What each submitter may have where an admin has set nothing else, as JSON: "
        '{"queued": 10000, "running": 50, "held": {"cpu": 8}, "stored_bytes": 1000000000}. '
        "What it does not name is not limited.",
    )
    address_rate_limit: str | None = Field(
        default=None,
        description="How often one address may call a service without a valid token, in the same form. Where it is "
        "not set, as often as RATE_LIMIT says.",
    )
    max_waits: int = Field(
        default=500,
        ge=1,
        description="Answers that a service holds back at once for one submitter or executor (`Prefer: wait`, and "
        "claims with `wait_s`).",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may read answers in a browser, separated by commas, such as "
        "`https://board.example`. Where it is not set, none may.",
    )
    documents: Literal["open", "token", "closed"] = Field(
        default="open",
        description="Who may read /docs, /redoc and /openapi.json: everyone, who has a token that may monitor tasks, "
        "or nobody.",
    )
    metrics: Literal["open", "token", "closed"] = Field(default="open", description="Who may read /metrics, likewise.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses and networks of proxies, separated by commas, whose X-Forwarded-For is believed. "
        "From anyone else it is ignored.",
    )

    @field_validator("rate_limit", "address_rate_limit")
    @classmethod
    def _is_rate(cls, value: str | None) -> str | None:
        if value is not None and value.lower() != NO_LIMIT:
            Rate.parse(value)
        return value

    @field_validator("quota")
    @classmethod
    def _is_quota(cls, value: str | None) -> str | None:
        quota = NOTHING_SET if value is None else Quota.from_text(value)
        if quota.rate is not None or quota.weight is not None:
            raise ValueError("must name no rate (RATE_LIMIT is for all) and no weight (all have the same)")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_origins(cls, value: Any) -> Any:
        names = listed(value)
        for name in names:
            if not _ORIGIN.fullmatch(name):
                raise ValueError(f"{name!r} is no origin: write https://HOST or https://HOST:PORT, and no *")
        return names

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _are_networks(cls, value: Any) -> Any:
        names = listed(value)
        for name in names:
            ip_network(name)
        return names

    @field_validator("jwt_keys_url")
    @classmethod
    def _is_protected(cls, value: str | None) -> str | None:
        if value is not None and not _is_protected_url(value):
            raise ValueError("should be an https address without a user (http only for localhost, 127.0.0.1 or [::1])")
        return value


def _is_protected_url(text: str) -> bool:
    """Who could change the document on its way would decide who is trusted."""
    try:
        parts = urlsplit(text)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return False
    local = host in ("localhost", "127.0.0.1", "::1")
    return bool(host) and "@" not in parts.netloc and (scheme == "https" or (scheme == "http" and local))
