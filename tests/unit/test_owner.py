"""Marks in temporary names: whose they are, and whether that process still runs."""

from dataclasses import replace
import os
from pathlib import Path
import subprocess
import sys

import pytest

from serverless_mlperf.owner import Owner, is_leftover, own_folder, owner_of, this_process

GONE = "from serverless_mlperf.owner import this_process; print(this_process().mark)"


@pytest.fixture(scope="module")
def gone() -> Owner:
    """A process that has run and ended."""
    done = subprocess.run([sys.executable, "-c", GONE], capture_output=True, text=True, check=True)
    owner = owner_of(done.stdout.strip())
    assert owner is not None
    return owner


@pytest.mark.parametrize("name", ["{}", ".making-{}-x1_y", "function-0a1b.zip.{}.partial", "serverless-mlperf-{}-abc"])
def test_mark_is_read_from_a_name(name: str) -> None:
    """The owner is found wherever in a name the mark stands."""
    assert owner_of(name.format(this_process().mark)) == this_process()


@pytest.mark.parametrize("name", ["function-0a1b2c3d4e5f6a7b.zip", "numpy-2.4.6.dist-info", ".making-abc", "1234-x"])
def test_other_names_have_no_owner(name: str) -> None:
    """Finished files, versions and names without a start time are nobody's."""
    assert owner_of(name) is None


def test_living_and_dead_are_told_apart(gone: Owner) -> None:
    """The asking process runs; one that has ended does not; one of another boot cannot be known."""
    assert this_process().alive is True
    assert gone.alive is False
    assert replace(gone, boot="00000000").alive is None


def test_recycled_pid_is_not_the_owner() -> None:
    """A process with the same pid but another start time is another process."""
    assert replace(this_process(), start_ticks=this_process().start_ticks - 1).alive is False


def test_killed_but_not_reaped_is_dead(tmp_path: Path) -> None:
    """A zombie owns nothing."""
    code = f"import time\n{GONE}\nimport sys; sys.stdout.flush(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        owner = owner_of(process.stdout.readline().strip())
        assert owner is not None
        assert owner.alive is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is left a zombie
        assert owner.alive is False
    assert not is_leftover(tmp_path / f"x-{owner.mark}")


def test_leftovers_are_the_folders_of_the_dead(gone: Owner, tmp_path: Path) -> None:
    """A dead process's folder is a leftover; a living one's, an unmarked and a vanished one are not."""
    for name in (f".making-{gone.mark}-x", "unmarked"):
        (tmp_path / name).mkdir()
    assert is_leftover(tmp_path / f".making-{gone.mark}-x")
    assert not is_leftover(tmp_path / "unmarked")
    assert not is_leftover(tmp_path / f"vanished-{gone.mark}")
    with own_folder(".making-", tmp_path) as folder:
        assert owner_of(folder.name) == this_process()
        assert not is_leftover(folder)
    assert not folder.exists()


def test_unknown_owner_is_judged_by_the_boot(gone: Owner, tmp_path: Path) -> None:
    """Of another boot or container: a leftover only if nothing was changed in it since this boot."""
    folder = tmp_path / f"x-{replace(gone, boot='00000000').mark}"
    folder.mkdir()
    assert not is_leftover(folder)
    os.utime(folder, (1, 1))
    assert is_leftover(folder)
