"""Faults on demand of environments: killed or hung, in the init phase or in the handler."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from serverless_mlperf.platforms.local.faults import FaultPlan
from serverless_mlperf.platforms.local.model import FunctionSpec

REASON = "fault on demand"
"""What the controller is told; Lambda's words for such an end are `signal: killed`."""


class Struck(Protocol):
    """What can be done to an environment."""

    id: str
    spec: FunctionSpec

    def kill(self, reason: str) -> None:
        """End its process."""

    def freeze(self) -> None:
        """Stop its process until it is thawed."""


def init_fault(plan: FaultPlan, environment: Struck) -> Callable[[], None] | None:
    """What is to be done to a process that is about to be started, as soon as it is there: kill or hang it.

    The one ends at once, the other when the time for its init phase is up.
    """
    if not plan.settings.concerns_function(environment.spec.name):
        return None
    killed, hung = plan.draws("kill-init"), plan.draws("hang-init")
    if not killed and not hung:
        return None
    plan.note("kill-init" if killed else "hang-init", environment.id)
    return partial(environment.kill, REASON) if killed else environment.freeze


def strike_handler(plan: FaultPlan, environment: Struck, request_id: str) -> bool:
    """Stop a process that is about to be handed its invocation, and kill it or leave it so; whether that was done.

    The invocation must not be handed over then: a quick handler would be done before it is stopped.
    """
    if not plan.settings.concerns_function(environment.spec.name):
        return False
    killed, hung = plan.draws("kill-handler"), plan.draws("hang-handler")
    if not killed and not hung:
        return False
    plan.note("kill-handler" if killed else "hang-handler", request_id)
    environment.freeze()
    if killed:
        environment.kill(REASON)
    return True


def strike_response(plan: FaultPlan, environment: Struck, request_id: str) -> bool:
    """Kill a process that has done its work, before its answer counts; whether that was done."""
    if not plan.settings.concerns_function(environment.spec.name) or not plan.strikes("kill-response", request_id):
        return False
    environment.kill(REASON)
    return True
