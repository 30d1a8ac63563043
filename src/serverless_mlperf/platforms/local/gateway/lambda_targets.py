"""Where records of asynchronous invocations may go: queues, functions, buckets of this server."""

from collections.abc import Callable

from serverless_mlperf.platforms.local.gateway.errors import ApiError, not_implemented
from serverless_mlperf.platforms.local.gateway.lambda_errors import invalid
from serverless_mlperf.platforms.local.gateway.lambda_lookup import find_revision
from serverless_mlperf.platforms.local.gateway.lambda_names import function_ref
from serverless_mlperf.platforms.local.gateway.lambda_state import LambdaState
from serverless_mlperf.platforms.local.gateway.s3_store import ObjectStore

HasQueue = Callable[[str], bool]
"""Whether there is a queue of that ARN."""


class Targets:
    """Refuses ARNs that nothing could be sent to."""

    def __init__(self, state: LambdaState, store: ObjectStore, has_queue: HasQueue) -> None:
        self._state = state
        self._store = store
        self._has_queue = has_queue

    def check_dead_letter(self, arn: str) -> None:
        """The TargetArn of a DeadLetterConfig: a queue."""
        match _service(arn):
            case "sqs" if self._has_queue(arn):
                return
            case "sqs":
                raise invalid("The provided execution role does not have permissions to call SendMessage on SQS")
            case "sns":
                raise not_implemented("topics (SNS)")
        raise invalid(f"The dead letter target {arn} must be a queue's ARN")

    def check_destination(self, arn: str, owner: str) -> None:
        """A destination of a function's events: a queue, another function, a bucket."""
        match _service(arn):
            case "sqs" if self._has_queue(arn):
                return
            case "lambda":
                self._check_function(arn, owner)
                return
            case "s3" if self._has_bucket(arn):
                return
            case "sns" | "events":
                raise not_implemented("destinations other than queues, functions and buckets")
        raise invalid(f"The destination ARN {arn} is invalid.")

    def _check_function(self, arn: str, owner: str) -> None:
        ref = function_ref(arn)
        if ref.name == owner:
            raise invalid("You can't specify the function as a destination for itself.")
        try:
            find_revision(self._state, ref)
        except ApiError:
            raise invalid(f"The destination ARN {arn} is invalid.") from None

    def _has_bucket(self, arn: str) -> bool:
        try:
            self._store.bucket(arn.rpartition(":")[2])
        except ApiError:
            return False
        return True


def _service(arn: str) -> str:
    parts = arn.split(":")
    return parts[2] if len(parts) >= 6 and parts[0] == "arn" else ""
