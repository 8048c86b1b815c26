"""What all sections of the settings have in common."""

from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TASK_EXECUTOR_"


class Section(BaseSettings):
    """Environment variables of one concern."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)


def listed(value: Any) -> Any:
    """What an environment variable lists, separated by commas."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
