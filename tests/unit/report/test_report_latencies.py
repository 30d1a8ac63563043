"""Latency, waterfall and repeats in words: what is not known says what it would need."""

import csv
from dataclasses import replace
import io
from pathlib import Path

import pytest
from rich.console import Console

from serverless_mlperf.latency import latencies
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.percentiles import percentiles
from serverless_mlperf.records import Record
from serverless_mlperf.report.csvfile import OUR_COLUMNS, write_results
from serverless_mlperf.report.latencies import latency_lines
from serverless_mlperf.report.repeats import repeat_lines
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import block, print_table
from serverless_mlperf.report.waterfall import waterfall_lines
from serverless_mlperf.waterfall import waterfall

MS = 1_000_000


def records(count: int, lost: int = 0, cold: int = 0) -> list[Record]:
    """Warm queries of 1, 2, 3 ... ms, then lost and cold ones; all but 0.1 ms of each is in a phase."""
    kinds = [("ok", False)] * count + [("timeout", None)] * lost + [("ok", True)] * cold
    return [
        Record(
            key=f"r-{number:08d}",
            sample_index=number,
            verdict=verdict,  # type: ignore[arg-type]
            latency_ns=number * MS,
            issued_ns=0,
            cold=is_cold,
            environment_id="e",
            phases_ns={"client_wait": 0, "forward": number * MS - MS // 10} if verdict == "ok" else None,
            loadgen_latency_ns=number * MS,
            schedule_delay_ns=0,
            query_seq=number,
            begun_ns=1_000 * MS,
            start_ns=1_001 * MS,
            finish_ns=1_009 * MS,
            noticed_ns=1_011 * MS,
        )
        for number, (verdict, is_cold) in enumerate(kinds, 1)
    ]


def result(scenario: Scenario, made: list[Record], run: int = 1) -> CellResult:
    """A row with these records' latency."""
    found = latencies(made, scenario, deadline_ms=1500.0, target_latency_ns=50 * MS)
    return CellResult(
        task="classification", engine_and_format="ie-ir", memory_mib=1536, model_name="mobilenet_openvino", run=run,
        p50_ms=10.0 + run, p90_ms=20.0, mean_ms=12.0, stddev_ms=1.0, qps_seed=5.0, qps_loadgen=None,
        completion_p50_ms=111.5, completion_p90_ms=222.5, files=100, time_difference_s=20.0, cold=0, warm=100,
        environments=2, init_ms=250.0, share_predicted_ms=10.0, quota_predicted_ms=10.0, function_cpu_ms=14.0,
        forward_cpu_ms=13.0, platform_cpu_ms=1.5, client_cpu_ms=1.0, lost=0, duplicates=0, errors=0, valid=True,
        tries=1, scenario=scenario, latencies=found, waterfall=waterfall(made),
    )  # fmt: skip


def lines(scenario: Scenario, made: list[Record]) -> list[str]:
    """The block's lines of these records' latency."""
    found = latencies(made, scenario, deadline_ms=1500.0, target_latency_ns=50 * MS)
    assert found is not None
    return list(latency_lines(found))


def _ahead(record: Record, environment_id: str) -> Record:
    """The same by a clock that is eight seconds ahead, and was corrected."""
    return replace(
        record,
        environment_id=environment_id,
        start_ns=9_001 * MS,
        finish_ns=9_009 * MS,
        clock_offset_ns=7_999 * MS + MS // 2,
    )


def test_every_percentile_has_its_interval_or_what_it_needs() -> None:
    """100 queries: intervals up to the p95, a p99 without one, and no p99.9."""
    assert lines("SingleStream", records(100)) == [
        "  latency of 100 warm queries (SingleStream, scheduled -> completion; closed loop), 95 % intervals",
        "    p50 50.0 ms [40.0, 61.0], p90 90.0 ms [84.0, 96.0], p95 95.0 ms [90.0, 100.0]",
        "    p97 97.0 ms [n/a (needs n >= 122)], p99 99.0 ms [n/a (needs n >= 368)], p99.9 n/a (needs n >= 1000)",
        "    LoadGen's percentiles of all queries: p50 51.0, p90 91.0, p95 96.0, p97 98.0, p99 100.0, p99.9 100.0 ms",
        "    LoadGen's early-stopping estimate of the p90 98.0 ms (2 of 100 discarded)",
    ]


def test_lost_and_cold_queries_are_told() -> None:
    """A percentile that reaches lost queries is beyond the deadline, and cold ones have a line of their own."""
    said = lines("Server", records(38, lost=2, cold=4))
    assert said[0] == (
        "  latency of 40 warm queries, 2 of them without a result (Server, scheduled -> completion), 95 % intervals"
    )
    assert said[1].endswith("p90 36.0 ms [32.0, > 1500], p95 38.0 ms [n/a (needs n >= 72)]")
    assert said[2].startswith("    p97 > 1500 ms [n/a (needs n >= 122)], p99 n/a (needs n >= 100)")
    assert said[3].startswith("    4 cold: p50 42.0 ms [n/a (needs n >= 6)], p90 n/a (needs n >= 10)")
    assert said[-1] == (
        "    LoadGen's early-stopping rule NOT met (needs n >= 459): "
        "0 of 44 queries over 50 ms, at so few none is enough"
    )


def test_estimate_that_cannot_be_made_says_what_it_needs() -> None:
    """MultiStream below 662 queries; a query is not a sample."""
    made = [replace(record, query_seq=place // 8) for place, record in enumerate(records(80))]
    said = lines("MultiStream", made)
    assert said[0].startswith("  latency of 10 warm queries of 8 samples (MultiStream")
    assert said[-1] == "    LoadGen's early-stopping estimate of the p99 n/a (needs n >= 662, has 10)"


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server"])
def test_block_tells_latency_where_there_is_one(scenario: Scenario) -> None:
    """The seed's block stands first, unchanged; then the latency instead of completions in a burst."""
    text = block(result(scenario, records(100)))
    assert text.split("\n")[7].startswith("  latency of 100 warm queries")
    assert "burst" not in text


def test_block_of_a_burst_never_says_latency() -> None:
    """Beyond the seed's own words, Offline has completion times."""
    text = block(result("Offline", records(100))).split("\n", 7)[7]
    assert text.startswith("  completion in the burst 50% 111.5 ms 90% 222.5 ms")
    assert "latency" not in text


def test_waterfall_is_a_line_per_group() -> None:
    """Means and shares that add up, the remainder and the clocks."""
    found = waterfall(records(100))
    assert found is not None
    assert waterfall_lines(found) == (
        "  where the time went: 100 warm queries, scheduled -> completion, mean 50.5 ms (median 50.0, p90 90.0)",
        "    client                0.0 ms   0.0%  schedule_delay 0.0, binding 0.0, client_wait 0.0",
        "    compute              50.4 ms  99.8%  forward 50.4",
        "    back                  2.0 ms   4.0%  deliver_notice 2.0",
        "    unattributed         -1.9 ms  -3.8%  median -1.90, p99 -1.90  NOT SMALL",
        "    clocks of 1 environments, offset from the client's: -0.50 +- 1.50 ms for the least known one; "
        "none corrected, as it may be 0",
    )


def test_clocks_that_differ_are_told() -> None:
    """How many are corrected, and of how many nothing can be said."""
    far = [_ahead(record, environment_id="f") for record in records(2)]
    first, second = records(2)
    set_back = [replace(first, environment_id="g"), _ahead(second, environment_id="g")]
    found = waterfall([*far, *set_back])
    assert found is not None
    assert waterfall_lines(found)[-1] == (
        "    clocks of 2 environments, offset from the client's: +7999.50 +- 1.50 ms for the least known one; "
        "2 corrected; of 1 no one offset explains all queries (they drifted or were set)"
    )


def test_result_with_latency_survives_json() -> None:
    """summary.json gives the same result back, nested values included, and holds no infinity."""
    made = result("Server", records(38, lost=2, cold=4))
    values = made.to_dict()
    assert CellResult.from_dict({**values, "of_a_later_schema": 1}) == made
    assert "inf" not in str(values["latencies"])


def test_csv_has_latency_columns_last(tmp_path: Path) -> None:
    """Known parts are numbers, what is not known is empty; in a burst all of them are."""
    forward = percentiles([float(n) for n in range(1, 11)])
    rows = [replace(result("SingleStream", records(100)), forward=forward), result("Offline", records(100))]
    write_results(tmp_path / "results.csv", rows)
    single, burst = csv.DictReader((tmp_path / "results.csv").read_text().splitlines())
    assert (single["latency_p90_ms"], single["latency_p90_low_ms"], single["latency_p90_high_ms"]) == (
        "90.0",
        "84.0",
        "96.0",
    )
    assert (single["latency_p99_ms"], single["latency_p99_high_ms"], single["latency_p99_9_ms"]) == ("99.0", "", "")
    assert (single["loadgen_p99_9_ms"], single["early_stopping_estimate_ms"]) == ("100.0", "98.0")
    assert {burst[name] for name in OUR_COLUMNS if name.startswith(("latency_p", "loadgen_"))} == {""}
    assert [single[f"p50_{end}_ms"] for end in ("low", "high")] == ["2.0", "9.0"]
    assert [single["p90_high_ms"], burst["p50_low_ms"]] == ["", ""]
    assert (single["scenario"], burst["scenario"]) == ("SingleStream", "Offline")
    assert list(single)[:5] == ["model_name", "latency", "qps", "latency_variance", "memory"]


def test_table_of_latencies_follows_where_there_is_one() -> None:
    """A row per run with values over intervals; a burst alone has no such table."""
    out = io.StringIO()
    print_table([result("SingleStream", records(100))], Console(file=out))
    text = out.getvalue().splitlines()
    (row,) = [n for n, line in enumerate(text) if "SingleStream" in line]
    assert text[row].split() == [
        "mobilenet_openvino",
        "1536",
        "SingleStream",
        "-",
        "100",
        "50.0",
        "90.0",
        "95.0",
        "97.0",
        "99.0",
        "n/a",
    ]
    assert "[40.0, 61.0]" in text[row + 1]
    assert "n >= 1000" in text[row + 1]
    burst = io.StringIO()
    print_table([result("Offline", records(100))], Console(file=burst))
    assert "latency of n warm queries" not in burst.getvalue()


def test_repeats_are_over_runs() -> None:
    """Three runs of a cell: mean, interval and median over runs; a level that a run has not has a reason."""
    runs = [result("Server", records(100 + run), run) for run in (1, 2, 3)]
    said = repeat_lines([*runs, replace(runs[0], memory_mib=768)])
    assert said[0] == "mobilenet_openvino 1536 MB, Server, over 3 runs (mean [95 % interval], median):"
    assert said[1] == "  forward p50 12.0 ms [9.5, 14.5], 12.0"
    assert said[-1] == "  latency p99.9 n/a (no value in 3 of 3 runs)"
    assert not any("768 MB" in line for line in said)


def test_two_repeats_have_no_interval_and_an_invalid_one_is_told() -> None:
    """The reason stands in place of the interval; runs that are not VALID are counted in words."""
    runs = [result("Offline", records(100)), replace(result("Offline", records(100), 2), valid=False)]
    said = repeat_lines(runs)
    assert said[0].startswith("mobilenet_openvino 1536 MB, Offline, over 2 runs, 1 of them INVALID")
    assert said[1] == "  forward p50 11.5 ms interval n/a (needs >= 3 runs, has 2), 11.5"
    assert said[3].startswith("  completion in the burst p50 111.5 ms")


def test_seeds_latency_carries_its_uncertainty() -> None:
    """The block gives the percentiles of forward with their intervals below the seed's two numbers."""
    made = replace(result("Offline", records(100)), forward=percentiles([float(n) for n in range(1, 101)]))
    text = block(made)
    assert "\n  forward p50 50.0 ms [40.0, 61.0], p90 90.0 ms [84.0, 96.0], p95 95.0 ms [90.0, 100.0]\n" in text
    assert "forward p50" not in block(replace(made, forward=()))


def test_empty_latency_is_a_dash() -> None:
    """No record at all: no number is made up."""
    empty = replace(result("Server", records(2)), latencies=None, waterfall=None)
    assert "\n  latency -\n" in block(empty)
    out = io.StringIO()
    print_table([empty], Console(file=out))
    (row,) = [line for line in out.getvalue().splitlines() if "Server" in line]
    assert row.split()[2:] == ["Server", *"--------"]
