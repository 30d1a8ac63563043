"""The controller process: starts environments, throttles, freezes, ends and reaps them.

Standard library only. It is the parent of every environment and the only one that sends them signals, so that
STOP and CONT have one owner and no signal ever goes to a recycled pid. It lives exactly as long as its server: when
the command socket closes, it kills what is left; when it is killed itself, the kernel kills its children
(parent-death signal).

Commands and events are JSON arrays, one per message of a SOCK_SEQPACKET socket:

    ["spawn", id, launch] + stdout's fd     -> ["started", id, pid] | ["failed", id, why]
    ["throttle", id]  end of the free init phase
    ["freeze", id]  ["thaw", id]            -> ["frozen", id, cpu_ns]
    ["kill", id, reason]                    -> ["ended", id, status, reason, cpu_ns, max_rss_kib]

Under bubblewrap an environment is three processes in one group: bubblewrap, the namespace's first process, the
handler's. Signals go to the group, clocks and memory are the handler's, and it has ended when all three have.
"""

from collections.abc import Callable
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, Final

from serverless_mlperf.cpu_model import PERIOD_NS, Budget, stagger_ns
from serverless_mlperf.platforms.local.handler_process import inside_of

MESSAGE_BYTES: Final = 1 << 17
MEMORY_CHECK_NS: Final = 100_000_000
_PAGE_BYTES: Final = resource.getpagesize()
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK, _PR_SET_NO_NEW_PRIVS = 1, 29, 38
_DEFAULT_TIMERSLACK_NS: Final = 50_000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Environment:
    """One child process and what holds it back."""

    def __init__(self, slot: int, pid: int, launch: dict[str, Any]) -> None:
        self.slot, self.pid = slot, pid
        self.pidfd = os.pidfd_open(pid)
        self.wrapped: bool = launch["wrapped"]
        self.init_fd: int | None = None
        """Under bubblewrap, what tells the end of all processes inside."""
        self.exit: tuple[int, int | None, int] | None = None
        """Status, CPU time and largest resident set in KiB, once it is reaped."""
        self._handler: int | None = None
        self._statm: int | None = None
        self._peak_bytes = 0
        if not self.wrapped:
            self._watch(pid)
        self.memory_bytes: int = launch["memory_bytes"]
        cores = len(launch["cores"])
        self.budget = Budget(int(launch["share"] * PERIOD_NS), cores, stagger_ns(slot))
        self.free = True
        """In its init phase, which Lambda does not throttle."""
        self.frozen = False
        self.stopped = False
        self.due_ns: int | None = None
        self.reason: str | None = None
        if launch["throttled"]:
            self.end_free_phase()

    def cpu_ns(self) -> int:
        """CPU clock of the whole process; see clock_getcpuclockid(3) for the id."""
        handler = self.handler()
        if handler is None:
            return 0
        try:
            return time.clock_gettime_ns((~handler << 3) | 2)
        except OSError:
            return 0  # it has just ended: its exit is about to be read

    def handler(self) -> int | None:
        """Process id of the handler; None as long as bubblewrap has not started it."""
        if self._handler is None and self.exit is None and (inside := inside_of(self.pid)):
            try:
                self.init_fd = os.pidfd_open(inside.init)
                self._watch(inside.handler)
            except (ProcessLookupError, FileNotFoundError):
                return None  # it has just ended
        return self._handler

    def _watch(self, handler: int) -> None:
        self._statm = os.open(f"/proc/{handler}/statm", os.O_RDONLY)
        self._handler = handler

    def end_free_phase(self) -> None:
        """From now on the share holds."""
        self.free = False
        self.due_ns = None if self.budget.unlimited else self.budget.begin(time.monotonic_ns(), self.cpu_ns())

    def freeze(self) -> None:
        """Stand still between two invocations."""
        self.frozen, self.due_ns = True, None
        self._hold()
        if not (self.free or self.budget.unlimited):
            self.budget.pause(time.monotonic_ns(), self.cpu_ns())

    def thaw(self) -> None:
        """Go on, as far as the budget allows."""
        self.frozen = False
        if self.free or self.budget.unlimited:
            self._release()
        else:
            self.step(time.monotonic_ns())

    def step(self, now_ns: int) -> None:
        """Let it run or hold it, by its budget."""
        if self.frozen or self.free or self.budget.unlimited or self.reason:
            self.due_ns = None
            return
        self.due_ns = self.budget.step(now_ns, self.cpu_ns())
        if self.budget.runs:
            self._release()
        else:
            self._hold()

    def kill(self, reason: str) -> None:
        """End the process and its group; a stopped one is continued as well."""
        if not self.reason and self.wrapped:
            self.resident_bytes()  # the last look at its memory
        self.reason, self.due_ns = self.reason or reason, None
        self._signal(signal.SIGKILL)
        self._signal(signal.SIGCONT)

    def resident_bytes(self) -> int:
        """Resident set; 0 when the process is gone."""
        if self.handler() is None or self._statm is None:
            return 0
        try:
            resident = int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES
        except (ProcessLookupError, IndexError):
            return 0
        self._peak_bytes = max(self._peak_bytes, resident)
        return resident

    def reap(self) -> None:
        """Read how it ended; what it left running in its group goes first: the group's number is free afterwards."""
        self.kill("exit")
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if self.wrapped:
            self.exit = (_unwrapped(code), None, self._peak_bytes // 1024)
        else:
            self.exit = (code, int((usage.ru_utime + usage.ru_stime) * 1e9), usage.ru_maxrss)

    def close(self) -> None:
        """Give back its descriptors."""
        for descriptor in (self.pidfd, self.init_fd, self._statm):
            if descriptor is not None:
                os.close(descriptor)

    def _hold(self) -> None:
        if not self.stopped:
            self.stopped = True
            self._signal(signal.SIGSTOP)

    def _release(self) -> None:
        if self.stopped:
            self.stopped = False
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.exit is not None:
            return
        # The child is not reaped yet, so neither its pid nor its group can be someone else's.
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


class Controller:
    """The loop over all environments: commands, exits, due steps."""

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self._command_fd = commands.fileno()
        self._environments: dict[int, Environment] = {}
        self._by_pidfd: dict[int, int] = {}
        self._memory_due_ns = 0
        self._verbs: dict[str, Callable[[int, Any], None]] = {
            "throttle": lambda key, _: self._environments[key].end_free_phase(),
            "freeze": lambda key, _: self._freeze(key),
            "thaw": lambda key, _: self._environments[key].thaw(),
            "kill": lambda key, reason: self._environments[key].kill(reason),
        }

    def run(self) -> None:
        """Serve until the server is gone, then leave nothing behind."""
        try:
            while self._turn():
                pass
        finally:
            for environment in self._environments.values():
                environment.kill("server gone")
            for environment in self._environments.values():
                if environment.exit is None:
                    os.waitpid(environment.pid, 0)

    def _turn(self) -> bool:
        readable, _, _ = select.select([self._command_fd, *self._by_pidfd], [], [], self._sleep_s())
        for ready in readable:
            if ready != self._command_fd:
                self._reap(self._by_pidfd[ready])
            elif not self._command():
                return False
        now_ns = time.monotonic_ns()
        for environment in self._environments.values():
            if environment.due_ns is not None and environment.due_ns <= now_ns:
                environment.step(now_ns)
        if now_ns >= self._memory_due_ns:
            self._check_memory(now_ns)
        return True

    def _sleep_s(self) -> float | None:
        moments = [e.due_ns for e in self._environments.values() if e.due_ns is not None]
        if any(not e.frozen for e in self._environments.values()):
            moments.append(self._memory_due_ns)
        return max(0, min(moments) - time.monotonic_ns()) / 1e9 if moments else None

    def _command(self) -> bool:
        try:
            message, fds, _, _ = socket.recv_fds(self._commands, MESSAGE_BYTES, 1)
        except ConnectionResetError:
            return False
        if not message:
            return False
        verb, key, *rest = json.loads(message)
        if verb == "spawn":
            self._spawn(key, rest[0], fds[0])
        elif key in self._environments:
            self._verbs[verb](key, rest[0] if rest else None)
        return True

    def _spawn(self, key: int, launch: dict[str, Any], stdout: int) -> None:
        taken = {e.slot for e in self._environments.values()}
        slot = next(n for n in range(len(taken) + 1) if n not in taken)
        try:
            pid = _start(launch, stdout)
        except OSError as error:
            self._tell("failed", key, str(error))
            return
        finally:
            os.close(stdout)
        environment = self._environments[key] = Environment(slot, pid, launch)
        self._by_pidfd[environment.pidfd] = key
        self._tell("started", key, pid)

    def _freeze(self, key: int) -> None:
        self._environments[key].freeze()
        self._tell("frozen", key, self._environments[key].cpu_ns())

    def _reap(self, key: int) -> None:
        environment = self._environments[key]
        if environment.exit is None:
            del self._by_pidfd[environment.pidfd]
            environment.reap()
            if environment.init_fd is not None:
                # They die with bubblewrap, but each in its own time.
                self._by_pidfd[environment.init_fd] = key
                return
        else:
            self._by_pidfd = {fd: owner for fd, owner in self._by_pidfd.items() if owner != key}
        del self._environments[key]
        environment.close()
        code, cpu_ns, max_rss_kib = environment.exit or (-1, None, 0)
        self._tell("ended", key, code, environment.reason, cpu_ns, max_rss_kib)

    def _check_memory(self, now_ns: int) -> None:
        for environment in self._environments.values():
            if not environment.frozen and environment.resident_bytes() > environment.memory_bytes:
                environment.kill("memory")
        self._memory_due_ns = now_ns + MEMORY_CHECK_NS

    def _tell(self, *event: object) -> None:
        try:
            self._commands.send(json.dumps(event).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # the server is gone: the next read says so


def _unwrapped(status: int) -> int:
    """The handler's status, or minus its signal, by bubblewrap's: as in a shell, 128 + n stands for signal n.

    A handler that exits with such a status itself cannot be told from one that was killed.
    """
    return 128 - status if 128 < status < 128 + signal.NSIG else status


def _start(launch: dict[str, Any], stdout: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(launch, stdout, parent)
    except OSError as error:
        os.write(2, f"environment could not be started: {error}\n".encode())
    finally:
        os._exit(127)


def _become(launch: dict[str, Any], stdout: int, parent: int) -> None:
    """In the child: turn into the environment's process."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.sched_setaffinity(0, launch["cores"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _give_way(launch["nice"])
    _LIBC.prctl(_PR_SET_TIMERSLACK, _DEFAULT_TIMERSLACK_NS)
    os.umask(0o022)
    if launch["uid"] != os.geteuid():
        os.setgroups([])
        os.setgid(launch["uid"])
        os.setuid(launch["uid"])
    # After the change of uid, which would clear it (prctl(2)).
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        return
    os.chdir(launch["cwd"])
    os.execve(launch["argv"][0], launch["argv"], launch["env"])  # noqa: S606 - no shell is what we want


def _give_way(nice: int) -> None:
    """Let server and client go first when they wake: their lateness would be measured as the function's.

    The functions' CPU time is bounded below what the host has, so giving way costs them no share. Needs no
    privilege. Both are set because the kernel heeds the one or the other: with autogroup scheduling (sched(7)) the
    priority of a session counts among sessions, without it that of the process.
    """
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        with open("/proc/self/autogroup", "w") as group:  # noqa: PTH123 - no pathlib in this quick start
            group.write(str(nice))
    except OSError:
        return  # a kernel without autogroups


def _go_first() -> None:
    """Wake at the very tick: what an environment uses while its controller waits for a core is a debt.

    A process of a real-time class was late by 0.3 ms (99th percentile) on a busy host, one of high priority by 5 ms.
    """
    _LIBC.prctl(_PR_SET_TIMERSLACK, 1)
    try:
        # Before the server, which is at 1 (service.py); environments start without it.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2))
    except PermissionError:
        return  # it works without, less exactly when the host is busy


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business
    commands = socket.socket(fileno=int(sys.argv[1]))
    _go_first()
    Controller(commands).run()


if __name__ == "__main__":
    main()
