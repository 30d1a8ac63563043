"""What would fail late on AWS is one clear line before anything is made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from stack_specs import VARIANTS, function, single, whole

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.spec import StackSpec
from serverless_mlperf.platforms.aws.template import render
from serverless_mlperf.platforms.aws.validation import AccountLimits, check, check_template
from serverless_mlperf.workloads import Cell

REGION = "us-east-1"
ANY_ACCOUNT = AccountLimits()
NEW_ACCOUNT = AccountLimits(memory_mib=3008, reservable=0)


def refusal(spec: StackSpec, region: str = REGION, limits: AccountLimits = ANY_ACCOUNT) -> str:
    """The one line with which a stack is refused."""
    with pytest.raises(InputError) as raised:
        check(spec, region, limits)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def template_refusal(template: dict[str, Any]) -> str:
    """The same of a template."""
    with pytest.raises(InputError) as raised:
        check_template(template)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def altered(**changes: Any) -> StackSpec:
    """A stack of one cell, whose function is changed."""
    spec = single()
    return replace(spec, functions=(replace(spec.functions[0], **changes),))


def named(*cells: str) -> StackSpec:
    """A stack of cells of these names."""
    spec = single()
    return replace(spec, functions=tuple(replace(spec.functions[0], cell_name=name) for name in cells))


def many(count: int, **options: Any) -> StackSpec:
    """A stack of so many cells."""
    spec = replace(single(), **options)
    return replace(spec, functions=tuple(function(Cell("classification", "ie-ir", 1000 + n)) for n in range(count)))


def with_prefixes(kind: str, *prefixes: str | None) -> dict[str, Any]:
    """A template of two cells, with other prefixes in their triggers or completions; None: no filter at all."""
    template = render(many(2))
    configurations = template["Resources"]["DataBucket"]["Properties"]["NotificationConfiguration"][kind]
    for configuration, prefix in zip(configurations, prefixes, strict=True):
        rules = [] if prefix is None else [{"Name": "prefix", "Value": prefix}]
        configuration["Filter"] = {"S3Key": {"Rules": rules}}
    return template


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-northeast-1"])
def test_stacks_that_can_be_deployed_pass(variant: str, region: str) -> None:
    """Every option, and those that go together, in three regions."""
    check(VARIANTS[variant](), region)


REFUSED: dict[str, tuple[Callable[[], StackSpec], str]] = {
    "no cell": (lambda: replace(single(), functions=()), "no cell is left"),
    "a runtime that is not offered": (lambda: single(runtime="python3.9"), "'python3.9' is not offered"),
    "too little scratch space": (lambda: single(tmp_mib=511), "scratch space of 511 MiB"),
    "too much scratch space": (lambda: single(tmp_mib=10_241), "scratch space of 10241 MiB"),
    "a retention that does not exist": (lambda: single(log_retention_days=8), "logs cannot be kept for 8 days"),
    "a boundary that is none": (lambda: single(permissions_boundary="edge"), "permissions boundary 'edge'"),
    "a cell's name with a slash": (lambda: named("a/b"), "cell name 'a/b'"),
    "a cell without a name": (lambda: named(""), "cell name ''"),
    "a name of 65 characters": (lambda: named("c" * 47), "has 65 characters, Lambda takes 64"),
    "two cells of one name": (lambda: named("a", "a"), "cells a and a have the same function"),
    "two cells of one function": (lambda: named("a_b", "a-b"), "cells a_b and a-b have the same function"),
    "two cells of one logical id": (
        lambda: named("a-1-1", "a-11"),
        "cells a-1-1 and a-11 have the same logical id A11",
    ),
    "the dead letters' name": (lambda: named("dead-letters"), "queue of dead letters"),
    "too little memory": (lambda: altered(memory_mib=127), "memory of 127 MiB, a function may have 128 to 10240"),
    "too much memory": (lambda: altered(memory_mib=10_241), "memory of 10241 MiB, a function may have 128 to 10240"),
    "no time": (lambda: altered(timeout_s=0), "timeout of 0 s"),
    "too much time": (lambda: altered(timeout_s=901), "timeout of 901 s"),
    "a layer that was not built": (lambda: altered(layer="caffe"), "no layer caffe for x86_64 was built"),
    "credentials": (lambda: altered(environment={"AWS_SECRET_ACCESS_KEY": "x"}), "AWS_SECRET_ACCESS_KEY is not ours"),
    "another bucket": (lambda: altered(environment={"BUCKET_NAME": "x"}), "BUCKET_NAME is not ours"),
    "a large environment": (lambda: altered(environment={"A": "x" * 4096}), "Lambda takes 4096"),
    "snapshots and provisioned": (lambda: single(snap_start=True, provisioned=1), "exclude each other"),
    "snapshots and scratch space": (lambda: single(snap_start=True, tmp_mib=513), "512 MiB at most, not 513"),
    "snapshots of an old Python": (lambda: single(snap_start=True, runtime="python3.11"), "python3.12 or later"),
    "less than nothing provisioned": (lambda: single(provisioned=-1), "provisioned concurrency of -1"),
    "nothing reserved": (lambda: altered(reserved=0), "reserved concurrency of 0"),
    "more provisioned than reserved": (lambda: replace(altered(reserved=2), provisioned=3), "of 2 is less than 3"),
    "51 cells": (lambda: many(51), "102 notifications, S3 takes 100"),
    "46 cells with URLs": (lambda: many(46, function_url=True), "511 resources, CloudFormation takes 500"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_deployed_is_refused(case: str) -> None:
    """Each in one line that names what is wrong."""
    spec, words = REFUSED[case]
    assert words in refusal(spec())


ALLOWED: dict[str, Callable[[], StackSpec]] = {
    "the least memory": lambda: altered(memory_mib=128),
    "the most memory": lambda: altered(memory_mib=10_240),
    "the most time": lambda: altered(timeout_s=900),
    "a name of 64 characters": lambda: named("c" * 46),
    "names of which one begins the other": lambda: named("a-1", "a-10"),
    "the most scratch space": lambda: single(tmp_mib=10_240),
    "snapshots of the oldest Python that has them": lambda: single(snap_start=True, runtime="python3.12"),
    "as much provisioned as reserved": lambda: replace(altered(reserved=3), provisioned=3),
    "50 cells": lambda: many(50),
    "45 cells with URLs": lambda: many(45, function_url=True),
    "a boundary of AWS's own": lambda: single(permissions_boundary="arn:aws:iam::aws:policy/PowerUserAccess"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_the_last_that_can_be_deployed_passes(case: str) -> None:
    """The other side of each bound."""
    check(ALLOWED[case](), REGION)


@pytest.mark.parametrize("region", ["", "us-east-9", "us-east-1a", "Ireland"])
def test_unknown_region_is_refused(region: str) -> None:
    """With those that there are."""
    assert f"region {region!r} is not one with Lambda: one of af-south-1, " in refusal(single(), region)


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_regions_of_other_partitions_are_known(region: str) -> None:
    """They are rarer, not wrong."""
    check(single(), region)


@pytest.mark.parametrize("region", ["ap-east-2", "ap-southeast-6"])
def test_region_without_snap_start_is_refused_with_it_alone(region: str) -> None:
    """The two regions that do not have it."""
    assert refusal(single(snap_start=True), region) == (
        f"region {region} has no SnapStart: choose another region, or none"
    )
    check(single(), region)


def test_memory_beyond_the_accounts_quota_is_refused() -> None:
    """Which cfn-lint cannot know; what is within passes."""
    assert refusal(altered(memory_mib=3009), limits=NEW_ACCOUNT) == (
        "cell classification-ie-ir-1536: memory of 3009 MiB is beyond the account's quota of 3008: "
        "leave it out, or ask AWS to raise the quota"
    )
    check(altered(memory_mib=3008), REGION, NEW_ACCOUNT)


def test_concurrency_beyond_the_account_is_refused() -> None:
    """Reserved and provisioned of all cells together; unreserved ones take nothing."""
    some = AccountLimits(reservable=48)
    check(whole(provisioned=2), REGION, some)
    assert "72 environments reserved or provisioned, the account has 48" in refusal(whole(provisioned=3), limits=some)
    assert "the account has 0" in refusal(altered(reserved=1), limits=NEW_ACCOUNT)
    check(single(), REGION, NEW_ACCOUNT)


@pytest.mark.parametrize("kind", ["LambdaConfigurations", "QueueConfigurations"])
@pytest.mark.parametrize(("first", "second"), [("x/a/", "x/a/b/"), ("x/a-1", "x/a-10"), ("x/a/", "x/a/"), ("x/", None)])
def test_overlapping_prefixes_are_refused(kind: str, first: str, second: str | None) -> None:
    """One that begins the other, in either order; no filter takes in everything."""
    assert "overlap, which S3 refuses" in template_refusal(with_prefixes(kind, first, second))
    assert "overlap, which S3 refuses" in template_refusal(with_prefixes(kind, second, first))


@pytest.mark.parametrize("kind", ["LambdaConfigurations", "QueueConfigurations"])
def test_neighbouring_prefixes_pass(kind: str) -> None:
    """A trailing slash keeps `a-1` and `a-10` apart."""
    check_template(with_prefixes(kind, "x/a-1/", "x/a-10/"))


def test_output_under_input_is_refused() -> None:
    """A result there would be an input, also where no trigger of ours listens."""
    template = with_prefixes("QueueConfigurations", "output/a/", "input/results/")
    assert template_refusal(template) == (
        "output prefix 'input/results/' lies under input/: results would be inputs; put it under output/"
    )


@pytest.mark.parametrize("trigger", ["output/", "output/classification-ie-ir-1001/errors/", "o"])
def test_trigger_that_takes_in_results_is_refused(trigger: str) -> None:
    """A function's result would invoke a function, for ever."""
    found = template_refusal(with_prefixes("LambdaConfigurations", "x/", trigger))
    assert f"and input prefix {trigger!r} overlap: results would be inputs" in found


def test_stack_with_too_many_outputs_is_refused() -> None:
    """CloudFormation takes 200."""
    template = render(single())
    template["Outputs"] |= {f"O{n}": {"Value": "x"} for n in range(196)}
    assert "201 outputs, CloudFormation takes 200" in template_refusal(template)
