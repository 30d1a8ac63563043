"""The server's end of the controller's command socket."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Final

import serverless_mlperf
from serverless_mlperf.errors import HostError, PlatformError
from serverless_mlperf.owner import this_process
from serverless_mlperf.platforms.local.cgroup import clear_server
from serverless_mlperf.platforms.local.restraint import DEFAULT

_MODULE: Final = "serverless_mlperf.platforms.local.controller"
_MESSAGE_BYTES: Final = 1 << 16
_STOP_DEADLINE_S: Final = 5
_CLEAR_AGAIN_S: Final = 0.02
BELOW_SERVER: Final = 10
"""Steps of nice by which environments give way to the server: weight 110 against 1024 (kernel/sched/core.c)."""


@dataclass(frozen=True, slots=True)
class Launch:
    """All the controller needs to start one environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    uid: int
    cores: tuple[int, ...]
    share: float
    memory_bytes: int
    throttled: bool = False
    """From the first instruction on; otherwise the init phase is free."""
    nice: int = 0
    wrapped: bool = False
    """The command is bubblewrap's, which starts the handler's process in its turn."""
    tmp: str = ""
    """Folder to be seen at /tmp; empty: the host's, or what the command itself mounts there."""
    kept_in_tmp: tuple[str, ...] = ()
    """Folders of the host's /tmp that stay where they are nevertheless."""
    disk: tuple[str, str] | None = None
    """An image of a file system, and the folder at which it is to be mounted; takes root."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How an environment's process ended."""

    code: int
    """Exit status, or minus the signal."""
    reason: str
    """`exit` when it ended by itself, else what it was killed for."""
    cpu_ns: int = 0
    max_rss_kib: int = 0


class Child:
    """What the controller says of one environment; its owner sets the callbacks it wants."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[Exit] = loop.create_future()
        self.frozen_cpu_ns: int | None = None


class ControllerClient:
    """Starts the controller process and talks to it; used on one event loop.

    Without its controller there are no environments: when it ends unasked, `lost` says how.
    """

    def __init__(self, kind: str = DEFAULT) -> None:
        self._loop = asyncio.get_running_loop()
        self.kind = kind
        """One of restraint.CONTROLLERS."""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._telling: asyncio.Future[None] | None = None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = _start_process(theirs, kind)
        self._children: dict[int, Child] = {}
        self._unsent: deque[bytes] = deque()
        self._keys = 0
        self._verbs: dict[str, Callable[..., None]] = {
            "started": _on_started,
            "failed": self._on_failed,
            "frozen": _on_frozen,
            "ended": self._on_ended,
        }
        self._loop.add_reader(self._socket, self._read)
        # A child that is frozen on its way into an environment keeps the controller's end of the socket open.
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._on_end)

    @property
    def pid(self) -> int:
        """Process id of the controller."""
        return self._process.pid

    def cpu_ns(self) -> int:
        """CPU time the controller has used so far."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2) if self._process.poll() is None else 0

    def spawn(self, launch: Launch, stdout: int) -> tuple[int, Child]:
        """Start an environment whose output goes to `stdout`; returns its key and what will be said of it."""
        self._keys += 1
        child = self._children[self._keys] = Child()
        message = json.dumps(("spawn", self._keys, asdict(launch))).encode()
        if len(message) > _MESSAGE_BYTES:
            raise PlatformError(f"environment variables of a function take {len(message)} bytes; Lambda takes 4 KiB")
        try:
            socket.send_fds(self._socket, [message], [stdout])
        except OSError as error:
            del self._children[self._keys]
            raise PlatformError(f"controller process: not answering ({error}); restart the local server") from error
        return self._keys, child

    def throttle(self, key: int) -> None:
        """End the free init phase of an environment."""
        self._send("throttle", key)

    def freeze(self, key: int) -> None:
        """Stop an environment between invocations."""
        self._send("freeze", key)

    def thaw(self, key: int) -> None:
        """Let an environment go on."""
        self._send("thaw", key)

    def kill(self, key: int, reason: str) -> None:
        """End an environment; `ended` of its Child says when it is gone and reaped."""
        self._send("kill", key, reason)

    async def close(self) -> None:
        """End the controller and with it every environment."""
        self._unwatch()
        self._loop.remove_writer(self._socket)
        self._socket.close()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the environments follow by their parent-death signal
            await asyncio.to_thread(self._process.wait)
            await self._clear_groups()
        self._fail_all("closed")

    def _send(self, *command: object) -> None:
        self._unsent.append(json.dumps(command).encode())
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._socket.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return
        except OSError:
            self._unsent.clear()  # the reader sees the end and says so
        self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            message = self._socket.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            message = b""
        if not message:
            self._on_end()
            return
        verb, key, *rest = json.loads(message)
        if child := self._children.get(key):
            self._verbs[verb](child, *rest)
            if child.ended.done():
                del self._children[key]

    def _on_end(self) -> None:
        self._unwatch()
        self._fail_all("controller process ended")
        self._telling = asyncio.ensure_future(self._tell_loss())

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def _tell_loss(self) -> None:
        status = await asyncio.to_thread(self._process.wait)
        await self._clear_groups()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        if not self.lost.done():
            self.lost.set_result(f"controller process {self._process.pid} ended ({how}), and all environments with it")

    async def _clear_groups(self) -> None:
        """Do what the controller could not do any more: frozen processes in a group do not follow it."""
        give_up = self._loop.time() + _STOP_DEADLINE_S
        while self.kind.startswith("cgroup") and not await asyncio.to_thread(clear_server, this_process().mark):
            if self._loop.time() > give_up:
                return  # what is left bears the server's mark: the next one removes it
            await asyncio.sleep(_CLEAR_AGAIN_S)

    def _on_failed(self, child: Child, why: str) -> None:
        _on_ended_once(child, Exit(127, f"not started: {why}"))

    def _on_ended(self, child: Child, code: int, reason: str, cpu_ns: int, max_rss_kib: int) -> None:
        _on_ended_once(child, Exit(code, reason, cpu_ns, max_rss_kib))

    def _fail_all(self, reason: str) -> None:
        for child in self._children.values():
            _on_ended_once(child, Exit(-9, reason))
        self._children.clear()


def _on_started(child: Child, pid: int) -> None:
    if not child.started.done():
        child.started.set_result(pid)


def _on_frozen(child: Child, cpu_ns: int) -> None:
    child.frozen_cpu_ns = cpu_ns


def _on_ended_once(child: Child, exit_: Exit) -> None:
    if not child.ended.done():
        child.ended.set_result(exit_)
    child.started.cancel()


def _start_process(theirs: socket.socket, kind: str) -> subprocess.Popen[bytes]:
    root = Path(serverless_mlperf.__file__).parents[1]
    # No site-packages, nothing of the host's environment: it starts in a few milliseconds and imports stdlib only.
    command = [sys.executable, "-S", "-s", "-m", _MODULE, str(theirs.fileno()), kind, this_process().mark]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    except OSError as error:
        raise HostError(f"controller process: cannot be started: {error}") from error


def environment_nice() -> int:
    """Priority of an environment: below that of this process, the server."""
    return min(19, os.getpriority(os.PRIO_PROCESS, 0) + BELOW_SERVER)


Event = Mapping[str, Any]
