"""`clean`: what crashes and experiments have left goes, what runs is not touched."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any
import zipfile

import pytest

from serverless_mlperf.cache import SECTIONS, cache_dir, cache_section
from serverless_mlperf.host import host_lock
from serverless_mlperf.owner import owner_of
from serverless_mlperf.platforms.local.control import LAMBDA_FUNCTIONS, ControlClient

APP = """
import os, subprocess
def handler(event, context):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    return [os.getpid(), child.pid]
"""
CRASH = """
import os, signal
from serverless_mlperf.cache import cache_section
from serverless_mlperf.host import host_lock
from serverless_mlperf.owner import own_folder, this_process
partial = cache_section("packages") / f"x.zip.{this_process().mark}.partial"
with host_lock(), own_folder(".making-", cache_section("unpacked")) as folder:
    partial.write_bytes(bytes(2 << 20))
    (folder / "half").write_bytes(bytes(1 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def clean(temporary: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `serverless-mlperf clean` with a folder for temporary files."""
    command = [sys.executable, "-m", "serverless_mlperf", "clean", *options]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files that functions can reach."""
    tmp_path.chmod(0o755)
    (tmp_path / "tmp").mkdir(mode=0o755)
    return tmp_path / "tmp"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own with a MiB in every section."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    for name in SECTIONS:
        (cache_section(name) / "content").write_bytes(bytes(1 << 20))
    return cache_dir()


@contextmanager
def server(temporary: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A local platform that is ended by force, and its endpoint."""
    command = [sys.executable, "-m", "serverless_mlperf.platforms.local.service", "--isolation", "plain"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.kill()


def invoke(endpoint: str, folder: Path) -> tuple[list[int], int]:
    """Deploy and call a function that leaves a process behind; pids of both, and of the controller."""
    with zipfile.ZipFile(folder / "app.zip", "w") as archive:
        archive.writestr("app.py", APP)
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    function: dict[str, Any] = {
        "FunctionName": "leaver",
        "Runtime": runtime,
        "Role": "arn:aws:iam::000000000000:role/r",
        "Handler": "app.handler",
    }
    with ControlClient(endpoint) as control:
        control.request("PUT", "/bucket")
        control.request("PUT", "/bucket/app.zip", (folder / "app.zip").read_bytes())
        control.json("POST", LAMBDA_FUNCTIONS, {**function, "Code": {"S3Bucket": "bucket", "S3Key": "app.zip"}})
        give_up = time.monotonic() + 20
        while control.json("GET", f"{LAMBDA_FUNCTIONS}/leaver/configuration")["State"] == "Pending":
            assert time.monotonic() < give_up, "function still Pending after 20 s"
            time.sleep(0.02)  # no event tells of the state
        pids = control.json("POST", f"{LAMBDA_FUNCTIONS}/leaver/invocations", {})
        controller = control.json("GET", "/_platform/status")["executor"]["controller"]["pid"]
    return pids, controller


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(*pids: int) -> None:
    """Wait for the end of processes that are not our children."""
    for pid in pids:
        for _ in range(500):
            if not alive(pid):
                break
            signal.sigtimedwait([], 0.01)
        assert not alive(pid), f"process {pid} lives on"


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_what_a_killed_server_leaves_is_removed(temporary: Path, mode: int) -> None:
    """Where its controller is killed with it: its folders and what a function set apart go with `clean`."""
    temporary.chmod(mode)  # closed to functions, their folders are in the cache instead
    with server(temporary) as (process, endpoint):
        (environment, child), controller = invoke(endpoint, temporary.parent)
        os.kill(controller, signal.SIGSTOP)  # it would see its server's end, and leave nothing
        process.kill()
        process.wait()
        os.kill(controller, signal.SIGKILL)
        wait_until_gone(environment, controller)
    left = [*temporary.iterdir(), *cache_section("environments").iterdir()]
    assert {getattr(owner_of(path.name), "pid", None) for path in left} == {process.pid}
    assert alive(child)

    told = clean(temporary, "--leftovers", "--dry-run")
    assert all(f"would remove leftover      0.0 MiB  {path}\n" in told.stdout for path in left)
    assert f"would end process {child} of a dead server's function: sleep 600\n" in told.stdout
    assert all(path.exists() for path in left)
    assert alive(child)

    done = clean(temporary, "--leftovers")
    assert done.returncode == 0, done.stderr
    assert f"ended process {child}" in done.stdout
    assert all(f"removed leftover      0.0 MiB  {path}\n" in done.stdout for path in left)
    wait_until_gone(child)
    assert not any(path.exists() for path in left)
    assert clean(temporary, "--leftovers").stdout == "nothing to remove\n"


def test_living_server_is_not_touched(temporary: Path) -> None:
    """While a server lives its folder is no leftover, and the cache it runs from is not removed."""
    with server(temporary) as (_, endpoint):
        (environment, child), _ = invoke(endpoint, temporary.parent)
        assert clean(temporary, "--leftovers").stdout == "nothing to remove\n"
        refused = clean(temporary)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"error: cache {cache_dir()}: a local platform or a build uses it")
        assert refused.stderr.count("\n") == 1
        assert alive(environment)
        with ControlClient(endpoint) as control:
            assert control.json("POST", f"{LAMBDA_FUNCTIONS}/leaver/invocations", {})[0] == environment
    wait_until_gone(environment, child)  # its controller has seen to that


@pytest.mark.parametrize("options", [[], ["--cache"], ["--leftovers"], ["--all", "--dry-run"]])
def test_running_experiment_is_not_touched(own_cache: Path, temporary: Path, options: list[str]) -> None:
    """While the host is held by an experiment `clean` says so in one line and does nothing."""
    with host_lock():
        done = clean(temporary, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: an experiment is running on this host (pid {os.getpid()}); wait for it or end it\n"
    assert all((own_cache / name / "content").exists() for name in SECTIONS)


def test_cut_off_builds_are_removed(own_cache: Path, temporary: Path) -> None:
    """Half-written files and folders of a killed process go, with its note in the lock file; the rest stays."""
    killed = subprocess.run([sys.executable, "-c", CRASH], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    done = clean(temporary, "--leftovers")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"cleared {own_cache / 'experiment.lock'}: process ")
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["removed", "leftover", "2.0", "MiB"],
        ["removed", "leftover", "1.0", "MiB"],
    ]
    assert lines[3:] == ["in all 3.0 MiB"]
    assert all([path.name for path in (own_cache / name).iterdir()] == ["content"] for name in SECTIONS)
    assert (own_cache / "experiment.lock").read_text() == ""


@pytest.mark.parametrize("options", [[], ["--all"], ["--cache"]])
def test_caches_are_removed(own_cache: Path, temporary: Path, options: list[str]) -> None:
    """Every section goes, each named with its size; what is not ours stays; then there is nothing to do."""
    (own_cache / "letters").mkdir()
    told = clean(temporary, *options, "--dry-run")
    assert all(f"would remove cache         1.0 MiB  {own_cache / name}\n" in told.stdout for name in SECTIONS)
    assert all((own_cache / name / "content").exists() for name in SECTIONS)
    done = clean(temporary, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == told.stdout.replace("would remove", "removed")
    assert done.stdout.endswith(f"in all {len(SECTIONS)}.0 MiB\n")
    assert not any((own_cache / name).exists() for name in SECTIONS)
    assert (own_cache / "letters").exists()
    assert clean(temporary, *options).stdout == "nothing to remove\n"


def test_folder_that_is_no_cache_alone_is_left(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that held other things before it became a cache is not emptied: its `models` may be the user's."""
    (tmp_path / "home/letters").mkdir(parents=True)
    (tmp_path / "home/models").mkdir()
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "home"))
    done = clean(temporary)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"left alone: {tmp_path / 'home'}: it holds other files")
    assert (tmp_path / "home/models").is_dir()


def test_folder_of_unknown_owner_is_left_and_told(own_cache: Path, temporary: Path) -> None:
    """A temporary folder without a mark is not removed: its process may run."""
    (temporary / "serverless-mlperf-abc").mkdir()
    done = clean(temporary, "--leftovers")
    assert f"left alone: {temporary / 'serverless-mlperf-abc'}: it cannot be known" in done.stdout
    assert (temporary / "serverless-mlperf-abc").is_dir()
    assert own_cache.is_dir()
