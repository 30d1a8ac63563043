"""Descriptions, compliance texts and settings: from what was measured, and from nothing else."""

from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest
from submission_runs import CELL, Results, copied, measure

from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.spec import Scenario, load_result
from serverless_mlperf.submission.answers import accuracy_text
from serverless_mlperf.submission.choice import Entry, choose
from serverless_mlperf.submission.command import write_submission
from serverless_mlperf.submission.fields import parse_fields
from serverless_mlperf.submission.measured import MeasuredRun, read_experiments, read_runs
from serverless_mlperf.submission.measurements import describe_measurement
from serverless_mlperf.submission.system import describe_system
from serverless_mlperf.submission.tested import group
from serverless_mlperf.submission.user_conf import user_conf
from serverless_mlperf.submission.verification import Verification, verify
from serverless_mlperf.workloads import Cell


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One run per mode of one cell."""
    return measure(tmp_path_factory.mktemp("measured"), samples=20)


@pytest.fixture
def results(measured: Results, tmp_path: Path) -> Results:
    """A copy to change."""
    return copied(measured, tmp_path / "results")


def entry_of(results: Results) -> Entry:
    """The one entry of a folder."""
    experiments = read_experiments([results.path])
    [entry] = choose(experiments, read_runs(experiments))
    return entry


def system_of(results: Results) -> dict[str, str | None]:
    """The description of the one system of a folder."""
    [system] = group([entry_of(results)], None)
    return dict(describe_system(system, "Example"))


def changed(entry: Entry, mode: str, **loadgen: Any) -> Entry:
    """The same with other figures of LoadGen in one run."""
    runs = {
        name: replace(run, driver=replace(run.driver, loadgen={**run.driver.loadgen, **loadgen}))
        if name == mode
        else run
        for name, run in entry.runs.items()
    }
    return replace(entry, runs=runs)


# systems/<system>.json


def test_system_is_described_as_measured(results: Results) -> None:
    """Host, function and engine are those that the results name."""
    results.change(
        "experiment.json",
        environment__host__cpu_model="A CPU",
        environment__host__memory_mib=4096,
        environment__host__hardware={
            "machine": "x86_64", "operating_system": "An OS", "processors": 1, "cores_per_processor": 8,
            "max_mhz": 3000, "caches": ["L1 Data 32K"], "disk_gib": 100, "disk_rotates": False,
            "network_cards": ["eth0"],
        },
        environment__host__virtualised=True,
    )  # fmt: skip
    found = system_of(results)
    assert found["host_processor_model_name"] == "A CPU"
    assert (found["host_processors_per_node"], found["host_processor_core_count"]) == ("1", "8")
    assert (found["host_memory_capacity"], found["host_storage_capacity"]) == ("4096 MiB", "100 GiB")
    assert (found["host_processor_frequency"], found["host_processor_caches"]) == ("3000 MHz at most", "L1 Data 32K")
    assert found["framework"] == "openvino 2026.4.1"
    assert found["system_name"] == "serverless-mlperf, Lambda emulated on one host: function of 3008 MB, OpenVINO"
    assert found["hw_notes"] == (
        "x86_64 function of 3008 MB: 1.70 vCPU as the platform's controller enforces it, environments: 2, "
        "in a virtual machine"
    )
    assert str(found["operating_system"]).startswith("An OS, Linux ")
    assert (found["status"], found["system_type"], found["is_network"]) == ("rdi", "datacenter,edge", "True")
    assert found["network_type"] == found["nic_sut"] == "N/A: loopback on one host"


def test_virtual_machine_hides_hardware(results: Results) -> None:
    """What only the hypervisor knows is said to be hidden, in a virtual machine alone."""
    hidden = ("cooling", "host_memory_configuration")
    results.change("experiment.json", environment__host__virtualised=True)
    assert all(str(system_of(results)[key]).startswith("N/A: a virtual machine") for key in hidden)
    results.change("experiment.json", environment__host__virtualised=False)
    assert all(system_of(results)[key] is None for key in hidden)


def test_unknown_keys_must_be_given(results: Results, tmp_path: Path) -> None:
    """What no measurement shows is asked for in one line; --allow-incomplete writes it as unknown."""
    results.change("experiment.json", environment__host__virtualised=False, environment__host__hardware={})
    with pytest.raises(InputError, match=r"systems/local-ie-ir-3008mb\.json: .*cooling.*--field KEY=VALUE"):
        write_submission(results.request(tmp_path / "out", fields=()))
    made = write_submission(results.request(tmp_path / "out", fields=(), allow_incomplete=True))
    text = json.loads((made.folder / "systems" / "local-ie-ir-3008mb.json").read_text())
    assert text["cooling"] == text["host_storage_type"] == "unknown: not recorded with the results"


def test_given_keys_win_and_are_told(results: Results, tmp_path: Path) -> None:
    """A given value is written, and the README says that it was not measured."""
    made = write_submission(
        results.request(tmp_path / "out", fields=("cooling=water", "status=preview", "nic_sut=x=y"))
    )
    text = json.loads((made.folder / "systems" / "local-ie-ir-3008mb.json").read_text())
    assert (text["cooling"], text["status"], text["nic_sut"]) == ("water", "preview", "x=y")
    readme = (made.folder / "README.md").read_text()
    assert "## Given by the submitter, not measured\n\n- `cooling`: water\n" in readme


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cooling", "KEY=VALUE"),
        ("cooling= ", "KEY=VALUE"),
        ("colling=air", "no such key; one of status, "),
        ("submitter=me", "give --org"),
        ("is_network=True", "follows from"),
        ("status=great", "one of 'available', 'preview', 'rdi'"),
        ("number_of_nodes=two", "whole number"),
    ],
)
def test_bad_field_is_refused(word: str, said: str) -> None:
    """A key that may not be given, or a value that cannot be, is one line."""
    with pytest.raises(InputError, match=said):
        parse_fields([word])


def test_log_without_a_network_name_is_no_network_system(results: Results, tmp_path: Path) -> None:
    """is_network follows from what LoadGen logged, in every run."""
    path = results.run("test04") / "loadgen" / "mlperf_log_detail.txt"
    path.write_text(path.read_text().replace("Network SUT: f on fake", "PyFastSUT"))
    made = write_submission(results.request(tmp_path / "out"))
    assert json.loads((made.folder / "systems" / "local-ie-ir-3008mb.json").read_text())["is_network"] == "False"
    assert "`is_network` is False: local-ie-ir-3008mb" in (made.folder / "README.md").read_text()


def test_aws_is_not_made_up(results: Results) -> None:
    """Of AWS's hosts nothing is said but that it is not disclosed; the way to them has to be given."""
    results.change("experiment.json", settings__platform="aws", environment__host__cpu_model="The client's CPU")
    found = system_of(results)
    hosts = {key: value for key, value in found.items() if key.startswith("host_")}
    known = {"host_processor_core_count": "2 visible", "host_memory_capacity": "3008 MB per function"}
    assert hosts == {key: known.get(key, "N/A: AWS Lambda does not disclose it") for key in hosts}
    assert [key for key, value in found.items() if value is None] == [
        "network_type", "network_media", "network_rate", "nic_loadgen", "number_nic_loadgen",
    ]  # fmt: skip
    assert "client: The client's CPU" in str(found["hw_notes"])
    assert (found["number_of_nodes"], found["status"]) == ("2", "available")


def test_unknown_platform_is_refused(results: Results) -> None:
    """Nothing is described that nobody knows."""
    results.change("experiment.json", settings__platform="moon")
    with pytest.raises(InputError, match="platform 'moon' is unknown; one of local, aws"):
        system_of(results)


# measurements.json


def test_embedded_weights_say_what_they_are(results: Results) -> None:
    """They were fitted to synthetic pictures, and are stored as codes."""
    found = describe_measurement(entry_of(results))
    assert found["starting_weights_filename"] == "embedded/classification.npz"
    assert str(found["retraining"]).startswith("Yes")
    assert "int8 codes" in str(found["weight_transformations"])
    assert (found["input_data_types"], found["weight_data_types"]) == ("fp32", "fp32")


def test_own_weights_need_a_word_on_training(results: Results, tmp_path: Path) -> None:
    """Whether a user's weights were trained again, only the user knows."""
    results.change("experiment.json", environment__weights={"source": "/w", "sha256": "0"}, settings__precision="bf16")
    found = describe_measurement(entry_of(results))
    assert found["starting_weights_filename"] == "mobilenet_v1_1.0_224.npz"
    assert "int8" not in str(found["weight_transformations"])
    assert found["retraining"] is None
    assert "bf16" in str(found["weight_data_types"])
    request = results.request(tmp_path / "out")
    with pytest.raises(InputError, match=r"measurements\.json: retraining: the results do not say"):
        write_submission(request)
    write_submission(replace(request, fields=(*request.fields, "retraining=No")))


# accuracy.txt


def test_average_precision_is_written_as_mlperfs_script_does(results: Results) -> None:
    """Detection has mAP in percent, three decimals, and the same hash."""
    run = entry_of(results).runs["accuracy"]
    found = replace(run, result=replace(run.result, task="object_detection", top1=None, ap=0.22345678))
    assert accuracy_text(found).splitlines()[0] == "mAP=22.346%"
    assert accuracy_text(found).splitlines()[1] == accuracy_text(run).splitlines()[1]


# TEST01 and TEST04


def verified(entry: Entry) -> dict[str, Verification]:
    """By test."""
    return {each.test: each for each in verify(entry)}


def test_equal_runs_pass(results: Results) -> None:
    """Same answers, same throughput: `TEST PASS` on a line of its own, in every file."""
    tests = verified(entry_of(results))
    assert [test.faults for test in tests.values()] == [(), ()]
    texts = [text for test in tests.values() for text in test.texts.values()]
    assert len(texts) == 3
    assert all(text.splitlines()[-1] == "TEST PASS" for text in texts)
    assert "num_perf_log_data_mismatch = 0" in tests["test01"].texts["verify_accuracy.txt"]


def test_another_answer_fails_test01(results: Results) -> None:
    """One answer that differs from accuracy mode is counted, and fails."""
    path = results.run("test01") / "loadgen" / "mlperf_log_accuracy.json"
    log = json.loads(path.read_text())
    log[0]["data"] = "0000C0FF"
    path.write_text(json.dumps(log))
    test = verified(entry_of(results))["test01"]
    lines = test.texts["verify_accuracy.txt"].splitlines()
    assert "num_perf_log_data_mismatch = 1" in lines
    assert lines[-1].startswith("TEST FAIL: TEST01: 1 of 50 answers differ")
    assert test.texts["verify_performance.txt"].endswith("TEST PASS\n")


def test_repeated_sample_that_is_faster_fails_test04(results: Results) -> None:
    """More than a tenth faster on one sample: something caches."""
    test = verified(changed(entry_of(results), "test04", result_samples_per_second=111.0))["test04"]
    assert "Reference score = 100.0 (" in test.texts["verify_performance.txt"]
    assert "Test score = 111.0 (" in test.texts["verify_performance.txt"]
    assert "\nTEST FAIL: TEST04: score 111 against 100" in test.texts["verify_performance.txt"]


def test_failed_test_is_refused(results: Results, tmp_path: Path) -> None:
    """A compliance test that fails is no better than an INVALID run."""
    run = results.run("test04")
    driver = json.loads((run / "driver.json").read_text())
    driver["loadgen"]["result_samples_per_second"] = 200.0
    (run / "driver.json").write_text(json.dumps(driver))
    with pytest.raises(InputError, match=r"TEST04 failed: .*--mode test04`\), or add --allow-invalid"):
        write_submission(results.request(tmp_path / "out"))
    made = write_submission(results.request(tmp_path / "out", allow_invalid=True))
    assert "TEST04 failed: " in made.notes[0]


def test_invalid_log_passes_no_test(results: Results) -> None:
    """As in MLPerf's scripts: what LoadGen calls INVALID is compared with nothing."""
    entry = entry_of(results)
    run = entry.runs["test04"]
    invalid = replace(
        entry, runs={**entry.runs, "test04": replace(run, driver=replace(run.driver, loadgen_validity="INVALID"))}
    )
    assert "TEST FAIL: Invalid results in " in verified(invalid)["test04"].texts["verify_performance.txt"]


# user.conf


def conf_of(results: Results, scenario: Scenario, **settings: Any) -> str:
    """user.conf of a run in another scenario with these effective settings."""
    entry = entry_of(results)
    run: MeasuredRun = entry.runs["performance"]
    values = {**run.driver.settings, "min_query_count": 70, "min_duration_ms": 600_000, **settings}
    driver = replace(run.driver, scenario=scenario, settings=values)
    return user_conf(replace(entry, runs={"performance": replace(run, driver=driver)}))


@pytest.mark.parametrize(
    ("scenario", "settings", "expected"),
    [
        ("SingleStream", {}, []),
        ("MultiStream", {"samples_per_query": 8}, ["samples_per_query = 8"]),
        (
            "Server",
            {"target_qps": 12.5, "target_latency_ns": 50_000_000},
            ["target_qps = 12.5", "target_latency = 50"],
        ),
        ("Offline", {"samples_per_query": 70, "target_qps": 3.0}, ["target_qps = 3.0"]),
    ],
)
def test_user_conf_has_each_scenarios_settings(
    results: Results, scenario: Scenario, settings: dict[str, Any], expected: list[str]
) -> None:
    """The settings that decide, and none of another scenario."""
    lines = [line for line in conf_of(results, scenario, **settings).splitlines() if not line.startswith("#")]
    wanted = ["min_query_count = 70", "min_duration = 600000", *expected]
    assert lines == [f"*.{scenario}.{setting}" for setting in wanted]


def test_bound_between_milliseconds_is_a_comment(results: Results) -> None:
    """LoadGen would read 12.5 ms as 12."""
    text = conf_of(results, "Server", target_qps=1.0, target_latency_ns=12_500_000)
    assert text.splitlines()[-1].startswith("# *.Server.target_latency: 12.5 ms")


# the command


def test_command_line_refuses_in_one_line(tmp_path: Path) -> None:
    """Status 2, one line on stderr, no traceback, nothing written."""
    command = [sys.executable, "-m", "serverless_mlperf", "submission", str(tmp_path / "none"), "--output"]
    done = subprocess.run([*command, str(tmp_path / "out"), "--org", "E"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {tmp_path / 'none'}: no results folder")
    assert list(tmp_path.iterdir()) == []


def test_command_line_writes_and_says_where(measured: Results, tmp_path: Path) -> None:
    """All options reach the submission; what is noted is printed."""
    fields = [word for field in measured.request(tmp_path).fields for word in ("--field", field)]
    command = [sys.executable, "-m", "serverless_mlperf", "submission", str(measured.path), *fields]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out"), "--submitter", "E", "--system", "laptop"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"written: {tmp_path / 'out' / 'open' / 'E'}: 1 systems, 1 results\n"
    assert (tmp_path / "out" / "open" / "E" / "systems" / "laptop-ie-ir-3008mb.json").exists()


def test_detection_goes_under_its_own_name(tmp_path: Path) -> None:
    """SSD is checked as retinanet by the mapping, and asked for no TEST04."""
    cell = Cell("object_detection", "ocv-tf", 1536)
    found = measure(tmp_path / "results", CELL, samples=20)
    (found.path / "cells" / CELL.name).rename(found.path / "cells" / cell.name)
    found.change("experiment.json", cells=[cell.name])
    for run in found.runs(cell):
        summary = json.loads((run / "summary.json").read_text()) | {"task": cell.task, "top1": None, "ap": 0.2}
        (run / "summary.json").write_text(json.dumps(summary))
        if load_result((run / "driver.json").read_bytes()).mode == "test04":
            (run / "summary.json").unlink()
    made = write_submission(found.request(tmp_path / "out"))
    assert json.loads((made.folder / "model_mapping.json").read_text()) == {"ssd-mobilenet": "retinanet"}
    folder = made.folder / "results" / "local-ocv-tf-1536mb" / "ssd-mobilenet" / "Offline"
    assert (folder / "accuracy" / "accuracy.txt").read_text().startswith("mAP=20.000%\nhash=")
