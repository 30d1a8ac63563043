"""`serverless-mlperf tune`."""

from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.errors import InputError


def tune(  # noqa: PLR0913 - one parameter per option
    slo: Annotated[
        list[str] | None,
        typer.Option(
            help="p50, p90, p95, p99, p99.9, mean or cold =TIME (200ms, 2s), or accuracy>=SHARE; repeatable. All must "
            "be met; one must be of latency."
        ),
    ] = None,
    goal: Annotated[
        str, typer.Option(help="What is to be least: cost, latency (the first objective's figure), balanced.")
    ] = "cost",
    cv_task: Annotated[
        str | None, typer.Option("--cv-task", "--cv_task", help="classification (default) or object_detection.")
    ] = None,
    engine_and_format: Annotated[
        list[str] | None,
        typer.Option("--engine-and-format", "--engine_and_format", help="ie-ir, ocv-cf, ocv-tf; repeatable."),
    ] = None,
    memory: Annotated[list[int] | None, typer.Option("--memory", help="Memory in MB; repeatable.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with a tuning; what it was asked is in its folder.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="local")] = None,
    scenario: Annotated[str, typer.Option(help="single-stream, server")] = "single-stream",
    transport: Annotated[str, typer.Option(help="s3, invoke")] = "invoke",
    payload: Annotated[str | None, typer.Option(help="What an invocation carries: inline (the image), s3ref.")] = None,
    target_qps: Annotated[
        float | None, typer.Option("--target-qps", help="Server: arrivals per second; default: half of the capacity.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="That all that is told holds together.")] = 0.95,
    same_within: Annotated[
        float, typer.Option("--same-within", help="Percent by which none need be better to stop looking.")
    ] = 5.0,
    queries: Annotated[int | None, typer.Option(help="Queries of a candidate's first run (64).")] = None,
    most_queries: Annotated[
        int | None, typer.Option("--most-queries", help="Queries of one candidate; default: twice what can tell.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Share of the exhaustive grid's queries that may be spent.")] = 0.5,
    allow_invalid: Annotated[
        bool, typer.Option("--allow-invalid", help="Count runs that the host disturbed; they are numbered.")
    ] = False,
    retry_invalid: Annotated[
        int | None, typer.Option("--retry-invalid", help="Further tries when a run is INVALID for a passing reason.")
    ] = None,
    wait_for_host: Annotated[
        int | None, typer.Option("--wait-for-host", help="Seconds to wait for the host to deliver its CPU.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of trained .npz weights; default: embedded.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "--dataset-name", "--dataset_name", help="imagenet, coco, synthetic")
    ] = None,
    input_dataset: Annotated[
        Path | None, typer.Option("--input-dataset", "--input_dataset", help="Folder of the data set.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Images taken from the data set.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Environments per cell.")] = None,
    threads: Annotated[int | None, typer.Option(help="Engine threads.")] = None,
    precision: Annotated[str | None, typer.Option(help="f32, bf16 (ie-ir only)")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the synthetic data set.")] = None,
    timeout: Annotated[int | None, typer.Option(help="The function's timeout in seconds.")] = None,
    price_region: Annotated[
        str | None, typer.Option("--price-region", help="Whose list prices queries are priced by (us-east-1).")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder that gets results/<id>.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find the configuration to deploy: measure as far as it must be, and recommend one with its evidence.

    Exit status 0 with a recommendation, 1 when none meets the objectives.
    """
    from serverless_mlperf.tuning.command import Asked, go_on, tune_anew
    from serverless_mlperf.tuning.report import rows

    check_formats(as_json, as_csv)
    console = Console(soft_wrap=True, stderr=as_json or as_csv, highlight=False)
    passing = {"retry_invalid": retry_invalid, "wait_for_host_s": wait_for_host, "output": output}
    if resume is not None:
        if slo:
            raise InputError("--resume: what a tuning was asked is in its folder; leave --slo out, or begin a new one")
        status, answer = go_on(resume, _given(passing), console)
    else:
        options = {
            "tasks": [cv_task] if cv_task else None,
            "engine_and_formats": engine_and_format or None,
            "memory_mib": memory or None,
            "platform": platform,
            "scenario": scenario,
            "transport": transport,
            "payload": payload,
            "target_qps": target_qps,
            "weights": weights,
            "dataset": dataset,
            "input_dataset": input_dataset,
            "samples": samples,
            "concurrency": concurrency,
            "threads": threads,
            "precision": precision,
            "seed": seed,
            "timeout_s": timeout,
            "price_region": price_region,
            **passing,
        }
        asked = Asked(
            tuple(slo or ()), goal, confidence, same_within / 100, queries, most_queries, budget, allow_invalid
        )
        status, answer = tune_anew(asked, _given(options), console)
    if as_json:
        echo_document(answer)
    if as_csv:
        echo_rows(rows(answer))
    raise typer.Exit(status)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
