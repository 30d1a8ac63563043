"""What Lambda promises a function and its caller, with plain environments and with bubblewrap's."""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import subprocess
import tempfile
import time

from executor_functions import alive, wait_for
from lambda_contract import Platform, platform_of
import pytest

from serverless_mlperf.platforms.local.model import FunctionSpec
from serverless_mlperf.platforms.local.runtime_api import PAYLOAD_LIMIT_BYTES
from serverless_mlperf.platforms.local.service_model import ServiceModel


@pytest.fixture(scope="module", params=["plain", "bubblewrap"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with each kind of isolation."""
    with platform_of(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


# ---- the init phase


@pytest.mark.parametrize(
    ("handler", "error_type", "message"),
    [
        ("gone.handler", "Runtime.ImportModuleError", "Unable to import module 'gone': No module named 'gone'"),
        ("app.gone", "Runtime.HandlerNotFound", "Handler 'gone' missing on module 'app'"),
        ("damaged.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'damaged': "),
    ],
)
def test_handler_that_cannot_be_loaded(platform: Platform, handler: str, error_type: str, message: str) -> None:
    """The init phase fails, is run again with the invocation and fails it, with two INIT_REPORT lines."""
    document, log = platform.failure(platform.function(handler))
    assert document["errorType"] == error_type
    assert document["errorMessage"].startswith(message)
    assert [re.sub(r"\d+\.\d\d ms", "N ms", line) for line in log if line.startswith("INIT_REPORT ")] == [
        f"INIT_REPORT Init Duration: N ms\tPhase: {phase}\tStatus: error\tError Type: {error_type}"
        for phase in ("init", "invoke")
    ]
    assert log[-1].endswith(f"\tStatus: error\tError Type: {error_type}\t")


def test_init_that_fails_once_is_run_again(platform: Platform) -> None:
    """A second init phase that succeeds serves the invocation; /tmp is the same in both."""
    spec = platform.function("second.handler")
    done = platform.invoke(spec)
    assert (done.function_error, done.payload) == (None, b'"served"')
    assert "\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n" in done.log_tail.decode()
    assert platform.executor.reports(spec.name)[-1]["init_ms"] is None


@pytest.mark.parametrize("kind", ["plain", "bubblewrap"])
def test_init_beyond_its_limit_is_told(kind: str, tmp_path: Path) -> None:
    """An init phase that takes too long is a timeout in the log; it gets another try within the function's timeout."""
    with platform_of(kind, tmp_path, ServiceModel(init_limit_s=0.3)) as platform:
        _, log = platform.failure(platform.function("slow.handler", timeout_s=1))
    phases = [line.partition("\tPhase: ")[2] for line in log if line.startswith("INIT_REPORT ")]
    assert phases == ["init\tStatus: timeout", "invoke\tStatus: timeout"]
    told = r"\d{4}-\d\d-\d\dT[\d:.]{12}Z \S{36} Task timed out after 1\.00 seconds"
    assert any(re.fullmatch(told, line) for line in log)


# ---- how invocations end


@pytest.mark.parametrize(
    ("event", "error_type", "message"),
    [
        (3, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        (0, "Runtime.ExitError", "Runtime exited without providing a reason"),
        ("SIGKILL", "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        ("SIGSEGV", "Runtime.ExitError", "Runtime exited with error: signal: segmentation fault"),
        ("SIGABRT", "Runtime.ExitError", "Runtime exited with error: signal: aborted"),
        ("memory", "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
        ("sleep", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ],
)
def test_process_that_ends(platform: Platform, event: object, error_type: str, message: str) -> None:
    """Exit, signal, memory and timeout are told in Lambda's words, in the answer, the log and the REPORT line."""
    spec = platform.function("app.crash", memory_mib=256, timeout_s=1 if event == "sleep" else 20)
    document, log = platform.failure(spec, event)
    report = platform.executor.reports(spec.name)[-1]
    assert document == {"errorType": error_type, "errorMessage": f"RequestId: {report['request_id']} Error: {message}"}
    if event == "sleep":
        assert log[-1].endswith("\tStatus: timeout\tError Type: Sandbox.Timedout\t")
        assert report["billed_ms"] <= 1000 + report["init_ms"] + 1
    else:
        assert log[1:3] == [document["errorMessage"], error_type]
        assert log[-1].endswith(f"\tStatus: error\tError Type: {error_type}\t")


# ---- what a function sees


def test_variables_and_context(platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lambda's variables and context object, the function's own variables, and nothing of the host's."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = REAL\naws_secret_access_key = REAL\n")
    for name, value in {"HOME": str(tmp_path), "AWS_PROFILE": "real", "AWS_SECRET_ACCESS_KEY": "real"}.items():
        monkeypatch.setenv(name, value)
    given = {"MINE": "1", "PATH": "/opt/bin:/bin:/usr/bin", "PYTHONPATH": "/opt/more", "AWS_REGION": "mars"}
    spec = platform.function("app.seen", environment=given)
    seen = platform.answer(spec)
    variables, context = seen["variables"], seen["context"]
    expected = {
        **given, "AWS_REGION": "us-east-1", "TZ": ":UTC", "LANG": "en_US.UTF-8", "_HANDLER": "app.seen",
        "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1536",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}", "PYTHONPATH": variables["PYTHONPATH"],
    }  # fmt: skip
    assert {name: variables[name] for name in expected} == expected
    assert "AWS_PROFILE" not in variables
    assert variables["HOME"] != str(tmp_path)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0", variables["_X_AMZN_TRACE_ID"])
    assert "_X_AMZN_TRACE_ID" not in seen["at_init"]
    assert (context["invoked_function_arn"], context["memory_limit_in_mb"]) == (spec.arn, "1536")
    assert context["log_group_name"] == f"/aws/lambda/{spec.name}"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", context["log_stream_name"])
    assert 0 < seen["left_ms"] <= spec.timeout_s * 1000
    assert seen["path"][0] == variables["LAMBDA_TASK_ROOT"] == seen["cwd"]
    assert "/opt/more" in seen["path"]
    assert seen["argv"][1:] == ["-S", "-m", "awslambdaric", "app.seen"]
    assert seen["uid"] != 0
    assert seen["cores"] == seen["nproc"] == min(2, len(os.sched_getaffinity(0)))
    if platform.sandboxed:
        assert (seen["file"], variables["LAMBDA_RUNTIME_DIR"]) == ("/var/task/app.py", "/var/runtime")
        system = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin", "tmp", "usr", "var"}
        assert set(seen["root"]) <= system


def test_sandbox_sees_nothing_of_the_host(platform: Platform, tmp_path: Path) -> None:
    """Only /tmp can be written; home, the server's folder, other environments and processes cannot be seen."""
    if not platform.sandboxed:
        pytest.skip("plain environments see the host's files, by permission bits")
    write = ["/", "/var/task", "/opt", "/usr", "/etc", "/dev", "/dev/shm", "/var/runtime", "/tmp"]  # noqa: S108
    see = [str(Path.home()), str(platform.folder), str(tmp_path), "/sys", "/run", "/root", "/home", "/boot"]
    found = platform.answer(platform.function("app.probe"), {"write": write, "see": see})
    assert found == {"written": ["/tmp"], "seen": [], "pids": [1, 2]}  # noqa: S108


def test_tmp_is_private_kept_while_warm_and_gone_with_the_environment(platform: Platform) -> None:
    """A file in /tmp is there for the next invocation, not for another function, nor for the next environment."""
    one, other = platform.function("app.keep"), platform.function("app.keep")
    assert [platform.answer(one, "a"), platform.answer(one, "b"), platform.answer(other, "c")] == [[], ["a"], []]
    platform.retire(one)
    assert platform.answer(one, "d") == []


def test_tmp_of_the_host_is_not_seen(platform: Platform) -> None:
    """What other programs keep in /tmp is hidden, what the function writes there is not seen on the host."""
    if not platform.sandboxed and not platform.isolation.private_tmp:
        pytest.skip(f"shared: {platform.isolation.tmp_reason}")
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        spec = platform.function("app.probe")
        assert platform.answer(spec, {"write": ["/tmp"], "see": [file.name]})["seen"] == []  # noqa: S108
        assert platform.answer(spec, {"write": [], "see": ["/tmp/probe"]})["seen"] == ["/tmp/probe"]  # noqa: S108
        assert not Path("/tmp/probe").exists()  # noqa: S108


# ---- life between invocations


def test_frozen_between_invocations(platform: Platform) -> None:
    """A thread left behind makes no progress until the next invocation: the CPU clock stands still."""
    spec = platform.function("app.background")
    platform.answer(spec, True)
    wait_for(lambda: _is_frozen(platform, spec), "the environment is frozen")
    pid = platform.environment(spec)["pid"]
    before = time.clock_gettime_ns((~pid << 3) | 2)
    platform.answer(platform.function("app.seen"))  # something else runs meanwhile
    assert time.clock_gettime_ns((~pid << 3) | 2) == before
    assert platform.answer(spec, False) > 0
    platform.retire(spec)


def _is_frozen(platform: Platform, spec: FunctionSpec) -> bool:
    """By the status page and by the kernel; the event loop runs meanwhile."""

    async def described() -> tuple[int, str]:
        found = platform.environment(spec)
        return found["pid"], found["state"]

    pid, state = platform.run(described())
    return state == "frozen" and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_children_end_with_their_environment(platform: Platform) -> None:
    """What a handler has started ends with it, also what has made itself a session of its own."""
    mark = f"60.{os.getpid()}{int(platform.sandboxed)}"
    spec = platform.function("app.children")
    platform.answer(spec, mark)
    found = subprocess.run(["pgrep", "-f", f"^sleep {mark}$"], capture_output=True, text=True, check=False)
    children = [int(pid) for pid in found.stdout.split()]
    assert len(children) == 2
    platform.retire(spec)
    wait_for(lambda: not any(alive(pid) for pid in children), "the children are gone")


# ---- payloads and logs


def test_largest_response(platform: Platform) -> None:
    """A response of 6,291,556 bytes is taken, one byte more is Function.ResponseSizeTooLarge."""
    spec = platform.function("app.echo")
    assert len(platform.invoke(spec, {"give": PAYLOAD_LIMIT_BYTES}).payload) == PAYLOAD_LIMIT_BYTES
    document, _ = platform.failure(spec, {"give": PAYLOAD_LIMIT_BYTES + 1})
    assert document["errorType"] == "Function.ResponseSizeTooLarge"
    assert "exceeded maximum allowed payload size (6291556 bytes)" in document["errorMessage"]


def test_large_request_and_much_output(platform: Platform) -> None:
    """A request of 6 MB arrives whole; of several MB of output the log tail has the last 4 KB, REPORT line last."""
    done = platform.invoke(platform.function("app.echo"), {"lines": 8000, "data": "x" * (6 * 2**20 - 100)})
    assert done.payload == str(6 * 2**20 - 100 + 2).encode()
    assert len(done.log_tail) == 4096
    assert done.log_tail.decode().splitlines()[-1].startswith(f"REPORT RequestId: {done.request_id}\tDuration: ")


def test_report_line_has_lambdas_fields(platform: Platform) -> None:
    """The REPORT line's fields come in Lambda's order; the init phase is billed with the duration."""
    line = platform.invoke(platform.function("app.seen")).log_tail.decode().splitlines()[-1]
    found = re.fullmatch(
        r"REPORT RequestId: \S{36}\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\tMemory Size: 1536 MB"
        r"\tMax Memory Used: \d+ MB\tInit Duration: (\d+\.\d\d) ms\t",
        line,
    )
    assert found is not None, line
    duration_ms, billed_ms, init_ms = map(float, found.groups())
    assert duration_ms + init_ms - 0.02 <= billed_ms < duration_ms + init_ms + 1.02


def test_more_in_tmp_than_ephemeral_storage_ends_the_environment(platform: Platform) -> None:
    """Its size is watched: within it nothing happens, beyond it the environment is killed, and the error says so."""
    spec = platform.function("app.fill", ephemeral_mib=512)
    assert platform.answer(spec, {"name": "a", "mib": 5, "s": 0}) is None
    small = platform.function("app.fill", ephemeral_mib=4)
    document, log = platform.failure(small, {"name": "a", "mib": 5, "s": 30})
    assert document["errorType"] == "Sandbox.StorageExceeded"
    assert log[-1].endswith("\tStatus: error\tError Type: Sandbox.StorageExceeded\t")
