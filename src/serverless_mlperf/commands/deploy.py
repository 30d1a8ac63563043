"""`serverless-mlperf deploy`."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_mlperf.commands.asking import check_can_ask, is_agreed
from serverless_mlperf.commands.matrix import (
    Architectures,
    Concurrency,
    Engines,
    Python,
    Sizes,
    SizeTypes,
    Tasks,
    Threads,
    Timeout,
    Weights,
    sizes_mib,
)
from serverless_mlperf.commands.standing import Platform, Profile, Project, Region, Yes, check_stands
from serverless_mlperf.errors import InputError

if TYPE_CHECKING:  # not at the top: they bring LoadGen's settings and boto3
    from serverless_mlperf.config import ExperimentConfig
    from serverless_mlperf.platforms.aws.changes import Plan
    from serverless_mlperf.platforms.aws.deployment import Deployment
    from serverless_mlperf.platforms.aws.request import Options, Request
    from serverless_mlperf.platforms.aws.session import Aws


PlanOnly = Annotated[bool, typer.Option("--plan", help="Only say what would change and what it costs.")]
TemplateOnly = Annotated[
    bool, typer.Option("--template-only", help="Print the CloudFormation template; needs no account.")
]
MemoryQuota = Annotated[
    int | None,
    typer.Option("--memory-quota", min=128, max=10240, help="The account's, in MB, which AWS tells by no API."),
]
FunctionUrl = Annotated[bool, typer.Option("--function-url", help="A URL per function, for signed requests only.")]
SnapStart = Annotated[bool, typer.Option("--snap-start", help="Start environments from snapshots.")]
Provisioned = Annotated[
    int, typer.Option(min=0, max=1000, help="Environments kept ready per function: costs while they stand.")
]
Boundary = Annotated[
    str | None, typer.Option("--permissions-boundary", help="ARN of the policy that bounds the functions' role.")
]


def deploy(  # noqa: PLR0913 - one parameter per option
    experiment: Annotated[Path | None, typer.Argument(help="EXPERIMENT.toml; options win over it.")] = None,
    platform: Platform = None,
    plan: PlanOnly = False,
    template_only: TemplateOnly = False,
    yes: Yes = False,
    profile: Profile = None,
    region: Region = None,
    project: Project = None,
    cv_task: Tasks = None,
    engine_and_format: Engines = None,
    memory: Sizes = None,
    memory_type: SizeTypes = None,
    architecture: Architectures = None,
    python: Python = None,
    weights: Weights = None,
    concurrency: Concurrency = None,
    threads: Threads = None,
    timeout: Timeout = None,
    memory_quota: MemoryQuota = None,
    function_url: FunctionUrl = False,
    snap_start: SnapStart = False,
    provisioned: Provisioned = 0,
    permissions_boundary: Boundary = None,
) -> None:
    """Make, or change, the stack of an experiment: plan, price, ask, then act. A second time changes nothing."""
    from serverless_mlperf.config import load_config
    from serverless_mlperf.platforms.aws.request import Options

    cells = {"tasks": cv_task or None, "engine_and_formats": engine_and_format or None}
    place = {"platform": platform, "profile": profile, "region": region, "project": project}
    sizes = {"memory_mib": sizes_mib(memory, memory_type), "architectures": architecture or None}
    functions = {"concurrency": concurrency, "threads": threads, "timeout_s": timeout}
    built = {"python": python, "weights": weights}
    config = load_config(experiment, {**place, **cells, **sizes, **functions, **built})
    check_stands(config.platform)
    options = Options(
        project=config.project,
        runtime=f"python{_python(config)}",
        reserve=True,
        function_url=function_url,
        snap_start=snap_start,
        provisioned=provisioned,
        permissions_boundary=permissions_boundary,
    )
    if template_only:
        return _print_template(config, options)
    if not plan:
        check_can_ask(yes)
    return _deploy(config, options, memory_quota, plan_only=plan, yes=yes)


def _deploy(
    config: "ExperimentConfig", options: "Options", memory_quota: int | None, *, plan_only: bool, yes: bool
) -> None:
    from serverless_mlperf.platforms.aws.deployment import Deployment
    from serverless_mlperf.platforms.aws.session import open_session

    aws = open_session(config.profile, config.region)
    typer.echo(aws.shown)
    request, notes = _fitted(aws, _request(config, options, local=aws.is_local), memory_quota)
    for line in (*notes, *_estimate(config, request, aws.region), *_undone(aws, request)):
        typer.echo(line)
    deployment = Deployment(aws, request, typer.echo)
    found = deployment.plan()
    agreed = _agreed(deployment, found, plan_only=plan_only, yes=yes)
    if agreed:
        _act(deployment, found, len(request.spec.functions))
    elif not plan_only and found.kind != "none":
        typer.echo("nothing was changed")
        raise typer.Exit(1)


def _agreed(deployment: "Deployment", found: "Plan", *, plan_only: bool, yes: bool) -> bool:
    """Show the plan and ask; one that is not to be acted upon leaves nothing behind."""
    agreed = False
    try:
        for line in found.lines():
            typer.echo(line)
        agreed = not plan_only and found.kind != "none" and is_agreed(f"{found.kind} this stack?", yes)
    finally:  # also when interrupted, or when nobody reads the output any more
        if not agreed:
            deployment.discard(found)
    return agreed


def _act(deployment: "Deployment", found: "Plan", count: int) -> None:
    from serverless_mlperf.redaction import redacted

    try:
        outputs = deployment.act(found)
    except KeyboardInterrupt:
        typer.echo(
            "interrupted: what AWS has begun it goes on with; `status` tells how far it is, `destroy` removes it",
            err=True,
        )
        raise
    typer.echo(f"deployed: {count} functions, bucket {redacted(outputs['BucketName'])}")
    typer.echo("remove it all with `serverless-mlperf destroy --platform aws`")


def _undone(aws: "Aws", request: "Request") -> Iterator[str]:
    """What of the standing stack's options goes: a deployment makes what is asked for, and nothing else."""
    from serverless_mlperf.platforms.aws.deployment import standing_spec
    from serverless_mlperf.platforms.aws.stack import Stack
    from serverless_mlperf.platforms.aws.standing import undone

    try:
        standing = standing_spec(Stack(aws, request.spec.project, typer.echo))
    except InputError as error:  # it does not tell, which is no reason not to change it
        yield f"options that stand are not known: {error}"
        return
    if standing and (line := undone(request.spec, standing)):
        yield line


def _request(config: "ExperimentConfig", options: "Options", *, local: bool) -> "Request":
    """`local`: for a test server, or to be looked at; packages of this host's Python are then good enough."""
    from serverless_mlperf.functions import functions_of
    from serverless_mlperf.platforms.aws.packaging import check_target, packages_for
    from serverless_mlperf.platforms.aws.request import ENVIRONMENTS, request_of
    from serverless_mlperf.preparation import prepare_functions

    python = _python(config)
    for architecture in config.architectures:
        check_target(python, architecture, local=local)
    prepared = prepare_functions(
        config, lambda engine, architecture: packages_for(python, engine, architecture, local=local)
    )
    environments = dict.fromkeys(config.cells, config.concurrency or ENVIRONMENTS)
    return request_of(list(functions_of(config, prepared, environments).values()), options)


def _fitted(aws: "Aws", request: "Request", memory_quota: int | None) -> tuple["Request", tuple[str, ...]]:
    """The request as the account allows it, and what was left out."""
    from serverless_mlperf.platforms.aws.quotas import fitted, read_quotas
    from serverless_mlperf.platforms.aws.validation import check

    check(request.spec, aws.region)
    spec, notes = fitted(request.spec, read_quotas(aws, request.spec), memory_quota)
    return request.with_spec(spec), notes


def _estimate(config: "ExperimentConfig", request: "Request", region: str) -> Iterator[str]:
    from serverless_mlperf.platforms.aws.estimate import estimate_lines

    queries = config.run_length.queries * config.samples_per_query * config.repeat
    yield from estimate_lines(request, region, queries, config.transport, config.payload)


def _print_template(config: "ExperimentConfig", options: "Options") -> None:
    from serverless_mlperf.platforms.aws.template import render
    from serverless_mlperf.platforms.aws.validation import check_template

    template = render(_request(config, options, local=True).spec)
    check_template(template)
    typer.echo(json.dumps(template, indent=2))


def _python(config: "ExperimentConfig") -> str:
    from serverless_mlperf.platforms.aws.packaging import PYTHON

    return config.python or PYTHON
