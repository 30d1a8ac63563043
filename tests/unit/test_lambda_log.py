"""REPORT lines as Lambda writes them."""

import base64

from hypothesis import given
from hypothesis import strategies as st
import pytest

from serverless_mlperf.lambda_log import parse_report, tail_report
from serverless_mlperf.platforms.base import Report

ID = "8f5a2c1e-3b4d-4e5f-8a9b-0c1d2e3f4a5b"
START = f"START RequestId: {ID} Version: $LATEST\n"
END = f"END RequestId: {ID}\n"
XRAY = "XRAY TraceId: 1-6a507b87-0cc4438344b48ef127ab1931\tSegmentId: d0025b207c551fde\tSampled: true\t\n\n"


def line(*fields: str) -> str:
    """A REPORT line of these fields after those every one has."""
    always = (f"REPORT RequestId: {ID}", "Duration: 1655.10 ms", "Billed Duration: 1978 ms", "Memory Size: 256 MB")
    return "\t".join((*always, "Max Memory Used: 97 MB", *fields)) + "\t\n"


def report(**fields: object) -> Report:
    """The report of `line`."""
    values = {"duration_ms": 1655.1, "billed_ms": 1978, "init_ms": None, "memory_mib": 256, "max_memory_mib": 97}
    return Report(request_id=ID, **{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (START + END + line(), report()),
        (START + END + line("Init Duration: 322.04 ms"), report(init_ms=322.04)),
        (END + line("Init Duration: 322.04 ms") + XRAY, report(init_ms=322.04)),
        (END + line("Status: timeout") + f"2026-01-01T00:00:00Z {ID} Task timed out after 3.00 seconds\n\n",
         report(status="timeout")),
        (END + line("Init Duration: 402.04 ms", "Status: timeout") + XRAY, report(init_ms=402.04, status="timeout")),
        (END + line("Status: error", "Error Type: Runtime.OutOfMemory") + XRAY,
         report(status="error", error_type="Runtime.OutOfMemory")),
        (END + line("Restore Duration: 562.43 ms", "Billed Restore Duration: 118 ms"),
         report(restore_ms=562.43, billed_restore_ms=118)),
        # As consoles and Log Insights show it: spaces, and the XRAY line joined to it.
        (line("Restore Duration: 325.93 ms", "Billed Restore Duration: 26 ms", XRAY.strip()).replace("\t", " "),
         report(restore_ms=325.93, billed_restore_ms=26)),
        ("INIT_REPORT Init Duration: 10008.64 ms\tPhase: init\tStatus: timeout\n" + START + END + line(), report()),
        (line().replace("\n", "\r\n"), report()),
    ],
)  # fmt: skip
def test_real_forms_are_read(log: str, expected: Report) -> None:
    """Plain, cold, timed out, killed, restored from a snapshot; with what Lambda writes before and after."""
    assert parse_report(log) == expected


def test_last_line_counts() -> None:
    """What the function printed before, even a whole REPORT line, is not taken for Lambda's own."""
    forged = line().replace(ID, "forged").replace("1978", "1")
    assert parse_report(START + forged + "printed without an end of line" + "\n" + END + line()) == report()


@pytest.mark.parametrize(
    "log",
    [
        "",
        START + END,
        line()[:80],
        line().replace("Billed Duration: 1978", "Billed Duration: many"),
        line().replace("Duration: 1655.10", "Duration: nan"),
        line().replace("Memory Size", "Size"),
        "INIT_REPORT Init Duration: 0.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.InvalidEntrypoint\n",
        " " + line(),
    ],
)
def test_anything_less_is_no_report(log: str) -> None:
    """A line that is cut, damaged or not Lambda's gives nothing rather than something wrong."""
    assert parse_report(log) is None


def test_tail_is_base64_of_the_logs_end() -> None:
    """The tail may begin inside a character; text that is no base64 is no report."""
    tail = "ü".encode()[1:] + b" end of a line\n" + (END + line("Init Duration: 1.00 ms")).encode()
    assert tail_report(base64.b64encode(tail).decode()) == report(init_ms=1.0)
    assert tail_report("") is None
    assert tail_report("not base64!") is None
    assert tail_report("ü") is None


MILLISECONDS = st.integers(0, 90_000_000).map(lambda hundredths: hundredths / 100)
PRINTED = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200).filter(
    lambda text: "REPORT RequestId" not in text
)


@given(
    before=PRINTED,
    duration_ms=MILLISECONDS,
    billed_ms=st.integers(0, 900_000),
    init_ms=st.none() | MILLISECONDS,
    memory=st.tuples(st.integers(128, 10_240), st.integers(0, 10_240)),
    failed=st.sampled_from([("ok", None), ("timeout", None), ("error", "Runtime.ExitError")]),
)
def test_every_line_is_read_back(
    before: str,
    duration_ms: float,
    billed_ms: int,
    init_ms: float | None,
    memory: tuple[int, int],
    failed: tuple[str, str | None],
) -> None:
    """Whatever the figures and whatever was printed before."""
    status, error_type = failed
    fields = [f"REPORT RequestId: {ID}", f"Duration: {duration_ms:.2f} ms", f"Billed Duration: {billed_ms} ms"]
    fields += [f"Memory Size: {memory[0]} MB", f"Max Memory Used: {memory[1]} MB"]
    fields += [] if init_ms is None else [f"Init Duration: {init_ms:.2f} ms"]
    fields += [] if status == "ok" else [f"Status: {status}"]
    fields += [] if error_type is None else [f"Error Type: {error_type}"]
    log = f"{before}\n{END}" + "\t".join(fields) + "\t\n"
    expected = Report(ID, duration_ms, billed_ms, init_ms, *memory, status, error_type=error_type)
    assert tail_report(base64.b64encode(log.encode()).decode()) == expected


@given(st.binary(max_size=300))
def test_rubbish_never_raises(tail: bytes) -> None:
    """A header may hold anything."""
    tail_report(base64.b64encode(tail).decode())
    tail_report(tail.decode("latin-1"))
    parse_report(f"REPORT RequestId: {ID}\t" + tail.decode("latin-1"))
