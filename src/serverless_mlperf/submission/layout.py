"""The folders and files of a submission, made beside their place and moved there whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
import tempfile
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.submission.answers import LOG, accuracy_text, hash_line, shortened
from serverless_mlperf.submission.benchmarks import DIVISION
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.measured import MeasuredRun
from serverless_mlperf.submission.user_conf import user_conf
from serverless_mlperf.submission.verification import Verification

LOGS: Final = ("mlperf_log_summary.txt", "mlperf_log_detail.txt")


@dataclass(frozen=True, slots=True)
class Place:
    """`<output>/open/<org>`, the only folder that is written."""

    output: Path
    org: str

    @property
    def folder(self) -> Path:
        """Where the submission comes to lie."""
        return self.output / DIVISION / self.org

    def check(self, *, force: bool) -> None:
        """Raise InputError when something lies there that may not be replaced."""
        if self.folder.exists() and not force:
            raise InputError(f"{self.folder}: exists; choose another --output, or replace it with --force")

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """An empty folder that takes the place when the block ends without an error; raises InputError.

        Nothing is left when it ends with one, not even the folders above.
        """
        nearest = next(path for path in (self.output.absolute(), *self.output.absolute().parents) if path.is_dir())
        try:
            with tempfile.TemporaryDirectory(prefix=".submission-", dir=nearest) as scratch:
                made, former = Path(scratch) / "made", Path(scratch) / "former"
                made.mkdir()
                yield made
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                if self.folder.exists():
                    self.folder.rename(former)
                made.rename(self.folder)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error}); choose another --output") from error


def write_system(root: Path, name: str, description: Mapping[str, str]) -> None:
    """systems/<system>.json."""
    write_json(root / "systems" / f"{name}.json", description)


def write_json(path: Path, value: Mapping[str, str]) -> None:
    """A JSON object, one key per line."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def result_folder(root: Path, system: str, entry: Entry) -> Path:
    """results/<system>/<model>/<Scenario>."""
    return root / "results" / system / entry.benchmark.folder / entry.scenario


def write_runs(folder: Path, entry: Entry, tests: Mapping[str, Verification]) -> None:
    """Everything of a result that comes from its runs. Raises InputError where a log cannot be read."""
    write_text(folder / "user.conf", user_conf(entry))
    if performance := entry.runs.get("performance"):
        _copy_logs(performance, folder / "performance" / "run_1")
    if accuracy := entry.runs.get("accuracy"):
        _copy_logs(accuracy, folder / "accuracy")
        _write_answers(accuracy, folder / "accuracy", accuracy_text(accuracy))
    for name, verification in tests.items():
        _write_test(entry.runs[verification.test], folder / name, verification)


def _write_test(run: MeasuredRun, folder: Path, verification: Verification) -> None:
    _copy_logs(run, folder / "performance" / "run_1")
    for name, text in verification.texts.items():
        write_text(folder / name, text)
    if verification.test == "test01":
        _write_answers(run, folder / "accuracy", hash_line(run))


def _write_answers(run: MeasuredRun, folder: Path, text: str) -> None:
    write_text(folder / "accuracy.txt", text)
    (folder / LOG).write_bytes(shortened(run))


def _copy_logs(run: MeasuredRun, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in LOGS:
        try:
            shutil.copyfile(run.logs / name, folder / name)
        except OSError as error:
            raise InputError(
                f"{run.logs / name}: cannot be copied ({error.strerror}); measure the run again"
            ) from error
