"""Ctrl-C and SIGTERM, once and more often."""

import signal
import subprocess
import sys

import pytest

from serverless_mlperf.interruption import ENDING_S, Interruption


def test_more_signals_do_not_disturb_the_ending() -> None:
    """The first one interrupts; the next one interrupts again only when the ending has had its time."""
    now_s = [100.0]
    interruption = Interruption(lambda: now_s[0])
    with pytest.raises(KeyboardInterrupt):
        interruption(signal.SIGINT, None)
    now_s[0] += ENDING_S - 0.1
    interruption(signal.SIGTERM, None)
    now_s[0] += 0.2
    with pytest.raises(KeyboardInterrupt):
        interruption(signal.SIGINT, None)


def test_ignored_signals_stay_ignored() -> None:
    """A process that was started with SIGINT ignored, as a shell starts jobs in the background, keeps ignoring it."""
    code = (
        "import signal; from serverless_mlperf.interruption import Interruption; Interruption().install();"
        "print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN, callable(signal.getsignal(signal.SIGTERM)))"
    )
    command = ["sh", "-c", 'trap \'\' INT; exec "$0" -c "$1"', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True True\n"
