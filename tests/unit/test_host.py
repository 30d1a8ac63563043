"""The host's description, its lock and its room."""

from pathlib import Path
import subprocess
import sys

import pytest

from serverless_mlperf import host
from serverless_mlperf.errors import HostError


def test_description_names_what_makes_figures_comparable() -> None:
    """CPU, cores, kernel, Python and the versions of the engines are named."""
    described = host.describe_host()
    assert described["cores"] >= 1
    assert described["memory_mib"] > 256
    assert {"openvino", "opencv-python-headless", "mlcommons-loadgen"} <= described["packages"].keys()


def test_second_experiment_is_refused_and_told_by_whom() -> None:
    """While one process holds the host, another gets a HostError with its pid; afterwards it gets the host."""
    code = "from serverless_mlperf.host import host_lock\nwith host_lock():\n    print('held', flush=True)\n    input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(HostError, match=str(holder.pid)), host.host_lock():
        pytest.fail("two processes hold the host")
    holder.communicate("\n", timeout=10)
    with host.host_lock():
        pass


def test_lack_of_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little disk or memory is a HostError that says how much there is and how much is needed."""
    host.preflight(tmp_path)
    monkeypatch.setattr(host, "MIN_DISK_BYTES", 1 << 60)
    with pytest.raises(HostError, match="disk space"):
        host.preflight(tmp_path / "not" / "yet")
