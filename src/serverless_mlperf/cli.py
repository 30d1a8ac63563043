"""The command line: parse, call, print; the only place that exits."""

from functools import partial
import json
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from rich.console import Console
import typer

from serverless_mlperf.commands.clean import clean
from serverless_mlperf.commands.compare import compare
from serverless_mlperf.commands.deploy import deploy
from serverless_mlperf.commands.destroy import destroy
from serverless_mlperf.commands.doctor import doctor
from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document
from serverless_mlperf.commands.history import history
from serverless_mlperf.commands.inputs import inputs
from serverless_mlperf.commands.local import local_app
from serverless_mlperf.commands.package import package
from serverless_mlperf.commands.prices import prices_app
from serverless_mlperf.commands.report import report
from serverless_mlperf.commands.reproduce import reproduce
from serverless_mlperf.commands.status import status
from serverless_mlperf.commands.submission import submission
from serverless_mlperf.commands.tune import tune
from serverless_mlperf.errors import BenchmarkError, InputError
from serverless_mlperf.interruption import Interruption
from serverless_mlperf.workloads import MEMORY_MIB

if TYPE_CHECKING:
    from serverless_mlperf.store import ResultsFolder  # not at the top: it brings LoadGen's settings and statistics

app = typer.Typer(
    help="MLPerf inference benchmarking for serverless functions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Build, list and verify the model files.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(local_app, name="local")
app.add_typer(prices_app, name="prices")

Weights = Annotated[Path | None, typer.Option("--weights", help="Folder of trained .npz weights; default: embedded.")]


@app.command()
def run(  # noqa: PLR0913 - one parameter per option
    experiment: Annotated[
        Path | None, typer.Argument(help="EXPERIMENT.toml; options win over it. With --resume: RESULTS_FOLDER.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Measure only what RESULTS_FOLDER (default: the newest below --output) lacks or is INVALID.",
        ),
    ] = False,
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
    architecture: Annotated[
        list[str] | None, typer.Option(help="x86_64, arm64; repeatable. The local platform has the host's.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="local, aws")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region; default: the profile's.")] = None,
    project: Annotated[str | None, typer.Option(help="Begins every name on AWS (serverless-mlperf).")] = None,
    python: Annotated[str | None, typer.Option(help="Python of functions on AWS (3.13).")] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="AWS: destroy the stack at the end, however that comes.")
    ] = False,
    scenario: Annotated[str | None, typer.Option(help="single-stream, multi-stream, server, offline")] = None,
    transport: Annotated[str | None, typer.Option(help="s3, invoke")] = None,
    payload: Annotated[str | None, typer.Option(help="What an invocation carries: inline (the image), s3ref.")] = None,
    mode: Annotated[str | None, typer.Option(help="performance, accuracy, test01, test04")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke test: too short for LoadGen in some scenarios.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="MLPerf's durations and counts: ten minutes per run.")] = False,
    queries: Annotated[int | None, typer.Option(help="Queries per run, at least (performance mode).")] = None,
    target_qps: Annotated[
        float | None, typer.Option("--target-qps", help="Server: arrivals per second; default: half of the capacity.")
    ] = None,
    latency_bound_ms: Annotated[
        float | None, typer.Option("--latency-bound-ms", help="Server: what the 99th percentile may reach.")
    ] = None,
    search_capacity: Annotated[
        bool, typer.Option("--search-capacity", help="Server: find the highest rate within the latency bound.")
    ] = False,
    sweep: Annotated[
        list[int] | None, typer.Option(help="Queries in flight, one run each: latency over throughput; repeatable.")
    ] = None,
    cold: Annotated[int | None, typer.Option(help="Force N cold starts per cell, 10 or more.")] = None,
    repeat: Annotated[int | None, typer.Option(help="Runs per cell.")] = None,
    retry_invalid: Annotated[
        int | None, typer.Option("--retry-invalid", help="Further tries when a run is INVALID for a passing reason.")
    ] = None,
    wait_for_host: Annotated[
        int | None,
        typer.Option("--wait-for-host", help="Seconds to wait for the host to deliver its CPU before a run."),
    ] = None,
    weights: Weights = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "--dataset-name", "--dataset_name", help="imagenet, coco, synthetic")
    ] = None,
    input_dataset: Annotated[
        Path | None, typer.Option("--input-dataset", "--input_dataset", help="Folder of the data set.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Images taken from the data set (128, or what it has); accuracy and test01 take a folder whole."
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Environments per cell; default: what the host runs undisturbed.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Engine threads; default: the cores Lambda shows.")] = None,
    precision: Annotated[str | None, typer.Option(help="f32, bf16 (ie-ir only)")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the synthetic data set.")] = None,
    timeout: Annotated[int | None, typer.Option(help="The function's timeout in seconds.")] = None,
    bucket_name: Annotated[
        str | None, typer.Option("--bucket-name", "--bucket_name", help="Name of the bucket.")
    ] = None,
    price_region: Annotated[
        str | None, typer.Option("--price-region", help="Whose list prices queries are priced by (us-east-1).")
    ] = None,
    billing_date: Annotated[
        str | None, typer.Option("--billing-date", help="Day (2020-06-01) whose billing rules count; default: today's.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", help="Stop before it costs more, at list prices (locally: would cost).")
    ] = None,
    max_queries: Annotated[
        int | None, typer.Option("--max-queries", help="Stop at so many invocations, warm-up and cold ones included.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", help="Send nothing more after so many minutes of measuring.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="AWS credentials profile; the local platform needs none.")] = None,
    faults: Annotated[
        str | None, typer.Option(help="Faults on demand, e.g. lose=0.01,kill-handler=0.01,seed=7; never VALID then.")
    ] = None,
    controller: Annotated[
        str | None, typer.Option(help="What keeps CPU shares: sigstop (default), cgroup-v1, cgroup-v2; auto.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder that gets results/<id>.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Run the experiment; without a file or options, the seed's 24 cells on the local platform."""
    from serverless_mlperf.config import given_values, load_config
    from serverless_mlperf.experiment import EveryRun, resume_experiment, run_experiment

    check_formats(as_json, as_csv)
    if quick and full:
        raise InputError("--quick and --full exclude each other: give one of them")
    if memory and memory_type:
        raise InputError("--memory and --memory_type say the same thing: give one of them")
    sizes = [MEMORY_MIB[i] for i in memory_type] if memory_type else memory
    options: dict[str, Any] = {
        "tasks": cv_task or None,
        "engine_and_formats": engine_and_format or None,
        "memory_mib": sizes or None,
        "architectures": architecture or None,
        "platform": platform,
        "region": region,
        "project": project,
        "python": python,
        "profile": profile,
        "ephemeral": ephemeral or None,
        "scenario": scenario,
        "transport": transport,
        "payload": payload,
        "mode": mode,
        "length": "quick" if quick else "full" if full else None,
        "target_qps": target_qps,
        "latency_bound_ms": latency_bound_ms,
        "search_capacity": search_capacity or None,
        "sweep": sweep or None,
        "queries": queries,
        "cold": cold,
        "repeat": repeat,
        "retry_invalid": retry_invalid,
        "wait_for_host_s": wait_for_host,
        "weights": weights,
        "dataset": dataset,
        "input_dataset": input_dataset,
        "samples": samples,
        "concurrency": concurrency,
        "threads": threads,
        "precision": precision,
        "seed": seed,
        "timeout_s": timeout,
        "faults": faults,
        "controller": controller,
        "bucket_name": bucket_name,
        "price_region": price_region,
        "billing_date": billing_date,
        "max_queries": max_queries,
        "max_usd": max_usd,
        "max_minutes": max_minutes,
        "output": output,
    }
    console = Console(soft_wrap=True, stderr=as_json or as_csv)
    on_end = partial(_print_results, as_json) if as_json or as_csv else None
    if profile not in (None, "default") and platform in (None, "local"):
        Console(stderr=True).print(f"note: --profile {profile} is not used: the local platform has no credentials")
    if resume:
        folder = experiment if experiment and not experiment.is_file() else None
        given = given_values(None if folder else experiment, options)
        raise typer.Exit(resume_experiment(folder, given, console, EveryRun(on_end)))
    raise typer.Exit(run_experiment(load_config(experiment, options), console, EveryRun(on_end)))


def _print_results(as_json: bool, folder: "ResultsFolder") -> None:
    """All runs of the folder, as summary.json has them or as results.csv has them."""
    from serverless_mlperf.report.csvfile import results_csv

    results = folder.results()
    if as_json:
        echo_document({"folder": str(folder.path), "runs": [result.to_dict() for result in results]})
    else:
        typer.echo(results_csv(results).rstrip("\n"))


@models_app.command("build")
def models_build(
    weights: Weights = None,
    output: Annotated[Path, typer.Option(help="Folder that gets mobilenetv1/FP32/ and ssd-mobilenetv1/FP32/.")] = Path(
        "models"
    ),
) -> None:
    """Write every file the engines read, under the seed's names."""
    from serverless_mlperf.models.build import build_models

    built = build_models(output, weights)
    for name in sorted(built.files):
        typer.echo(f"{built.files[name][:12]}  {(output / name).stat().st_size:>10}  {output / name}")


@models_app.command("list")
def models_list(
    folder: Annotated[Path, typer.Argument(help="Folder that `models build` wrote.")] = Path("models"),
) -> None:
    """List built model files with their source and digests."""
    manifest = folder / "manifest.json"
    try:
        content = json.loads(manifest.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{manifest}: cannot be read ({error}); run `serverless-mlperf models build --output {folder}`"
        ) from error
    typer.echo(json.dumps(content, indent=2))


@models_app.command("verify")
def models_verify(
    folder: Annotated[Path, typer.Argument(help="Folder that `models build` wrote.")] = Path("models"),
) -> None:
    """Check built model files against their digests; exit status 1 when one does not match."""
    from serverless_mlperf.models.build import verify_models

    problems = verify_models(folder)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{folder}: every file matches its digest")


@app.command()
def figures(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A results.csv, the seed's or ours.")],
    output: Annotated[Path, typer.Option(help="Folder that gets the PNG and PDF files.")] = Path("figures"),
) -> None:
    """Draw the seed's figures: latency bars per model, QPS bars for both."""
    from serverless_mlperf.report.figures import draw_figures

    for path in draw_figures(file, output):
        typer.echo(str(path))


for command in (
    inputs,
    package,
    deploy,
    status,
    destroy,
    submission,
    report,
    compare,
    history,
    tune,
    reproduce,
    doctor,
    clean,
):
    app.command()(command)


def main() -> NoReturn:
    """Entry point: maps errors to one line on stderr and an exit status."""
    Interruption().install()
    try:
        status = app(standalone_mode=False)
    except BenchmarkError as error:
        _fail(str(error), error.exit_status)
    except typer.Abort:
        _fail("interrupted", 130)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except OSError as error:  # from where no adapter expected one, as a rule for want of disk
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; free disk space, or choose another folder", 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{error.format_message()} (see --help)", 2)  # a click usage error
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"error: {' '.join(message.splitlines())}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
