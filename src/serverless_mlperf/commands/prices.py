"""`serverless-mlperf prices`."""

from collections.abc import Iterator
from dataclasses import asdict
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
def prices_estimate(
    memory: Annotated[int, typer.Option(min=128, max=10240, help="Memory in MB.")],
    billed_ms: Annotated[float, typer.Option("--billed-ms", min=0, help="Billed duration of one query.")],
    queries: Annotated[int, typer.Option(min=1, help="Queries a month.")] = 1_000_000,
    transport: Annotated[str, typer.Option(help="s3, invoke")] = "s3",
    payload: Annotated[str, typer.Option(help="invoke: inline, s3ref")] = "inline",
    region: Annotated[str, typer.Option(help="Region.")] = "us-east-1",
    architecture: Annotated[str, typer.Option(help="x86_64, arm64")] = "x86_64",
    as_json: AsJson = False,
) -> None:
    """Print what so many queries a month cost at list prices, tiers counted, without the free tier."""
    from serverless_mlperf.pricing.billing import PRESENT_RULES
    from serverless_mlperf.pricing.cost import REQUESTS, Pricing, month_cost
    from serverless_mlperf.pricing.table import architecture_of, load_prices

    requests = REQUESTS.get((transport, payload if transport == "invoke" else None))
    if requests is None:
        raise InputError(f"--transport {transport} --payload {payload}: give s3, or invoke with inline or s3ref")
    prices = load_prices().region(region)
    pricing = Pricing(region, prices, PRESENT_RULES, architecture_of(architecture))
    cost = month_cost(queries, billed_ms, memory, requests, pricing)
    parts = {**asdict(cost), "total_usd": cost.total_usd}
    if as_json:
        typer.echo(json.dumps(parts))
        return
    for name, usd in parts.items():
        typer.echo(f"{name.removesuffix('_usd'):10}{usd:14.4f} USD")
    typer.echo(
        f"{queries} queries of {billed_ms:g} ms at {memory} MB, {architecture}, {region}; "
        f"prices of {prices.function.as_of}, without free tier"
    )


def _lines() -> Iterator[str]:
    from serverless_mlperf.pricing.table import load_prices

    table = load_prices()
    yield f"USD, list prices ({table.origin})"
    for name, prices in sorted(table.regions.items()):
        function, storage, logs = prices.function, prices.storage, prices.logs
        yield f"{name}"
        for architecture, tiers in function.gb_second_usd.items():
            steps = ", ".join(f"{usd:.6g} up to {limit:.3g}" if limit else f"{usd:.6g} above" for limit, usd in tiers)
            yield f"  GB-second {architecture}: {steps} GB-s a month"
        yield f"  request {function.request_usd['x86_64']:.3g}    [{function.as_of}: {function.source}]"
        yield f"  S3 PUT {storage.put_usd:.3g}, GET {storage.get_usd:.3g}    [{storage.as_of}: {storage.source}]"
        yield f"  logs {logs.ingested_gb_usd:.3g} per GB    [{logs.as_of}: {logs.source}]"
