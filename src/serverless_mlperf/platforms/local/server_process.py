"""The local platform's server as a child process: started, watched, ended with everything that is its."""

import json
import os
import select
import signal
import subprocess
import sys
from typing import Final

from serverless_mlperf.cleaning import remove_leftovers
from serverless_mlperf.errors import HostError
from serverless_mlperf.platforms.local.access import TOKEN_VARIABLE
from serverless_mlperf.platforms.local.restraint import DEFAULT

START_DEADLINE_S: Final = 30
STOP_DEADLINE_S: Final = 2.5
"""With the two seconds of a run's process, Ctrl-C ends everything within five."""


class ServerProcess:
    """One server on 127.0.0.1; raises HostError when it cannot be started."""

    def __init__(self, controller: str = DEFAULT) -> None:
        module = "serverless_mlperf.platforms.local.service"
        command = [sys.executable, "-P", "-m", module, "--port", "0", "--parent-stdin", "--controller", controller]
        # A session of its own: Ctrl-C reaches the client alone, which then ends the server in order.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=_environment()
        )
        self.lifeline = -1
        """Becomes readable when the process ends (pidfd_open(2))."""
        try:
            self.lifeline = os.pidfd_open(self._process.pid)
            self.endpoint_url = f"http://127.0.0.1:{self._ready_port()}"
        except BaseException:  # also Ctrl-C: nobody else holds the process yet
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def wait_end(self, patience_s: float) -> str | None:
        """How the process ended; None when it still lives after a while."""
        try:
            status = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"

    def stop(self) -> None:
        """End it and wait until it is gone: in order, by force after a while; idempotent.

        What it could not remove itself is removed here; its environments die with it (parent-death signal).
        """
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._close()
        if self._process.returncode:
            remove_leftovers()

    def _close(self) -> None:
        if self._process.stdout:
            self._process.stdout.close()
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def _ready_port(self) -> int:
        stdout = self._process.stdout
        readable, _, _ = select.select([stdout] if stdout else [], [], [], START_DEADLINE_S)
        line = stdout.readline() if stdout and readable else b""
        try:
            return int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError) as error:
            how = "ended before it was ready" if readable else f"was not ready within {START_DEADLINE_S} s"
            raise HostError(f"local platform: its server {how}; see its messages, and try again") from error


def _environment() -> dict[str, str]:
    """The host's environment without credentials: nothing of AWS may reach a function, and no token is asked for."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != TOKEN_VARIABLE}
