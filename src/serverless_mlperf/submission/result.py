"""A result: an entry with its system's name, its compliance tests and all that is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from serverless_mlperf.errors import InputError
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.rerun import command, commands
from serverless_mlperf.submission.tested import System
from serverless_mlperf.submission.verification import Verification, verify


@dataclass(frozen=True, slots=True)
class Result:
    """What one scenario folder is written from."""

    system: str
    entry: Entry
    tests: tuple[Verification, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Why it is not to be believed: INVALID runs and failed tests."""
        runs = [f"{run.driver.mode} is INVALID ({run.name}): {'; '.join(run.reasons)}" for run in self.entry.invalid]
        tests = [f"{test.test.upper()} failed: {'; '.join(test.faults)}" for test in self.tests if test.faults]
        return (*runs, *tests)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Runs that are missing, and tests that are left out for it."""
        missing = [f"{mode}: not measured" for mode in self.entry.missing]
        verified = {test.test for test in self.tests}
        tested = [mode for mode in self.entry.runs if mode.startswith("test") and mode not in verified]
        return (*missing, *(f"{mode}: left out, because a run that it is compared with is missing" for mode in tested))


def results_of(system: System) -> list[Result]:
    """The results of a system; raises InputError where a log cannot be read."""
    return [Result(system.name, entry, tuple(verify(entry))) for entry in system.entries]


def check_complete(entries: Sequence[Entry]) -> None:
    """Raise InputError naming every run that is missing and the commands that measure them."""
    lacking = [entry for entry in entries if entry.missing]
    if lacking:
        names = "; ".join(f"{entry.name}: {', '.join(entry.missing)}" for entry in lacking)
        raise InputError(
            f"not measured: {names}; measure with `{'`, `'.join(commands(lacking))}` and name those results too, "
            "or add --allow-incomplete"
        )


def check_valid(results: Sequence[Result]) -> None:
    """Raise InputError naming every INVALID run and failed test, and how the first is measured again."""
    faulty = [(result, fault) for result in results for fault in result.faults]
    if faulty:
        result = faulty[0][0]
        modes = [
            *(run.driver.mode for run in result.entry.invalid),
            *(test.test for test in result.tests if test.faults),
        ]
        names = "; ".join(f"{each.entry.name}: {fault}" for each, fault in faulty)
        raise InputError(
            f"{names}; measure again (`{command(result.entry, modes[0])}`), or add --allow-invalid to say so"
        )
