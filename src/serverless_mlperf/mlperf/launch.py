"""Starts the process of one run and follows it; the only way the rest of the client reaches LoadGen."""

from collections.abc import Callable, Mapping
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from typing import IO, Any, Final

from serverless_mlperf.errors import BenchmarkError, CutOffError, InputError, RunError
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec, dump_spec, load_result

STOP_S: Final = 2.0
"""A run that was interrupted must have written its validity and ended by then."""
SILENCE_S: Final = 5.0
_TAIL_BYTES: Final = 2000
_BAD_SPEC: Final = 2
_INTERRUPTED: Final = 130
_CHUNK_BYTES: Final = 1 << 16

OnEvent = Callable[[Mapping[str, Any]], None]


def run_process(
    spec: RunSpec,
    on_event: OnEvent,
    lifeline: int | None = None,
    on_silence: Callable[[], None] = lambda: None,
) -> DriverResult:
    """Run one LoadGen test to its end and return its driver.json.

    Blocking. Events are given to `on_event` as they come; without any for five seconds, which never is while LoadGen
    measures, `on_silence` is called. `lifeline` is a descriptor that becomes readable when there is nothing left to
    measure. An exception meanwhile (Ctrl-C included, or raised by either) ends the process: SIGINT, and SIGKILL when
    it has not ended two seconds later. Raises CutOffError when the process is killed or the lifeline ends, RunError
    when it fails without a result, InputError when it refused the specification.
    """
    with tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end it in order.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serverless_mlperf.mlperf.process", "--parent-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            _hand_over(process, spec)
            _follow(process, on_event, lifeline, on_silence)
            status = process.wait()
        finally:
            _stop(process)
        if status == 0:
            return load_result((spec.output / "driver.json").read_bytes())
        raise _failure(spec, status, _tail(errors))


def check_lifeline(lifeline: int | None) -> None:
    """Raise CutOffError when the platform is gone: its lifeline is readable."""
    if lifeline is not None and select.select([lifeline], [], [], 0)[0]:
        raise CutOffError("the platform ended while the run was under way")


def _hand_over(process: subprocess.Popen[bytes], spec: RunSpec) -> None:
    """Write the spec; stdin stays open, its end tells the process that we are gone."""
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        process.stdin.write(dump_spec(spec) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # it died at once: its status and stderr will say why


def _follow(
    process: subprocess.Popen[bytes], on_event: OnEvent, lifeline: int | None, on_silence: Callable[[], None]
) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    output, rest = process.stdout.fileno(), b""
    watched = [output] if lifeline is None else [output, lifeline]
    while True:
        ready, _, _ = select.select(watched, [], [], SILENCE_S)
        if not ready:
            on_silence()
            continue
        check_lifeline(lifeline)
        chunk = os.read(output, _CHUNK_BYTES)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_event(json.loads(line))


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _failure(spec: RunSpec, status: int, tail: str) -> BenchmarkError:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    message = f"run {spec.run} ended without a result ({how}): {tail or 'it said nothing'}"
    if status < 0 or status == _INTERRUPTED:
        return CutOffError(message)
    return InputError(message) if status == _BAD_SPEC else RunError(message)


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _TAIL_BYTES))
    return " | ".join(errors.read().decode(errors="replace").split("\n")).strip(" |")
