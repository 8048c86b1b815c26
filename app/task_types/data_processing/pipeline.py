"""One run from its source to its result."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, assert_never

from app.task_types.context import TaskContext
from app.task_types.data_processing.aggregating import aggregate
from app.task_types.data_processing.catalogue import OpenedSource, Source, find_source
from app.task_types.data_processing.parameters import DataProcessingParameters, InlineRows, Step
from app.task_types.data_processing.reading import Loaded, link_files, load, write_inline
from app.task_types.data_processing.rendering import show
from app.task_types.data_processing.session import Session, open_session
from app.task_types.data_processing.steps import Aggregate, StepDefaults, Transform, Validate, ValidateOptions
from app.task_types.data_processing.table import OptionError, Table
from app.task_types.data_processing.transforming import transform
from app.task_types.data_processing.validating import MAX_SAMPLES, Rejected, validate
from app.task_types.data_processing.workspace import workspace

INLINE = "inline rows"


@dataclass(slots=True)
class _Run:
    """What one run knows on its way: the table as it stands, and what is to be told of the steps so far."""

    session: Session
    context: TaskContext
    source: OpenedSource
    loaded: Loaded
    table: Table
    rejected: Rejected = field(default_factory=Rejected)
    validated: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)


def run(parameters: DataProcessingParameters, context: TaskContext) -> dict[str, Any]:
    """Processes a source and returns the result as docs/data-processing.md describes it.

    Raises PermanentError, with a sentence that names the member, for whatever another attempt would not mend.
    """
    with workspace() as directory:
        source, files = _open(parameters.input_source, directory)
        with open_session(context, directory, files) as session:
            return _process(session, context, source, files, parameters.steps)


def _open(asked: str | InlineRows, directory: Path) -> tuple[OpenedSource, list[Path]]:
    if isinstance(asked, InlineRows):
        file = write_inline(asked.rows, directory)
        entry = Source.model_validate({"format": "jsonl", "path": file.name, "columns": dict(asked.columns)})
        return OpenedSource(INLINE, entry, (file,)), [file]
    opened = find_source(asked, os.environ)
    return opened, link_files(opened, directory)


def _process(
    session: Session, context: TaskContext, source: OpenedSource, files: list[Path], steps: list[Step]
) -> dict[str, Any]:
    share = 1 / (len(steps) + 1)
    begin = perf_counter()
    session.enter("read", 0.0, share)
    loaded = load(session, source.name, source.source, files, MAX_SAMPLES)
    run_ = _Run(session, context, source, loaded, loaded.table)
    read = loaded.table.rows + loaded.malformed.total
    run_.steps.append({"step": "read", "rows_in": read, "rows_out": read, "elapsed_s": _since(begin)})
    context.progress(share, step="read", rows=read)
    for number, step in enumerate(steps):
        session.enter(step.step, share * (number + 1), share * (number + 2))
        _take(run_, step, f"/processing_steps/{number}")
        context.progress(min(1.0, share * (number + 2)), step=step.step, rows=run_.table.rows)
    return _result(run_, steps)


def _take(run_: _Run, step: Step, where: str) -> None:
    begin = perf_counter()
    before = run_.table.rows + (0 if run_.validated else run_.loaded.malformed.total)
    if not run_.validated and not isinstance(step, Validate):
        _refuse_dirty(run_, where)
    run_.table = _apply(run_, step, where)
    run_.steps.append({"step": step.step, "rows_in": before, "rows_out": run_.table.rows, "elapsed_s": _since(begin)})


def _apply(run_: _Run, step: Step, where: str) -> Table:
    """One step, with its own options, or where it has none with those of the source."""
    plain = step.model_fields_set == {"step"}
    defaults: StepDefaults = run_.source.source.steps
    # Members of the catalogue's entry, not of the message, are at fault where the step is a bare name.
    place = f"the source {run_.source.name!r}, steps/{step.step}" if plain else where
    match step:
        case Validate():
            return _validate(run_, defaults.validate_ if plain else step, place)
        case Transform():
            return transform(run_.session, run_.table, defaults.transform if plain else step, place)
        case Aggregate():
            return aggregate(run_.session, run_.table, defaults.aggregate if plain else step, place)
        case _:
            assert_never(step)


def _validate(run_: _Run, options: ValidateOptions, where: str) -> Table:
    required: frozenset[str] = frozenset()
    if not run_.validated:
        required = run_.loaded.required
        _count_malformed(run_.loaded, run_.rejected)
        run_.validated = True
    return validate(run_.session, run_.table, options, required, run_.rejected, where)


def _refuse_dirty(run_: _Run, where: str) -> None:
    """Without a validate step before it, a value that could not be read must not silently count as missing."""
    rejected = Rejected()
    _count_malformed(run_.loaded, rejected)
    if run_.table.dirty:
        validate(run_.session, run_.table, ValidateOptions(), frozenset(), rejected, where)
    if rejected.total:
        first = rejected.samples[0]
        place = f"row {first['row']}" if "row" in first else f"line {first['line']}"
        raise OptionError(
            where,
            f"the source has {rejected.total} rows that cannot be read as declared, the first being {place} "
            f"({', '.join(first['reasons'])}): let the step validate come first, which keeps them out",
        )


def _count_malformed(loaded: Loaded, rejected: Rejected) -> None:
    if loaded.malformed.total:
        rejected.add({"malformed": loaded.malformed.total}, loaded.malformed.samples)


def _result(run_: _Run, steps: list[Step]) -> dict[str, Any]:
    shown = show(run_.session, run_.table)
    aggregated = any(isinstance(step, Aggregate) for step in steps)
    return {
        "input_source": None if run_.source.name == INLINE else run_.source.name,
        "input_rows": run_.loaded.table.rows + run_.loaded.malformed.total,
        "output_rows": run_.table.rows,
        "rejected": {
            "total": run_.rejected.total,
            "by_reason": dict(run_.rejected.by_reason),
            "samples": run_.rejected.samples,
        },
        "steps": run_.steps,
        "columns": [{"name": column.name, "type": column.kind} for column in run_.table.columns],
        "aggregate" if aggregated else "rows": shown.rows,
        "truncated": shown.truncated,
    }


def _since(begin: float) -> float:
    return round(perf_counter() - begin, 3)
