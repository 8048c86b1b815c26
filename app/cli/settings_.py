"""task-executor settings: every setting, its variable, its default, its value here; and docs/configuration.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from rich.table import Table

from app.cli.failures import CommandFailed
from app.cli.output import say
from app.cli.tables import cell, out
from app.settings import SECTIONS, Settings, SettingsError, variable_of

DEFAULT_PATH = Path("docs/configuration.md")
HIDDEN = "(set, not shown)"

INTRODUCTION = """# Configuration

Every setting is an environment variable; there is no configuration file. A wrong one stops the start with a
sentence that names it. `task-executor settings` shows the values in force, `task-executor doctor` tries them out.

This page is generated from `app/settings` by `task-executor settings --write`.
"""


def settings(
    *,
    write: Annotated[bool, typer.Option("--write", help=f"Write {DEFAULT_PATH} anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help=f"Exit code 1 where {DEFAULT_PATH} is out of date.")] = False,
) -> None:
    """Show every setting: its environment variable, its value here, its default."""
    if write:
        DEFAULT_PATH.write_text(render(), encoding="utf-8")
        say(f"{DEFAULT_PATH} is written.")
    elif check:
        if not DEFAULT_PATH.exists() or DEFAULT_PATH.read_text(encoding="utf-8") != render():
            raise CommandFailed(f"{DEFAULT_PATH} is out of date: run `task-executor settings --write`")
        say(f"{DEFAULT_PATH} is current.")
    else:
        _show()


def render() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    for section in SECTIONS:
        parts.append(f"## {_title(section)}\n")
        parts.append("| variable | default | meaning |\n| --- | --- | --- |")
        parts += [
            f"| `{_variable(name, field)}` | {_default(field)} | {field.description}{_choices(field)} |"
            for name, field in section.model_fields.items()
        ]
        parts.append("")
    return "\n".join(parts)


def _show() -> None:
    try:
        Settings()
    except SettingsError as error:
        raise CommandFailed(str(error)) from None
    table = Table("variable", "value", "default", box=None, pad_edge=False, header_style="bold")
    for section in SECTIONS:
        for row in _rows(section):
            table.add_row(*(cell(text) for text in row))
    out().print(table)


def _rows(section: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    values = section()
    for name, field in section.model_fields.items():
        value = getattr(values, name)
        shown = HIDDEN if value is not None and _is_secret(name, field) else _text(value)
        yield _variable(name, field), shown, _text(field.default)


def _is_secret(name: str, field: FieldInfo) -> bool:
    # A database's URL may hold its password.
    return not field.repr or name == "database_url"


def _variable(name: str, field: FieldInfo) -> str:
    return "DATABASE_URL" if field.validation_alias is not None else variable_of(name)


def _title(section: type[BaseSettings]) -> str:
    return (section.__doc__ or section.__name__).strip().rstrip(".")


def _default(field: FieldInfo) -> str:
    text = _text(field.default)
    return f"`{text}`" if text else "not set"


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return f" One of {', '.join(f'`{choice}`' for choice in get_args(field.annotation))}."
    return ""


def _text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)
