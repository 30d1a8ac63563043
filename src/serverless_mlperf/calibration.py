"""How much CPU the host really delivers: spin on every core for a moment and hold CPU time against wall time.

A virtual machine may be given less than its cores for minutes without a tick of steal time in /proc/stat; a run
measured meanwhile says nothing about the function.
"""

from collections.abc import Callable
from dataclasses import dataclass
import os
import subprocess
import sys
import time
from typing import Final

from serverless_mlperf.errors import HostError

THRESHOLD: Final = 0.95
"""Of the host's cores: below it a promise of CPU shares is not kept."""
PAUSE_S: Final = 1.0
"""Between two calibrations, which themselves keep the host busy."""
_SPIN: Final = """
import sys, time
sys.stdin.read(1)
wall, cpu, end = time.perf_counter_ns(), time.process_time_ns(), time.perf_counter_ns() + int(sys.argv[1])
while time.perf_counter_ns() < end: pass
print(time.process_time_ns() - cpu, time.perf_counter_ns() - wall)
"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a spin test found."""

    delivered_vcpu: float
    """CPU time over wall time, all cores together."""
    cores: int
    """Cores this process may use."""

    @property
    def delivered_share(self) -> float:
        """Of its cores, 1.0 is all."""
        return self.delivered_vcpu / self.cores

    @property
    def ok(self) -> bool:
        """Whether shares can be promised on this host now."""
        return self.delivered_share >= THRESHOLD


def calibrate(seconds: float = 0.3) -> Calibration:
    """Spin one process per core for `seconds`; blocking; raises HostError if they do not answer."""
    cores = sorted(os.sched_getaffinity(0))
    spinners = [_spinner(seconds) for _ in cores]
    try:
        for spinner, core in zip(spinners, cores, strict=True):
            os.sched_setaffinity(spinner.pid, {core})
        outputs = _run_together(spinners, seconds)
    finally:
        for spinner in spinners:
            _end(spinner)
    return Calibration(sum(cpu_ns / wall_ns for cpu_ns, wall_ns in outputs), len(cores))


def wait_until_quiet(
    deadline_s: float = 30, seconds: float = 0.3, measure: Callable[[float], Calibration] = calibrate
) -> Calibration:
    """Calibrate until the host delivers or the deadline has passed; the last calibration says which."""
    give_up = time.monotonic() + deadline_s
    while True:
        calibration = measure(seconds)
        if calibration.ok or time.monotonic() >= give_up:
            return calibration
        time.sleep(PAUSE_S)  # what is waited for is the host: it tells nobody when it has time


def _spinner(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", _SPIN, str(int(seconds * 1e9))]
    # A group of its own: Ctrl-C in the terminal reaches the client alone.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={}, process_group=0)


def _run_together(spinners: list[subprocess.Popen[str]], seconds: float) -> list[tuple[int, int]]:
    """Start all at once: the interpreter's start-up is not part of the measurement."""
    for spinner in spinners:
        if spinner.stdin:
            spinner.stdin.write("g")
            spinner.stdin.flush()
    results = []
    for spinner in spinners:
        try:
            output, _ = spinner.communicate(timeout=seconds + 30)
            cpu_ns, wall_ns = output.split()
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise HostError(
                f"calibration: a spinning process did not answer ({error}); is the host overloaded?"
            ) from error
        results.append((int(cpu_ns), int(wall_ns)))
    return results


def _end(spinner: subprocess.Popen[str]) -> None:
    if spinner.poll() is None:
        spinner.kill()
    spinner.wait()
    for stream in (spinner.stdin, spinner.stdout):
        if stream:
            stream.close()
