"""Starts the process of one run and follows it; the only way the rest of the client reaches LoadGen."""

from collections.abc import Callable, Mapping
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO, Any, Final

from serverless_mlperf.errors import BenchmarkError, CutOffError, InputError, RunError
from serverless_mlperf.mlperf.spec import DriverResult, RunSpec, dump_credentials, dump_spec, load_result
from serverless_mlperf.platforms.base import Credentials

STOP_S: Final = 2.0
"""A run that was interrupted must have written its validity and ended by then."""
SILENCE_S: Final = 5.0
RENEWAL_S: Final = 30.0
"""How often credentials are asked for anew: whoever keeps them renews them minutes before they expire."""
_IDENTITY: Final = "AWS_"
"""Begins the names of variables that may hold an identity: the process gets its own by pipe, and none by accident."""
_TAIL_BYTES: Final = 2000
_BAD_SPEC: Final = 2
_INTERRUPTED: Final = 130
_CHUNK_BYTES: Final = 1 << 16

OnEvent = Callable[[Mapping[str, Any]], None]
Identify = Callable[[], Credentials | None]


class Renewal:
    """Gives a process newer credentials than it has, when there are any."""

    def __init__(
        self,
        identify: Identify,
        held: Credentials | None,
        every_s: float = RENEWAL_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identify = identify
        self._held = held
        self._every_s = every_s
        self._clock_s = clock_s
        self._asked_s = clock_s()

    def newer(self) -> Credentials | None:
        """Credentials to be handed over now; None while there are none, or it is too early to ask again."""
        if self._held is None or self._clock_s() - self._asked_s < self._every_s:
            return None
        self._asked_s = self._clock_s()
        found = self._identify()
        if found is None or found == self._held:
            return None
        self._held = found
        return found


def run_process(
    spec: RunSpec,
    on_event: OnEvent,
    lifeline: int | None = None,
    on_silence: Callable[[], None] = lambda: None,
    identify: Identify = lambda: None,
    renew_every_s: float = RENEWAL_S,
) -> DriverResult:
    """Run one LoadGen test to its end and return its driver.json.

    Blocking. Events are given to `on_event` as they come; without any for five seconds, which never is while LoadGen
    measures, `on_silence` is called. `lifeline` is a descriptor that becomes readable when there is nothing left to
    measure. `identify` tells the credentials that are valid now; newer ones than the specification's reach the process
    by the same pipe, never by argument, file or environment.

    An exception meanwhile (Ctrl-C included, or raised by any of them) ends the process: SIGINT, and SIGKILL when it has
    not ended two seconds later. Raises CutOffError when the process is killed or the lifeline ends, RunError when it
    fails without a result, InputError when it refused the specification.
    """
    with tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end it in order.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serverless_mlperf.mlperf.process", "--parent-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={name: value for name, value in os.environ.items() if not name.startswith(_IDENTITY)},
            start_new_session=True,
        )
        try:
            _hand_over(process, dump_spec(spec))
            _follow(process, on_event, lifeline, on_silence, Renewal(identify, spec.credentials, renew_every_s))
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


def _hand_over(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Write a line; stdin stays open, its end tells the process that we are gone."""
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        process.stdin.write(line + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # it died at once: its status and stderr will say why


def _follow(
    process: subprocess.Popen[bytes],
    on_event: OnEvent,
    lifeline: int | None,
    on_silence: Callable[[], None],
    renewal: Renewal,
) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    output, rest = process.stdout.fileno(), b""
    watched = [output] if lifeline is None else [output, lifeline]
    while True:
        ready, _, _ = select.select(watched, [], [], SILENCE_S)
        if (credentials := renewal.newer()) is not None:
            _hand_over(process, dump_credentials(credentials))
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
