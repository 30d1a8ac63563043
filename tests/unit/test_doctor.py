"""What the doctor finds, says and concludes."""

import json
import subprocess
import sys

from serverless_mlperf.doctor import WIDTH, Finding, as_text, can_run


def test_doctor_of_this_host() -> None:
    """Experiments can run here, which status 0 says; every finding has its evidence, and JSON holds them all."""
    command = [sys.executable, "-m", "serverless_mlperf", "doctor"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["can_run"]) == (0, True)
    names = [finding["name"] for finding in found["findings"]]
    assert names[:6] == ["python", "cpu", "sizes", "controllers", "timer", "isolation"]
    assert all(finding["evidence"] for finding in found["findings"])
    assert all(
        finding["advice"] or finding["state"] == "ok" or finding["name"] in {"aws", "git"}
        for finding in found["findings"]
    )


def test_what_is_missing_decides() -> None:
    """Something missing that is needed means no; something limited, or missing and of no need, does not."""
    limited = Finding("isolation", "limited", "plain", "install bubblewrap", needed=True)
    assert can_run([limited, Finding("aws", "missing", "none")])
    assert not can_run([limited, Finding("ports", "missing", "none", needed=True)])


def test_text_fits_the_terminal() -> None:
    """No line is longer than 80 columns, however long the evidence; the advice has a line of its own."""
    text = as_text([Finding("cpu", "limited", "much is said here " * 20, "and done there " * 20)])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("limited  cpu          much is said")
    assert "-> and done there" in text
