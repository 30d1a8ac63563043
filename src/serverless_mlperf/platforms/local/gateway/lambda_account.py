"""Limits of the account and of functions: reserved concurrency, account settings."""

from typing import Final

from serverless_mlperf.platforms.local.gateway.http import Response
from serverless_mlperf.platforms.local.gateway.lambda_call import Call, answer
from serverless_mlperf.platforms.local.gateway.lambda_errors import check_number, invalid, refuse_others, required
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_function
from serverless_mlperf.platforms.local.gateway.lambda_state import Function, LambdaState

MIN_UNRESERVED: Final = 100
"""What functions without a reservation are left with (lambda/latest/dg/configuration-concurrency)."""
TOTAL_CODE_BYTES: Final = 75 << 30
UNZIPPED_BYTES: Final = 250 << 20
ZIPPED_BYTES: Final = 50 << 20


class AccountOperations:
    """Each method serves one operation."""

    def __init__(self, state: LambdaState, concurrency: int) -> None:
        self._state = state
        self._concurrency = concurrency

    async def settings(self, _: Call) -> Response:
        """GetAccountSettings."""
        functions = self._state.functions.values()
        sizes = [r.code.size for f in functions for r in (f.latest, *f.versions.values())]
        sizes += [v.content.size for layer in self._state.layers.values() for v in layer.versions.values()]
        limit = {
            "TotalCodeSize": TOTAL_CODE_BYTES,
            "CodeSizeUnzipped": UNZIPPED_BYTES,
            "CodeSizeZipped": ZIPPED_BYTES,
            "ConcurrentExecutions": self._concurrency,
            "UnreservedConcurrentExecutions": self._concurrency - self._reserved(),
        }
        usage = {"TotalCodeSize": sum(sizes), "FunctionCount": len(self._state.functions)}
        return answer({"AccountLimit": limit, "AccountUsage": usage})

    async def put_concurrency(self, call: Call) -> Response:
        """PutFunctionConcurrency; 0 lets nothing run."""
        refuse_others(call.values, ("ReservedConcurrentExecutions",), "PutFunctionConcurrency")
        function = self._whole(call)
        given = required(call.values, "ReservedConcurrentExecutions")
        wanted = check_number(given, "reservedConcurrentExecutions", range(2**31))
        if self._concurrency - self._reserved(function) - wanted < MIN_UNRESERVED:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{MIN_UNRESERVED}]."
            )
        function.reserved_concurrency = wanted
        self._state.changed("function", function.name)
        return answer({"ReservedConcurrentExecutions": wanted})

    async def get_concurrency(self, call: Call) -> Response:
        """GetFunctionConcurrency; nothing where nothing is reserved."""
        reserved = self._whole(call).reserved_concurrency
        return answer({} if reserved is None else {"ReservedConcurrentExecutions": reserved})

    async def delete_concurrency(self, call: Call) -> Response:
        """DeleteFunctionConcurrency."""
        function = self._whole(call)
        function.reserved_concurrency = None
        self._state.changed("function", function.name)
        return Response(204)

    def _reserved(self, other_than: Function | None = None) -> int:
        functions = (f for f in self._state.functions.values() if f is not other_than)
        return sum(f.reserved_concurrency or 0 for f in functions)

    def _whole(self, call: Call) -> Function:
        if call.ref.qualifier is not None:
            raise invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
                "operation. Please specify either a function name or an unqualified function ARN."
            )
        return find_function(self._state, call.ref)
