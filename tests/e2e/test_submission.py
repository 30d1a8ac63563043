"""From two small experiments to a submission, by the commands a user types."""

import json
from pathlib import Path
import subprocess
import sys

COMMAND = [sys.executable, "-m", "serverless_mlperf"]
CELL = ["--cv_task", "classification", "--engine_and_format", "ie-ir", "--memory", "1536", "--samples", "8"]
GIVEN = ["cooling=air", "host_memory_configuration=1 module", "host_storage_type=SSD"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_measured_results_become_a_submission(tmp_path: Path) -> None:
    """Performance and accuracy of two experiments make one result; the tests that are missing are listed."""
    folders = []
    for mode in ("performance", "accuracy"):
        output = tmp_path / mode
        done = run(
            "run",
            *CELL,
            "--queries",
            "12",
            "--mode",
            mode,
            "--retry-invalid",
            "0",
            "--wait-for-host",
            "0",
            "--output",
            str(output),
        )
        assert done.returncode == 0, done.stderr + done.stdout
        folders += [str(path) for path in output.iterdir()]
    fields = [word for field in GIVEN for word in ("--field", field)]
    asked = ["submission", *folders, "--output", str(tmp_path / "out"), "--org", "Example", *fields]
    refused = run(*asked)
    assert refused.returncode == 2
    assert "not measured: classification-ie-ir-1536 Offline: test01, test04; measure with `" in refused.stderr
    done = run(*asked, "--allow-incomplete", "--allow-invalid")  # the host of a test may be busy
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "open" / "Example"
    system = json.loads((folder / "systems" / "local-ie-ir-1536mb.json").read_text())
    assert system["framework"].startswith("openvino ")
    assert system["is_network"] == "True"
    result = folder / "results" / "local-ie-ir-1536mb" / "mobilenet" / "Offline"
    accuracy = (result / "accuracy" / "accuracy.txt").read_text()
    assert accuracy.startswith("accuracy=")
    assert ", total=8\nhash=" in accuracy
    readme = (folder / "README.md").read_text()
    assert "classification-ie-ir-1536 Offline: test01: not measured" in readme
    assert "classification-ie-ir-1536 Offline: test04: not measured" in readme
