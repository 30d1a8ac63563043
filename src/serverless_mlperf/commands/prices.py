"""`serverless-mlperf prices`."""

from collections.abc import Iterator
import json
from typing import Annotated

import typer

from serverless_mlperf.errors import InputError

prices_app = typer.Typer(help="What queries cost on AWS: list prices, dated, and their use.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@prices_app.command("show")
def prices_show(as_json: AsJson = False) -> None:
    """Print the prices in use, with their dates and sources."""
    from serverless_mlperf.pricing.table import load_prices, table_json

    table = load_prices()
    typer.echo(table_json(table.regions).rstrip() if as_json else "\n".join(_lines()))


@prices_app.command("refresh")
def prices_refresh(
    region: Annotated[list[str] | None, typer.Option(help="Region; repeatable. Default: those known.")] = None,
    url: Annotated[str | None, typer.Option(help="Where AWS's price list is, or a copy of it.")] = None,
) -> None:
    """Read AWS's public price list anew; needs the network, no credentials."""
    from serverless_mlperf.files import write_whole
    from serverless_mlperf.pricing.price_list import PRICE_LIST_URL, read_region
    from serverless_mlperf.pricing.table import load_prices, refreshed_path, table_json

    known = load_prices().regions
    read = {name: read_region(name, (url or PRICE_LIST_URL).rstrip("/")) for name in region or sorted(known)}
    write_whole(refreshed_path(), table_json({**known, **read}))
    typer.echo(f"prices of {', '.join(read)} written to {refreshed_path()}")


@prices_app.command("estimate")
def prices_estimate(  # noqa: PLR0913 - one parameter per option
    memory: Annotated[int, typer.Option(min=128, max=10240, help="Memory in MB.")],
    billed_ms: Annotated[float, typer.Option("--billed-ms", min=0, help="Billed duration of one query.")],
    queries: Annotated[int, typer.Option(min=1, help="Queries a month.")] = 1_000_000,
    transport: Annotated[str, typer.Option(help="s3, invoke")] = "s3",
    payload: Annotated[str, typer.Option(help="invoke: inline, s3ref")] = "inline",
    ephemeral: Annotated[int, typer.Option(min=512, max=10240, help="Ephemeral storage in MB; 512 are free.")] = 512,
    provisioned: Annotated[int, typer.Option(min=0, help="Environments kept ready, that serve all queries.")] = 0,
    snapshots: Annotated[int, typer.Option(min=0, help="Versions published with SnapStart.")] = 0,
    restores: Annotated[int, typer.Option(min=0, help="Environments started from a snapshot.")] = 0,
    hours: Annotated[float, typer.Option(min=0, help="How long they are kept ready.")] = 730,
    region: Annotated[str, typer.Option(help="Region.")] = "us-east-1",
    architecture: Annotated[str, typer.Option(help="x86_64, arm64")] = "x86_64",
    as_json: AsJson = False,
) -> None:
    """Print what so many queries a month cost at list prices, tiers counted, without the free tier."""
    from serverless_mlperf.pricing.cost import REQUESTS
    from serverless_mlperf.pricing.month import MonthUse, month_parts
    from serverless_mlperf.pricing.table import architecture_of, load_prices

    requests = REQUESTS.get((transport, payload if transport == "invoke" else None))
    if requests is None:
        raise InputError(f"--transport {transport} --payload {payload}: give s3, or invoke with inline or s3ref")
    prices = load_prices().region(region)
    use = MonthUse(queries, billed_ms, memory, ephemeral, provisioned, snapshots, restores, hours)
    parts, unknown = month_parts(use, requests, prices, architecture_of(architecture))
    total_usd = sum(usd for usd in parts.values() if usd is not None)
    if as_json:
        typer.echo(json.dumps({**parts, "total_usd": total_usd, "unknown": unknown}))
        return
    for name, usd in {**parts, "total_usd": total_usd}.items():
        amount = f"{'not known':>14}" if usd is None else f"{usd:14.4f} USD"
        typer.echo(f"{name.removesuffix('_usd'):12}{amount}")
    for reason in unknown:
        typer.echo(f"not in the total: {reason}")
    typer.echo(
        f"{queries} queries of {billed_ms:g} ms at {memory} MB, {architecture}, {region}; "
        f"prices of {prices.function.as_of}, without free tier"
    )


@prices_app.command("paper")
def prices_paper(
    region: Annotated[str, typer.Option(help="Region.")] = "us-east-1",
    as_json: AsJson = False,
) -> None:
    """Print what the paper's experiment cost by the rules of 2020, and what it would cost today."""
    from datetime import UTC, datetime

    from serverless_mlperf.pricing.table import load_prices
    from serverless_mlperf.reproduction.prices import lines, paper_price
    from serverless_mlperf.reproduction.published import published_bars

    prices = load_prices().region(region)
    price = paper_price(published_bars(), region, prices, datetime.now(UTC).date())
    typer.echo(json.dumps(price.document()) if as_json else "\n".join(lines(price, prices, region)))


def _lines() -> Iterator[str]:
    from serverless_mlperf.pricing.table import load_prices

    table = load_prices()
    yield f"USD, list prices, without free tier ({table.origin})"
    for name, prices in sorted(table.regions.items()):
        function, storage, logs, queue = prices.function, prices.storage, prices.logs, prices.queue
        yield f"{name}"
        for architecture, tiers in function.gb_second_usd.items():
            steps = ", ".join(f"{usd:.6g} up to {limit:.3g}" if limit else f"{usd:.6g} above" for limit, usd in tiers)
            yield f"  GB-second {architecture}: {steps} GB-s a month"
            ready, used = function.provisioned_gb_second_usd, function.provisioned_duration_gb_second_usd
            yield f"    provisioned: {_shown(ready[architecture])} kept ready, {_shown(used[architecture])} used"
        yield f"  request {function.request_usd['x86_64']:.3g}    [{function.as_of}: {function.source}]"
        yield f"  /tmp above 512 MB {_shown(function.ephemeral_gb_second_usd)} per GB-second"
        cached, restored = function.snapshot_cached_gb_second_usd, function.snapshot_restored_gb_usd
        yield f"  SnapStart {_shown(cached)} per GB-second cached, {_shown(restored)} per GB restored"
        yield (
            f"  S3 PUT {storage.put_usd:.3g}, GET {storage.get_usd:.3g}, GB-month {_shown(storage.gb_month_usd)}"
            f"    [{storage.as_of}: {storage.source}]"
        )
        yield (
            f"  logs {logs.ingested_gb_usd:.3g} per GB, GB-month {_shown(logs.stored_gb_month_usd)}"
            f"    [{logs.as_of}: {logs.source}]"
        )
        origin = f"    [{queue.as_of}: {queue.source}]" if queue else ""
        yield f"  SQS request {_shown(prices.queue_request_usd)}{origin}"
        yield from (f"  not known: {prices.why_unknown(each)}" for each in prices.unknown)


def _shown(usd: float | None) -> str:
    return "not known" if usd is None else f"{usd:.6g}"
