"""What an account allows, and the stack made to fit into it: nothing is left out without a word."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import FunctionSpec, StackSpec, function_name

FULL_CONCURRENCY: Final = 1000
"""An account's concurrent executions once AWS trusts it (lambda/latest/dg/gettingstarted-limits)."""
KEPT_UNRESERVED: Final = 100
"""Of them, what no reservation may take (lambda/latest/dg/configuration-concurrency)."""
MEMORY_MIB: Final = 10_240
NEW_ACCOUNT_MEMORY_MIB: Final = 3_008
"""What new accounts are refused to go beyond: "'MemorySize' value failed to satisfy constraint: Member must have value
less than or equal to 3008". No API tells an account's quota."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one account allows in one region."""

    concurrent: int
    """Executions at once, all functions together."""
    unreserved: int
    """Of them, what other functions than ours have not reserved."""

    @property
    def reservable(self) -> int:
        """What our functions may reserve or have provisioned, together."""
        return max(0, self.unreserved - KEPT_UNRESERVED)

    @property
    def presumed_memory_mib(self) -> int:
        """The largest memory: presumed, as an account with less than the full concurrency is a new one."""
        return MEMORY_MIB if self.concurrent >= FULL_CONCURRENCY else NEW_ACCOUNT_MEMORY_MIB


def read_quotas(aws: Aws, spec: StackSpec) -> Quotas:
    """Ask Lambda; what functions of this stack have reserved already counts as free."""
    client = aws.client("lambda")
    with told("reading Lambda's quotas"):
        limit = client.get_account_settings()["AccountLimit"]
        ours = sum(_reserved(client, function_name(spec.project, function)) for function in spec.functions)
    return Quotas(int(limit["ConcurrentExecutions"]), int(limit["UnreservedConcurrentExecutions"]) + ours)


def fitted(spec: StackSpec, quotas: Quotas, memory_quota_mib: int | None = None) -> tuple[StackSpec, tuple[str, ...]]:
    """The stack as the account allows it, and what was changed and why, in lines.

    `memory_quota_mib` is for who knows it; raises InputError when no function is left.
    """
    kept, left_out = _within_memory(spec, memory_quota_mib or quotas.presumed_memory_mib)
    functions, reserved_notes = _within_concurrency(kept, quotas)
    provisioned, provisioned_notes = _provisioned(spec, functions, quotas)
    fitting = replace(spec, functions=functions, provisioned=provisioned)
    return fitting, (*left_out, *reserved_notes, *provisioned_notes)


def _within_memory(spec: StackSpec, most_mib: int) -> tuple[tuple[FunctionSpec, ...], tuple[str, ...]]:
    beyond = [function for function in spec.functions if function.memory_mib > most_mib]
    kept = tuple(function for function in spec.functions if function.memory_mib <= most_mib)
    if not beyond:
        return kept, ()
    why = (
        f"left out: {_names(beyond)}: a new account's functions have {most_mib} MB at most, which AWS does not tell "
        "by an API; if yours may have more, say so with --memory-quota"
    )
    if not kept:
        raise InputError(f"aws: nothing is left of the matrix; {why}")
    return kept, (why,)


def _within_concurrency(
    functions: tuple[FunctionSpec, ...], quotas: Quotas
) -> tuple[tuple[FunctionSpec, ...], tuple[str, ...]]:
    """Reservations in proportion, or none at all where they would leave less than Lambda insists on."""
    wanted = sum(function.reserved or 0 for function in functions)
    if wanted <= quotas.reservable:
        return functions, ()
    share = quotas.reservable / wanted
    clipped = tuple(replace(f, reserved=int((f.reserved or 0) * share) or None) for f in functions)
    granted = sum(function.reserved or 0 for function in clipped)
    lost = [f for f, was in zip(clipped, functions, strict=True) if was.reserved and f.reserved is None]
    without = f"; without a reservation: {_names(lost)}" if lost else ""
    note = (
        f"reserved concurrency clipped from {wanted} to {granted}: the account runs {quotas.concurrent} at once, "
        f"{quotas.unreserved} of them unreserved, of which {KEPT_UNRESERVED} must stay so{without}"
    )
    return clipped, (note,)


def _provisioned(spec: StackSpec, functions: tuple[FunctionSpec, ...], quotas: Quotas) -> tuple[int, tuple[str, ...]]:
    """Provisioned concurrency comes out of a function's reservation, or out of what nobody has reserved."""
    if not spec.provisioned:
        return 0, ()
    free = quotas.reservable - sum(function.reserved or 0 for function in functions)
    most = min(_provisionable(functions, free), default=spec.provisioned)
    if spec.provisioned <= most:
        return spec.provisioned, ()
    note = f"provisioned concurrency clipped from {spec.provisioned} to {most} per function: the account allows no more"
    return most, (note,)


def _provisionable(functions: tuple[FunctionSpec, ...], free: int) -> Iterator[int]:
    unreserved = [function for function in functions if function.reserved is None]
    yield from (function.reserved for function in functions if function.reserved is not None)
    if unreserved:
        yield max(0, free) // len(unreserved)


def _reserved(client: Any, name: str) -> int:
    try:
        return int(client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions", 0))
    except ClientError as error:
        if is_missing(error):
            return 0
        raise


def _names(functions: Iterable[FunctionSpec]) -> str:
    return ", ".join(function.cell_name for function in functions)
