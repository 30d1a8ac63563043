"""What an experiment refuses before it builds or starts anything."""

from pathlib import Path
import subprocess
import sys

import pytest

from serverless_mlperf.platforms.local.restraint import CONTROLLERS, unavailable


@pytest.mark.parametrize("way", ["option", "file"])
def test_controller_that_this_host_has_not(tmp_path: Path, way: str) -> None:
    """One line that says why and what to take instead, status 2, and no results folder."""
    kind = next((name for name in CONTROLLERS if unavailable(name)), None)
    if kind is None:
        pytest.skip("this host has every controller")
    (tmp_path / "experiment.toml").write_text(f'controller = "{kind}"\n')
    chosen = ("--controller", kind) if way == "option" else ("experiment.toml",)
    command = [sys.executable, "-m", "serverless_mlperf", "run", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: controller {kind}: ")
    assert done.stderr.endswith("; take sigstop, which needs nothing, or auto\n")
    assert [path.name for path in tmp_path.iterdir()] == ["experiment.toml"]
