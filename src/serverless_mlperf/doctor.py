"""What this host can emulate and measure, and what it cannot: each finding with its evidence and what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
import os
from pathlib import Path
import shutil
import socket
import sys
import textwrap
import time
from typing import Any, Final, Literal

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.errors import BenchmarkError
from serverless_mlperf.platforms.local.abilities import Abilities, abilities
from serverless_mlperf.platforms.local.host import most_at_once
from serverless_mlperf.platforms.local.isolation import choose_isolation
from serverless_mlperf.platforms.local.tmp_disk import unavailable as unavailable_disks
from serverless_mlperf.workloads import MEMORY_MIB

State = Literal["ok", "limited", "missing"]
WIDTH: Final = 80
DISK_BYTES: Final = 3 * 2**30
"""Models, packages and runtimes of the seed's experiment take about half of it."""
LATE_NS: Final = 1_000_000
"""A quarter of the scheduler tick that the CPU share is charged in."""
TOOLS: Final = {"aws": "the AWS command line, to look at a server", "git": "to name the code's revision in results"}
_PYTHONS: Final = ((3, 11), (3, 14))
"""LoadGen and awslambdaric have wheels from the first to before the second."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    state: State
    evidence: str
    advice: str = ""
    needed: bool = False
    """Whether no experiment can run without it."""


def examine() -> list[Finding]:
    """Look at everything; blocking, about a second."""
    findings = [_python(), *_cpu(), _isolation(), _storage(), _user(), *_disk(), _port(), _clock()]
    return [*findings, *(_tool(name, use) for name, use in TOOLS.items())]


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether nothing that experiments need is missing."""
    return not any(finding.needed and finding.state == "missing" for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """For people: 80 columns."""
    return "\n".join(line for finding in findings for line in _lines(finding))


def as_values(findings: Sequence[Finding]) -> dict[str, Any]:
    """For programs."""
    return {"can_run": can_run(findings), "findings": [asdict(finding) for finding in findings]}


def _lines(finding: Finding) -> Iterator[str]:
    head = f"{finding.state:<8} {finding.name:<12} "
    yield from textwrap.wrap(head + finding.evidence, WIDTH, subsequent_indent=" " * len(head))
    if finding.advice:
        indent = " " * len(head)
        yield from textwrap.wrap(f"-> {finding.advice}", WIDTH, initial_indent=indent, subsequent_indent=indent + "   ")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1] and sys.platform == "linux"
    advice = "" if fits else "use Linux and Python 3.11 to 3.13"
    return Finding("python", "ok" if fits else "missing", f"{version} on {sys.platform}", advice, needed=True)


def _cpu() -> Iterator[Finding]:
    try:
        found = abilities()
    except BenchmarkError as error:
        yield Finding("cpu", "missing", str(error), "free the host's cores", needed=True)
        return
    yield _delivered(found)
    yield _sizes(found)
    yield _controllers(found)
    late_us = found.timer_late_ns / 1000
    exact = found.timer_late_ns < LATE_NS
    advice = "" if exact else "shares are kept less exactly; stop what else runs"
    yield Finding("timer", "ok" if exact else "limited", f"a sleep of 1 ms is {late_us:.0f} us late (median)", advice)


def _delivered(found: Abilities) -> Finding:
    spin = found.calibration
    evidence = f"{found.cores} cores, {spin.delivered_vcpu:.2f} vCPU delivered to a spin on each"
    advice = "" if spin.ok else "runs would be INVALID now: stop what else runs, or try again later"
    return Finding("cpu", "ok" if spin.ok else "limited", evidence, advice)


def _sizes(found: Abilities) -> Finding:
    counts = ", ".join(f"{most_at_once(size, found.cores)} of {size}" for size in MEMORY_MIB)
    evidence = f"whole share up to {found.largest_memory_mib} MB; environments at once: {counts} MB"
    whole = found.largest_memory_mib >= max(MEMORY_MIB)
    advice = "" if whole else "larger sizes get less than their share: use more cores, or smaller sizes"
    return Finding("sizes", "ok" if whole else "limited", evidence, advice)


def _controllers(found: Abilities) -> Finding:
    usable = [name for name, reason in found.controllers.items() if reason is None]
    refused = "; ".join(f"{name}: {reason}" for name, reason in found.controllers.items() if reason)
    evidence = f"{', '.join(usable)}" + (f" ({refused})" if refused else "")
    return Finding("controllers", "ok" if usable else "missing", evidence, needed=True)


def _isolation() -> Finding:
    found = choose_isolation()
    if found.bwrap is not None:
        return Finding("isolation", "ok", f"bubblewrap, {found.bwrap}: Lambda's paths, own pids, private /tmp")
    advice = "install bubblewrap and permit user namespaces: functions see the host's files till then"
    tmp = "private /tmp" if found.private_tmp else f"a /tmp shared with the host ({found.tmp_reason})"
    return Finding("isolation", "limited", f"plain: {found.reason}; {tmp}", advice)


def _storage() -> Finding:
    reason = unavailable_disks()
    if reason is None:
        return Finding(
            "storage", "ok", "of EphemeralStorage's size with `local serve --storage enforced`; else watched"
        )
    return Finding("storage", "limited", f"watched every second, without ENOSPC: {reason}")


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", "ok", "root: the server may go first; functions run as uid 65534")
    advice = "the server may be late when the host is busy; root, or CAP_SYS_NICE, lets it go first"
    return Finding("user", "limited", f"uid {os.geteuid()}: no real-time priority", advice)


def _disk() -> Iterator[Finding]:
    cache = cache_dir()
    there = next(path for path in (cache, *cache.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    enough = free >= DISK_BYTES
    needed = f"{DISK_BYTES / 2**30:.0f} GiB are needed at first: free some, or set SERVERLESS_MLPERF_CACHE"
    advice = "" if enough else needed
    yield Finding("disk", "ok" if enough else "limited", f"{free / 2**30:.1f} GiB free for {cache}", advice)
    writable = os.access(there, os.W_OK | os.X_OK)
    evidence = f"{cache}: {'filled' if cache.is_dir() and any(cache.iterdir()) else 'empty: the first run builds it'}"
    advice = "" if writable else "set SERVERLESS_MLPERF_CACHE to a folder of yours"
    yield Finding("cache", "ok" if writable else "missing", evidence, advice, needed=True)


def _port() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
    except OSError as error:
        return Finding("ports", "missing", f"127.0.0.1: {error.strerror}", "permit listening there", needed=True)
    return Finding("ports", "ok", f"127.0.0.1 can be listened on (port {port})")


def _clock() -> Finding:
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = source.read_text().strip() if source.is_file() else "unknown"
    resolution_ns = time.get_clock_info("perf_counter").resolution * 1e9
    exact = name not in {"acpi_pm", "hpet", "jiffies"}
    advice = "" if exact else "every reading of it is slow: choose tsc or kvm-clock"
    return Finding("clock", "ok" if exact else "limited", f"{name}, resolution {resolution_ns:.0f} ns", advice)


def _tool(name: str, use: str) -> Finding:
    found = shutil.which(name) or shutil.which(str(Path(sys.executable).parent / name))
    return Finding(name, "ok" if found else "limited", found or f"not installed: {use}")
