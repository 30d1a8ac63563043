"""From what Lambda keeps to what the executor runs: which revision an invocation meets, as a FunctionSpec."""

from collections.abc import Mapping
import random
from typing import Final

from serverless_mlperf.platforms.local.gateway.lambda_errors import conflict, not_found
from serverless_mlperf.platforms.local.gateway.lambda_names import LATEST, FunctionRef, function_arn
from serverless_mlperf.platforms.local.gateway.lambda_settings import log_variables
from serverless_mlperf.platforms.local.gateway.lambda_state import RUNTIME, EventInvoke, Function, Revision
from serverless_mlperf.platforms.local.model import FunctionSpec

MAX_RETRIES: Final = 2
MAX_EVENT_AGE_S: Final = 21_600
"""Lambda's defaults (lambda/latest/dg/invocation-async-configuring)."""
_NOTHING: Final = EventInvoke(None, None, None, None, 0.0)


def spec_to_invoke(function: Function, ref: FunctionRef) -> FunctionSpec:
    """What an invocation of a qualifier runs now; ApiError while there is nothing that can run."""
    qualifier = ref.qualifier or LATEST
    alias = function.aliases.get(qualifier)
    version = qualifier if alias is None else _drawn(alias.version, alias.weights)
    key = f"{ref.qualifier}:{version}"
    if key not in function.specs:
        revision = function.serving if version == LATEST else function.versions.get(version)
        if version != LATEST and revision is None:
            raise not_found(f"Function not found: {function_arn(function.name, version)}")
        function.specs[key] = make_spec(function, _ready(function, revision), ref.qualifier)
    return function.specs[key]


def make_spec(function: Function, revision: Revision, qualifier: str | None = None) -> FunctionSpec:
    """What the executor runs."""
    settings = revision.settings
    config = function.event_invoke.get(qualifier or LATEST, _NOTHING)
    return FunctionSpec(
        name=function.name,
        arn=function_arn(function.name, qualifier),
        handler=settings["Handler"],
        runtime=RUNTIME,
        memory_mib=settings["MemorySize"],
        timeout_s=settings["Timeout"],
        revision_id=revision.build_id,
        code_zip=revision.code.path,
        code_sha256=revision.code.sha256,
        layer_zips=tuple((layer.content.sha256, layer.content.path) for layer in revision.layers),
        environment=settings.get("Environment", {}).get("Variables", {}),
        log_variables=log_variables(settings),
        ephemeral_mib=settings["EphemeralStorage"]["Size"],
        reserved_concurrency=function.reserved_concurrency,
        max_retry_attempts=MAX_RETRIES if config.retries is None else config.retries,
        version=revision.version,
        max_event_age_s=MAX_EVENT_AGE_S if config.max_age_s is None else config.max_age_s,
        on_success_arn=config.on_success,
        on_failure_arn=config.on_failure,
        dead_letter_arn=settings.get("DeadLetterConfig", {}).get("TargetArn"),
    )


def _drawn(version: str, weights: Mapping[str, float]) -> str:
    """A version of an alias: each of the others with its weight, else the alias's own."""
    left = random.random()  # noqa: S311 - shares of traffic
    for other, weight in weights.items():
        if left < weight:
            return other
        left -= weight
    return version


def _ready(function: Function, revision: Revision | None) -> Revision:
    """The revision if it can run, else Lambda's refusal."""
    shown = revision or function.latest
    state, reason = shown.progress.state, shown.progress.reason
    if state == "Active":
        return shown
    text = f"The operation cannot be performed at this time. The function is currently in the following state: {state}"
    raise conflict(text if state == "Pending" else f"{text} ({reason})")
