"""`serverless-mlperf tune`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from rich.console import Console
import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.errors import InputError

Slo = Annotated[
    list[str] | None,
    typer.Option(
        "--slo",
        help="p50, p90, p95, p99, p99.9, mean or cold =TIME (200ms, 2s), or accuracy>=SHARE; repeatable. All must be "
        "met; one must be of latency.",
    ),
]
Goal = Annotated[
    str, typer.Option("--goal", help="What is to be least: cost, latency (the first objective's figure), balanced.")
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="FOLDER", help="Go on with a tuning; what it was asked is in its folder."),
]
Confidence = Annotated[float, typer.Option("--confidence", help="That all that is told holds together.")]
SameWithin = Annotated[float, typer.Option("--same-within", help="Percent by which none need be better to stop.")]
First = Annotated[int | None, typer.Option("--queries", help="Queries of a candidate's first run (64).")]
Most = Annotated[
    int | None, typer.Option("--most-queries", help="Queries of one candidate; default: three times what can tell.")
]
Budget = Annotated[float, typer.Option("--budget", help="Share of the exhaustive grid's queries that may be spent.")]
AllowInvalid = Annotated[
    bool, typer.Option("--allow-invalid", help="Count runs that the host disturbed, and say how many they are.")
]
CvTask = Annotated[
    str | None, typer.Option("--cv-task", "--cv_task", help="classification (default) or object_detection.")
]
Engines = Annotated[
    list[str] | None,
    typer.Option("--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable."),
]
Memory = Annotated[list[int] | None, typer.Option("--memory", help="Memory in MB; repeatable.")]
Platform = Annotated[str | None, typer.Option("--platform", help="local, aws")]
Scenario = Annotated[str, typer.Option("--scenario", help="single-stream, server")]
Transport = Annotated[str, typer.Option("--transport", help="s3, invoke")]
Payload = Annotated[
    str | None, typer.Option("--payload", help="What an invocation carries: inline (the image), s3ref.")
]
TargetQps = Annotated[
    float | None, typer.Option("--target-qps", help="Server: arrivals per second; default: half of the capacity.")
]
RetryInvalid = Annotated[
    int | None, typer.Option("--retry-invalid", help="Further tries when a run is INVALID for a passing reason.")
]
WaitForHost = Annotated[
    int | None, typer.Option("--wait-for-host", help="Seconds to wait for the host to deliver its CPU before a run.")
]
Weights = Annotated[Path | None, typer.Option("--weights", help="Folder of trained .npz weights; default: embedded.")]
DataSet = Annotated[
    str | None, typer.Option("--dataset", "--dataset-name", "--dataset_name", help="imagenet, coco, synthetic")
]
InputDataSet = Annotated[
    Path | None, typer.Option("--input-dataset", "--input_dataset", help="Folder of the data set.")
]
Samples = Annotated[int | None, typer.Option("--samples", help="Images taken from the data set.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Environments per cell.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Engine threads.")]
Precision = Annotated[str | None, typer.Option("--precision", help="f32, bf16 (ie-ir only)")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the synthetic data set.")]
Timeout = Annotated[int | None, typer.Option("--timeout", help="The function's timeout in seconds.")]
PriceRegion = Annotated[
    str | None, typer.Option("--price-region", help="Whose list prices queries are priced by (us-east-1).")
]
Output = Annotated[Path | None, typer.Option("--output", help="Folder that gets results/<id>.")]
PASSING: Final = ("retry_invalid", "wait_for_host_s", "output")
"""What may differ when a tuning goes on."""
OF_THE_EXPERIMENT: Final = (
    "tasks", "engine_and_formats", "memory_mib", "platform", "scenario", "transport", "payload", "target_qps",
    "weights", "dataset", "input_dataset", "samples", "concurrency", "threads", "precision", "seed", "timeout_s",
    "price_region", *PASSING,
)  # fmt: skip
"""Parameters below that are settings of an experiment, under their names."""


def tune(  # noqa: PLR0913 - one parameter per option
    context: typer.Context,
    slo: Slo = None,
    goal: Goal = "cost",
    tasks: CvTask = None,  # noqa: ARG001 - from here on: settings of the experiment, read from the context
    engine_and_formats: Engines = None,  # noqa: ARG001
    memory_mib: Memory = None,  # noqa: ARG001
    resume: Resume = None,
    platform: Platform = None,  # noqa: ARG001
    scenario: Scenario = "single-stream",  # noqa: ARG001
    transport: Transport = "invoke",  # noqa: ARG001
    payload: Payload = None,  # noqa: ARG001
    target_qps: TargetQps = None,  # noqa: ARG001
    confidence: Confidence = 0.95,
    same_within: SameWithin = 5.0,
    queries: First = None,
    most_queries: Most = None,
    budget: Budget = 0.5,
    allow_invalid: AllowInvalid = False,
    retry_invalid: RetryInvalid = None,  # noqa: ARG001
    wait_for_host_s: WaitForHost = None,  # noqa: ARG001
    weights: Weights = None,  # noqa: ARG001
    dataset: DataSet = None,  # noqa: ARG001
    input_dataset: InputDataSet = None,  # noqa: ARG001
    samples: Samples = None,  # noqa: ARG001
    concurrency: Concurrency = None,  # noqa: ARG001
    threads: Threads = None,  # noqa: ARG001
    precision: Precision = None,  # noqa: ARG001
    seed: Seed = None,  # noqa: ARG001
    timeout_s: Timeout = None,  # noqa: ARG001
    price_region: PriceRegion = None,  # noqa: ARG001
    output: Output = None,  # noqa: ARG001
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find the configuration to deploy: measure as far as it must be, and recommend one with its evidence.

    Exit status 0 with a recommendation, 1 when none can be told to meet the objectives.
    """
    from serverless_mlperf.tuning.command import Asked, go_on, tune_anew

    check_formats(as_json, as_csv)
    console = Console(soft_wrap=True, stderr=as_json or as_csv, highlight=False)
    if resume is not None and slo:
        raise InputError("--resume: what a tuning was asked is in its folder; leave --slo out, or begin a new one")
    if resume is not None:
        status, answer = go_on(resume, _given(context.params, PASSING), console)
    else:
        same = same_within / 100
        asked = Asked(tuple(slo or ()), goal, confidence, same, queries, most_queries, budget, allow_invalid)
        status, answer = tune_anew(asked, _given(context.params, OF_THE_EXPERIMENT), console)
    _print(answer, as_json, as_csv)
    raise typer.Exit(status)


def _given(parameters: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: parameters[name] for name in names if parameters[name] not in (None, [], ())}


def _print(answer: Mapping[str, Any], as_json: bool, as_csv: bool) -> None:
    from serverless_mlperf.tuning.report import rows

    if as_json:
        echo_document(answer)
    if as_csv:
        echo_rows(rows(answer))
