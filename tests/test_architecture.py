"""The arrows of ARCHITECTURE.md, read from the sources."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re

import pytest

from serverless_mlperf.platforms.table import PLATFORMS

SOURCES = Path(__file__).parents[1] / "src"
CLIENT, FUNCTION = "serverless_mlperf", "serverless_mlperf_sut"
PURE = (
    "accuracy",
    "budget",
    "clock",
    "cpu_model",
    "early_stopping",
    "estimate",
    "latency",
    "mlperf.agreement",
    "mlperf.verdict",
    "percentiles",
    "platforms.aws.standing",
    "platforms.aws.template.document",
    "platforms.aws.template.functions",
    "platforms.aws.template.logical_ids",
    "platforms.aws.template.policies",
    "platforms.aws.template.storage",
    "platforms.aws.template.values",
    "pricing.cost",
    "pricing.month",
    "pricing.stack",
    "pricing.standing",
    "quota",
    "redaction",
    "repeats",
    "stats",
    "waterfall",
)
VALUES = (
    "errors",
    "workloads",
    "platforms.base",
    "platforms.provider",
    "transports.base",
    "platforms.local.model",
    "platforms.aws.spec",
)
PLATFORM_BLIND = ("cells", "experiment", "functions", "measurement")  # what differs is in platforms.table and provider
MAY_SLEEP = ("serverless_mlperf.calibration",)  # the host's CPU can only be looked at again later
MAX_LINES, MAX_FUNCTION_LINES = 500, 60


@dataclass(frozen=True)
class Module:
    """One source file: dotted name below its package's parent, tree, text."""

    name: str
    tree: ast.Module
    lines: int

    @property
    def imports(self) -> set[str]:
        """Dotted names of everything imported anywhere in the file, relative imports resolved."""
        return set(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.name.split(".")[: -node.level] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield from (f"{module}.{alias.name}" for alias in node.names)

    def reaches(self, *names: str) -> set[str]:
        """The imports that are one of `names` or lie below it."""
        return {i for i in self.imports if any(i == name or i.startswith(f"{name}.") for name in names)}


def read(folder: Path) -> list[Module]:
    """All modules below a folder."""
    return [_module(folder, path) for path in sorted(folder.rglob("*.py"))]


def _module(folder: Path, path: Path) -> Module:
    text = path.read_text()
    name = ".".join(path.relative_to(folder).with_suffix("").parts)
    return Module(name, ast.parse(text), text.count("\n"))


def wrong_arrows(modules: list[Module]) -> list[str]:
    """Every import against the arrows, as `module -> imported`."""
    return [f"{m.name} -> {i}" for m in modules for i in sorted(_forbidden(m))]


def _forbidden(module: Module) -> set[str]:
    name = module.name
    found: set[str] = set()
    if name.startswith(f"{FUNCTION}."):
        return module.reaches(CLIENT)
    allowed = (f"{FUNCTION}.protocol", f"{FUNCTION}.images", f"{FUNCTION}.postprocess")
    found |= {i for i in module.reaches(FUNCTION) if not i.startswith(allowed)}
    inside = name.removeprefix(f"{CLIENT}.")
    if not inside.startswith("mlperf."):
        found |= module.reaches("mlperf_loadgen")
    if not inside.startswith("platforms.aws"):
        found |= {i for i in module.reaches("boto3", "botocore") if not inside.startswith("transports.sigv4")}
    if inside.startswith("platforms.aws.template") or inside in (*PURE, *VALUES):
        found |= module.reaches("boto3", "botocore")
    if inside.startswith("platforms."):
        found |= module.reaches(f"{CLIENT}.transports", f"{CLIENT}.mlperf", f"{CLIENT}.experiment")
    if inside.startswith(("mlperf.", "transports.")):
        found |= {i for i in module.reaches(f"{CLIENT}.platforms") if not i.startswith(f"{CLIENT}.platforms.base")}
        found |= module.reaches(f"{CLIENT}.experiment", f"{CLIENT}.measurement")
    if inside in PLATFORM_BLIND:
        found |= {
            i
            for i in module.reaches(f"{CLIENT}.platforms.local")
            if not i.startswith(f"{CLIENT}.platforms.local.model")
        }
        found |= module.reaches(f"{CLIENT}.platforms.aws")
    if inside in (*PURE, *VALUES):
        found |= module.reaches("os", "time", "subprocess", "socket", "asyncio", "threading")
    return found


def platform_questions(modules: list[Module]) -> list[str]:
    """Where a module that serves every platform compares something with the name of one, or names one."""
    names = set(PLATFORMS)
    return [
        f"{m.name}: {ast.unparse(node)} in line {node.lineno}"
        for m in modules
        if m.name.startswith((f"{CLIENT}.transports.", f"{CLIENT}.mlperf."))
        or m.name.removeprefix(f"{CLIENT}.") in PLATFORM_BLIND
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Constant) and node.value in names
    ]


def wrong_code(modules: list[Module]) -> list[str]:
    """Size and habits: long files and functions, sleeps, bare excepts, prints outside the command line."""
    return [f"{m.name}: {fault}" for m in modules for fault in _faults(m)]


def _habits(module: Module) -> str:
    return "print" if module.name in MAY_SLEEP else r"time\.sleep|print"


def _faults(module: Module) -> Iterator[str]:
    if module.lines > MAX_LINES:
        yield f"{module.lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not module.name.endswith(".cli"):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name} has {length} lines"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"bare except in line {node.lineno}"
        if isinstance(node, ast.Call) and re.fullmatch(_habits(module), ast.unparse(node.func)):
            yield f"{ast.unparse(node.func)} in line {node.lineno}"
        if isinstance(node, ast.Raise) and node.exc and ast.unparse(node.exc).startswith("NotImplementedError"):
            yield f"unfinished: raises NotImplementedError in line {node.lineno}"


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """The project's own modules."""
    return read(SOURCES)


def test_imports_follow_the_arrows(modules: list[Module]) -> None:
    """No module imports against the arrows."""
    assert wrong_arrows(modules) == []


def test_nobody_asks_for_the_platform(modules: list[Module]) -> None:
    """No module of transports/ or mlperf/, nor the method itself, has the name of a platform among its values."""
    assert platform_questions(modules) == []


def test_code_keeps_size_and_habits(modules: list[Module]) -> None:
    """No file over 500 lines, no function over 60, no sleep, bare except or stray print."""
    assert wrong_code(modules) == []


def test_every_module_is_seen(modules: list[Module]) -> None:
    """The walk reaches both packages: an empty walk would pass everything."""
    names = {m.name for m in modules}
    assert {f"{FUNCTION}.handler", f"{CLIENT}.experiment", f"{CLIENT}.mlperf.driver"} <= names
    assert {f"{CLIENT}.{name}" for name in (*PURE, *VALUES)} <= names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("serverless_mlperf_sut/a.py", "import serverless_mlperf.errors"),
        ("serverless_mlperf/a.py", "from serverless_mlperf_sut import handler"),
        ("serverless_mlperf/report/a.py", "def f():\n    import mlperf_loadgen"),
        ("serverless_mlperf/platforms/local/a.py", "from ...transports import s3"),
        ("serverless_mlperf/mlperf/a.py", "from serverless_mlperf.platforms.local import server"),
        ("serverless_mlperf/a.py", "import boto3.session"),
        ("serverless_mlperf/transports/a.py", "def f():\n    import boto3"),
        ("serverless_mlperf/cells.py", "from serverless_mlperf.platforms.local.platform import LocalPlatform"),
        ("serverless_mlperf/experiment.py", "from serverless_mlperf.platforms.aws import provider"),
        ("serverless_mlperf/platforms/aws/template/a.py", "import botocore.session"),
        ("serverless_mlperf/stats.py", "import os"),
    ],
)
def test_wrong_arrow_is_found(tmp_path: Path, name: str, text: str) -> None:
    """Each kind of wrong import is reported."""
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(wrong_arrows(read(tmp_path))) == 1


@pytest.mark.parametrize("name", ["transports/a.py", "mlperf/a.py", "experiment.py", "cells.py", "measurement.py"])
def test_question_for_the_platform_is_found(tmp_path: Path, name: str) -> None:
    """A comparison with a platform's name is reported wherever it must not be."""
    path = tmp_path / CLIENT / name
    path.parent.mkdir(parents=True)
    path.write_text('def f(config):\n    return config.platform == "aws"\n')
    assert len(platform_questions(read(tmp_path))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "try:\n    pass\nexcept:\n    pass",
        "print(1)",
        "x = 1\n" * 501,
        "def f():\n" + "    x = 1\n" * 60,
    ],
)
def test_wrong_habit_is_found(tmp_path: Path, text: str) -> None:
    """Each kind of wrong habit is reported."""
    (tmp_path / "a.py").write_text(text)
    assert len(wrong_code(read(tmp_path))) == 1
