"""What is written into control groups of version 2, on folders: few hosts delegate real ones."""

from pathlib import Path

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local import restraint
from serverless_mlperf.platforms.local.cgroup import LEAST_QUOTA_US, own_group_v1, own_group_v2, quota_us
from serverless_mlperf.platforms.local.cgroup_v2 import CgroupV2Controls, CgroupV2Restraint
from serverless_mlperf.platforms.local.service import main

MARK = "1.1.00000000"
LAUNCH = {"share": 768 / 1769, "cores": [0, 1], "memory_bytes": 768 << 20}


def _restraint(tmp_path: Path) -> tuple[CgroupV2Restraint, Path]:
    controls = CgroupV2Controls(MARK, tmp_path)
    return controls.restrain(3, LAUNCH), tmp_path / f"serverless-mlperf-{MARK}" / "3"


def test_limits_of_an_environment(tmp_path: Path) -> None:
    """Memory, swap and processes are limited from the start, CPU when the init phase is over."""
    (tmp_path / f"serverless-mlperf-{MARK}" / "3").mkdir(parents=True)
    (tmp_path / f"serverless-mlperf-{MARK}" / "3" / "memory.swap.max").touch()
    held, group = _restraint(tmp_path)
    found = {path.name: path.read_text() for path in group.iterdir()}
    assert found == {
        "cpu.weight.nice": "10",
        "memory.max": "805306368",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "pids.max": "1024",
    }
    held.throttle()
    assert (group / "cpu.max").read_text() == "8682 20000"


def test_controllers_are_enabled_for_server_and_environments(tmp_path: Path) -> None:
    """The subtree of the server's group and its own get the controllers they need."""
    _, group = _restraint(tmp_path)
    for folder in (tmp_path, group.parent):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_life_of_a_group(tmp_path: Path) -> None:
    """Entering, freezing, killing and the account go through the group's files."""
    held, group = _restraint(tmp_path)
    held.enter()
    assert (group / "cgroup.procs").read_text() == "0"
    held.freeze()
    assert (group / "cgroup.freeze").read_text() == "1"
    held.thaw()
    assert (group / "cgroup.freeze").read_text() == "0"
    (group / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (group / "memory.peak").write_text("1048576\n")
    assert held.usage() == (1_500_000, 1024)
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert held.out_of_memory()
    (group / "cgroup.kill").touch()
    held.kill()
    assert (group / "cgroup.kill").read_text() == "1"


def test_share_of_all_cores_has_no_quota(tmp_path: Path) -> None:
    """A share that the visible cores cannot exceed is not limited."""
    held = CgroupV2Controls(MARK, tmp_path).restrain(0, {**LAUNCH, "share": 2.0})
    held.throttle()
    assert not list(tmp_path.glob("*/0/cpu.max"))


def test_own_groups_are_found_in_mounts(tmp_path: Path) -> None:
    """Mount points and own paths are read as the kernel writes them; a path not visible here stands for the mount."""
    (tmp_path / "cpu" / "user").mkdir(parents=True)
    mounts, groups = tmp_path / "mounts", tmp_path / "groups"
    mounts.write_text(f"cgroup {tmp_path}/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup2 {tmp_path} cgroup2 rw 0 0\n")
    groups.write_text("4:cpu,cpuacct:/user\n0::/elsewhere\n")
    assert own_group_v1("cpuacct", mounts, groups) == tmp_path / "cpu" / "user"
    assert own_group_v1("memory", mounts, groups) is None
    assert own_group_v2(mounts, groups) == tmp_path


def test_smallest_quota_is_the_kernels() -> None:
    """A share below 5 % gets a millisecond per period."""
    assert quota_us(0.01) == LEAST_QUOTA_US
    assert quota_us(128 / 1769) == 1447


def test_auto_is_usable_anywhere() -> None:
    """`auto` comes to a controller that this host can use."""
    assert restraint.unavailable(restraint.usable("auto")) is None


@pytest.mark.parametrize("name", ["cgroup", ""])
def test_unknown_controller_is_refused(name: str) -> None:
    """A name that is none tells the ones there are."""
    with pytest.raises(InputError, match="sigstop, cgroup-v1, cgroup-v2, auto"):
        restraint.usable(name)


def test_controller_that_the_host_lacks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The server says in one line why a controller cannot be used, and ends with status 2."""
    lacking = [name for name in restraint.CONTROLLERS if restraint.unavailable(name)]
    if not lacking:
        pytest.skip("this host can use every controller")
    assert main(["--controller", lacking[0]]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: controller {lacking[0]}: ")
    assert err.count("\n") == 1
