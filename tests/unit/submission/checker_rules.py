"""The rules of MLPerf's submission checker that concern these results, written anew from a reading of it; for tests.

mlcommons/inference, tools/submission/submission_checker/: constants.py @001d64ca (v6.0; the seeds are v6.1's),
loader.py @0792cbf7, parsers/loadgen_parser.py @e301f6f1, configuration/configuration.py @04b58327, and of checks/
performance_check.py @001d64ca, accuracy_check.py @014e12aa, measurements_checks.py @09d7c9d0,
system_check.py @7651400a, compliance_check.py @04b58327. Methods are named beside what is taken from them.
"""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

MODELS = {"resnet": (1024, 50_000, "acc", 15_000_000), "retinanet": (64, 24_781, "mAP", 100_000_000)}
"""Performance samples, data set size, kind of accuracy, and target latency of Server in ns."""
MAPPING = {"mobilenet": "resnet", "resnet50": "resnet", "ssd-resnet34": "retinanet"}
PATTERNS = {
    "acc": r"^(?:\{\"accuracy|accuracy)[\": ]*=?\s*([\d\.]+).*",
    "mAP": r".*(?:mAP=|'Total':)\s*([\d.]+)",
}
SEEDS = {
    "effective_qsl_rng_seed": 2085463073848966840,
    "effective_sample_index_rng_seed": 2747215439041700203,
    "effective_schedule_rng_seed": 16159082839903944936,
}
RESULT_FIELDS = {
    "Offline": "result_samples_per_second",
    "SingleStream": "early_stopping_latency_ss",
    "MultiStream": "early_stopping_latency_ms",
    "Server": "result_completed_samples_per_sec",
}
MEANINGFUL = {
    *("division", "submitter", "system_type", "status", "system_name", "number_of_nodes", "host_processor_model_name"),
    *("host_processors_per_node", "host_processor_core_count", "host_memory_capacity", "host_memory_configuration"),
    *("host_storage_capacity", "host_storage_type", "host_networking", "host_network_card_count"),
    *("host_networking_topology", "accelerators_per_node", "accelerator_model_name", "accelerator_memory_capacity"),
    *("accelerator_host_interconnect", "accelerator_memory_configuration", "accelerator_interconnect", "cooling"),
    *("framework", "operating_system", "other_software_stack"),
}
OPTIONAL = {
    *("host_processor_frequency", "host_processor_caches", "host_processor_interconnect", "accelerator_frequency"),
    *("accelerator_interconnect_topology", "accelerator_on-chip_memories", "hw_notes", "sw_notes"),
    "system_type_detail",
}
NETWORK = {
    *("is_network", "network_type", "network_media", "network_rate", "nic_loadgen", "number_nic_loadgen"),
    *("net_software_stack_loadgen", "network_protocol", "number_connections", "nic_sut", "number_nic_sut"),
    *("net_software_stack_sut", "network_topology"),
}
MEASUREMENT = {
    *("input_data_types", "retraining", "starting_weights_filename", "weight_data_types"),
    "weight_transformations",
}
LOGS = {"mlperf_log_summary.txt", "mlperf_log_detail.txt"}


def complaints(root: Path) -> list[str]:
    """What the checker would say of `<root>/open`, a word or two each."""
    found: list[str] = []
    for org in (root / "open").iterdir():
        mapping = json.loads((org / "model_mapping.json").read_text())  # loader.load
        for scenario in sorted((org / "results").glob("*/*/*")):
            system, benchmark = scenario.parts[-3:-1]
            found += _of_result(org, scenario, system, _model(benchmark, mapping))
    return found


def _model(name: str, mapping: dict[str, str]) -> str:
    """configuration.get_mlperf_model: a name with "mobilenet" is guessed to be resnet, if no mapping has it."""
    if name in MODELS:
        return name
    return MAPPING.get(name) or mapping.get(name) or "resnet"


def _of_result(org: Path, scenario: Path, system: str, model: str) -> Iterator[str]:
    description = json.loads((org / "systems" / f"{system}.json").read_text())
    performance = _detail(scenario / "performance" / "run_1")
    yield from _performance(performance, model, scenario.name, description)
    yield from _accuracy(scenario / "accuracy", model)
    yield from _system(description, org.name)
    yield from _measurements(org, scenario)
    yield from _compliance(scenario, ["TEST01", "TEST04"] if model == "resnet" else ["TEST01"])


def _detail(folder: Path) -> dict[str, Any]:
    """loadgen_parser: the first line has the marker, every line with it is JSON, the first value of a key counts."""
    lines = (folder / "mlperf_log_detail.txt").read_text().splitlines()
    assert lines[0].startswith(":::MLLOG")
    entries = [json.loads(line.removeprefix(":::MLLOG")) for line in lines if line.startswith(":::MLLOG")]
    values: dict[str, Any] = {"errors": sum(entry["metadata"]["is_error"] for entry in entries)}
    for entry in entries:
        values.setdefault(entry["key"], entry["value"])
    return values


def _performance(log: dict[str, Any], model: str, folder: str, description: dict[str, Any]) -> Iterator[str]:
    samples, _, _, target_latency_ns = MODELS[model]
    scenario = log["effective_scenario"]
    if log["errors"]:  # loadgen_errors_check, with --submission-exceptions
        yield "errors"
    if log["effective_performance_sample_count"] < samples:  # performance_sample_count_check
        yield "performance samples"
    yield from (name for name, seed in SEEDS.items() if log[name] != seed)  # seeds_check
    if scenario != "Offline" and not log["early_stopping_met"]:  # latency_check
        yield "early stopping"
    elif scenario == "Server" and log["effective_target_latency_ns"] > target_latency_ns:
        yield "latency"
    if scenario == "Offline" and log["effective_min_query_count"] < 1:  # min_query_count_check
        yield "queries"
    if log["effective_min_duration_ms"] < 600_000:  # min_duration_check
        yield "duration"
    if description["is_network"].lower() == "true" and "Network SUT" not in log["sut_name"]:  # network_check
        yield "name"
    if scenario.lower() != folder.lower():  # inferred_check: none of ours is
        yield "scenario"
    float(log[RESULT_FIELDS[scenario]])  # get_performance_metric_check


def _accuracy(folder: Path, model: str) -> Iterator[str]:
    _, size, kind, _ = MODELS[model]
    lines = (folder / "accuracy.txt").read_text().splitlines()
    if not any(re.match(PATTERNS[kind], line) for line in lines):  # accuracy_result_check; its target is closed's alone
        yield "accuracy"
    if not any(re.match(r"^hash=([\w\d]+)$", line) for line in lines):
        yield "hash"
    if (folder / "mlperf_log_accuracy.json").stat().st_size > 10 * 1024:  # accuracy_json_check
        yield "not truncated"
    log = _detail(folder)
    if log["errors"]:  # loadgen_errors_check
        yield "errors"
    if log["effective_accuracy_sample_count"] != size:  # dataset_check
        yield "data set size"


def _system(description: dict[str, Any], org: str) -> Iterator[str]:
    if description["status"] not in {"available", "preview", "rdi"}:  # availability_check
        yield "status"
    if description["system_type"] not in {"datacenter", "edge", "datacenter,edge", "edge,datacenter"}:
        yield "system_type"
    required = [*MEANINGFUL, *OPTIONAL, *(NETWORK if description.get("is_network") else [])]  # required_fields_check
    yield from (key for key in required if key not in description or (key in MEANINGFUL and not description[key]))
    if description["submitter"].lower() != org.lower() or description["division"].lower() != "open":
        yield "submitter or division"
    int(description["number_of_nodes"]) * int(description["accelerators_per_node"])  # results.py, add_result


def _measurements(org: Path, scenario: Path) -> Iterator[str]:
    if not (org / "src").is_dir():  # directory_exist_check
        yield "src"
    for name in ("user.conf", "README.md"):  # required_files_check
        if not (scenario / name).is_file() or not (scenario / name).stat().st_size:
            yield name
    description = json.loads((scenario / "measurements.json").read_text())
    yield from (key for key in MEASUREMENT if not description.get(key))  # required_fields_check


def _compliance(scenario: Path, tests: list[str]) -> Iterator[str]:
    """As in the closed division; the open one is not asked for it."""
    for test in tests:
        folder = scenario / test
        logs = {path.name for path in (folder / "performance" / "run_1").iterdir()}
        if logs != LOGS:  # compliance_performance_check: files_diff(list_files, REQUIRED_COMP_PER_FILES)
            yield f"{test} files"
        if "TEST PASS" not in (folder / "verify_performance.txt").read_text():
            yield f"{test} performance"
        lines = (folder / "verify_accuracy.txt").read_text().splitlines() if test == "TEST01" else ["TEST PASS"]
        if "TEST PASS" not in [line.strip() for line in lines]:  # accuracy_check
            yield f"{test} accuracy"
