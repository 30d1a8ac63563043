"""Processes on an errand for the server: they keep blocking work off its event loop and never outlive it.

An errand's stdin is a pipe from the server. When that closes, because the server has no more use for the errand or is
gone itself, the errand ends as on SIGTERM: through its `finally` clauses, so that nothing half made is left.
"""

import asyncio
from dataclasses import dataclass
import os
import signal
import sys
import threading
from types import FrameType
from typing import Final, NoReturn

from serverless_mlperf.errors import PlatformError

END_S: Final = 1.0
"""An errand that is not wanted any more has cleaned up by then."""


@dataclass(frozen=True, slots=True)
class Done:
    """How an errand ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def reason(self) -> str:
        """Last line of its stderr."""
        return self.stderr.strip().rpartition("\n")[2]


async def run_errand(module: str, *arguments: str, deadline_s: float) -> Done:
    """Run a module of ours to its end.

    Raises TimeoutError after the deadline, and PlatformError when it is cancelled: whoever waits for what it makes is
    not cancelled with it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # what lies in the folder where the user started us is not imported
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(deadline_s):
            stdout, stderr = await asyncio.gather(_whole(process.stdout), _whole(process.stderr))
            status = await process.wait()
    except asyncio.CancelledError:
        raise PlatformError("local platform: it is shutting down; start the server again") from None
    finally:
        await _end(process)
    return Done(status, stdout, stderr.decode(errors="replace"))


def end_with_server() -> None:
    """To be called first in an errand: end when the server closes the pipe."""
    signal.signal(signal.SIGTERM, _end_in_order)
    threading.Thread(target=_await_end_of_stdin, daemon=True).start()


async def _whole(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _await_end_of_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end_in_order(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal module's signature
    # Once: a second signal must not disturb the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)
