"""The command line: whatever is wrong ends in one line on stderr and an exit status, never in a traceback."""

from collections.abc import Iterator
from pathlib import Path
import signal
import socket
import subprocess
import sys

import pytest

from serverless_mlperf import cli

COMMAND = [sys.executable, "-m", "serverless_mlperf"]


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """The command line sets handlers of its own."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Exit status and the one line on stderr of a command that must fail."""
    monkeypatch.setattr(sys, "argv", ["serverless-mlperf", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    return int(ended.value.code or 0), said.removeprefix("error: ").rstrip()


OPTIONS = [
    (["--queries", "0"], "queries: Input should be greater than or equal to 1, not 0"),
    (["--queries", "1000001"], "queries: Input should be less than or equal to 1000000, not 1000001"),
    (["--queries", "many"], "Invalid value for '--queries'"),
    (["--queries", "1.5"], "Invalid value for '--queries'"),
    (["--queries", ""], "Invalid value for '--queries'"),
    (["--queries", "9" * 5000], "Invalid value for '--queries'"),
    (["--repeat", "0"], "repeat: Input should be greater than or equal to 1, not 0"),
    (["--repeat", "101"], "repeat: Input should be less than or equal to 100, not 101"),
    (["--retry-invalid", "-1"], "retry_invalid: Input should be greater than or equal to 0, not -1"),
    (["--retry-invalid", "11"], "retry_invalid: Input should be less than or equal to 10, not 11"),
    (["--samples", "0"], "samples: Input should be greater than or equal to 1, not 0"),
    (["--samples", "100001"], "samples: Input should be less than or equal to 100000, not 100001"),
    (["--concurrency", "0"], "concurrency: Input should be greater than or equal to 1, not 0"),
    (["--concurrency", "1001"], "concurrency: Input should be less than or equal to 1000, not 1001"),
    (["--threads", "0"], "threads: Input should be greater than or equal to 1, not 0"),
    (["--threads", "65"], "threads: Input should be less than or equal to 64, not 65"),
    (["--seed", "-1"], "seed: Input should be greater than or equal to 0, not -1"),
    (["--seed", "2147483648"], "seed: Input should be less than or equal to 2147483647, not 2147483648"),
    (["--timeout", "0"], "timeout_s: Input should be greater than or equal to 1, not 0"),
    (["--timeout", "901"], "timeout_s: Input should be less than or equal to 900, not 901"),
    (["--memory", "127"], "memory_mib: Input should be greater than or equal to 128, not 127"),
    (["--memory", "10241"], "memory_mib: Input should be less than or equal to 10240, not 10241"),
    (["--memory_type", "-1"], "Invalid value for '--memory-type'"),
    (["--memory_type", "4"], "Invalid value for '--memory-type'"),
    (["--memory", "768", "--memory_type", "0"], "--memory and --memory_type say the same thing: give one of them"),
    (["--cv_task", "segmentation"], "tasks: Input should be 'classification' or 'object_detection'"),
    (["--engine_and_format", "IE-IR"], "engine_and_formats: Input should be 'ie-ir', 'ocv-cf' or 'ocv-tf'"),
    (["--precision", "bf16"], "precision bf16 is only for ie-ir: add --engine_and_format ie-ir"),
    (["--dataset", "coco"], "data set coco needs its folder: add --input_dataset DIR"),
    (["--platform", "mars"], "platform: Input should be 'local' or 'aws', not 'mars'"),
    (["--scenario", ""], "scenario: Input should be 'single-stream', 'multi-stream', 'server' or 'offline', not ''"),
    (["--bucket_name", "no_bucket"], "bucket_name: String should match pattern"),
    (["--bucket_name", "two\nlines"], "bucket_name: String should match pattern"),
    (["--output", "/dev/null"], "/dev/null: /dev/null is a file, not a folder; choose another --output"),
    (["--output", "/dev/null/a\nb"], "/dev/null is a file, not a folder; choose another --output"),
    (["--nonsense"], "No such option: --nonsense"),
    (["one.toml", "two.toml"], "Got unexpected extra argument(s) (two.toml)"),
    (["/dev"], "/dev: cannot be read as TOML: [Errno 21] Is a directory: '/dev'"),
    (["/none\nsuch.toml"], "cannot be read as TOML: [Errno 2] No such file or directory"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS)
def test_options_of_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    """Each ends with status 2, and the line names the option."""
    # Should one be taken, the experiment ends before it begins: its results have no place.
    status, line = fails(capsys, monkeypatch, "run", "--output", "/dev/null/x", *options)
    assert status == 2
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["local", "serve", "--port", "-1"], 2, "Invalid value for '--port'"),
        (["local", "serve", "--port", "65536"], 2, "Invalid value for '--port'"),
        (["figures", "/dev"], 2, "/dev: cannot be read as CSV"),
        (["models", "list", "/dev/null"], 2, "/dev/null/manifest.json: cannot be read"),
        (["models", "build", "--output", "/dev/null/models"], 1, "/dev/null/models: models cannot be written"),
        (["models", "build", "--weights", "/dev/null"], 2, "mobilenet_v1_1.0_224.npz: cannot be read"),
    ],
)
def test_other_commands(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    """Status 2 for what the user gave, 1 for what the host lacks."""
    ended, line = fails(capsys, monkeypatch, *arguments)
    assert ended == status
    assert said in line


def test_full_standard_output_is_told(tmp_path: Path) -> None:
    """What cannot be printed, because the file behind stdout is full, is no silent success."""
    (tmp_path / "manifest.json").write_text("{}")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "models", "list", str(tmp_path)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device; free disk space, or choose another folder\n"


def test_port_in_use_is_told() -> None:
    """The local platform on a port that somebody else has ends with status 1 and one line that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "local", "serve", "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: port {port}: ")
    assert "address already in use; choose another --port" in line
