"""The controller process: starts environments, restrains, freezes, ends and reaps them.

Standard library only. It is the parent of every environment and the only one that sends them signals, so that
STOP and CONT have one owner and no signal ever goes to a recycled pid. It lives exactly as long as its server: when
the command socket closes, it kills what is left; when it is killed itself, the kernel kills its children
(parent-death signal). What a function's processes leave behind becomes its child as well (subreaper).

Arguments: the socket's descriptor, one of restraint.CONTROLLERS, the server's mark. Commands and events are JSON
arrays, one per message of a SOCK_SEQPACKET socket:

    ["spawn", id, launch] + stdout's fd     -> ["started", id, pid] | ["failed", id, why]
    ["throttle", id]  end of the free init phase
    ["freeze", id]  ["thaw", id]            -> ["frozen", id, cpu_ns]
    ["kill", id, reason]                    -> ["ended", id, status, reason, cpu_ns, max_rss_kib]
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

from serverless_mlperf.platforms.local import loop_mount, private_tmp
from serverless_mlperf.platforms.local.orphans import adopt_orphans, end_orphans
from serverless_mlperf.platforms.local.processes import children_of
from serverless_mlperf.platforms.local.restraint import Controls, Restraint, open_controls

MESSAGE_BYTES: Final = 1 << 17
MEMORY_CHECK_NS: Final = 100_000_000
CLOSE_AGAIN_NS: Final = 2_000_000
"""What is killed dies soon, but not at once."""
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK, _PR_SET_NO_NEW_PRIVS = 1, 29, 38
_DEFAULT_TIMERSLACK_NS: Final = 50_000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Environment:
    """One child process and its restraint."""

    def __init__(self, number: int, pid: int, launch: dict[str, Any], restraint: Restraint) -> None:
        self.number, self.pid, self.restraint = number, pid, restraint
        self.pidfd = os.pidfd_open(pid)
        self.wrapped: bool = launch["wrapped"]
        """The first process is bubblewrap: it stands for the handler's, which is its grandchild."""
        self.frozen = False
        self.reason: str | None = None
        self.status: int | None = None
        """Of the first process, once it is reaped."""
        self._used_ns = self._peak_kib = 0
        restraint.watch(pid)
        if launch["throttled"]:
            restraint.throttle()

    def freeze(self) -> None:
        """Stand still between two invocations."""
        self.frozen = True
        self.restraint.freeze()

    def thaw(self) -> None:
        """Go on, as far as the share allows."""
        self.frozen = False
        self.restraint.thaw()

    def kill(self, reason: str) -> None:
        """End all its processes."""
        self.reason = self.reason or reason
        if self.status is None:
            self.restraint.kill()

    def reap(self) -> None:
        """Read how its first process ended; what it has left running goes with it."""
        if self.reason is None and self.restraint.out_of_memory():
            self.reason = "memory"
        self.kill("exit")
        _, status, usage = os.wait4(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        cpu_ns, peak_kib = self.restraint.usage()
        self._used_ns = max(cpu_ns, int((usage.ru_utime + usage.ru_stime) * 1e9))
        self._peak_kib = max(peak_kib, 0 if self.wrapped else usage.ru_maxrss)

    def account(self) -> tuple[int, str | None, int, int]:
        """Status, reason, CPU time in ns, largest memory in KiB; after the reaping."""
        status = self.status or 0
        return _unwrapped(status) if self.wrapped else status, self.reason, self._used_ns, self._peak_kib


class Controller:
    """The loop over all environments: commands, exits, due steps."""

    def __init__(self, commands: socket.socket, controls: Controls) -> None:
        self._commands = commands
        self._command_fd = commands.fileno()
        self._controls = controls
        self._environments: dict[int, Environment] = {}
        self._by_pidfd: dict[int, int] = {}
        self._closing: dict[int, Environment] = {}
        self._memory_due_ns = 0
        self._verbs: dict[str, Callable[[int, Any], None]] = {
            "throttle": lambda key, _: self._environments[key].restraint.throttle(),
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
            end_orphans()
            for environment in (*self._environments.values(), *self._closing.values()):
                environment.restraint.close()
            self._controls.close()

    def _turn(self) -> bool:
        readable, _, _ = select.select([self._command_fd, *self._by_pidfd], [], [], self._sleep_s())
        for ready in readable:
            if ready != self._command_fd:
                self._reap(self._by_pidfd[ready])
            elif not self._command():
                return False
        now_ns = time.monotonic_ns()
        for environment in self._environments.values():
            due_ns = environment.restraint.due_ns
            if due_ns is not None and due_ns <= now_ns:
                environment.restraint.step(now_ns)
        if self._closing:
            self._close()
        if now_ns >= self._memory_due_ns:
            self._look(now_ns)
        return True

    def _sleep_s(self) -> float | None:
        moments = [e.restraint.due_ns for e in self._environments.values() if e.restraint.due_ns is not None]
        if any(not e.frozen for e in self._environments.values()):
            moments.append(self._memory_due_ns)
        now_ns = time.monotonic_ns()
        if self._closing:
            moments.append(now_ns + CLOSE_AGAIN_NS)
        return max(0, min(moments) - now_ns) / 1e9 if moments else None

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
        taken = {e.number for e in (*self._environments.values(), *self._closing.values())}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        try:
            restraint = self._controls.restrain(number, launch)
            pid = _start(launch, stdout, restraint)
        except OSError as error:
            self._tell("failed", key, str(error))
            return
        finally:
            os.close(stdout)
        environment = self._environments[key] = Environment(number, pid, launch, restraint)
        self._by_pidfd[environment.pidfd] = key
        self._tell("started", key, pid)

    def _freeze(self, key: int) -> None:
        self._environments[key].freeze()
        self._tell("frozen", key, self._environments[key].restraint.usage()[0])

    def _reap(self, key: int) -> None:
        environment = self._closing[key] = self._environments.pop(key)
        del self._by_pidfd[environment.pidfd]
        environment.reap()
        os.close(environment.pidfd)
        self._close()

    def _close(self) -> None:
        """Tell the end of those of which nothing is left."""
        self._reap_strays()
        for key, environment in list(self._closing.items()):
            if environment.restraint.close():
                del self._closing[key]
                self._tell("ended", key, *environment.account())

    def _look(self, now_ns: int) -> None:
        for environment in self._environments.values():
            if environment.reason is None and environment.restraint.out_of_memory():
                environment.kill("memory")
        self._reap_strays()
        self._memory_due_ns = now_ns + MEMORY_CHECK_NS

    def _reap_strays(self) -> None:
        """Children that are nobody's first process: reap the dead, give the living to their environment."""
        first = {environment.pid: environment for environment in self._environments.values()}
        for pid in list(children_of(os.getpid())):
            if pid not in first and os.waitpid(pid, os.WNOHANG)[0] == 0:
                self._settle(pid)

    def _settle(self, pid: int) -> None:
        if not any(each.restraint.owns(pid) for each in (*self._environments.values(), *self._closing.values())):
            os.kill(pid, signal.SIGKILL)  # its environment has ended

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


def _start(launch: dict[str, Any], stdout: int, restraint: Restraint) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _die_with_parent()  # it may be frozen before it gets any further
        restraint.enter()
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
    if launch["tmp"] or launch["disk"]:
        private_tmp.leave_host()
    if launch["disk"]:
        loop_mount.mount_image(*launch["disk"])
    if launch["tmp"]:
        private_tmp.show(launch["tmp"], launch["kept_in_tmp"])
    if launch["uid"] != os.geteuid():
        os.setgroups([])
        os.setgid(launch["uid"])
        os.setuid(launch["uid"])
    _die_with_parent()  # again: the change of uid has cleared it (prctl(2))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        return
    os.chdir(launch["cwd"])
    os.execve(launch["argv"][0], launch["argv"], launch["env"])  # noqa: S606 - no shell is what we want


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


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
        # Before the server, which is at 1 (priority.py); environments start without it.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2))
    except PermissionError:
        return  # it works without, less exactly when the host is busy


def main() -> None:
    """Serve as the arguments say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business
    commands = socket.socket(fileno=int(sys.argv[1]))
    adopt_orphans()
    _go_first()
    try:
        controls = open_controls(sys.argv[2], sys.argv[3])
    except OSError as error:
        sys.exit(f"controller {sys.argv[2]}: {error}")
    Controller(commands, controls).run()


if __name__ == "__main__":
    main()
