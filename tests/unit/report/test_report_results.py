"""Block, table, results.csv and figures: what is printed is what was measured, and no data is never 0."""

import csv
from dataclasses import replace
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from serverless_mlperf.errors import InputError
from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import REQUESTS, Pricing, RunCost, query_cost
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.report.csvfile import SEED_COLUMNS, write_results
from serverless_mlperf.report.figures import draw_figures, read_bars
from serverless_mlperf.report.progress import LiveProgress
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.report.table import block, print_table

PRICES = load_prices().region("us-east-1")
WARM = query_cost(480, 768, REQUESTS["s3", None], Pricing("us-east-1", PRICES, PRESENT_RULES))
COST = RunCost(
    WARM, None, run_usd=1001 * WARM.total_usd, region="us-east-1", architecture="x86_64", prices_as_of="2025-10-28",
    granularity_ms=1, init_billed=True, modelled=True,
)  # fmt: skip
RESULT = CellResult(
    task="object_detection", engine_and_format="ie-ir", memory_mib=768, model_name="ssd_openvino", run=1,
    p50_ms=291.14699363708496, p90_ms=316.87426567077637, mean_ms=300.0, stddev_ms=12.5, qps_seed=47.511881528529536,
    qps_loadgen=46.0, completion_p50_ms=1.0, completion_p90_ms=2.0, files=1001, time_difference_s=21.068414211273193,
    cold=0, warm=1001, environments=4, init_ms=250.0, share_predicted_ms=310.0, quota_predicted_ms=305.0,
    function_cpu_ms=140.0, forward_cpu_ms=134.0, platform_cpu_ms=1.5, client_cpu_ms=1.0, lost=0, duplicates=0, errors=0,
    valid=False, tries=3, ap=0.25, ap50=0.4, accuracy_samples=128, reasons=("host_after: evidence; next step",),
    cost=COST,
)  # fmt: skip
SEED_BLOCK = """**********benchmarked unit***********
benchmark ssd_openvino
memory 768
latencyes 50% -> 291.14699363708496 90% -> 316.87426567077637
QPS: 47.511881528529536
number of files: 1001
Time difference 21.068414211273193 s
"""


def test_block_begins_as_the_seeds() -> None:
    """The first lines are the seed's, word for word and digit for digit."""
    assert block(RESULT).startswith(SEED_BLOCK)


def test_block_says_invalid_with_its_reason() -> None:
    """INVALID stands on a line of its own with every reason below it."""
    assert block(RESULT).endswith("  INVALID\n    host_after: evidence; next step")


def test_block_names_source_and_reference() -> None:
    """Where the accuracy comes from, its share of the reference's and MLPerf's target; or why there is none."""
    compared = replace(
        RESULT,
        accuracy_source="accuracy log",
        accuracy_reference=0.25,
        accuracy_ratio=1.004,
        accuracy_target_ratio=0.99,
    )
    line = "  accuracy from LoadGen's log: 100.40% of the FP32 reference's AP 0.2500, MLPerf's target 99%\n"
    assert line in block(compared)
    alone = replace(RESULT, accuracy_source="outputs", accuracy_reason="12 of 20 images were queried")
    line = "  accuracy from the outputs; no ratio to the FP32 reference: 12 of 20 images were queried\n"
    assert line in block(alone)


def test_no_data_is_a_dash() -> None:
    """A figure without data is printed as a dash, never as 0."""
    empty = replace(RESULT, p50_ms=None, p90_ms=None, qps_seed=None, init_ms=None)
    assert "latencyes 50% -> - 90% -> -\nQPS: -\n" in block(empty)
    assert "init - ms" in block(empty)


def test_table_shows_every_run_in_whole_numbers_of_columns() -> None:
    """Each run is one line with its figures untruncated, and the verdicts are counted."""
    out = io.StringIO()
    print_table([RESULT, replace(RESULT, memory_mib=1536, valid=True)], Console(file=out))
    lines = [line for line in out.getvalue().splitlines() if line.strip().startswith("ssd_openvino")]
    assert len(lines) == 2
    assert lines[0].split() == [
        "ssd_openvino", "768", "291.1", "316.9", "300.0", "310.0", "305.0", "47.5", "46.0", "250", "23.77", "0/1001",
        "4", "140.0", "1.5", "1.0", "0/0/0", "0.400", "INVALID",
    ]  # fmt: skip
    assert "2 runs measured, 1 VALID, 1 INVALID" in out.getvalue()


def test_price_is_called_modelled_where_the_platform_does_not_bill() -> None:
    """In heading, legend and block; one modelled run in a table is enough."""
    assert RESULT.cost is not None
    billed = replace(RESULT, cost=replace(RESULT.cost, modelled=False))
    printed = {}
    for name, results in {"billed": [billed], "mixed": [billed, RESULT], "none": [replace(RESULT, cost=None)]}.items():
        out = io.StringIO()
        print_table(results, Console(file=out))
        printed[name] = " ".join(out.getvalue().split())
    assert "$/M*" not in printed["billed"]
    assert "$/M: USD of a million warm queries, of the durations that the platform billed" in printed["billed"]
    for name in ("mixed", "none"):
        assert "$/M*: modelled: USD of a million warm queries" in printed[name]
    assert "  cost on Lambda (durations as billed: us-east-1, x86_64, prices of" in block(billed)


def test_result_survives_json() -> None:
    """What summary.json holds gives the same result back."""
    written = json.loads(json.dumps({**RESULT.to_dict(), "of_a_later_schema": 1}))
    assert CellResult.from_dict(written) == RESULT


def test_cost_names_its_parts_and_its_prices() -> None:
    """Warm and cold apart, called modelled; the rules are named where they are not the present ones."""
    lines = block(RESULT).splitlines()
    at = lines.index("  cost on Lambda (modelled: us-east-1, x86_64, prices of 2025-10-28), USD per million:")
    assert lines[at + 1] == "    warm queries 23.77 = duration 6.00 + requests 0.20 + S3 16.20 + logs 0.17 + queue 1.20"
    assert not lines[at + 2].startswith("    cold")
    assert RESULT.cost is not None
    old = replace(RESULT, cost=replace(RESULT.cost, granularity_ms=100, init_billed=False))
    assert "prices of 2025-10-28, rounded up to 100 ms, init free)" in block(old)
    assert "cost on Lambda" not in block(replace(RESULT, cost=None))


def test_csv_begins_with_the_seeds_columns(tmp_path: Path) -> None:
    """The seed's columns stand first, its latency_variance being the standard deviation, and None is empty."""
    write_results(tmp_path / "results.csv", [replace(RESULT, init_ms=None)])
    text = (tmp_path / "results.csv").read_text()
    assert text.split("\n")[0].split(",")[:5] == list(SEED_COLUMNS)
    (row,) = csv.DictReader(text.splitlines())
    assert (row["latency"], row["qps"], row["latency_variance"], row["memory"]) == (
        "291.14699363708496", "47.511881528529536", "12.5", "768",
    )  # fmt: skip
    assert (row["init_ms"], row["accuracy_ratio"]) == ("", "")


def test_csv_has_the_reference(tmp_path: Path) -> None:
    """Source, reference, ratio and target stand in the row."""
    compared = replace(
        RESULT, accuracy_source="accuracy log", accuracy_reference=0.25, accuracy_ratio=1.0, accuracy_target_ratio=0.99
    )
    write_results(tmp_path / "results.csv", [compared])
    (row,) = csv.DictReader((tmp_path / "results.csv").read_text().splitlines())
    names = ("accuracy_source", "accuracy_reference", "accuracy_ratio", "accuracy_target_ratio")
    assert [row[name] for name in names] == ["accuracy log", "0.25", "1.0", "0.99"]


def test_figures_are_drawn_from_the_seeds_five_columns(tmp_path: Path) -> None:
    """A file with the seed's columns alone gives latency per model and QPS, as PNG and PDF, twice the same bytes."""
    file = tmp_path / "seed.csv"
    file.write_text(
        "model_name,latency,qps,latency_variance,memory\nmobilenet_tf,217.1,66.7,9,768\nssd_caffe,,63,9,768\n"
    )
    drawn = draw_figures(file, tmp_path / "one")
    assert {p.name for p in drawn} == {
        f"{n}.{s}" for n in ("latency_mobilenet", "latency_ssd", "qps") for s in ("png", "pdf")
    }
    again = draw_figures(file, tmp_path / "two")
    assert [p.read_bytes() for p in drawn] == [p.read_bytes() for p in again]
    assert {bar.latency_ms for bar in read_bars(file)} == {217.1, None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "model_name"),
        ("model_name,latency,qps,memory\n", "no row"),
        ("model_name,latency,memory\nssd_tf,1,768\n", "qps"),
        ("model_name,latency,qps,memory\nresnet_tf,1,1,768\n", "line 2: model_name 'resnet_tf'"),
        ("model_name,latency,qps,memory\nssd_tf,fast,1,768\n", "line 2"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file that cannot be drawn is an InputError that says where and what."""
    file = tmp_path / "results.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        draw_figures(file, tmp_path / "figures")


def test_progress_is_plain_and_sparse_in_a_pipe() -> None:
    """In a pipe, a new kind of event is one line; more of the same within two seconds is not."""
    out = io.StringIO()
    with LiveProgress(2, Console(file=out)) as progress:
        progress.cell("cell", 0)
        for done in range(5):
            progress.event({"event": "progress", "done": done, "total": 5, "errors": 0})
        progress.event({"event": "retry", "reasons": "why"})
    assert out.getvalue().splitlines() == [
        "[1/2] cell: measured 0 of 5 queries, 0 errors",
        "[1/2] cell: again, because the run is INVALID for a passing reason: why",
    ]


def test_tables_fit_a_terminal_of_80_columns() -> None:
    """On a terminal, tables and lists are no wider than it, whatever the scenario, and nothing is cut off."""
    text = io.StringIO()
    long = replace(RESULT, scenario="SingleStream", memory_mib=10240, p50_ms=99999.9, qps_seed=9999.9)
    print_table([RESULT, long], Console(file=text, width=80, force_terminal=True, color_system=None))
    assert max(len(line) for line in text.getvalue().splitlines()) <= 80
    assert "99999.9" in text.getvalue()
    assert "…" not in text.getvalue()


def test_architectures_stand_side_by_side(tmp_path: Path) -> None:
    """A run on arm64 is another cell in table, results.csv and figures; x86_64 is not named but in the column."""
    both = [RESULT, replace(RESULT, architecture="arm64")]
    out = io.StringIO()
    print_table(both, Console(file=out, width=200))
    write_results(tmp_path / "results.csv", both)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    bars = read_bars(tmp_path / "results.csv")
    assert [row["architecture"] for row in rows] == ["x86_64", "arm64"]
    assert [bar.size for bar in bars] == [(768, ""), (768, " arm64")]
    assert "768 arm64" in out.getvalue()
    assert "runs (mean" not in out.getvalue()
    assert "memory 768 arm64" in block(both[1])
    assert draw_figures(tmp_path / "results.csv", tmp_path / "figures")


def test_result_of_before_is_of_x86_64() -> None:
    """A summary that names no architecture is read as what there was then."""
    old = {name: value for name, value in RESULT.to_dict().items() if name not in ("architecture", "unreported")}
    assert CellResult.from_dict(old) == RESULT


def test_missing_reports_are_counted() -> None:
    """The block says how many invocations the platform did not report."""
    assert "2 invocations without a REPORT line" in block(replace(RESULT, unreported=2))
    assert "without a REPORT line" not in block(RESULT)
