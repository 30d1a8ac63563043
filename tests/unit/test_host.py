"""The host's description, and its lock."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import subprocess
import sys

import pytest

from serverless_mlperf import host
from serverless_mlperf.cache import cache_dir
from serverless_mlperf.errors import HostError


def test_description_names_what_makes_figures_comparable() -> None:
    """CPU, cores, kernel, Python and the versions of the engines are named."""
    described = host.describe_host()
    assert described["cores"] >= 1
    assert described["memory_mib"] > 256
    assert {"openvino", "opencv-python-headless", "mlcommons-loadgen"} <= described["packages"].keys()


def test_second_experiment_is_refused_and_told_by_whom() -> None:
    """While one process holds the host, another gets a HostError with its pid; afterwards it gets the host."""
    with held() as holder, pytest.raises(HostError, match=f"pid {holder.pid}"), host.host_lock():
        pytest.fail("two processes hold the host")
    with host.host_lock():
        pass


def test_lock_of_a_killed_process_is_free_at_once() -> None:
    """A process killed with SIGKILL while it holds the host leaves nothing that would have to be removed."""
    with held() as holder:
        holder.kill()
        holder.wait()
        with host.host_lock():
            pass


@pytest.mark.parametrize("left", ["", "x", "4194305", "12\n34", "\x00" * 40, "9" * 5000])
def test_holder_is_named_only_if_it_exists(left: str) -> None:
    """Whatever the lock file says, the message is one line, and names no process that is not there."""
    with held():
        (cache_dir() / "experiment.lock").write_text(left)
        with (
            pytest.raises(HostError, match=r"^an experiment is running on this host \(another process\)"),
            host.host_lock(),
        ):
            pytest.fail("two processes hold the host")


def test_cache_of_another_user_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock in a cache that another user may write to would lock nothing: it is refused, with what to do."""
    as_another_user(tmp_path, monkeypatch)
    assert "belongs to uid 0, not to us (65534); set SERVERLESS_MLPERF_CACHE" in as_nobody(tmp_path, REPORTED).stdout


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a HostError that names it."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path))
    (tmp_path / "experiment.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match=r"experiment\.lock"), host.host_lock():
        pytest.fail("a link was followed")
    assert not (tmp_path / "elsewhere").exists()


REPORTED = "try:\n  with host_lock(): print('held')\nexcept HostError as error: print(error)"


def as_another_user(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cache be root's, in a place another user can reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be two users")
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(cache))
    for folder in (cache, *cache.parents[:3]):
        folder.chmod(0o755)


def as_nobody(cache: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code as an unprivileged user, after the imports that only root may be able to read."""
    setting = "import os; from serverless_mlperf.host import *; from serverless_mlperf.errors import HostError\n"
    change = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    command = [sys.executable, "-c", setting + change + code]
    environment = {**os.environ, "SERVERLESS_MLPERF_CACHE": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


@contextmanager
def held() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the host."""
    code = "from serverless_mlperf.host import host_lock\nwith host_lock():\n    print('held', flush=True)\n    input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.communicate("\n", timeout=10)
