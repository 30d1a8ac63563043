"""What is written, file by file, and what the official checker's rules say of it."""

from collections import Counter
import hashlib
import json
from pathlib import Path
import shutil
import subprocess
import sys

from checker_rules import MEANINGFUL, MEASUREMENT, NETWORK, OPTIONAL, complaints
import pytest
from submission_runs import Results, files, measure

from serverless_mlperf.submission.command import write_submission

RESULT = "results/local-ie-ir-3008mb/mobilenet/Offline/"
LOGS = ("mlperf_log_detail.txt", "mlperf_log_summary.txt")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One run per mode of one cell: Offline, 1,024 samples."""
    return measure(tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="module")
def root(measured: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a written submission."""
    output = tmp_path_factory.mktemp("submission") / "out"
    written = write_submission(measured.request(output))
    assert (written.systems, written.results, written.notes) == (("local-ie-ir-3008mb",), 1, ())
    return output


def test_checker_would_complain_of_length_and_data_set_alone(root: Path) -> None:
    """Every rule holds but the two that a short run on a small data set cannot keep."""
    assert Counter(complaints(root)) == Counter(["duration", "data set size"])


def test_layout_is_that_of_the_round(root: Path) -> None:
    """Exactly the files of v6.1's layout, LoadGen's traces left out, and a README beside them."""
    expected = {
        "README.md",
        "model_mapping.json",
        "systems/local-ie-ir-3008mb.json",
        "src/mobilenet/README.md",
        *(RESULT + name for name in ("README.md", "user.conf", "measurements.json")),
        *(f"{RESULT}performance/run_1/{name}" for name in LOGS),
        *(f"{RESULT}accuracy/{name}" for name in (*LOGS, "mlperf_log_accuracy.json", "accuracy.txt")),
        *(f"{RESULT}{test}/performance/run_1/{name}" for test in ("TEST01", "TEST04") for name in LOGS),
        *(f"{RESULT}{test}/verify_performance.txt" for test in ("TEST01", "TEST04")),
        *(f"{RESULT}TEST01/{n}" for n in ("verify_accuracy.txt", "accuracy/accuracy.txt")),
        f"{RESULT}TEST01/accuracy/mlperf_log_accuracy.json",
    }
    assert set(files(root / "open" / "Example")) == expected
    assert [path.name for path in root.iterdir()] == ["open"]


def test_descriptions_have_all_keys_as_strings(root: Path) -> None:
    """35 keys of a system and 13 of its network, five of the weights; the checker takes the number 0 for empty."""
    folder = root / "open" / "Example"
    system = json.loads((folder / "systems" / "local-ie-ir-3008mb.json").read_text())
    assert sorted(system) == sorted([*MEANINGFUL, *OPTIONAL, *NETWORK])
    weights = json.loads((folder / RESULT / "measurements.json").read_text())
    assert sorted(weights) == sorted(MEASUREMENT)
    assert all(isinstance(value, str) and value for value in (*system.values(), *weights.values()))


@pytest.mark.parametrize(("mode", "folder"), [("accuracy", "accuracy"), ("test01", "TEST01/accuracy")])
def test_accuracy_log_is_hashed_whole(measured: Results, root: Path, mode: str, folder: str) -> None:
    """accuracy.txt has the hash of the log as it was measured."""
    run = measured.run("accuracy" if mode == "accuracy" else "test01")
    whole = (run / "loadgen" / "mlperf_log_accuracy.json").read_bytes()
    text = (root / "open" / "Example" / RESULT / folder / "accuracy.txt").read_text()
    assert text.splitlines()[-1] == f"hash={hashlib.sha256(whole).hexdigest()}"


def test_long_accuracy_log_keeps_its_ends(measured: Results, root: Path) -> None:
    """4 KiB of either end, as MLPerf's own tool leaves it."""
    whole = (measured.run("accuracy") / "loadgen" / "mlperf_log_accuracy.json").read_bytes()
    kept = (root / "open" / "Example" / RESULT / "accuracy" / "mlperf_log_accuracy.json").read_bytes()
    assert len(whole) > 10 * 1024
    assert kept == whole[:4096] + b"\n\n...\n\n" + whole[-4096:]


def test_short_accuracy_log_stays_whole(measured: Results, root: Path) -> None:
    """TEST01 logged 50 answers: they stay as they are."""
    whole = (measured.run("test01") / "loadgen" / "mlperf_log_accuracy.json").read_bytes()
    kept = root / "open" / "Example" / RESULT / "TEST01" / "accuracy" / "mlperf_log_accuracy.json"
    assert len(whole) < 10 * 1024
    assert kept.read_bytes() == whole


def test_logs_are_copied_as_they_are(measured: Results, root: Path) -> None:
    """Each folder has the logs of its own run, byte for byte."""
    folders = {
        "performance": "performance/run_1",
        "accuracy": "accuracy",
        "test01": "TEST01/performance/run_1",
        "test04": "TEST04/performance/run_1",
    }
    for run in measured.runs():
        folder = root / "open" / "Example" / RESULT / folders[measured.driver(run).mode]
        for name in LOGS:
            assert (folder / name).read_bytes() == (run / "loadgen" / name).read_bytes()


def test_accuracy_line_is_that_of_mlperfs_script(root: Path) -> None:
    """768 of 1,024 answers are right: three decimals of a percentage, and the counts."""
    text = (root / "open" / "Example" / RESULT / "accuracy" / "accuracy.txt").read_text()
    assert text.splitlines()[0] == "accuracy=75.000%, good=768, total=1024"


def test_user_conf_is_read_by_loadgen_as_it_was_measured(root: Path) -> None:
    """LoadGen reads the file, and gets the count that it ran with."""
    path = root / "open" / "Example" / RESULT / "user.conf"
    code = (
        "import sys, mlperf_loadgen as lg; s = lg.TestSettings(); "
        "print(s.FromConfig(sys.argv[1], 'mobilenet', 'Offline', 1), s.min_query_count, s.min_duration_ms)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "50", "0"]


def test_readme_says_what_it_is_not(root: Path) -> None:
    """Every README: open division, style of network mode, retired workloads, no official result."""
    for path in (root / "open" / "Example").rglob("README.md"):
        text = path.read_text()
        assert "not an official MLPerf result" in text
        assert "Division: **open**, in the style of network mode" in text
    overview = (root / "open" / "Example" / "README.md").read_text()
    assert "| mobilenet | MobileNetV1 1.0/224 on ImageNet, a workload of round v0.5 alone | resnet |" in overview
    assert "queries that\ncarry their data: these do not" in overview
    assert (
        "`result_samples_per_second` 100.0 | synthetic, 1024 samples | accuracy=75.000%, good=768, total=1024 | VALID |"
        in overview
    )


def test_fewer_samples_than_the_model_has_are_found(tmp_path: Path) -> None:
    """The rules can complain: with 20 samples the checker wants 1,024."""
    few = measure(tmp_path / "few", samples=20)
    write_submission(few.request(tmp_path / "out"))
    assert Counter(complaints(tmp_path / "out")) == Counter(["performance samples", "duration", "data set size"])


def in_result(name: str, old: str, new: str) -> tuple[str, str, str]:
    """A change of one file of the result."""
    return RESULT + name, old, new


SYSTEM = "systems/local-ie-ir-3008mb.json"
DETAIL = "performance/run_1/mlperf_log_detail.txt"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((SYSTEM, '"cooling"', '"fan"'), "cooling"),
        ((SYSTEM, '"air"', '""'), "cooling"),
        ((SYSTEM, '"nic_sut"', '"nic"'), "nic_sut"),
        ((SYSTEM, '"rdi"', '"sold out"'), "status"),
        ((SYSTEM, '"Example"', '"Another"'), "submitter or division"),
        (in_result(DETAIL, "Network SUT", "PySUT"), "name"),
        (
            in_result(DETAIL, '"effective_qsl_rng_seed", "value": 2', '"effective_qsl_rng_seed", "value": 1'),
            "effective_qsl_rng_seed",
        ),
        (in_result(DETAIL, '"is_error": false', '"is_error": true'), "errors"),
        (in_result("accuracy/accuracy.txt", "hash=", "sum="), "hash"),
        (in_result("accuracy/accuracy.txt", "accuracy=", "about "), "accuracy"),
        (in_result("accuracy/mlperf_log_accuracy.json", "...", "." * 4096), "not truncated"),
        (in_result("measurements.json", '"retraining"', '"training"'), "retraining"),
        (in_result("TEST01/verify_accuracy.txt", "TEST PASS", "TEST FAIL"), "TEST01 accuracy"),
        (in_result("TEST04/verify_performance.txt", "TEST PASS", "TEST FAIL"), "TEST04 performance"),
    ],
)
def test_rules_find_what_is_wrong(root: Path, tmp_path: Path, change: tuple[str, str, str], expected: str) -> None:
    """Each rule complains of a submission that breaks it: none is there for show."""
    name, old, new = change
    path = Path(shutil.copytree(root, tmp_path / "broken")) / "open" / "Example" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert Counter(complaints(tmp_path / "broken")) == Counter(["duration", "data set size", expected])
