"""`serverless-mlperf local faults`."""

import json
from typing import Annotated

import typer

faults_app = typer.Typer(help="Faults on demand, of a running server.", no_args_is_help=True)

Endpoint = Annotated[str, typer.Option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="Where the server listens.")]
PAGE = "/_platform/faults"
DEFAULT_URL = "http://127.0.0.1:4566"


@faults_app.command("set")
def faults_set(
    rate: Annotated[list[str], typer.Option(metavar="KIND=RATE", help="Kind and its share, 0..1; repeatable.")],
    seed: Annotated[int, typer.Option(help="Of the generators that decide, one for each kind.")] = 0,
    function: Annotated[str, typer.Option(help="Only events for, and environments of, this function.")] = "",
    prefix: Annotated[str, typer.Option(help="Only objects whose keys begin so, and their events.")] = "",
    event_delay_s: Annotated[
        float, typer.Option("--event-delay-s", help="Seconds of `delay`, at most of `reorder`.")
    ] = 1.0,
    s3_delay_s: Annotated[float, typer.Option("--s3-delay-s", help="Seconds of `s3-slow`.")] = 1.0,
    endpoint_url: Endpoint = DEFAULT_URL,
) -> None:
    """Let things go wrong from now on, in place of what was set before.

    KIND is, of events: lose, duplicate, delay, reorder; of environments: kill-init, hang-init, kill-handler,
    hang-handler, kill-response; of S3: s3-error, s3-slowdown, s3-slow, s3-truncate, s3-cut.
    """
    from serverless_mlperf.platforms.local.faults import FaultSettings, rates_of

    settings = FaultSettings(rates_of(rate), seed, function, prefix, event_delay_s, s3_delay_s)
    typer.echo(_show(_ask(endpoint_url, "PUT", json.dumps(settings.as_document()).encode())))


@faults_app.command("show")
def faults_show(
    kind: Annotated[str | None, typer.Option(help="List whom this kind has struck instead.")] = None,
    endpoint_url: Endpoint = DEFAULT_URL,
) -> None:
    """Print what is set and how often each kind has struck, as JSON."""
    from urllib.parse import quote

    typer.echo(_show(_ask(endpoint_url, "GET", b"", f"?kind={quote(kind)}" if kind else "")))


@faults_app.command("clear")
def faults_clear(endpoint_url: Endpoint = DEFAULT_URL) -> None:
    """Let nothing go wrong any more."""
    _ask(endpoint_url, "DELETE", b"")


def _ask(endpoint_url: str, method: str, body: bytes, query: str = "") -> bytes:
    from serverless_mlperf.platforms.local.control import ControlClient

    with ControlClient(endpoint_url, timeout_s=30) as control:
        return control.request(method, PAGE + query, body)


def _show(document: bytes) -> str:
    return json.dumps(json.loads(document), indent=2)
