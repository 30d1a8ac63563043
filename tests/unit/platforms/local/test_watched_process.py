"""CPU time of a process and of its children, as another process reads it."""

from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

from executor_functions import wait_for
import pytest

from serverless_mlperf.platforms.local.processes import children_of
from serverless_mlperf.platforms.local.watched_process import NOTHING, CpuTimes, WatchedProcess

SHELL = """
import subprocess, sys, threading
children = []
def start(seconds):
    source = f"import time\\nwhile time.process_time() < {seconds}: pass\\nprint(1, flush=True)\\ntime.sleep(60)"
    child = subprocess.Popen([sys.executable, "-S", "-c", source], stdout=subprocess.PIPE)
    child.stdout.readline()
    children.append(child)
def end():
    for child in children:
        child.kill()
        child.wait()
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
S = 10**9


class Subject:
    """A process that does what it is told, line by line."""

    def __init__(self) -> None:
        command = [sys.executable, "-S", "-c", SHELL]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.watched = WatchedProcess(self.process.pid)

    def do(self, line: str) -> None:
        """Have it run a statement."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def subject() -> Iterator[Subject]:
    """Ended with its children."""
    made = Subject()
    try:
        yield made
        if made.process.poll() is None:
            made.do("end()")
    finally:
        made.watched.close()
        with made.process:
            made.process.kill()


def test_children_count_alive_and_when_they_were_waited_for(subject: Subject) -> None:
    """A child's time is there while it lives and stays when it was waited for; that of the process is apart."""
    before = subject.watched.cpu()
    assert before.children == 0
    subject.do("start(0.2)")
    alive = subject.watched.cpu()
    assert 0.2 * S <= alive.children < 1 * S
    assert alive.since(before) == alive.own - before.own + alive.children
    subject.do("end()")
    assert not list(children_of(subject.process.pid))
    waited = subject.watched.cpu()
    assert abs(waited.children - alive.children) < 0.1 * S
    assert waited.own >= alive.own


def test_children_of_other_threads_count_when_there_are_others(subject: Subject) -> None:
    """Once something was waited for, all threads are looked at."""
    subject.do("start(0.05); end()")
    before = subject.watched.cpu()
    subject.do("begun = threading.Event(); over = threading.Event()")
    subject.do("threading.Thread(target=lambda: (start(0.2), begun.set(), over.wait())).start(); begun.wait()")
    assert subject.watched.cpu().children - before.children >= 0.18 * S
    subject.do("over.set()")


def test_the_last_look_is_remembered(subject: Subject) -> None:
    """Asked for its own time alone, it tells of children what it knew."""
    subject.watched.cpu()
    subject.do("start(0.1)")
    assert subject.watched.cpu(children=False).children == 0
    seen = subject.watched.cpu()
    assert subject.watched.cpu(children=False).children == seen.children > 0


def test_a_process_that_is_gone_has_nothing(subject: Subject) -> None:
    """Its end is no error; what it had used cannot be told any more."""
    subject.do("pass")  # it is Python by now
    before = subject.watched.cpu()
    assert (subject.watched.status_mib(b"VmHWM:") or 0) > 1
    subject.process.kill()
    subject.process.wait()
    wait_for(lambda: not Path(f"/proc/{subject.process.pid}").exists(), "it is reaped")
    assert subject.watched.cpu() == NOTHING
    assert subject.watched.cpu().since(before) is None
    assert subject.watched.status_mib(b"VmHWM:") is None
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        WatchedProcess(subject.process.pid)


def test_children_that_vanish_take_nothing_away() -> None:
    """One that belongs to nobody any more does not make the sum smaller."""
    assert CpuTimes(30, 5).since(CpuTimes(10, 100)) == 20
