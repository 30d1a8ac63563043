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
        "EU-Lambda-Provisioned-GB-Second": [("0", "Inf", "0.0000097222")],
        "EU-Lambda-Edge-Request": [("0", "Inf", "0.0000006")],
    }),
    "AmazonS3": offer({
        "EU-Requests-Tier1": [("0", "Inf", "0.0000050000")], "EU-Requests-Tier2": [("0", "Inf", "0.0000004000")],
        "EU-Requests-GLACIER-Tier1": [("0", "Inf", "0.00003")],
    }),
    "AmazonCloudWatch": offer({
        "EU-DataProcessing-Bytes": [("0", "Inf", "0.5700000000")],
        "EU-VendedLog-Bytes": [("0", "Inf", "0.25")],
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
    assert (read.storage.put_usd, read.storage.get_usd, read.logs.ingested_gb_usd) == (5e-6, 4e-7, 0.57)
    refreshed_path().write_text(table_json({"eu-west-1": read}))
    table = load_prices()
    assert (table.region("eu-west-1"), table.region("us-east-1").function.as_of) == (read, "2025-10-28")


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
