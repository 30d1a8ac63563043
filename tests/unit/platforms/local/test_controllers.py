"""One contract for every controller: real processes of a real controller process, with whatever this host can do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from pathlib import Path
import signal
import sys
import time

from executor_functions import alive, wait_for
import pytest

from serverless_mlperf.calibration import calibrate
from serverless_mlperf.owner import this_process
from serverless_mlperf.platforms.local.cgroup import clear_server, find_leftovers
from serverless_mlperf.platforms.local.controller_client import Child, ControllerClient, Launch
from serverless_mlperf.platforms.local.processes import children_of, cpu_clock_ns
from serverless_mlperf.platforms.local.restraint import CONTROLLERS, unavailable

SPIN = "while True: pass"
FORKED = "import os\nos.fork()\nwhile True: pass"
SESSION = "import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass\nos.wait()"
DAEMON = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    while True: pass\n"
DAEMON += "os.wait()\ntime.sleep(60)"
SHORT = "import os\nwhile True:\n    if os.fork() == 0:\n        sum(range(300000)); os._exit(0)\n    os.wait()"
ALLOCATE = "block = bytearray(400 << 20)\nimport time\ntime.sleep(60)"
SHARED = "import os, time\nblock = bytearray(b'x') * (150 << 20)\nfor _ in range(3): os.fork()\ntime.sleep(60)"
SLEEP = "import time\ntime.sleep(60)"


@pytest.fixture(params=list(CONTROLLERS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each controller that this host can do; the reason is told for the others."""
    if reason := unavailable(request.param):
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)


@asynccontextmanager
async def controller(kind: str) -> AsyncIterator[ControllerClient]:
    """A controller process, ended afterwards with all that is its."""
    client = ControllerClient(kind)
    try:
        yield client
    finally:
        await client.close()
        assert list(_groups()) == []


def _groups() -> list[Path]:
    mark = this_process().mark
    return [path for path in Path("/sys/fs/cgroup").glob(f"**/serverless-mlperf-{mark}*") if path.is_dir()]


async def start(
    client: ControllerClient, source: str, share: float = 0.3, memory_mib: int = 512, throttled: bool = True
) -> tuple[int, Child, int]:
    """Run a Python source under restraint; its key, what is said of it, and its pid."""
    cores = tuple(sorted(os.sched_getaffinity(0))[:2])
    launch = Launch(
        argv=(sys.executable, "-I", "-S", "-c", source),
        env={"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{time.monotonic_ns() % 60000}"},
        cwd="/",
        uid=os.geteuid(),
        cores=cores,
        share=share,
        memory_bytes=memory_mib << 20,
        throttled=throttled,
    )
    with open(os.devnull, "wb") as sink:  # noqa: PTH123 - a descriptor is wanted
        key, child = client.spawn(launch, sink.fileno())
    return key, child, await asyncio.wait_for(child.started, 10)


async def spent(client: ControllerClient, source: str, share: float, seconds: float) -> float:
    """Cores that a source and all its children got over a while, by the controller's own account."""
    key, child, _ = await start(client, source, share)
    await asyncio.sleep(0.2)  # measured, not waited for: from here on it spins
    first, begun = await _frozen_ns(client, key, child), time.monotonic()
    client.thaw(key)
    await asyncio.sleep(seconds)
    used = await _frozen_ns(client, key, child) - first
    return used / 1e9 / (time.monotonic() - begun)


async def _frozen_ns(client: ControllerClient, key: int, child: Child) -> int:
    child.frozen_cpu_ns = None
    client.freeze(key)
    give_up = time.monotonic() + 10
    while child.frozen_cpu_ns is None:
        assert time.monotonic() < give_up, "not frozen within 10 s"
        await asyncio.sleep(0.001)
    return child.frozen_cpu_ns


@pytest.mark.parametrize(
    "source", [SPIN, FORKED, SESSION, DAEMON, SHORT], ids=["one", "two", "session", "daemon", "short"]
)
def test_no_process_escapes_the_share(kind: str, source: str) -> None:
    """Children, those in a session of their own, daemons and short-lived ones count against the share."""

    async def scenario() -> float:
        async with controller(kind) as client:
            return await spent(client, source, 0.3, 0.6)

    got = asyncio.run(scenario())
    assert got < 0.36
    if calibrate(0.1).ok:
        assert got > 0.2


def test_free_phase_is_not_throttled(kind: str) -> None:
    """Until its share is asked for, an environment may use what it wants."""

    async def scenario() -> int:
        async with controller(kind) as client:
            _, _, pid = await start(client, SPIN, 0.1, throttled=False)
            await _until(lambda: (cpu_clock_ns(pid) or 0) > 150_000_000)
            return cpu_clock_ns(pid) or 0

    before = time.monotonic()
    assert asyncio.run(scenario()) / 1e9 > (time.monotonic() - before) * 0.15


async def _until(condition: object, deadline_s: float = 10) -> None:
    give_up = asyncio.get_running_loop().time() + deadline_s
    while not condition():  # type: ignore[operator]
        assert asyncio.get_running_loop().time() < give_up, "not within the deadline"
        await asyncio.sleep(0.005)


def test_frozen_environment_stands_still(kind: str) -> None:
    """Between freeze and thaw it uses nothing, its children neither; afterwards it goes on."""

    async def scenario() -> None:
        async with controller(kind) as client:
            key, child, pid = await start(client, FORKED, 0.5)
            await _until(lambda: list(children_of(pid)))
            (other,) = children_of(pid)
            await _frozen_ns(client, key, child)
            still = await _at_rest(pid, other)
            client.thaw(key)
            await _until(lambda: (cpu_clock_ns(pid) or 0) > (still[0] or 0) + 5_000_000)

    asyncio.run(scenario())


async def _at_rest(*pids: int) -> list[int | None]:
    """Clocks of processes once they have stood still for 100 ms: a frozen one stops when it is next scheduled."""
    give_up = time.monotonic() + 10
    before: list[int | None] = []
    while (clocks := [cpu_clock_ns(pid) for pid in pids]) != before:
        assert time.monotonic() < give_up, "not at rest within 10 s"
        before = clocks
        await asyncio.sleep(0.1)  # the time in which nothing happens
    return clocks


@pytest.mark.parametrize("source", [SPIN, SESSION, DAEMON], ids=["one", "session", "daemon"])
def test_kill_leaves_no_process(kind: str, source: str) -> None:
    """Killed while frozen, it ends with all it has started, and is told when nothing is left."""

    async def scenario() -> None:
        async with controller(kind) as client:
            key, child, pid = await start(client, source)
            await asyncio.sleep(0.2)  # its children are there by then, or never
            family = [pid, *children_of(pid), *_strays(client.pid)]
            client.freeze(key)
            client.kill(key, "test")
            ended = await asyncio.wait_for(child.ended, 10)
            assert (ended.code, ended.reason) == (-signal.SIGKILL, "test")
            assert [each for each in family if alive(each)] == []

    asyncio.run(scenario())


def _strays(controller_pid: int) -> list[int]:
    return list(children_of(controller_pid))


def test_memory_limit_is_kept(kind: str) -> None:
    """A function that takes more than its memory is ended for that."""

    async def scenario() -> str:
        async with controller(kind) as client:
            _, child, _ = await start(client, ALLOCATE, 1.5, 128)
            return (await asyncio.wait_for(child.ended, 20)).reason

    assert asyncio.run(scenario()) == "memory"


def test_memory_shared_after_a_fork_counts_once(kind: str) -> None:
    """Eight processes that share 150 MiB fit into 512 MiB."""

    async def scenario() -> bool:
        async with controller(kind) as client:
            _, child, pid = await start(client, SHARED, 1.9, 512)
            await _until(lambda: len(list(children_of(pid))) == 3)
            await asyncio.sleep(0.3)  # three looks at its memory
            return child.ended.done()

    assert not asyncio.run(scenario())


def test_exit_and_account(kind: str) -> None:
    """An environment that ends by itself is told with its status and its CPU time."""

    async def scenario() -> tuple[int, str, int]:
        async with controller(kind) as client:
            _, child, _ = await start(client, "sum(range(10**6)); raise SystemExit(7)", 1.9)
            ended = await asyncio.wait_for(child.ended, 10)
            return ended.code, ended.reason, ended.cpu_ns

    code, reason, cpu_ns = asyncio.run(scenario())
    assert (code, reason) == (7, "exit")
    assert cpu_ns > 1_000_000


def test_killed_controller_leaves_nothing(kind: str) -> None:
    """Environments follow a controller that was killed, frozen ones as well, and its groups are removed."""

    async def scenario() -> None:
        async with controller(kind) as client:
            key, _, pid = await start(client, SPIN)
            client.freeze(key)
            await asyncio.sleep(0.05)  # frozen by now, or killed on the way: both must end
            os.kill(client.pid, signal.SIGKILL)
            await asyncio.wait_for(client.lost, 10)
            wait_for(lambda: not alive(pid), "the environment's end")

    asyncio.run(scenario())


def test_groups_of_a_killed_server_are_leftovers() -> None:
    """What a server that is gone has left is found by its mark, and removed; what lives is left alone."""
    if reason := unavailable("cgroup-v1"):
        pytest.skip(reason)
    dead = Path("/sys/fs/cgroup/freezer") / f"serverless-mlperf-1.1.{this_process().boot}"
    living = Path("/sys/fs/cgroup/freezer") / f"serverless-mlperf-{this_process().mark}"
    for folder in (dead / "0", living):
        folder.mkdir(parents=True)
    try:
        assert list(find_leftovers()) == [dead]
        assert clear_server(f"1.1.{this_process().boot}")
        assert not dead.exists()
    finally:
        living.rmdir()
