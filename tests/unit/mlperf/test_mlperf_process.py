"""Whole runs in their own process, against a fake platform that misbehaves."""

from collections.abc import Mapping
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any, get_args

from mlperf_specs import fake_spec
import pytest

from serverless_mlperf.errors import CutOffError, InputError, RunError
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.spec import DriverResult, Mode, RunSpec, Scenario, dump_spec, load_result
from serverless_mlperf.mlperf.verdict import verdict
from serverless_mlperf.records import Record, read_records

DEADLINE_S = 30


def measure(spec: RunSpec) -> tuple[DriverResult, list[Record], list[Mapping[str, Any]]]:
    """Run and read back."""
    events: list[Mapping[str, Any]] = []
    result = run_process(spec, events.append)
    return result, list(read_records(spec.output / "queries.jsonl")), events


def codes(result: DriverResult) -> set[str]:
    """What the verdict complains about."""
    return {reason.code for reason in verdict(result).reasons}


def start(spec: RunSpec) -> subprocess.Popen[bytes]:
    """Start the process by hand and wait until it measures."""
    command = [sys.executable, "-m", "serverless_mlperf.mlperf.process", "--parent-stdin"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(dump_spec(spec) + b"\n")
    process.stdin.flush()
    return process


def wait_for(process: subprocess.Popen[bytes], event: str) -> None:
    """Read events until one of this kind."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == event:
            return
    raise AssertionError(f"no {event} event")


def test_clean_run_is_valid_and_complete(tmp_path: Path) -> None:
    """Exactly N queries are issued, recorded and delivered; every file of the run is there."""
    spec = fake_spec(tmp_path)
    result, records, events = measure(spec)
    assert (result.asked, result.issued, result.ok) == (100, 100, 100)
    assert verdict(result).valid
    assert read_detail(tmp_path / "loadgen").issued == 100
    assert result.settings["samples_per_query"] == 100
    assert [record.key for record in records] == sorted(f"run1-{n + result.warmup_queries:08d}" for n in range(100))
    assert all(record.cold is False and record.phases_ns for record in records)
    assert len(list((tmp_path / "output").iterdir())) == 100
    assert load_result((tmp_path / "driver.json").read_bytes()) == result
    assert {event["event"] for event in events} >= {"warmup", "done"}
    assert '"Sample"' in (tmp_path / "loadgen" / "mlperf_log_trace.json").read_text()


def test_system_is_named_as_one_behind_a_network(tmp_path: Path) -> None:
    """LoadGen's log names the function and how many environments answered before the test, as network mode asks."""
    measure(fake_spec(tmp_path))
    name = read_detail(tmp_path / "loadgen").values["sut_name"]
    assert name == "Network SUT: f on fake, 2 environments answered"


SHORT: dict[Scenario, int] = {"SingleStream": 70, "MultiStream": 10, "Server": 60, "Offline": 50}
EXPECTED: dict[Scenario, tuple[int, int]] = {
    "SingleStream": (70, 20),
    "MultiStream": (80, 24),
    "Server": (60, 20),
    "Offline": (50, 20),
}
"""Samples of a performance run, and of an accuracy run over 20 samples, which MultiStream fills up to whole eights."""


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("scenario", get_args(Scenario))
def test_every_scenario_in_every_mode(tmp_path: Path, scenario: Scenario, mode: Mode) -> None:
    """Issued, answered and recorded are the same count; LoadGen finds nothing wrong but that the run is short."""
    result, records, _ = measure(fake_spec(tmp_path, scenario=scenario, mode=mode, query_count=SHORT[scenario]))
    expected = EXPECTED[scenario][mode == "accuracy"]
    assert (result.asked, result.issued, result.ok, len(records)) == (expected,) * 4
    assert result.loadgen_errors == ()
    assert codes(result) - LATE <= {"early_stopping"}
    assert (result.target_qps is None) == (scenario != "Server")
    assert result.settings["scenario"] == scenario


LATE = {"late_client"}
"""The verdict over a fake run on a host that runs tests beside it: right, and not what is tested here."""


def test_test04_asks_for_one_sample_only(tmp_path: Path) -> None:
    """The audit configuration reaches LoadGen by its own path, whatever lies in the working directory."""
    result, records, _ = measure(fake_spec(tmp_path, scenario="SingleStream", mode="test04", query_count=70))
    assert len({record.sample_index for record in records}) == 1
    assert result.settings["performance_issue_same"] is True
    assert "performance_issue_same_index = 3" in (tmp_path / "audit.config").read_text()


def test_test01_logs_answers_of_a_performance_run(tmp_path: Path) -> None:
    """The accuracy log of a performance run holds the answers that are compared with those of accuracy mode."""
    measure(fake_spec(tmp_path, scenario="SingleStream", mode="test01", query_count=70))
    log = json.loads((tmp_path / "loadgen" / "mlperf_log_accuracy.json").read_text())
    assert len(log) == 70


def test_server_rate_follows_from_the_warm_up(tmp_path: Path) -> None:
    """Without a rate it is half of what two environments can serve, and the result names both."""
    result, _, _ = measure(fake_spec(tmp_path, scenario="Server", query_count=60))
    assert result.capacity_qps is not None
    assert result.target_qps == pytest.approx(result.capacity_qps / 2)
    assert result.settings["target_qps"] == pytest.approx(result.target_qps, rel=1e-3)


def test_latency_above_the_bound_is_named(tmp_path: Path) -> None:
    """Server: the 99th percentile against the bound, with the rate at which it was measured."""
    spec = fake_spec(tmp_path, scenario="Server", query_count=60, target_qps=50.0, latency_bound_ms=0.5)
    result, _, _ = measure(spec)
    [reason] = [reason for reason in verdict(result).reasons if reason.code == "latency_bound"]
    assert "0.5 ms at 50 queries/s" in reason.evidence


def test_in_flight_never_exceeds_its_bound(tmp_path: Path) -> None:
    """A burst of 60 through a window of 3: the rest waits in the client, and all are served."""
    result, _, _ = measure(fake_spec(tmp_path, query_count=60, max_in_flight=3, fake={"delay_s": 0.005}))
    assert (result.peak_in_flight, result.ok) == (3, 60)


def test_duration_alone_may_lengthen_a_run(tmp_path: Path) -> None:
    """With a minimum duration LoadGen issues at least what was asked, and the count is no flaw."""
    result, _, _ = measure(fake_spec(tmp_path, scenario="SingleStream", query_count=64, min_duration_s=1.0))
    assert result.issued > 64
    assert "query_count" not in codes(result)


def test_warm_up_is_recorded_apart(tmp_path: Path) -> None:
    """Cold starts are in warmup.jsonl with their init phases, and every environment served three."""
    result, _, _ = measure(fake_spec(tmp_path))
    warm = list(read_records(tmp_path / "warmup.jsonl"))
    assert len(warm) == result.warmup_queries
    cold = [record for record in warm if record.cold]
    assert len(cold) == 2
    assert all(record.init_phases_ns for record in cold)
    assert set(result.environments) == {"environment-0", "environment-1"}


def test_losses_end_at_the_deadline_and_invalidate(tmp_path: Path) -> None:
    """A lost query never blocks LoadGen: it is completed wrongly, counted, and LoadGen's own VALID is not believed."""
    result, records, _ = measure(fake_spec(tmp_path, fake={"loss": 0.1}))
    lost = [record for record in records if record.verdict == "timeout"]
    assert result.timeouts == len(lost) > 0
    assert result.ok + result.timeouts == result.issued == 100
    assert result.loadgen_validity == "VALID"
    assert codes(result) == {"lost"}
    assert all(record.phases_ns is None and record.cold is None for record in lost)


def test_total_loss_ends(tmp_path: Path) -> None:
    """Even when nothing ever comes back the run ends."""
    result, _, _ = measure(fake_spec(tmp_path, fake={"loss": 1.0, "faults_after": 12}, query_count=30, timeout_s=0.5))
    assert result.timeouts > 0
    assert result.ok + result.timeouts == 30


def test_duplicates_are_counted_once_each(tmp_path: Path) -> None:
    """Second results, during the run and in the drain after it, complete nothing and are all counted."""
    fake = {"duplicate": 1.0, "duplicate_delay_s": 0.1}
    result, records, _ = measure(fake_spec(tmp_path, fake=fake, drain_s=1.0))
    assert result.ok == 100
    assert result.duplicates == sum(record.duplicates for record in records) > 50
    assert result.loadgen_errors == ()
    assert codes(result) == {"duplicates"}


def test_late_results_are_not_duplicates(tmp_path: Path) -> None:
    """A result after its deadline cannot complete the query again; the query stays lost."""
    fake = {"duplicate": 1.0, "duplicate_delay_s": 0.4, "loss": 0.0, "delay_s": 0.45, "faults_after": 10_000}
    result, _, _ = measure(fake_spec(tmp_path, fake=fake, timeout_s=0.2, drain_s=0.75, query_count=10))
    assert (result.timeouts, result.late, result.duplicates, result.ok) == (10, 10, 0, 0)
    assert "lost" in codes(result)


def test_errors_and_refusals_are_kept_apart(tmp_path: Path) -> None:
    """An error record and a refused PUT each end their query at once, under their own names."""
    fake = {"error": 0.2, "send_error": 0.2}
    result, records, _ = measure(fake_spec(tmp_path, fake=fake, query_count=200))
    assert result.errors > 0
    assert result.send_errors > 0
    assert result.ok + result.errors + result.send_errors == 200
    assert codes(result) == {"errors", "send_errors"}
    assert len(list((tmp_path / "errors").iterdir())) == result.errors
    assert all(record.error for record in records if record.verdict != "ok")


def test_stuck_senders_cannot_stop_the_run(tmp_path: Path) -> None:
    """When every `send` hangs, the deadline ends what was never sent as well."""
    result, records, _ = measure(fake_spec(tmp_path, fake={"stuck": 1.0}, query_count=60))
    assert result.timeouts > 0
    assert len(records) == 60


def test_cold_start_in_the_window_invalidates(tmp_path: Path) -> None:
    """An environment that begins inside the window is seen in its record and in the verdict."""
    result, records, _ = measure(fake_spec(tmp_path, fake={"cold_after": 60}))
    assert result.cold == 1
    assert sum(bool(record.cold) for record in records) == 1
    assert codes(result) == {"cold_in_window"}


def test_accuracy_mode_issues_every_sample_once(tmp_path: Path) -> None:
    """The accuracy log holds each sample's class; LoadGen gives no verdict of its own."""
    result, records, _ = measure(fake_spec(tmp_path, mode="accuracy", performance_sample_count=7))
    log = json.loads((tmp_path / "loadgen" / "mlperf_log_accuracy.json").read_text())
    assert sorted(entry["qsl_idx"] for entry in log) == list(range(20))
    assert {entry["data"] for entry in log if entry["qsl_idx"] == 2} == {"0000803F" + 4 * "000080BF"}
    assert sorted(record.sample_index for record in records) == list(range(20))
    assert result.loadgen_validity is None
    assert verdict(result).valid


def test_seeds_reach_loadgen(tmp_path: Path) -> None:
    """The same seeds give the same samples; what was asked is what is effective."""
    spec = fake_spec(tmp_path / "1")
    seeds = type(spec.seeds)(qsl=11, sample_index=22, schedule=33)
    results = [measure(fake_spec(tmp_path / name, seeds=seeds)) for name in ("1", "2")]
    assert results[0][0].settings["sample_index_rng_seed"] == 22
    indices = [[record.sample_index for record in sorted(records, key=lambda r: r.key)] for _, records, _ in results]
    assert indices[0] == indices[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_writes_the_reason_and_exits_130(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a run: validity.json names the signal, no query waits."""
    process = start(fake_spec(tmp_path, fake={"loss": 1.0}, timeout_s=600))
    wait_for(process, "progress")
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 130
    process.communicate()
    validity = json.loads((tmp_path / "validity.json").read_text())
    assert validity["verdict"] == "INVALID"
    assert number.name in str(validity["reasons"][0])
    assert load_result((tmp_path / "driver.json").read_bytes()).unfinished > 0


def test_end_of_the_parent_ends_the_run(tmp_path: Path) -> None:
    """A run whose parent is gone does not live on."""
    process = start(fake_spec(tmp_path, fake={"loss": 1.0}, timeout_s=600))
    wait_for(process, "progress")
    process.communicate(timeout=DEADLINE_S)  # closes stdin
    assert process.returncode == 130
    assert load_result((tmp_path / "driver.json").read_bytes()).aborted == "the parent process is gone"


def test_exception_in_the_parent_ends_the_run(tmp_path: Path) -> None:
    """Ctrl-C while following: the process has ended, with its reason written, before the exception goes on."""

    def interrupt(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_process(fake_spec(tmp_path, fake={"loss": 1.0}, timeout_s=600), interrupt)
    assert load_result((tmp_path / "driver.json").read_bytes()).aborted == "SIGINT"


def test_end_of_the_platform_ends_the_run_at_once(tmp_path: Path) -> None:
    """When the lifeline becomes readable the run is cut off, however long its queries would be waited for."""
    lifeline, other_end = os.pipe()

    def cut(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            os.close(other_end)

    try:
        with pytest.raises(CutOffError, match="the platform ended"):
            run_process(fake_spec(tmp_path, fake={"loss": 1.0}, timeout_s=600), cut, lifeline)
    finally:
        os.close(lifeline)
    assert load_result((tmp_path / "driver.json").read_bytes()).aborted == "SIGINT"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_run_is_cut_off(tmp_path: Path, number: signal.Signals) -> None:
    """A run whose process is ended from outside is cut off, which is not the same as failed."""
    begun: list[int] = []

    def kill(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress" and not begun:
            (pid,) = children()
            begun.append(pid)
            os.kill(pid, number)

    with pytest.raises(CutOffError, match="ended without a result"):
        run_process(fake_spec(tmp_path, fake={"loss": 1.0}, timeout_s=600), kill)
    assert children() == []


def children() -> list[int]:
    """Processes of runs below this one."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    pids = [int(pid) for pid in path.read_text().split()]
    return [pid for pid in pids if b"mlperf.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_failed_warm_up_says_why(tmp_path: Path) -> None:
    """An environment that never comes up is named, with what was seen instead."""
    spec = fake_spec(tmp_path, fake={"environments": 1, "delay_s": 0.05})
    spec = type(spec)(**{**_fields(spec), "warmup": type(spec.warmup)(deadline_s=1.0)})
    with pytest.raises(RunError, match="1 of 2 environments served 3 queries") as caught:
        run_process(spec, lambda _: None)
    assert "status 1" in str(caught.value)
    assert "warm-up" in str(load_result((tmp_path / "driver.json").read_bytes()).aborted)


def test_broken_function_ends_the_warm_up_early(tmp_path: Path) -> None:
    """Error records during warm-up end it with the function's own words."""
    with pytest.raises(RunError, match="Fake: injected"):
        run_process(fake_spec(tmp_path, fake={"error": 1.0, "faults_after": 0}), lambda _: None)


def test_bad_specification_is_an_input_error(tmp_path: Path) -> None:
    """An unknown transport ends the process with status 2 and one line."""
    with pytest.raises(InputError, match="pigeon"):
        run_process(fake_spec(tmp_path, transport="pigeon"), lambda _: None)


def _fields(spec: RunSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}
