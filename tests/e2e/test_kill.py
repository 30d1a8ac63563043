"""SIGKILL at any moment costs one try: after --resume the table is that of an undisturbed run, and nothing is left.

A few moments each time; all twenty with SERVERLESS_MLPERF_KILLS=20, which prints a table with -s. Whom it meets is for
SERVERLESS_MLPERF_VICTIMS=environment,server to say.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time

from kills import (
    MATRIX,
    MEASURING,
    VICTIMS,
    Moment,
    descendants,
    disturb,
    experiment,
    finish,
    moments,
    read_until,
    table,
    users_of,
    wait_until_gone,
)
import pytest

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.owner import owner_of
from serverless_mlperf.store import ResultsFolder

SIZES = ("1536", "3008")
SEED = 20
CHOSEN = os.environ.get("SERVERLESS_MLPERF_VICTIMS", ",".join(VICTIMS)).split(",")
KILLS = moments(int(os.environ.get("SERVERLESS_MLPERF_KILLS", "2")), len(SIZES), SEED, CHOSEN)
CELLS = (*MATRIX, *(part for size in SIZES for part in ("--memory", size)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The table of a run that nothing happened to."""
    output = tmp_path_factory.mktemp("undisturbed")
    done = resume_or_run(*CELLS, *MEASURING, "--output", str(output))
    assert done.returncode == 0, done.stdout
    (folder,) = output.iterdir()
    return table(folder)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[str]]:
    """One line per kill, printed at the end."""
    lines: list[str] = []
    yield lines
    columns = ("status", "measured", "tries", "envs gone", "noticed", "resumed", "equal")
    heading = f"\n{'moment':44}" + "".join(f"{column:>10}" for column in columns)
    sys.stdout.write("\n".join([heading, *lines, ""]))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the experiment's own, which functions can reach."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)  # it is for the command to see to that
    monkeypatch.setattr(tempfile, "tempdir", None)  # asked for again
    return folder


@pytest.mark.parametrize("moment", KILLS, ids=[moment.name for moment in KILLS])
def test_killed_experiment_is_resumed_to_the_undisturbed_table(
    moment: Moment, tmp_path: Path, temporary: Path, undisturbed: list[dict[str, str]], outcomes: list[str]
) -> None:
    """Whoever is killed, the rest ends or goes on, and --resume completes the folder; no process or file is left."""
    output = tmp_path / "results"
    with experiment(*CELLS, *MEASURING, "--output", str(output)) as process:
        disturbed = disturb(process, moment)
    wait_until_gone(disturbed.family, 15)
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in disturbed.printed
    (path,) = output.iterdir()
    before = [ResultsFolder.open(path).state(cell) for cell in ResultsFolder.open(path).cells]
    if moment.victim != "client":
        # The client lives on: a server, a controller or a LoadGen costs one try, an environment the queries it held.
        assert disturbed.status in {0, 1}, disturbed.printed
        assert set(before) <= {"valid", "invalid"}, disturbed.printed
    resumed = resume_or_run("--resume", str(path), "--retry-invalid", "0", "--wait-for-host", "0")
    assert resumed.returncode == 0, resumed.stdout
    assert "Traceback" not in resumed.stdout
    folder = ResultsFolder.open(path)
    tries = [result.tries for result in folder.results()]
    measured = sum(state in {"valid", "invalid"} for state in before)
    cells = (
        disturbed.status, f"{measured}/{len(before)}", tries, seconds(disturbed.environments_s),
        seconds(disturbed.noticed_s), resumed.returncode, table(path) == undisturbed,
    )  # fmt: skip
    outcomes.append(f"{moment.name:44}" + "".join(f"{cell!s:>10}" for cell in cells))
    assert table(path) == undisturbed
    assert list(temporary.iterdir()) == []
    assert not marked(cache_dir())
    assert users_of(temporary) == []


def seconds(value: float | None) -> str:
    """For the table."""
    return "-" if value is None else f"{value:.2f} s"


@pytest.mark.parametrize("stage", ["models:", "packages:"])
def test_preparation_that_was_killed_is_begun_again(
    stage: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed preparation leaves in cache and temporary folder is gone when the next one is done."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(cache))
    with experiment(*CELLS, "--output", str(tmp_path / "results")) as process:
        read_until(process, stage)
        wait_for_scratch(temporary, cache)
        family = descendants(process.pid)
        process.kill()
    wait_until_gone(family, 30)
    assert not (tmp_path / "results").exists()
    with experiment(*CELLS, "--output", str(tmp_path / "results")) as process:
        read_until(process, "results:")
        process.send_signal(signal.SIGINT)
        finish(process, 10)
    assert list(temporary.iterdir()) == []
    assert not marked(cache)


def marked(folder: Path) -> list[Path]:
    """Temporary files and folders in it that bear a process's mark."""
    return [path for path in folder.rglob("*") if owner_of(path.name)]


def wait_for_scratch(*folders: Path) -> None:
    """Wait until something is being made in one of the folders."""
    end = time.monotonic() + 60
    while not any(marked(folder) for folder in folders):
        assert time.monotonic() < end, "nothing was made"
        signal.sigtimedwait([], 0.01)


def resume_or_run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """An experiment to its end."""
    command = [sys.executable, "-m", "serverless_mlperf", "run", *arguments]
    pipe = subprocess.PIPE
    return subprocess.run(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False, timeout=900)
