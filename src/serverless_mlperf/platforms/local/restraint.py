"""What holds environments to their share of the CPU and their memory: one interface, three ways.

Standard library only: the controller process imports it without site-packages.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol

from serverless_mlperf.errors import InputError

Launch = Mapping[str, Any]
"""controller_client.Launch as it comes over the socket."""


class Restraint(Protocol):
    """Holds one environment: all processes that its first one starts. Called by the controller alone; never blocks."""

    due_ns: int | None
    """Moment of the monotonic clock at which `step` is wanted; None: it is not."""

    def enter(self) -> None:
        """In the child, before it gives up its user: come under the restraint; raises OSError."""

    def watch(self, pid: int) -> None:
        """The child has been started; its init phase is free of a CPU share, its memory is limited."""

    def throttle(self) -> None:
        """The share holds from now on."""

    def freeze(self) -> None:
        """All of it stands still until `thaw`."""

    def thaw(self) -> None:
        """It goes on, as far as its share allows."""

    def step(self, now_ns: int) -> None:
        """What is due is done."""

    def usage(self) -> tuple[int, int]:
        """CPU time so far in ns and largest memory in KiB, of all its processes as far as it is known."""

    def out_of_memory(self) -> bool:
        """Whether it has, or had, more than its memory."""

    def owns(self, pid: int) -> bool:
        """Whether a process that its parents have left behind is one of its own; if so, it is held like the others."""

    def kill(self) -> None:
        """End all its processes, frozen ones as well."""

    def close(self) -> bool:
        """After its first process was reaped: give everything back; False while something lives (then call again)."""


class Controls(Protocol):
    """One way of restraining, opened once by a controller process."""

    def restrain(self, number: int, launch: Launch) -> Restraint:
        """The restraint of the environment that is about to be started; raises OSError."""

    def close(self) -> None:
        """When all restraints are closed: leave nothing behind."""


CONTROLLERS: Final = {
    "sigstop": "serverless_mlperf.platforms.local.sigstop:SigstopControls",
    "cgroup-v1": "serverless_mlperf.platforms.local.cgroup_v1:CgroupV1Controls",
    "cgroup-v2": "serverless_mlperf.platforms.local.cgroup_v2:CgroupV2Controls",
}
AUTO: Final = "auto"
CHOICES: Final = (*CONTROLLERS, AUTO)
DEFAULT: Final = "sigstop"
"""Needs no privilege, and its median error is the least (bench/staircase.py)."""
_BEST_FIRST: Final = ("cgroup-v2", "cgroup-v1", "sigstop")
"""For `auto`: the kernel keeps memory limits exactly, and no process escapes it."""


def unavailable(name: str) -> str | None:
    """Why this host cannot use one of CONTROLLERS; None when it can."""
    reason: str | None = _class_of(name).unavailable()
    return reason


def choose(name: str) -> str:
    """The controller that a choice comes to on this host; `auto` takes the best it can use."""
    if name != AUTO:
        return name
    return next(each for each in _BEST_FIRST if unavailable(each) is None)


def usable(name: str) -> str:
    """The controller that a choice comes to; raises InputError where this host cannot use it or there is none such."""
    if name not in CHOICES:
        raise InputError(f"controller {name}: there is none of that name; take one of {', '.join(CHOICES)}")
    kind = choose(name)
    if reason := unavailable(kind):
        raise InputError(f"controller {kind}: {reason}; take sigstop, which needs nothing, or auto")
    return kind


def describe(name: str) -> dict[str, str]:
    """What a controller's limits are worth, in words."""
    words: dict[str, str] = _class_of(name).WORTH
    return words


def open_controls(name: str, mark: str) -> Controls:
    """Open a controller for the server whose mark that is (owner.Owner); raises OSError."""
    controls: Controls = _class_of(name)(mark)
    return controls


def _class_of(name: str) -> Any:
    module, _, attribute = CONTROLLERS[name].partition(":")
    return getattr(import_module(module), attribute)
