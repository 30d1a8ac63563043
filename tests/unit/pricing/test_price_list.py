"""Prices read anew from a list in AWS's format, served by a real server."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import json
from pathlib import Path
import threading
from typing import Any

import pytest

from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.pricing.price_list import read_region
from serverless_mlperf.pricing.table import load_prices, refreshed_path, table_json


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server of a folder; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def offer(prices: dict[str, list[tuple[str, str, str]]]) -> dict[str, Any]:
    """A price list: usage type -> (begin, end, USD) of its ranges."""
    products = {f"SKU{n}": {"attributes": {"usagetype": name}} for n, name in enumerate(prices)}
    terms = {
        f"SKU{n}": {
            f"SKU{n}.JRTCKXETXF": {
                "priceDimensions": {
                    f"rate{m}": {"beginRange": begin, "endRange": end, "pricePerUnit": {"USD": usd}}
                    for m, (begin, end, usd) in enumerate(ranges)
                }
            }
        }
        for n, ranges in enumerate(prices.values())
    }
    return {"publicationDate": "2026-11-20T17:03:11Z", "products": products, "terms": {"OnDemand": terms}}


LISTS = {
    "AWSLambda": offer({
        "EU-Request": [("0", "Inf", "0.0000002000")],
        "EU-Request-ARM": [("0", "Inf", "0.0000002000")],
        "EU-Lambda-GB-Second": [
            ("6000000000", "15000000000", "0.0000150000"), ("0", "6000000000", "0.0000166667"),
            ("15000000000", "Inf", "0.0000133334"),
        ],
        "EU-Lambda-GB-Second-ARM": [("0", "Inf", "0.0000133334")],
        "EU-Lambda-Provisioned-Concurrency": [("0", "Inf", "0.0000046460")],
        "EU-Lambda-Provisioned-GB-Second": [("0", "Inf", "0.0000108407")],
        "EU-Lambda-Storage-GB-Second": [("0", "Inf", "0.0000000340")],
        "EU-Lambda-SnapStart-Cached-GB-S": [("0", "Inf", "0.0000015046")],
        "EU-Lambda-SnapStart-Restored-GB": [("0", "Inf", "0.0001397998")],
        "EU-Lambda-Edge-Request": [("0", "Inf", "0.0000006")],
    }),
    "AmazonS3": offer({
        "EU-Requests-Tier1": [("0", "Inf", "0.0000050000")], "EU-Requests-Tier2": [("0", "Inf", "0.0000004000")],
        "EU-Requests-GLACIER-Tier1": [("0", "Inf", "0.00003")],
        "EU-TimedStorage-ByteHrs": [("51200", "512000", "0.022"), ("0", "51200", "0.023"), ("512000", "Inf", "0.021")],
        "EU-TimedStorage-ZIA-ByteHrs": [("0", "Inf", "0.01")],
    }),
    "AmazonCloudWatch": offer({
        "EU-DataProcessing-Bytes": [("0", "Inf", "0.5700000000")],
        "EU-VendedLog-Bytes": [("0", "Inf", "0.25")],
        "EU-TimedStorage-ByteHrs": [("0", "Inf", "0.03")],
    }),
    "AWSQueueService": offer({
        "EU-Requests-Tier1": [("100000000000", "Inf", "0.00000030"), ("0", "100000000000", "0.00000040")],
        "EU-Requests-FIFO-Tier1": [("0", "Inf", "0.00000050")],
        "Global-Requests": [("0", "1000000", "0.0000000000")],
    }),
}  # fmt: skip


def published(folder: Path, region: str = "eu-west-1", **lists: Any) -> None:
    """Lay the lists out as AWS does."""
    for name, document in {**LISTS, **lists}.items():
        path = folder / "offers/v1.0/aws" / name / "current" / region / "index.json"
        path.parent.mkdir(parents=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("cache")
def test_prices_are_read_and_used(tmp_path: Path) -> None:
    """With their tiers in order and the date of publication; other regions keep what they had."""
    published(tmp_path / "web")
    with serving(tmp_path / "web") as url:
        read = read_region("eu-west-1", url)
    assert read.function.as_of == "2026-11-20"
    assert read.function.gb_second_usd["x86_64"] == ((6e9, 1.66667e-5), (15e9, 1.5e-5), (None, 1.33334e-5))
    assert (read.storage.put_usd, read.storage.get_usd, read.storage.gb_month_usd) == (5e-6, 4e-7, 0.023)
    assert (read.logs.ingested_gb_usd, read.logs.stored_gb_month_usd, read.queue_request_usd) == (0.57, 0.03, 4e-7)
    refreshed_path().write_text(table_json({"eu-west-1": read}))
    table = load_prices()
    assert (table.region("eu-west-1"), table.region("us-east-1").function.as_of) == (read, "2025-10-28")


def test_what_a_region_does_not_sell_is_none_with_a_reason(tmp_path: Path) -> None:
    """Provisioned concurrency on arm64 is in no line of the list: its price is None, and no zero."""
    published(tmp_path)
    with serving(tmp_path) as url:
        read = read_region("eu-west-1", url)
    function = read.function
    assert function.provisioned_gb_second_usd == {"x86_64": 4.646e-6, "arm64": None}
    assert function.provisioned_duration_gb_second_usd == {"x86_64": 1.08407e-5, "arm64": None}
    assert (function.ephemeral_gb_second_usd, function.snapshot_cached_gb_second_usd) == (3.4e-8, 1.5046e-6)
    assert function.snapshot_restored_gb_usd == 1.397998e-4
    assert sorted(read.unknown) == [
        "function.provisioned_duration_gb_second_usd.arm64", "function.provisioned_gb_second_usd.arm64",
    ]  # fmt: skip
    assert read.why_unknown("function.provisioned_gb_second_usd.arm64") == (
        "function.provisioned_gb_second_usd.arm64: no usage type Lambda-Provisioned-Concurrency-ARM in the price list "
        "of AWSLambda of 2026-11-20"
    )


def test_names_of_virginia_are_known_too(tmp_path: Path) -> None:
    """There usage types have no prefix, and a queue's requests another name."""
    lists = {
        service: json.loads(json.dumps(document).replace("EU-Requests-Tier1", "Requests-RBP").replace("EU-", ""))
        for service, document in LISTS.items()
        if service == "AWSQueueService"
    }
    published(tmp_path, **lists)
    with serving(tmp_path) as url:
        assert read_region("eu-west-1", url).queue_request_usd == 4e-7


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"AWSLambda": offer({})}, "one usage type Request expected, found none"),
        ({"AWSLambda": {"products": {}}}, "price list of AWSLambda: not in the known format"),
        ({"AmazonS3": "no json"}, "index.json: cannot be read"),
        ({"AmazonS3": "[]"}, "index.json: no price list"),
    ],
    ids=["empty", "no date", "no JSON", "no object"],
)
def test_lists_that_are_not_understood_change_nothing(tmp_path: Path, lists: dict[str, Any], message: str) -> None:
    """The error names the list."""
    published(tmp_path, **lists)
    with serving(tmp_path) as url, pytest.raises(PlatformError, match=message):
        read_region("eu-west-1", url)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is one that has no such region."""
    with (
        serving(tmp_path) as url,
        pytest.raises(PlatformError, match=r"mars-north-1/index.json: cannot be read \(File not found"),
    ):
        read_region("mars-north-1", url)
    with pytest.raises(PlatformError, match="cannot be read"):
        read_region("eu-west-1", url)


def test_damaged_prices_are_refused(cache: Path) -> None:
    """Whether they are no JSON, lack a field, or are of another schema."""
    assert cache == refreshed_path().parent.parent
    for text, message in (
        ("{", "damaged"),
        ('{"schema": 1}', "damaged at regions"),
        ('{"schema": 2, "regions": {}}', "schema 2"),
    ):
        refreshed_path().write_text(text)
        with pytest.raises(InputError, match=message):
            load_prices()


def test_unknown_region_names_those_known() -> None:
    """And how to have its prices."""
    with pytest.raises(InputError, match=r"region eu-north-1: no prices; choose one of eu-west-1, us-east-1"):
        load_prices().region("eu-north-1")
