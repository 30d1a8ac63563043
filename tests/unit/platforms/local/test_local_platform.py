"""The platform as an experiment owns it: nothing outlives a cell, a killed server is told of once and replaced."""

from collections.abc import Iterator
import hashlib
import json
import os
from pathlib import Path
import select
import signal
import tempfile
from typing import Any
import zipfile

from executor_functions import alive, wait_for
import pytest

from serverless_mlperf.cache import cache_dir
from serverless_mlperf.errors import CutOffError, PlatformError
from serverless_mlperf.platforms.base import FunctionConfig, Target
from serverless_mlperf.platforms.local.control import LAMBDA_FUNCTIONS, ControlClient
from serverless_mlperf.platforms.local.faults import FaultSettings
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.platforms.local.restraint import CONTROLLERS, unavailable

SIZES = (256, 512, 768, 1024)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test's own, which functions can reach."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # asked for again
    return folder


@pytest.fixture
def platform(scratch: Path) -> Iterator[LocalPlatform]:
    """A platform with its server; nothing is left of it in the folder for temporary files."""
    with LocalPlatform("bucket") as running:
        yield running
    assert list(scratch.iterdir()) == []


def cell(tmp_path: Path, memory_mib: int) -> FunctionConfig:
    """A function without an engine, which tells its process id."""
    code, layer = tmp_path / "function.zip", tmp_path / "layer.zip"
    for path, member, text in (
        (code, "serverless_mlperf_sut/handler.py", "import os\ndef lambda_handler(e, c): return os.getpid()\n"),
        (layer, "python/nothing.py", ""),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo(member), text)
    return FunctionConfig(f"f{memory_mib}", f"cell-{memory_mib}", memory_mib, 20, 2, {}, code, layer)


def call(target: Target) -> int:
    """Invoke the function; the process id of its environment on the host, which in a sandbox is another."""
    with ControlClient(target.lambda_endpoint_url) as control:
        inside = int(control.json("POST", f"/2015-03-31/functions/{target.function_name}/invocations", {}))
        found = dict(control.json("GET", "/_platform/status")["executor"])
    pids = [int(e["pid"]) for e in found["environments"] if e["function"] == target.function_name]
    assert inside in pids if found["isolation"]["name"] == "plain" else inside == 2
    return pids[0]


@pytest.mark.parametrize("kind", list(CONTROLLERS))
@pytest.mark.usefixtures("scratch")
def test_the_controller_asked_for_holds_the_functions(tmp_path: Path, kind: str) -> None:
    """It is the one that the server uses, and that its usage, which goes into the results, names."""
    if reason := unavailable(kind):
        pytest.skip(f"{kind}: {reason}")
    with LocalPlatform("bucket", controller=kind) as platform:
        target = platform.deploy(cell(tmp_path, 1024))
        call(target)
        assert status(target)["controller"]["kind"] == kind
        assert platform.observe(target, 0, 1)[1].controller == kind


def test_faults_begin_when_the_function_is_deployed(scratch: Path, tmp_path: Path) -> None:
    """Uploading, deploying and retiring meet none, the function does; usage tells what was injected."""
    faults = FaultSettings({"kill-handler": 1, "s3-error": 1}, seed=7)
    with LocalPlatform("bucket", faults) as platform:
        for _ in range(2):
            target = platform.deploy(cell(tmp_path, 1024))
            with ControlClient(target.lambda_endpoint_url) as control:
                answer = control.json("POST", f"{LAMBDA_FUNCTIONS}/{target.function_name}/invocations", {})
            assert answer["errorType"] == "Runtime.ExitError"
            _, usage = platform.observe(target, 0, 1)
            assert usage.faults == "kill-handler=1,s3-error=1,seed=7; injected: kill-handler 1"
            platform.retire(target)
            platform.upload({"again": tmp_path / "layer.zip"})
    assert list(scratch.iterdir()) == []


def status(target: Target) -> dict[str, Any]:
    """The executor's own account."""
    with ControlClient(target.lambda_endpoint_url) as control:
        return dict(control.json("GET", "/_platform/status")["executor"])


def test_deployed_function_has_nothing_left_to_unpack(tmp_path: Path, platform: LocalPlatform) -> None:
    """Code and layer lie unpacked before anything has called the function: a calibration finds the host at rest."""
    config = cell(tmp_path, 256)
    for number, archive in enumerate((config.code_zip, config.layer_zip)):
        with zipfile.ZipFile(archive, "a") as content:
            content.writestr(f"of_this_run_{number}.py", str(tmp_path))
    platform.deploy(config)
    digests = [hashlib.sha256(archive.read_bytes()).hexdigest() for archive in (config.code_zip, config.layer_zip)]
    assert [(cache_dir() / "unpacked" / digest).is_dir() for digest in digests] == [True, True]


def test_unknown_function_is_not_prepared(platform: LocalPlatform, tmp_path: Path) -> None:
    """As for any other request that names one."""
    target = platform.deploy(cell(tmp_path, 256))
    with ControlClient(target.lambda_endpoint_url) as control, pytest.raises(PlatformError, match="404"):
        control.request("POST", "/_platform/prepare?function=absent")


def test_no_environment_outlives_its_cell(tmp_path: Path, platform: LocalPlatform) -> None:
    """However many cells there are, after each one's retirement no environment exists, to the kernel or the server."""
    for memory_mib in SIZES:
        target = platform.deploy(cell(tmp_path, memory_mib))
        pid = call(target)
        assert alive(pid)
        assert [e["pid"] for e in status(target)["environments"]] == [pid]
        platform.retire(target)
        assert not alive(pid)
        assert status(target)["environments"] == []


def test_retirement_that_fails_leaves_no_environment(tmp_path: Path, platform: LocalPlatform) -> None:
    """Without its function it is an error, every environment is ended, and the next cell can be deployed."""
    target, other = (platform.deploy(cell(tmp_path, memory_mib)) for memory_mib in SIZES[:2])
    pids = [call(target), call(other)]
    with ControlClient(target.lambda_endpoint_url) as control:
        control.json("DELETE", f"/2015-03-31/functions/{target.function_name}")
    with pytest.raises(PlatformError, match="404"):
        platform.retire(target)
    for pid in pids:
        wait_for(lambda pid=pid: not alive(pid), "environment is gone", 1)  # type: ignore[misc]
    platform.retire(other)
    assert alive(call(platform.deploy(cell(tmp_path, 768))))


def test_killed_server_is_told_of_once_and_replaced(tmp_path: Path, scratch: Path, platform: LocalPlatform) -> None:
    """SIGKILL: the lifeline tells at once, environments and folders go, the next deployment finds the objects again."""
    (tmp_path / "image").write_bytes(b"content")
    platform.upload({"images/1": tmp_path / "image"})
    target = platform.deploy(cell(tmp_path, 256))
    pid, server, lifeline = call(target), platform.server_pid, platform.lifeline
    assert server is not None
    assert lifeline is not None
    assert select.select([lifeline], [], [], 0)[0] == []
    os.kill(server, signal.SIGKILL)
    assert select.select([lifeline], [], [], 5)[0] == [lifeline]
    wait_for(lambda: not alive(pid), "environment is gone", 1)
    with pytest.raises(CutOffError, match=r"its server ended \(signal SIGKILL\)"):
        platform.observe(target, 0, 1)
    platform.retire(target)
    assert list(scratch.iterdir()) == []
    fresh = platform.deploy(cell(tmp_path, 256))
    assert alive(call(fresh))
    with ControlClient(fresh.s3_endpoint_url) as control:
        assert control.request("GET", "/bucket/images/1") == b"content"


def test_server_killed_between_two_cells(tmp_path: Path, platform: LocalPlatform) -> None:
    """The first call that finds it dead says so, whatever call that is; the one after it works."""
    for act in (
        lambda: platform.deploy(cell(tmp_path, 256)),
        lambda: platform.upload({"a": tmp_path / "function.zip"}),
    ):
        act()
        assert platform.server_pid is not None
        os.kill(platform.server_pid, signal.SIGKILL)
        with pytest.raises(CutOffError, match="its server ended"):
            act()
        assert platform.lifeline is None
        act()


def test_server_ends_without_its_controller(tmp_path: Path, scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When the CPU controller is killed the server ends by itself and says why; nothing is left of it."""
    with LocalPlatform("bucket") as platform:
        target = platform.deploy(cell(tmp_path, 256))
        pid, controller = call(target), status(target)["controller"]["pid"]
        os.kill(controller, signal.SIGKILL)
        assert platform.lifeline is not None
        assert select.select([platform.lifeline], [], [], 10)[0]
        wait_for(lambda: not alive(pid), "environment is gone", 1)
        with pytest.raises(CutOffError, match=r"its server ended \(status 1\)"):
            platform.retire(target)
        said = f"error: local platform: controller process {controller} ended (signal SIGKILL)"
        assert said in capfd.readouterr().err
        assert list(scratch.iterdir()) == []
        assert alive(call(platform.deploy(cell(tmp_path, 256))))


def test_failed_start_leaves_nothing(scratch: Path) -> None:
    """A bucket that the server refuses ends the server again."""
    platform = LocalPlatform("no/such/bucket?")
    with pytest.raises(PlatformError), platform:
        pytest.fail("entered")
    assert platform.server_pid is None
    assert list(scratch.iterdir()) == []
    assert json.dumps(platform.lifeline) == "null"
