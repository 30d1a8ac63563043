"""`serverless-mlperf prices`, as it is called."""

import json
from pathlib import Path
import subprocess
import sys

import pytest
from test_price_list import published, serving

from serverless_mlperf.pricing.table import load_prices


def prices(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command to its end."""
    command = [sys.executable, "-m", "serverless_mlperf", "prices", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_unreachable_list_is_one_line_and_the_prices_stay(cache: Path) -> None:
    """Nobody listens on port 9: status 1, and the bundled table is in use."""
    done = prices("refresh", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "AWSLambda/current/eu-west-1/index.json: cannot be read (" in done.stderr
    assert done.stderr.endswith("the prices in use stay as they are\n")
    assert not any(cache.rglob("prices.json"))
    assert load_prices().origin == "bundled"


@pytest.mark.usefixtures("cache")
def test_a_list_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    """Three of four services are there: nothing of them is taken."""
    published(tmp_path / "web", AWSQueueService="{")
    with serving(tmp_path / "web") as url:
        done = prices("refresh", "--region", "eu-west-1", "--url", url)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "AWSQueueService" in done.stderr
    assert load_prices().origin == "bundled"


def test_refreshed_prices_are_shown_with_their_gaps(tmp_path: Path, cache: Path) -> None:
    """Of the region that was read, by date; what the list lacks is named."""
    published(tmp_path / "web")
    with serving(tmp_path / "web") as url:
        done = prices("refresh", "--region", "eu-west-1", "--url", f"{url}/")
    assert done.returncode == 0, done.stderr
    assert load_prices().origin == str(cache / "prices" / "prices.json")
    shown = prices("show").stdout
    assert "  SQS, 2026-11-20: AWSQueueService, AWS price list\n" in shown
    assert "provisioned GB-second kept ready, arm64                     not known\n" in shown
    assert "  not known: function.provisioned_gb_second_usd.arm64: no usage type" in shown


@pytest.mark.usefixtures("cache")
def test_an_estimate_names_what_its_total_lacks() -> None:
    """In words and as JSON."""
    arguments = ("--memory", "1024", "--billed-ms", "100", "--region", "eu-west-1")
    said = prices("estimate", *arguments)
    assert "queue            not known\n" in said.stdout
    assert "not in the total: queue.request_usd: no source found for this region; run prices refresh" in said.stdout
    document = json.loads(prices("estimate", *arguments, "--json").stdout)
    assert document["queue_usd"] is None
    assert document["total_usd"] == pytest.approx(
        sum(document[f"{p}_usd"] for p in ("duration", "request", "storage", "logs"))
    )
    assert len(document["unknown"]) == 1


@pytest.mark.usefixtures("cache")
def test_the_papers_experiment_has_a_price() -> None:
    """Both sums, as in the guide."""
    printed = prices("paper").stdout
    assert "24024 queries 2020: 0.5279 USD = duration 0.1297 + requests 0.0048\n" in printed
    assert "24024 queries now: 0.4877 USD = duration 0.0895 + requests 0.0048\n" in printed
    assert len(json.loads(prices("paper", "--json").stdout)["cells"]) == 24
