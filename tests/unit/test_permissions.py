"""Folders that may not be written, as a user meets them: one line, before anything is built."""

from collections.abc import Iterator
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

RUN = [sys.executable, "-m", "serverless_mlperf", "run"]
# A user without rights of its own, but able to read: root's interpreter may lie where nobody else can look.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
READER = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


@pytest.fixture
def as_user() -> list[str]:
    """What to put before a command so that permissions bind it; nothing for whom they bind already."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed, and permissions do not bind root")
    command = [*NOBODY, *READER]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("setpriv is not permitted, and permissions do not bind root")
    return command


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be read but not written."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # another user must be able to walk here
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def said_by(command: list[str], status: int, **variables: str) -> str:
    """The one line on stderr of a command that must end with this status."""
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize("below", ["", "some/where/else"])
def test_output_in_a_folder_that_may_not_be_written(as_user: list[str], closed: Path, below: str) -> None:
    """The folder itself and one far below: status 2, and nothing is there afterwards."""
    said = said_by([*as_user, *RUN, "--output", str(closed / below)], 2)
    assert said == f"{closed / below}: {closed} cannot be written; choose another --output"
    assert list(closed.iterdir()) == []


def test_output_behind_a_folder_that_may_not_be_entered(closed: Path) -> None:
    """What cannot even be looked at is no traceback."""
    if os.geteuid() == 0 and subprocess.run([*NOBODY, sys.executable, "-c", ""], check=False).returncode:
        pytest.skip(f"{sys.executable} cannot be run as another user than root")
    closed.chmod(0o000)
    as_user = NOBODY if os.geteuid() == 0 else []
    said = said_by([*as_user, *RUN, "--output", str(closed / "results")], 2)
    assert said == f"{closed / 'results'}: cannot be a folder (Permission denied); choose another --output"


@pytest.mark.parametrize("below", ["", "cache"])
def test_cache_that_may_not_be_written(as_user: list[str], closed: Path, tmp_path: Path, below: str) -> None:
    """The host's fault, with the variable that chooses another folder."""
    output = tmp_path / "output"
    output.mkdir()
    output.chmod(0o777)
    command = [*as_user, *RUN, "--output", str(output)]
    said = said_by(command, 1, SERVERLESS_MLPERF_CACHE=str(closed / below))
    why = "cannot be made" if below else "belongs to uid 0" if as_user else "cannot be"
    assert said.startswith(f"cache {closed / below}: {why}")
    assert said.endswith("set SERVERLESS_MLPERF_CACHE to a folder of your own, mode 755")
    assert list(output.iterdir()) == []
