"""`serverless-mlperf prices`."""

from typing import Annotated

import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.errors import InputError

prices_app = typer.Typer(help="What queries cost on AWS: list prices, dated, and their use.", no_args_is_help=True)


@prices_app.command("show")
def prices_show(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Print the prices in use, with their dates and sources."""
    from serverless_mlperf.pricing.listing import price_lines, price_rows
    from serverless_mlperf.pricing.table import load_prices, table_json

    check_formats(as_json, as_csv)
    table = load_prices()
    if as_csv:
        echo_rows(list(price_rows(table)))
    else:
        typer.echo(table_json(table.regions).rstrip() if as_json else "\n".join(price_lines(table)))


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
    as_csv: AsCsv = False,
) -> None:
    """Print what so many queries a month cost at list prices, tiers counted, without the free tier."""
    from serverless_mlperf.pricing.cost import REQUESTS
    from serverless_mlperf.pricing.month import MonthUse, month_parts
    from serverless_mlperf.pricing.table import architecture_of, load_prices

    check_formats(as_json, as_csv)
    requests = REQUESTS.get((transport, payload if transport == "invoke" else None))
    if requests is None:
        raise InputError(f"--transport {transport} --payload {payload}: give s3, or invoke with inline or s3ref")
    prices = load_prices().region(region)
    use = MonthUse(queries, billed_ms, memory, ephemeral, provisioned, snapshots, restores, hours)
    parts, unknown = month_parts(use, requests, prices, architecture_of(architecture))
    total_usd = sum(usd for usd in parts.values() if usd is not None)
    if as_json:
        echo_document({**parts, "total_usd": total_usd, "unknown": unknown})
        return
    if as_csv:
        echo_rows([{**parts, "total_usd": total_usd, "unknown": " | ".join(unknown)}])
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
    as_csv: AsCsv = False,
) -> None:
    """Print what the paper's experiment cost by the rules of 2020, and what it would cost today."""
    from datetime import UTC, datetime

    from serverless_mlperf.pricing.table import load_prices
    from serverless_mlperf.reproduction.prices import lines, paper_price
    from serverless_mlperf.reproduction.published import published_bars

    check_formats(as_json, as_csv)
    prices = load_prices().region(region)
    price = paper_price(published_bars(), region, prices, datetime.now(UTC).date())
    if as_json:
        echo_document(price.document())
    elif as_csv:
        echo_rows(price.document()["cells"])
    else:
        typer.echo("\n".join(lines(price, prices, region)))
