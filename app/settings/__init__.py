"""Settings: environment variables with the prefix TASK_EXECUTOR_ (and plain DATABASE_URL), one class a concern.

Read by bootstrap and the command line only; every other part gets plain arguments. docs/configuration.md is
generated from these classes.
"""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import NoDecode
from pydantic_settings import SettingsError as PydanticSettingsError

from app import fault_points
from app.settings.section import PREFIX, Section, listed
from app.settings.security import SecuritySettings

MAX_PORT = 65_535
POSTGRES_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})


class SettingsError(Exception):
    """A setting is wrong; the message is one sentence that names the variable and the fix."""


class ServerSettings(Section):
    """Where the service listens and what it takes."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body, in bytes.")
    max_connections: int = Field(
        default=5000, ge=1, description="Open connections; further ones are told to come back (503)."
    )
    keep_alive_s: int = Field(
        default=75,
        ge=1,
        description="Seconds that a connection may be idle between two requests. Longer than a proxy in front keeps "
        "its side of it (mostly 60), so that it is the proxy that ends it.",
    )
    shutdown_notice_s: float = Field(
        default=0, ge=0, description="Seconds between /readyz turning red and the drain: for a load balancer to notice."
    )
    log_level: Literal["info", "warn", "error"] = Field(default="info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="JSON lines, or columns for people; auto takes columns on a terminal."
    )


class StorageSettings(Section):
    """The database."""

    database_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("TASK_EXECUTOR_DATABASE_URL", "DATABASE_URL"),
        description="A Postgres 15 or newer: postgresql://user:password@host/database. "
        "Where it is not set, a Postgres of the service's own runs on the data directory.",
    )
    data_dir: Path = Field(
        default=Path(".data"), description="Directory for the service's own Postgres and its own signing key."
    )
    database_pool: int = Field(default=10, ge=1, le=200, description="Connections for what is not on the hot path.")
    retention_days: int = Field(
        default=30,
        ge=1,
        description="Days after its end for which a task is kept, and its history. Whole weeks are dropped.",
    )
    audit_head_s: float = Field(
        default=300,
        ge=0,
        description="Seconds between two signed heads of the audit trail, written by one node for all; 0 writes none.",
    )
    audit_dir: Path | None = Field(
        default=None,
        description="Directory for these heads, of this database only. Where it is not set, `audit` in the data "
        "directory.",
    )
    unsafe_database: bool = Field(
        default=False,
        description="Serve although the database would lose what it has confirmed (fsync or the like is off).",
    )

    @field_validator("database_url")
    @classmethod
    def _names_postgres(cls, value: str | None) -> str | None:
        if value is not None and not _is_postgres_url(value):
            raise ValueError("should be an address such as postgresql://user:password@host/database")
        return value


def _is_postgres_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Asking for the port is what checks it.
        return parts.scheme in POSTGRES_SCHEMES and parts.port != 0
    except ValueError:
        return False


class TaskSettings(Section):
    """What can be submitted."""

    task_types: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Importable names of modules with your own kinds of task, separated by commas."
    )
    sources_file: Path | None = Field(
        default=None, description="TOML file with the catalogue of sources for data_processing."
    )
    max_result_bytes: int = Field(default=1_048_576, ge=1024, description="Largest result of a task, in bytes.")

    @field_validator("task_types", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return listed(value)


class ExecutionSettings(Section):
    """How tasks are run."""

    capacity: str | None = Field(
        default=None,
        description='What this node has, as JSON: {"cpu": 8, "memory_mb": 16000, "custom": {"licence": 2}}. '
        "What it does not name is what the machine (or the container) has.",
    )
    allocation_timeout_s: float = Field(default=30, gt=0, description="Seconds after which a request is unavailable.")
    allocation_max_attempts: int = Field(default=3, ge=1, description="Requests for resources before a task fails.")
    backoff_initial_s: float = Field(default=1, ge=0, description="Seconds before the first repeated attempt.")
    backoff_max_s: float = Field(default=60, ge=0, description="Longest seconds between two attempts.")
    when_busy: Literal["queue", "count"] = Field(
        default="queue",
        description="Whether a request that only running tasks are in the way of waits on (queue) or counts as "
        "unavailable after the timeout (count).",
    )
    lease_s: float = Field(default=15, ge=1, description="Seconds after which a silent node's tasks are taken over.")
    drain_s: float = Field(default=30, ge=0, description="Seconds that running tasks get to finish at shutdown.")
    cancel_grace_s: float = Field(default=5, ge=0, description="Seconds that a cancelled handler gets to end.")
    warm_processes: int = Field(default=2, ge=0, description="Idle children kept ready for plain functions.")
    child_user: str | None = Field(
        default=None,
        description="User as whom children run plain functions, where the service runs as root. It has to reach the "
        "service's code and whatever tasks read. Where it is not set, they run as the service does.",
    )
    backend: Literal["local"] = Field(default="local", description="Where plain functions run.")


class OutboundSettings(Section):
    """Whom the service may call: webhooks and http_request."""

    outbound_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(),
        description="Networks that may be called although they are not public, such as `10.1.0.0/16,fd12::/48`. "
        "For inner networks and for tests; the metadata addresses of clouds stay closed.",
    )
    outbound_plain_http: bool = Field(default=False, description="Whether http:// may be called besides https://.")
    outbound_ports: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("80", "443", "1024-65535"), description="Ports that may be called, singly or as first-last."
    )
    webhook_backoff_initial_s: float = Field(
        default=5, ge=0, description="Longest seconds before a webhook is sent again for the first time."
    )
    webhook_backoff_max_s: float = Field(
        default=14_400, ge=0, description="Longest seconds between two attempts at one."
    )
    webhook_give_up_s: float = Field(
        default=259_200, ge=0, description="Seconds after which a webhook that nobody takes is given up."
    )
    http_request_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that http_request may call, such as `api.example.com,*.example.org,example.net:8443`. "
        "None unless named.",
    )

    @field_validator("outbound_allowed_networks", "outbound_ports", "http_request_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("outbound_ports")
    @classmethod
    def _are_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for ports in value:
            port_range(ports)
        return value


def port_range(text: str) -> tuple[int, int]:
    """First and last of the ports that a text such as 443 or 1024-65535 names. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2] or found[1]) <= MAX_PORT:
        raise ValueError("should be ports such as 443 or ranges such as 1024-65535, separated by commas")
    return int(found[1]), int(found[2] or found[1])


class FaultSettings(Section):
    """Failing on purpose. For tests only: never in service."""

    fault_points: str = Field(
        default="",
        description="Where the service fails on purpose, as POINT:PROBABILITY:KIND, separated by commas: "
        "docs/reliability.md lists points and kinds.",
    )
    fault_seed: int = Field(default=0, ge=0, description="Seed of the draws behind the probabilities.")

    @field_validator("fault_points")
    @classmethod
    def _can_be_armed(cls, value: str) -> str:
        fault_points.parse(value)
        return value


class Settings:
    """All of them. Raises SettingsError for the first that is wrong."""

    def __init__(self) -> None:
        try:
            self.server = ServerSettings()
            self.storage = StorageSettings()
            self.tasks = TaskSettings()
            self.execution = ExecutionSettings()
            self.security = SecuritySettings()
            self.outbound = OutboundSettings()
            self.faults = FaultSettings()
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None
        except PydanticSettingsError as error:
            # A value that is not JSON where JSON is due.
            raise SettingsError(str(error)) from None


SECTIONS = (
    ServerSettings,
    StorageSettings,
    TaskSettings,
    ExecutionSettings,
    SecuritySettings,
    OutboundSettings,
    FaultSettings,
)


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    # pydantic names the first alias; operators know the plain one.
    variable = "DATABASE_URL" if name.endswith("DATABASE_URL") else variable_of(name)
    rest = "".join(f".{part}" for part in first["loc"][1:])
    return f"{variable}{rest}: {re.sub('^(Input|Value error,) ', '', first['msg'])}"
