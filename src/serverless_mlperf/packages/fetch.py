"""Wheels for a target, fetched by pip from the index that it is configured for, held to their pinned hashes."""

from collections.abc import Mapping
import json
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any, Final

from serverless_mlperf.errors import BenchmarkError, HostError, PackageError
from serverless_mlperf.packages.target import BuildTarget

_OPTIONS: Final = (
    *("--disable-pip-version-check", "--no-input", "--no-user", "--no-warn-conflicts", "--no-compile"),
    *("--only-binary=:all:", "--implementation", "cp", "--no-deps", "--require-hashes"),
    # pip compares with the Python that runs it, not with the target's; the pins were chosen for the target.
    "--ignore-requires-python",
)
_NO_PIP: Final = re.compile(r"No module named '?pip\b")
_OTHER_HASH: Final = re.compile(r"DO NOT MATCH THE HASHES.*?\n\s+(\S+).*?Got\s+([0-9a-f]{8})", re.DOTALL)
_NO_WHEEL: Final = re.compile(r"No matching distribution found for (\S+)")
_UNREACHABLE: Final = re.compile(
    r"^.*(?:Could not fetch URL \S+: (?!404)|HTTP error (?!404)\d|Max retries exceeded).*$", re.MULTILINE
)
"""Not 404: one index of several need not have every distribution. Not the warnings before a retry: it may succeed."""
_REASON: Final = re.compile(r"Caused by \w+|\d{3} (?:Client|Server) Error|HTTP error \d+|timed out|certificate")
_ERROR: Final = re.compile(r"^(?:ERROR: )?(.*\S)\s*$", re.MULTILINE)


def fetch_wheels(requirements: str, target: BuildTarget, folder: Path) -> Mapping[str, str]:
    """Install a requirements file's wheels into a folder; returns by distribution `<file name>#sha256=<digest>`.

    Raises HostError when the index cannot be reached, PackageError when it lacks a wheel or has another one than the
    pinned. Blocking: it fetches and unpacks up to 240 MB.
    """
    # Beside the wheels' folder, which is ours: what a killed pip leaves is removed with it.
    listed, report, scratch = (folder.with_name(f"{folder.name}.{name}") for name in ("txt", "json", "tmp"))
    listed.write_text(requirements)
    scratch.mkdir()
    # -vv: only then does pip say that it could not ask an index at all.
    command = [*pip_install(target), "-vv", "--requirement", str(listed), "--target", str(folder)]
    command += ["--report", str(report)]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _explained(done.stdout, done.stderr, target)
    return _wheels(json.loads(report.read_text()))


def pip_install(target: BuildTarget) -> list[str]:
    """The command that installs wheels for a target, to be completed by what and where."""
    platforms = [option for tag in target.platforms for option in ("--platform", tag)]
    return [sys.executable, "-m", "pip", "install", *_OPTIONS, "--python-version", target.python, *platforms]


def _wheels(report: Any) -> Mapping[str, str]:
    """By distribution, of pip's report (pip.pypa.io/en/stable/reference/installation-report)."""
    found = {}
    for each in report["install"]:
        url, archive = each["download_info"]["url"], each["download_info"]["archive_info"]
        # Before pip 23.1 there is but `hash`, "sha256=...".
        digest = archive["hashes"]["sha256"] if "hashes" in archive else archive["hash"].partition("=")[2]
        found[each["metadata"]["name"].lower()] = f"{url.rpartition('/')[2]}#sha256={digest}"
    return found


def _explained(told: str, said: str, target: BuildTarget) -> BenchmarkError:
    where = f"wheels for {target.name}"
    if _NO_PIP.search(said):
        return HostError(f"{where}: pip is not installed here, and fetches them; run {sys.executable} -m ensurepip")
    if other := _OTHER_HASH.search(said):
        return PackageError(
            f"{where}: {other[1]} of the index is not the pinned one (sha256 {other[2]}...); use another index, or pin "
            "anew with tools/pin_wheels.py after looking why"
        )
    # First: an index that cannot be reached has no distribution either.
    if broken := _UNREACHABLE.search(told + said):
        reason = _REASON.search(broken[0])
        return HostError(
            f"{where}: the package index cannot be reached ({reason[0] if reason else 'no answer'}); "
            "try again, or set PIP_INDEX_URL"
        )
    if missing := _NO_WHEEL.search(said):
        return PackageError(
            f"{where}: the index has no wheel of {missing[1]} for Python {target.python}, {target.machine} "
            f"and glibc up to 2.{target.glibc_minor}; use an index that has it (PIP_INDEX_URL)"
        )
    lines = _ERROR.findall(said) or ["no message"]
    return PackageError(f"{where}: pip failed ({lines[-1][-300:]})")
