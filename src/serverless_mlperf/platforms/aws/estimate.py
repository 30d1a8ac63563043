"""What a stack costs, in words: an estimate from list prices, never a bill."""

from collections.abc import Iterator, Sequence

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.aws.request import Request
from serverless_mlperf.pricing.stack import Item, StackEstimate, StackFunction, estimate_stack
from serverless_mlperf.pricing.standing import logs_stored_usd
from serverless_mlperf.pricing.table import RegionPrices, load_prices


def estimate_lines(request: Request, region: str, queries: int, transport: str, payload: str) -> Iterator[str]:
    """What the stack costs while it stands idle, and for one run of so many queries per function."""
    prices = _prices(region)
    if isinstance(prices, str):
        yield prices
        return
    spec = request.spec
    functions = [
        StackFunction(f.memory_mib, f.architecture, spec.provisioned, spec.snap_start, spec.tmp_mib)
        for f in spec.functions
    ]
    stored = sum(artefact.path.stat().st_size for artefact in request.artefacts)
    yield from estimate_stack(prices, functions, queries, transport, payload, stored).lines()


def idle_lines(region: str, functions: Sequence[StackFunction], stored_bytes: int, log_bytes: int) -> Iterator[str]:
    """What stands costs while nothing is asked."""
    standing = idle_estimate(region, functions, stored_bytes, log_bytes)
    if isinstance(standing, str):
        yield standing
        return
    unknown = ", without what is not known" if standing.unknown else ""
    yield (
        f"estimated price, idle: {standing.idle_hour_usd:.4f} USD an hour, "
        f"{standing.idle_month_usd:.2f} USD a month{unknown}"
    )
    for item in standing.idle:
        usd = "not known" if item.month_usd is None else f"{item.month_usd:.4f} USD a month"
        yield f"  {item.name}: {usd} ({item.note})"


def idle_estimate(
    region: str, functions: Sequence[StackFunction], stored_bytes: int, log_bytes: int
) -> StackEstimate | str:
    """The same as a value, or why there is none."""
    prices = _prices(region)
    if isinstance(prices, str):
        return prices
    known = estimate_stack(prices, functions, 0, stored_bytes=stored_bytes).idle
    logs = Item("logs", logs_stored_usd(log_bytes / 1e9, prices), f"{log_bytes / 1e6:.2f} MB")
    return StackEstimate((*(item for item in known if item.name != "logs"), logs), 0.0, 0.0, ())


def _prices(region: str) -> RegionPrices | str:
    """The region's prices, or why there is no estimate: a stack may be deployed where no price is known."""
    try:
        return load_prices().region(region)
    except InputError as error:
        return f"estimated price: not known ({error})"
