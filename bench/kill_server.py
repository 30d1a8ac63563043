"""kill -9 of the local platform's server, or of its controller: how long until nothing of the environments is left.

    python bench/kill_server.py [--rounds 3] [--isolation plain bubblewrap] [--controller sigstop cgroup-v1 cgroup-v2]

Functions are brought into five states: frozen between invocations, asleep in the handler, spinning in it, in their
init phase, and stopped on demand at its very beginning. All but the last have started three processes before: a child,
one in a session of its own, and a daemon, whose parent has ended. Then the victim is killed, and every process that was
there is watched until it is gone. Exit status 1 if that takes a second or longer, or if a cgroup or a mount is left.
"""

import argparse
import base64
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
import io
import json
import os
from pathlib import Path
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Final
import zipfile

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.control import LAMBDA_FUNCTIONS, ControlClient
from serverless_mlperf.platforms.local.isolation import choose_isolation
from serverless_mlperf.platforms.local.restraint import CONTROLLERS, unavailable

DEADLINE_S: Final = 1.0
WATCHED_S: Final = 10.0
"""Longer than the deadline: what is late is told with its time."""
SET_UP_S: Final = 60.0
VICTIMS: Final = ("server", "controller")
STATES: Final = {
    "frozen": "frozen",
    "asleep": "busy",
    "spinning": "busy",
    "in-init": "starting",
    "hung-init": "starting",
}
"""Function, named after what it is to be at, and what the status page calls that."""
STARTED: Final = 3
APP: Final = """
import os, subprocess, time
at = os.environ["AWS_LAMBDA_FUNCTION_NAME"]

def start(*command):
    subprocess.Popen(command)
    subprocess.Popen(command, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execvp(command[0], command)
        os._exit(0)
    os.wait()

def spin():
    while True: pass

if at == "in-init":
    start("sleep", "600"); spin()

def lambda_handler(event, context):
    start(*(("sh", "-c", "while :; do :; done") if at == "spinning" else ("sleep", "600")))
    if at == "spinning": spin()
    if at == "asleep": time.sleep(600)
"""


class Server:
    """A platform's process, and the family below it."""

    def __init__(self, folder: Path, isolation: str, controller: str) -> None:
        module = "serverless_mlperf.platforms.local.service"
        options = ("--parent-stdin", "--isolation", isolation, "--controller", controller, "--init-limit-s", "600")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"

    def stop(self) -> None:
        """End it in order, if it has not been killed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def family(server: int, controller: int) -> dict[int, str]:
    """All processes below the server, itself included: whose they are, by the function's name in their environment.

    A process that was stopped before it had become its function's has none yet.
    """
    found = {server: "server", controller: "controller"}
    for pid in descendants(server):
        variables = read(Path(f"/proc/{pid}/environ")).split(b"\0")
        name = next((each for each in variables if each.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")), b"=")
        found.setdefault(pid, name.partition(b"=")[2].decode() or "hung-init")
    return found


def descendants(pid: int) -> Iterator[int]:
    """Processes below one."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in map(int, read(task / "children").split()):
            yield child
            yield from descendants(child)


def read(path: Path) -> bytes:
    """A file of /proc; nothing of a process that has ended."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def deploy(control: ControlClient) -> None:
    """One function per state."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", APP)
    code = {"ZipFile": base64.b64encode(package.getvalue()).decode()}
    settings = {"Handler": "app.lambda_handler", "Timeout": 600, "MemorySize": 256, "Code": code}
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in STATES:
        role = "arn:aws:iam::000000000000:role/r"
        made = {"FunctionName": name, "Runtime": runtime, "Role": role, **settings}
        control.json("POST", LAMBDA_FUNCTIONS, made)
        control.request("POST", f"/_platform/prepare?function={name}")


def bring_about(control: ControlClient, server: Server, init: str) -> int:
    """Have every environment in its state; the controller's pid. There is room for one init phase at a time."""
    for name in (*(name for name in STATES if not name.endswith("init")), init):
        if name == "hung-init":
            control.json("PUT", "/_platform/faults", {"rates": {"hang-init": 1}})
        control.request("POST", f"{LAMBDA_FUNCTIONS}/{name}/invocations", b"{}", {"X-Amz-Invocation-Type": "Event"})
        wait_for_state(control, server, name)
    return int(control.json("GET", "/_platform/status")["executor"]["controller"]["pid"])


def wait_for_state(control: ControlClient, server: Server, name: str) -> None:
    """Wait until an environment is at what it is to be, with all its processes."""
    give_up = time.monotonic() + SET_UP_S
    while time.monotonic() < give_up:
        executor = control.json("GET", "/_platform/status")["executor"]
        states = [each["state"] for each in executor["environments"] if each["function"] == name and each["pid"]]
        there = Counter(family(server.process.pid, executor["controller"]["pid"]).values())[name]
        if states == [STATES[name]] and there >= 1 + (0 if name == "hung-init" else STARTED):
            return
        signal.sigtimedwait([], 0.02)
    raise SystemExit(f"{name}: never came to be {STATES[name]} with its processes within {SET_UP_S:.0f} s")


def kill(server: Server, controller: int, victim: str) -> dict[str, float]:
    """Kill the victim and watch the family: seconds until the last process of each state is gone."""
    members = family(server.process.pid, controller)
    begun_s = time.monotonic()
    os.kill(controller if victim == "controller" else server.process.pid, signal.SIGKILL)
    gone_s: dict[str, float] = {}
    left = dict(members)
    while left and time.monotonic() - begun_s < WATCHED_S:
        for pid in [pid for pid in left if not alive(pid)]:
            gone_s[left.pop(pid)] = time.monotonic() - begun_s
        signal.sigtimedwait([], 0.001)
    for pid, name in left.items():
        gone_s[name] = float("inf")
        os.kill(pid, signal.SIGKILL)
    return gone_s


def surroundings() -> dict[str, list[str]]:
    """What a platform may have made outside its folder: mounts and cgroups."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.name.startswith("serverless-mlperf-")]
    return {"mounts": sorted(Path("/proc/self/mounts").read_text().splitlines()), "cgroups": sorted(groups)}


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder for temporary files of the server's own, which functions can walk to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def one_round(isolation: str, controller: str, victim: str, init: str) -> dict[str, float]:
    """Start a server, bring its environments about, kill; seconds per state."""
    with reachable_folder() as folder:
        server = Server(folder, isolation, controller)
        try:
            with ControlClient(server.url) as control:
                deploy(control)
                found = kill(server, bring_about(control, server, init), victim)
        finally:
            server.stop()
    return found


def leftovers(before: dict[str, list[str]]) -> dict[str, set[str]]:
    """What is there now and was not before; the next server's start has removed what a killed one could not."""
    from serverless_mlperf.cleaning import remove_leftovers

    remove_leftovers()
    after = surroundings()
    return {name: new for name in after if (new := set(after[name]) - set(before[name]))}


def combination(isolation: str, controller: str, victim: str, rounds: int) -> tuple[str, list[str]]:
    """A line of the table, and what is wrong."""
    before, found = surroundings(), dict[str, list[float]]()
    for _ in range(rounds):
        for init in ("in-init", "hung-init"):
            for name, gone_s in one_round(isolation, controller, victim, init).items():
                found.setdefault(name, []).append(gone_s)
    what = f"{isolation:<11} {controller:<10} {victim:<11}"
    cells = [f"{statistics.median(found[name]) * 1000:5.0f} /{max(found[name]) * 1000:5.0f}" for name in STATES]
    late = [name for name in STATES if max(found[name]) >= DEADLINE_S]
    wrong = [f"{what}: {name} was there for {max(found[name]):.2f} s" for name in late]
    return what + "".join(f"{cell:>15}" for cell in cells), [
        *wrong,
        *(f"{what}: left {x}" for x in leftovers(before).items()),
    ]


def usable(isolation: str, controller: str) -> str | None:
    """Why a combination cannot be tried on this host."""
    try:
        choose_isolation(isolation)
    except InputError as error:
        return str(error)
    reason = unavailable(controller)
    return f"{controller}: {reason}" if reason else None


def main() -> int:
    """Try every combination; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isolation", nargs="+", default=["plain", "bubblewrap"])
    parser.add_argument("--controller", nargs="+", default=list(CONTROLLERS))
    parser.add_argument("--victim", nargs="+", default=list(VICTIMS))
    options = parser.parse_args()
    print("milliseconds until the last process is gone, median / longest")
    print(f"{'isolation':<11} {'controller':<10} {'killed':<11}" + "".join(f"{name:>15}" for name in STATES))
    wrong: list[str] = []
    for isolation in options.isolation:
        for controller in options.controller:
            if reason := usable(isolation, controller):
                print(f"{isolation:<11} {controller:<10} not tried: {reason}")
                continue
            for victim in options.victim:
                line, found = combination(isolation, controller, victim, options.rounds)
                print(line, flush=True)
                wrong += found
    for each in wrong:
        print(f"WRONG: {each}")
    print("holds" if not wrong else "does not hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
