"""The results folder: made once, written whole or not at all, readable after any interruption."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
import secrets
from typing import Any, Final, Literal, Self

from serverless_mlperf.config import ExperimentConfig, checked_config
from serverless_mlperf.errors import HostError, InputError
from serverless_mlperf.plan import missing_step, next_run
from serverless_mlperf.records import SCHEMA_VERSION
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.tries import Try, begin_try, mark_unfinished, read_json, write_json

State = Literal["missing", "partial", "valid", "invalid"]
EXPERIMENT: Final = "experiment.json"
TUNING: Final = "tuning"
"""In a folder's environment: what a tuning was asked; its cells have as many runs as were worth it."""


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """`results/<id>`: what is measured is derived from its files, never stored beside them.

    The last whole try of a run counts. Tries of all runs of a cell are numbered through: `cells/<cell>/run-<n>/`.
    """

    path: Path
    cells: tuple[str, ...]
    """The matrix, in order."""
    settings: Mapping[str, Any]
    """The experiment's configuration as JSON."""
    environment: Mapping[str, Any]
    """Host, versions and digests of what was built, as they were when the folder was made."""

    @classmethod
    def create(
        cls, output: Path, settings: Mapping[str, Any], cells: Sequence[str], environment: Mapping[str, Any]
    ) -> Self:
        """Make a new folder below `output`; raises InputError when it cannot be written."""
        started = datetime.now(UTC)
        path = output / f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        content = {
            "schema": SCHEMA_VERSION,
            "started": started.isoformat(),
            "settings": settings,
            "cells": list(cells),
            "environment": environment,
        }
        try:
            path.mkdir(parents=True)
            write_json(path / EXPERIMENT, content)
        except OSError as error:
            raise InputError(f"{output}: cannot be written ({error.strerror}); choose another --output") from error
        except HostError as error:
            raise InputError(f"{output}: {error}; choose another --output") from error
        return cls(path, tuple(cells), settings, environment)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a folder back, also one of an older schema; raises InputError when it is none, or of a later one."""
        try:
            content = read_json(path / EXPERIMENT)
            check_schema(content.get("schema"), path / EXPERIMENT)
            cells, settings, environment = content["cells"], content["settings"], content["environment"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: no results folder ({error}); give one that holds {EXPERIMENT}") from error
        named = isinstance(cells, list) and all(_is_name(cell) for cell in cells)
        if not named or not isinstance(settings, dict) or not isinstance(environment, dict):
            raise InputError(f"{path / EXPERIMENT}: is damaged; give another results folder")
        return cls(path, tuple(cells), settings, environment)

    @classmethod
    def newest(cls, output: Path) -> Self:
        """Open the newest folder below `output`; raises InputError when there is none."""
        found = sorted(path.parent for path in output.glob(f"*/{EXPERIMENT}"))
        if not found:
            raise InputError(f"{output}: holds no results folder; give one, or another --output")
        return cls.open(found[-1])

    @property
    def repeat(self) -> int:
        """Runs of each cell."""
        repeat = self.settings.get("repeat", 1)
        return repeat if isinstance(repeat, int) else 1

    def run_folder(self, cell: str, run: int = 1, step: int = 1) -> Path:
        """Make the folder of the next try of a step of a cell's run."""
        folder = self.path / "cells" / cell / f"run-{1 + max((t.number for t in self.tries(cell)), default=0)}"
        begin_try(folder, run, step)
        return folder

    def tries(self, cell: str) -> list[Try]:
        """Every try of a cell, in order."""
        runs = (p for p in (self.path / "cells" / cell).glob("run-*") if p.name[4:].isdecimal())
        return sorted((Try.read(path) for path in runs), key=lambda each: each.number)

    def count_tries(self, cell: str, run: int, step: int = 1) -> int:
        """How often a step of a cell's run was begun, whatever came of it."""
        return sum((each.run, each.step) == (run, step) for each in self.tries(cell))

    def counted_try(self, cell: str, run: int, step: int = 1) -> Try | None:
        """The last whole try of a step; None while it has not been measured."""
        whole = [t for t in self.tries(cell) if (t.run, t.step) == (run, step) and t.result is not None]
        return whole[-1] if whole else None

    def result(self, cell: str, run: int, step: int = 1) -> CellResult | None:
        """What a step of a cell's run came to, with all its tries counted; None while it has not been measured."""
        counted = self.counted_try(cell, run, step)
        if counted is None or counted.result is None:
            return None
        return replace(counted.result, tries=self.count_tries(cell, run, step))

    def steps(self, cell: str, run: int) -> list[CellResult]:
        """What the steps of a run came to, up to the first that is not measured."""
        found = (self.result(cell, run, step) for step in count(1))
        return [result for result in takewhile(lambda each: each is not None, found) if result is not None]

    def results(self) -> list[CellResult]:
        """What was measured: one row per step of a run, in the order of the matrix."""
        return [row for cell in self.cells for run in self._runs() for row in self.steps(cell, run)]

    def missing(self, cell: str) -> list[int]:
        """Runs of a cell that are not measured, or INVALID."""
        config = self.config
        return [run for run in self._runs() if missing_step(config, self.steps(cell, run)) is not None]

    def state(self, cell: str) -> State:
        """`valid` and `invalid` when all its runs are measured, `missing` when none was begun."""
        config = self.config
        if all(next_run(config, self.steps(cell, run)) is None for run in self._runs()):
            return "invalid" if self.missing(cell) else "valid"
        return "partial" if self.tries(cell) else "missing"

    @property
    def config(self) -> ExperimentConfig:
        """The settings as the experiment's configuration; raises InputError where they are not one."""
        return checked_config(self.settings, str(self.path / EXPERIMENT))

    def shortfalls(self) -> list[str]:
        """What was to be measured and has no result, a line each: not begun, cut off, or damaged."""
        try:
            config = self.config
        except InputError as error:
            return [f"{self.path.name}: what is missing cannot be told ({error})"]
        return [
            f"{self.path.name}: {cell}, run {run}: {self._why(cell, run)}"
            for cell in self.cells
            for run in self._runs()
            if self._is_owed(cell, run) and next_run(config, self.steps(cell, run)) is not None
        ]

    def _is_owed(self, cell: str, run: int) -> bool:
        """All runs of an experiment; of a tuning those that were begun, for it makes as many as are worth it."""
        return TUNING not in self.environment or any(each.run in (run, None) for each in self.tries(cell))

    def _why(self, cell: str, run: int) -> str:
        """Of its last try without result; one that was cut off before it noted its run may be this run's."""
        tries = [each for each in self.tries(cell) if each.result is None and each.run in (run, None)]
        return tries[-1].shortfall if tries else "is not measured"

    def mark_unfinished(self, reason: str) -> None:
        """Say in every folder of a try without result that it does not count, and why.

        For people to read: where a full disk takes no note, the try has no result all the same.
        """
        for cell in self.cells:
            for each in self.tries(cell):
                if each.result is None:
                    with suppress(HostError):
                        mark_unfinished(each.folder, reason)

    def _runs(self) -> range:
        return range(1, self.repeat + 1)


def check_schema(schema: object, path: Path) -> None:
    """Raise InputError when a file is not of a schema that this version reads: all up to its own."""
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise InputError(f"{path}: is damaged (schema {schema!r}); give another results folder")
    if schema > SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema {schema} is of a later version, this one reads up to {SCHEMA_VERSION}; "
            "update serverless-mlperf"
        )


def _is_name(cell: object) -> bool:
    """Of a folder below `cells`, and of nothing elsewhere."""
    return isinstance(cell, str) and Path(cell).name == cell and cell not in ("", "..")
