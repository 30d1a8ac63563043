"""What an experiment has spent, kept in its folder, and the purse that every run is paid from.

Before a run begins, the most that it can take is noted, and when it has ended what it took: a run that was killed
counts with the most. Lines are appended; one that a crash has cut is without its end, and what was noted before stands.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import json
from pathlib import Path
import time
from typing import Final

from serverless_mlperf.budget import Allowance, Billed, Budget, Rate, Spending
from serverless_mlperf.errors import BudgetError, HostError
from serverless_mlperf.estimate import Estimate

LEDGER: Final = "spending.jsonl"
"""In the results folder: one object per line, `for`, `queries`, `usd`; their sums are what has been spent."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file."""

    path: Path

    def total(self) -> Spending:
        """The sum of all lines; nothing without a file."""
        total = Spending()
        for line in self._lines():
            try:
                entry = json.loads(line)
                total += Spending(int(entry["queries"]), float(entry["usd"]))
            except (ValueError, KeyError, TypeError):
                continue  # cut off
        return total

    def note(self, what: str, spent: Spending) -> None:
        """Append a line; raises HostError."""
        line = json.dumps({"for": what, "queries": spent.queries, "usd": spent.usd})
        try:
            with self.path.open("a") as file:
                file.write(f"\n{line}\n")  # whatever a crash has left of a line before it
        except OSError as error:
            raise HostError(f"{self.path}: cannot be written ({error.strerror}); is the disk full?") from error

    def _lines(self) -> list[str]:
        try:
            return [line for line in self.path.read_text().splitlines() if line]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostError(f"{self.path}: cannot be read ({error.strerror})") from error


@dataclass(slots=True)
class Payment:
    """For one run or cold start: what it may take, and what it took; without a word of that, the most."""

    allowance: Allowance
    spent: Spending | None = None

    def settle(self, records: Iterable[Billed], queries: int | None) -> None:
        """It has sent so many queries, of some of which the platform has said what it billed; None: nobody knows."""
        if queries is not None:
            self.spent = Spending(queries, self.allowance.rate.usd_of_all(records, queries))


class Purse:
    """One call of `run`: its minutes count from here; queries and money are those of the folder."""

    def __init__(self, folder: Path, budget: Budget, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._ledger = Ledger(folder / LEDGER)
        self._budget = budget
        self._clock_s = clock_s
        self._began_s = clock_s()

    @property
    def spent(self) -> Spending:
        """So far."""
        total = self._ledger.total()
        return Spending(total.queries, total.usd, self._clock_s() - self._began_s)

    @contextmanager
    def paying(self, what: str, estimate: Estimate, rate: Rate) -> Iterator[Payment]:
        """Pay for a run; raises BudgetError when not even the least that it needs is left."""
        before = self.spent
        payment = Payment(Allowance(self._budget, before, rate))
        refusal = self._budget.refusal(before, estimate.least)
        if refusal is not None:
            raise BudgetError(f"{refusal} for {what} (estimated); raise it and go on with run --resume")
        held = self._budget.left(before, estimate.most)
        self._ledger.note(what, held)
        try:
            yield payment
        finally:
            if (spent := payment.spent) is not None:
                self._ledger.note(what, Spending(spent.queries - held.queries, spent.usd - held.usd))
