"""`serverless-mlperf deploy`."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_mlperf.commands.asking import check_can_ask, is_agreed
from serverless_mlperf.commands.standing import Platform, Profile, Project, Region, check_stands
from serverless_mlperf.errors import InputError
from serverless_mlperf.workloads import MEMORY_MIB

if TYPE_CHECKING:  # not at the top: they bring LoadGen's settings and boto3
    from serverless_mlperf.config import ExperimentConfig
    from serverless_mlperf.platforms.aws.changes import Plan
    from serverless_mlperf.platforms.aws.deployment import Deployment
    from serverless_mlperf.platforms.aws.request import Options, Request
    from serverless_mlperf.platforms.aws.session import Aws


def deploy(  # noqa: PLR0913 - one parameter per option
    experiment: Annotated[Path | None, typer.Argument(help="EXPERIMENT.toml; options win over it.")] = None,
    platform: Platform = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would change and what it costs.")] = False,
    template_only: Annotated[
        bool, typer.Option("--template-only", help="Print the CloudFormation template; needs no account.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    profile: Profile = None,
    region: Region = None,
    project: Project = None,
    cv_task: Annotated[
        list[str] | None,
        typer.Option("--cv-task", "--cv_task", help="classification, object_detection; repeatable."),
    ] = None,
    engine_and_format: Annotated[
        list[str] | None,
        typer.Option("--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable."),
    ] = None,
    memory: Annotated[list[int] | None, typer.Option("--memory", help="Memory in MB; repeatable.")] = None,
    memory_type: Annotated[
        list[int] | None,
        typer.Option(
            "--memory-type", "--memory_type", min=0, max=3, help="0..3 for 768, 1536, 2240, 3008 MB; repeatable."
        ),
    ] = None,
    architecture: Annotated[list[str] | None, typer.Option(help="x86_64, arm64; repeatable.")] = None,
    python: Annotated[str | None, typer.Option(help="Python of the functions (3.13).")] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of trained .npz weights; default: embedded.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Environments per function, reserved (4).")] = None,
    threads: Annotated[int | None, typer.Option(help="Engine threads; default: the cores Lambda shows.")] = None,
    timeout: Annotated[int | None, typer.Option(help="The functions' timeout in seconds.")] = None,
    memory_quota: Annotated[
        int | None,
        typer.Option("--memory-quota", min=128, max=10240, help="The account's, in MB, which AWS tells by no API."),
    ] = None,
    function_url: Annotated[
        bool, typer.Option("--function-url", help="A URL per function, for signed requests only.")
    ] = False,
    snap_start: Annotated[bool, typer.Option("--snap-start", help="Start environments from snapshots.")] = False,
    provisioned: Annotated[
        int, typer.Option(min=0, max=1000, help="Environments kept ready per function: costs while they stand.")
    ] = 0,
    permissions_boundary: Annotated[
        str | None, typer.Option("--permissions-boundary", help="ARN of the policy that bounds the functions' role.")
    ] = None,
) -> None:
    """Make, or change, the stack of an experiment: plan, price, ask, then act. A second time changes nothing."""
    from serverless_mlperf.config import load_config
    from serverless_mlperf.platforms.aws.request import Options

    if memory and memory_type:
        raise InputError("--memory and --memory_type say the same thing: give one of them")
    given: dict[str, Any] = {
        "platform": platform,
        "profile": profile,
        "region": region,
        "project": project,
        "tasks": cv_task or None,
        "engine_and_formats": engine_and_format or None,
        "memory_mib": ([MEMORY_MIB[i] for i in memory_type] if memory_type else memory) or None,
        "architectures": architecture or None,
        "python": python,
        "weights": weights,
        "concurrency": concurrency,
        "threads": threads,
        "timeout_s": timeout,
    }
    config = load_config(experiment, given)
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
        _print_template(config, options)
        return
    if not plan:
        check_can_ask(yes)
    _deploy(config, options, memory_quota, plan_only=plan, yes=yes)


def _deploy(
    config: "ExperimentConfig", options: "Options", memory_quota: int | None, *, plan_only: bool, yes: bool
) -> None:
    from serverless_mlperf.platforms.aws.deployment import Deployment
    from serverless_mlperf.platforms.aws.session import open_session

    aws = open_session(config.profile, config.region)
    typer.echo(aws.shown)
    request, notes = _fitted(aws, _request(config, options), memory_quota)
    for line in (*notes, *_estimate(config, request, aws.region)):
        typer.echo(line)
    deployment = Deployment(aws, request, typer.echo)
    found = deployment.plan()
    try:
        for line in found.lines():
            typer.echo(line)
        agreed = not plan_only and found.kind != "none" and is_agreed(f"{found.kind} this stack?", yes)
    except BaseException:  # also Ctrl-C, and a pipe that nobody reads any more
        deployment.discard(found)
        raise
    if not agreed:
        deployment.discard(found)
    if plan_only or found.kind == "none":
        return
    if not agreed:
        typer.echo("nothing was changed")
        raise typer.Exit(1)
    _act(deployment, found, len(request.spec.functions))


def _act(deployment: "Deployment", found: "Plan", count: int) -> None:
    try:
        outputs = deployment.act(found)
    except KeyboardInterrupt:
        typer.echo(
            "interrupted: what AWS has begun it goes on with; `status` tells how far it is, `destroy` removes it",
            err=True,
        )
        raise
    typer.echo(f"deployed: {count} functions, bucket {outputs['BucketName']}")
    typer.echo("remove it all with `serverless-mlperf destroy --platform aws`")


def _request(config: "ExperimentConfig", options: "Options") -> "Request":
    from serverless_mlperf.functions import functions_of
    from serverless_mlperf.platforms.aws.packaging import packages_for
    from serverless_mlperf.platforms.aws.request import ENVIRONMENTS, request_of
    from serverless_mlperf.preparation import prepare_functions

    python = _python(config)
    prepared = prepare_functions(config, lambda engine, architecture: packages_for(python, engine, architecture))
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

    template = render(_request(config, options).spec)
    check_template(template)
    typer.echo(json.dumps(template, indent=2))


def _python(config: "ExperimentConfig") -> str:
    from serverless_mlperf.platforms.aws.packaging import PYTHON

    return config.python or PYTHON
