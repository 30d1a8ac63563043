"""A small matrix that is disturbed: processes of a running experiment are found and killed at chosen moments."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import csv
from dataclasses import dataclass, field
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Final

VICTIMS: Final = ("client", "server", "environment", "controller", "loadgen")
MARKS: Final = {
    "server": b"platforms.local.service",
    "environment": b"awslambdaric",
    "controller": b"platforms.local.controller",
    "loadgen": b"mlperf.process",
}
"""Victim -> what its command line holds."""
STAGES: Final = ("deploying", "checking", "warming up", "queries answered")
"""Of a cell, as progress names them."""
MATRIX: Final = ("--cv_task", "classification", "--engine_and_format", "ie-ir", "--samples", "6", "--queries", "6")
MEASURING: Final = ("--timeout", "5", "--retry-invalid", "0", "--wait-for-host", "0")
SAME: Final = (
    "model_name", "memory", "task", "engine_and_format", "run", "files", "cold", "warm", "lost", "duplicates", "errors",
    "top1", "top5", "accuracy_samples",
)  # fmt: skip
"""Columns of results.csv that a disturbance must not change."""


@dataclass(frozen=True)
class Moment:
    """When and whom: some time after a cell has reached a stage."""

    victim: str
    cell: int
    """From 1."""
    stage: str
    delay_s: float

    @property
    def name(self) -> str:
        """For the name of a test."""
        return f"{self.victim}-cell{self.cell}-{self.stage.replace(' ', '_')}+{self.delay_s:.2f}s"


def moments(count: int, cells: int, seed: int, victims: Sequence[str] = VICTIMS) -> list[Moment]:
    """Random moments, the victims in turn; the same for the same seed."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return [_moment(generator, victims[number % len(victims)], cells) for number in range(count)]


def _moment(generator: random.Random, victim: str, cells: int) -> Moment:
    # The others have no such process in the earlier stages.
    stages = STAGES[2:] if victim == "environment" else STAGES[2:3] if victim == "loadgen" else STAGES
    cell, stage = generator.randint(1, cells), generator.choice(stages)
    # A third of a second after its last query a cell is retired, and after the last one there is nobody to kill.
    return Moment(victim, cell, stage, generator.uniform(0, 0.2 if stage == STAGES[-1] else 0.6))


@dataclass
class Disturbed:
    """What came of one disturbance."""

    printed: str = ""
    status: int = 0
    family: set[int] = field(default_factory=set)
    """All processes of the experiment at the moment of the kill."""
    environments_s: float | None = None
    """Until the environments of that moment had ended; for a victim without which there are none."""
    noticed_s: float | None = None
    """Until the client said that something was cut off; None when it never did."""


@contextmanager
def experiment(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A running experiment, killed at the end if it still runs."""
    command = [sys.executable, "-m", "serverless_mlperf", "run", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def disturb(process: "subprocess.Popen[str]", moment: Moment, deadline_s: float = 300) -> Disturbed:
    """Kill the victim at its moment and wait for the end of the experiment."""
    done = Disturbed(printed=read_until(process, f"[{moment.cell}/", moment.stage))
    signal.sigtimedwait([], moment.delay_s)
    done.family = descendants(process.pid)
    environments = {pid for pid in done.family if MARKS["environment"] in command_of(pid)}
    victim = process.pid if moment.victim == "client" else find(process.pid, moment.victim)
    os.kill(victim, signal.SIGKILL)
    killed_s = time.monotonic()
    if moment.victim in {"client", "server", "controller"}:
        done.environments_s = wait_until_gone(environments, 10)
    for line, said_s in read_rest(process, deadline_s):
        done.printed += line
        if done.noticed_s is None and any(words in line for words in ("was cut off", "not retired", "failed")):
            done.noticed_s = said_s - killed_s
    done.status = process.wait()
    return done


def read_rest(process: "subprocess.Popen[str]", deadline_s: float) -> Iterator[tuple[str, float]]:
    """Every further line with the moment it came; after the deadline the process is killed."""
    assert process.stdout is not None
    watchdog = threading.Timer(deadline_s, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            yield line, time.monotonic()
    finally:
        watchdog.cancel()
        watchdog.join()


def read_until(process: "subprocess.Popen[str]", *parts: str) -> str:
    """Read lines until one that holds all parts; returns all of them."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if all(part in line for part in parts):
            return seen
    raise AssertionError(f"{parts} never came: {seen}")


def finish(process: "subprocess.Popen[str]", deadline_s: float = 600) -> str:
    """Read what is left and wait for the end. Not `communicate`, which loses what has been read ahead."""
    rest = "".join(line for line, _ in read_rest(process, deadline_s))
    process.wait()
    return rest


def find(client: int, victim: str) -> int:
    """A process of the experiment, waited for; the last one where there are several."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = sorted(pid for pid in descendants(client) if MARKS[victim] in command_of(pid))
        if found:
            return found[-1]
        signal.sigtimedwait([], 0.01)
    raise AssertionError(f"no {victim} came up")


def wait_until_gone(pids: set[int], deadline_s: float) -> float:
    """Wait until none of them is alive; returns how long that took."""
    begun = time.monotonic()
    while any(alive(pid) for pid in pids):
        assert time.monotonic() - begun < deadline_s, f"alive: {[command_of(pid) for pid in pids if alive(pid)]}"
        signal.sigtimedwait([], 0.01)
    return time.monotonic() - begun


def table(folder: Path) -> list[dict[str, str]]:
    """What a disturbance must not change, row by row."""
    rows = csv.DictReader((folder / "results.csv").read_text().splitlines())
    return [{name: row[name] for name in SAME} for row in rows]


def users_of(folder: Path) -> list[bytes]:
    """Processes, but this one, that name a folder in their command line or environment."""
    wanted = os.fsencode(folder)
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            said = (each / "cmdline").read_bytes(), (each / "environ").read_bytes()
        except OSError:
            continue  # it has ended meanwhile, or is another user's
        if int(each.name) != os.getpid() and any(wanted in part for part in said):
            found.append(said[0])
    return found


def command_of(pid: int) -> bytes:
    """Command line of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """All processes below one, by their parents."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # ended meanwhile
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found
