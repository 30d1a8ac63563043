"""What bench/kill_server.py holds, once for each way of keeping environments apart and of restraining them."""

from pathlib import Path
import subprocess
import sys

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.isolation import choose_isolation
from serverless_mlperf.platforms.local.restraint import CONTROLLERS, unavailable

SCRIPT = Path(__file__).parents[2] / "bench" / "kill_server.py"


@pytest.mark.parametrize("controller", list(CONTROLLERS))
@pytest.mark.parametrize("isolation", ["plain", "bubblewrap"])
def test_environments_end_within_a_second_of_their_server(isolation: str, controller: str) -> None:
    """After kill -9 of the server every process of every environment, whatever it was at, is gone within a second."""
    try:
        choose_isolation(isolation)
    except InputError as error:
        pytest.skip(str(error))
    if reason := unavailable(controller):
        pytest.skip(f"{controller}: {reason}")
    choice = ("--isolation", isolation, "--controller", controller, "--victim", "server", "--rounds", "1")
    done = subprocess.run([sys.executable, str(SCRIPT), *choice], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{isolation:<11} {controller:<10} server" in done.stdout
    assert done.stdout.endswith("holds\n")
