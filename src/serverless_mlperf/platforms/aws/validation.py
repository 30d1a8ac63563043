"""What neither cfn-lint nor CloudFormation says before it is too late: one clear line each, before anything is made.

`check` looks at the value, then at the template that it gives: limits that depend on both names and counts are read
off what would be sent. Limits are AWS's (lambda/latest/dg/gettingstarted-limits, cloudformation-limits, S3's
notification-how-to-filtering).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
import re
from typing import Any, Final

import botocore.session

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.spec import (
    FunctionSpec,
    StackSpec,
    dead_letter_name,
    function_name,
    queue_name,
)
from serverless_mlperf.platforms.aws.template import render
from serverless_mlperf.platforms.aws.template.logical_ids import cell_id

RUNTIMES: Final = ("python3.11", "python3.12", "python3.13", "python3.14")
"""Of Lambda's, those that the function's package runs under."""
MEMORY_MIB: Final = (128, 10_240)
TIMEOUT_S: Final = (1, 900)
TMP_MIB: Final = (512, 10_240)
RETENTION_DAYS: Final = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
MAX_NAME: Final = 64
INPUT: Final = "input/"
MAX_ENVIRONMENT_BYTES: Final = 4096
MAX_BUCKET_NAME: Final = 63
MAX_RESOURCES: Final = 500
MAX_OUTPUTS: Final = 200
MAX_NOTIFICATIONS: Final = 100
"""Per bucket; a cell takes two, its trigger and its completions."""
SNAP_START_RUNTIMES: Final = RUNTIMES[1:]
NO_SNAP_START: Final = ("ap-east-2", "ap-southeast-6")
"""Taipei and New Zealand: of commercial regions the only ones without (AWS: lambda/latest/dg/snapstart)."""
_CELL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_BOUNDARY = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+")


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the account allows, read by who has its credentials; the defaults are AWS's own limits."""

    memory_mib: int = MEMORY_MIB[1]
    """New accounts have less, often 3,008."""
    reservable: int | None = None
    """Environments that our functions may reserve or have provisioned, all together; None: not known."""


def check(spec: StackSpec, region: str, limits: AccountLimits = AccountLimits()) -> None:
    """Refuse what cannot be deployed there; raises InputError with the first reason."""
    for reason in _reasons(spec, region, limits):
        raise InputError(reason)
    check_template(render(spec))


def check_template(template: Mapping[str, Any]) -> None:
    """Refuse a template beyond a limit, or with triggers that S3 refuses or that run in circles; raises InputError."""
    for reason in _template_reasons(template):
        raise InputError(reason)


def _reasons(spec: StackSpec, region: str, limits: AccountLimits) -> Iterator[str]:
    yield from _region(region)
    yield from _settings(spec)
    yield from _names(spec)
    for function in spec.functions:
        yield from _function(spec, function, limits)
    yield from _snap_start(spec, region)
    yield from _concurrency(spec, limits)


def _region(region: str) -> Iterator[str]:
    known = _regions_by_partition()
    if not any(region in regions for regions in known.values()):
        yield f"region {region!r} is not one with Lambda: one of {', '.join(known['aws'])}"


@cache
def _regions_by_partition() -> Mapping[str, Sequence[str]]:
    """Regions with Lambda, as botocore's files say: they are large, and read once."""
    session = botocore.session.Session()
    return {each: session.get_available_regions("lambda", each) for each in session.get_available_partitions()}


def _settings(spec: StackSpec) -> Iterator[str]:
    if not spec.functions:
        yield "no cell is left to deploy: choose at least one engine, task and memory size"
    if spec.runtime not in RUNTIMES:
        yield f"runtime {spec.runtime!r} is not offered: one of {', '.join(RUNTIMES)}"
    if not TMP_MIB[0] <= spec.tmp_mib <= TMP_MIB[1]:
        yield f"scratch space of {spec.tmp_mib} MiB: a function may have {TMP_MIB[0]} to {TMP_MIB[1]}"
    if spec.log_retention_days not in RETENTION_DAYS:
        yield f"logs cannot be kept for {spec.log_retention_days} days: one of {', '.join(map(str, RETENTION_DAYS))}"
    if spec.permissions_boundary is not None and not _BOUNDARY.fullmatch(spec.permissions_boundary):
        yield f"permissions boundary {spec.permissions_boundary!r}: give a policy's ARN, arn:aws:iam::...:policy/..."


def _names(spec: StackSpec) -> Iterator[str]:
    for function in spec.functions:
        name = function_name(spec.project, function)
        if not _CELL.fullmatch(function.cell_name):
            yield f"cell name {function.cell_name!r}: letters, digits, '-' and '_' alone, begun by a letter or a digit"
        if len(name) > MAX_NAME:
            yield f"function name {name} has {len(name)} characters, Lambda takes {MAX_NAME}: shorten project or cell"
        if queue_name(spec.project, function) == dead_letter_name(spec.project):
            yield f"cell {function.cell_name} would have the queue of dead letters for its own: rename it"
    for what, name_of in _NAMES:
        yield from _twice(spec, what, name_of)


_NAMES: Final[tuple[tuple[str, Callable[[StackSpec, FunctionSpec], str]], ...]] = (
    ("function", lambda spec, function: function_name(spec.project, function)),
    ("logical id", lambda _, function: cell_id(function)),
)


def _twice(spec: StackSpec, what: str, name_of: Callable[[StackSpec, FunctionSpec], str]) -> Iterator[str]:
    cells: dict[str, str] = {}
    for function in spec.functions:
        name = name_of(spec, function)
        if name in cells:
            yield f"cells {cells[name]} and {function.cell_name} have the same {what} {name}: rename or remove one"
        cells[name] = function.cell_name


def _function(spec: StackSpec, function: FunctionSpec, limits: AccountLimits) -> Iterator[str]:
    cell, memory = function.cell_name, function.memory_mib
    if not MEMORY_MIB[0] <= memory <= MEMORY_MIB[1]:
        yield f"cell {cell}: memory of {memory} MiB, a function may have {MEMORY_MIB[0]} to {MEMORY_MIB[1]}"
    if memory > limits.memory_mib:
        yield (
            f"cell {cell}: memory of {memory} MiB is beyond the account's quota of {limits.memory_mib}: "
            "leave it out, or ask AWS to raise the quota"
        )
    if not TIMEOUT_S[0] <= function.timeout_s <= TIMEOUT_S[1]:
        yield f"cell {cell}: timeout of {function.timeout_s} s, a function may have {TIMEOUT_S[0]} to {TIMEOUT_S[1]}"
    if (function.layer, function.architecture) not in spec.layer_keys:
        yield f"cell {cell}: no layer {function.layer} for {function.architecture} was built: package it first"
    yield from _environment(function)


def _environment(function: FunctionSpec) -> Iterator[str]:
    # Lambda sets these itself, and credentials that somebody passes on this way would be seen by who sees the function.
    for name in function.environment:
        if name.startswith("AWS_") or name == "BUCKET_NAME":
            yield f"cell {function.cell_name}: environment variable {name} is not ours to set: remove it"
    environment = {**function.environment, "BUCKET_NAME": "x" * MAX_BUCKET_NAME}
    size = sum(len(f"{name}{value}".encode()) for name, value in environment.items())
    if size > MAX_ENVIRONMENT_BYTES:
        yield f"cell {function.cell_name}: environment of {size} bytes, Lambda takes {MAX_ENVIRONMENT_BYTES}"


def _snap_start(spec: StackSpec, region: str) -> Iterator[str]:
    if not spec.snap_start:
        return
    if spec.provisioned:
        yield "SnapStart and provisioned concurrency exclude each other: choose one"
    if spec.tmp_mib > TMP_MIB[0]:
        yield f"SnapStart takes a /tmp of {TMP_MIB[0]} MiB at most, not {spec.tmp_mib}: leave it at the default"
    if spec.runtime not in SNAP_START_RUNTIMES:
        yield f"SnapStart needs python3.12 or later, not {spec.runtime}"
    if region in NO_SNAP_START:
        yield f"region {region} has no SnapStart: choose another region, or none"


def _concurrency(spec: StackSpec, limits: AccountLimits) -> Iterator[str]:
    if spec.provisioned < 0:
        yield f"provisioned concurrency of {spec.provisioned}: 0 or more"
    for function in spec.functions:
        if function.reserved is not None and function.reserved < max(spec.provisioned, 1):
            yield (
                f"cell {function.cell_name}: reserved concurrency of {function.reserved} is less than "
                f"{max(spec.provisioned, 1)}: a function could not run, or not provide what is provisioned"
            )
    taken = sum(each.reserved if each.reserved is not None else spec.provisioned for each in spec.functions)
    if limits.reservable is not None and taken > limits.reservable:
        yield (
            f"{taken} environments reserved or provisioned, the account has {limits.reservable} for that: "
            "take fewer cells or environments, or ask AWS to raise the quota"
        )


def _template_reasons(template: Mapping[str, Any]) -> Iterator[str]:
    resources = template["Resources"]
    if len(resources) > MAX_RESOURCES:
        yield f"the stack would have {len(resources)} resources, CloudFormation takes {MAX_RESOURCES}: take fewer cells"
    if len(template["Outputs"]) > MAX_OUTPUTS:
        yield f"the stack would have {len(template['Outputs'])} outputs, CloudFormation takes {MAX_OUTPUTS}: take fewer"
    for name, resource in resources.items():
        if resource["Type"] == "AWS::S3::Bucket":
            yield from _bucket_reasons(name, resource["Properties"].get("NotificationConfiguration", {}))


def _bucket_reasons(name: str, notifications: Mapping[str, Any]) -> Iterator[str]:
    triggers = [_prefix(each) for each in notifications.get("LambdaConfigurations", ())]
    completions = [_prefix(each) for each in notifications.get("QueueConfigurations", ())]
    count = len(triggers) + len(completions)
    if count > MAX_NOTIFICATIONS:
        yield f"{name} would have {count} notifications, S3 takes {MAX_NOTIFICATIONS}, two per cell: take fewer cells"
    # S3 refuses two configurations of one event type of which one takes in the other's keys.
    yield from _overlaps(triggers, "triggers")
    yield from _overlaps(completions, "completions")
    yield from _circles(triggers, completions)


def _overlaps(prefixes: Sequence[str], what: str) -> Iterator[str]:
    for first, second in combinations(prefixes, 2):
        if _nested(first, second):
            yield f"prefixes {first!r} and {second!r} of two {what} overlap, which S3 refuses: rename a cell"


def _circles(triggers: Sequence[str], completions: Sequence[str]) -> Iterator[str]:
    """A result below a trigger's prefix would invoke a function again, for ever and for money."""
    for completion in completions:
        if completion.startswith(INPUT):
            yield f"output prefix {completion!r} lies under {INPUT}: results would be inputs; put it under output/"
        for trigger in triggers:
            if _nested(trigger, completion):
                yield f"output prefix {completion!r} and input prefix {trigger!r} overlap: results would be inputs"


def _nested(first: str, second: str) -> bool:
    return first.startswith(second) or second.startswith(first)


def _prefix(notification: Mapping[str, Any]) -> str:
    """The prefix of a notification's filter; without one it takes in everything."""
    rules = notification.get("Filter", {}).get("S3Key", {}).get("Rules", ())
    return next((rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"), "")
