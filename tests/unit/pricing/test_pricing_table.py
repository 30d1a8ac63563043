"""The bundled prices: every gap has its reason."""

from collections.abc import Iterator, Mapping
from typing import Any

from serverless_mlperf.pricing.table import load_prices, region_document, region_from


def gaps(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of everything that is None; a tier without an end is none."""
    for name, value in document.items():
        where = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from gaps(value, f"{where}.")
        elif value is None:
            yield where


def test_what_is_not_known_has_a_reason_and_nothing_is_free() -> None:
    """Of both regions: the names of the gaps are those of the reasons, and no price is 0."""
    regions = load_prices().regions
    assert sorted(regions) == ["eu-west-1", "us-east-1"]
    for name, prices in regions.items():
        document = region_document(prices)
        reasons = document.pop("unknown")
        missing = sorted({"queue.request_usd" if gap == "queue" else gap for gap in gaps(document)})
        assert missing == sorted(reasons), name
        assert all(reasons.values())
        assert 0 not in _numbers(document), name


def _numbers(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) else []


def test_prices_noted_by_a_former_version_are_read() -> None:
    """What it did not know is None, with what to do."""
    document = region_document(load_prices().region("us-east-1"))
    for group, names in {
        "function": [
            name for name in document["function"] if name.startswith(("provisioned", "ephemeral", "snapshot"))
        ],
        "storage": ["gb_month_usd"],
        "logs": ["stored_gb_month_usd"],
    }.items():
        assert names
        for name in names:
            del document[group][name]
    del document["queue"], document["unknown"]
    read = region_from(document, "experiment.json")
    assert (read.queue_request_usd, read.function.provisioned_gb_second_usd["x86_64"]) == (None, None)
    assert read.why_unknown("queue.request_usd") == ("queue.request_usd: not in the prices in use; run prices refresh")
