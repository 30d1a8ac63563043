"""Results folders made up for the page: whole ones, with records from which their figures are computed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
import random

from serverless_mlperf.percentiles import percentiles
from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import Pricing, run_cost
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.records import Record, write_records
from serverless_mlperf.report.results import CellResult
from serverless_mlperf.store import ResultsFolder
from serverless_mlperf.tries import write_json
from serverless_mlperf.waterfall import waterfall
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, MEMORY_MIB, TASKS, Cell

VCPU_MS = {"ie-ir": 12.0, "ocv-cf": 30.0, "ocv-tf": 34.0}
PRICING = Pricing("us-east-1", load_prices().region("us-east-1"), PRESENT_RULES)
MS = 1_000_000


def make_results(
    output: Path, queries: int = 40, invalid: int = 1, memory: tuple[int, ...] = MEMORY_MIB, hostile: str = ""
) -> ResultsFolder:
    """A folder of the matrix' cells, the last `invalid` of which are INVALID; `hostile` text stands in a reason."""
    cells = [Cell(*point) for point in product(TASKS, ENGINE_AND_FORMATS, memory)]
    environment = {"version": "0.1.0", "host": {"cpu": "made up", "cores": 2}, "weights": {"source": hostile or "none"}}
    folder = ResultsFolder.create(output, {"queries": queries, "repeat": 1}, [c.name for c in cells], environment)
    for number, cell in enumerate(cells):
        path = folder.run_folder(cell.name)
        valid = number < len(cells) - invalid
        records = list(_records(cell, queries, random.Random(number)))  # noqa: S311 - made up
        reasons = () if valid else (f"host_after: after the run the host delivered 71 % {hostile}; free the host",)
        write_records(path / "records.jsonl", records)
        write_json(path / "validity.json", {"verdict": "VALID" if valid else "INVALID"})
        write_json(path / "summary.json", replace(_result(cell, records), valid=valid, reasons=reasons).to_dict())
    return folder


def _records(cell: Cell, queries: int, chance: random.Random) -> Iterator[Record]:
    mean_ms = VCPU_MS[cell.engine_and_format] * (2.4 if cell.task == "object_detection" else 1) * 1769 / cell.memory_mib
    now_ns = 1_790_000_000 * 1_000_000_000
    for number in range(queries):
        forward = round(mean_ms * chance.lognormvariate(0, 0.12) * MS)
        phases = {
            "put": 2 * MS,
            "trigger": 3 * MS,
            "decode": 4 * MS,
            "preprocess": 2 * MS,
            "forward": forward,
        }
        start = now_ns + number * forward // 2
        latency = sum(phases.values())
        yield Record(
            f"q{number}", number, "ok", latency_ns=latency, issued_ns=start - 5 * MS, cold=number == 0,
            environment_id=f"e{number % 2}", start_ns=start, finish_ns=start + forward, phases_ns=phases, cpu_ns=phases,
            billed_ms=forward // MS + 10, duration_ms=forward / MS + 9, init_ms=180.0 if number == 0 else None,
        )  # fmt: skip


def _result(cell: Cell, records: list[Record]) -> CellResult:
    warm = [r.phases_ns["forward"] / MS for r in records if r.phases_ns and not r.cold]
    found = percentiles(warm)
    mean = sum(warm) / len(warm)
    return CellResult(
        task=cell.task, engine_and_format=cell.engine_and_format, memory_mib=cell.memory_mib,
        model_name=cell.model_name,
        run=1, p50_ms=found[0].value_ms, p90_ms=found[1].value_ms, mean_ms=mean, stddev_ms=1.0, qps_seed=900 / mean,
        qps_loadgen=880 / mean, completion_p50_ms=10.0, completion_p90_ms=20.0, files=len(records),
        time_difference_s=1.0, cold=1, warm=len(warm), environments=2, init_ms=180.0, share_predicted_ms=mean * 1.02,
        quota_predicted_ms=mean * 0.9, function_cpu_ms=2.0, forward_cpu_ms=1.0, platform_cpu_ms=None, client_cpu_ms=0.5,
        lost=0, duplicates=0, errors=0, valid=True, tries=1, top1=1.0, accuracy_samples=len(records),
        accuracy_reference=1.0, accuracy_ratio=0.995, accuracy_target_ratio=0.98, forward=found,
        cold_forward=percentiles([r.phases_ns["forward"] / MS * 3 for r in records if r.phases_ns and r.cold]),
        waterfall=waterfall(records), cost=run_cost(records, cell.memory_mib, "s3", None, PRICING),
    )  # fmt: skip
