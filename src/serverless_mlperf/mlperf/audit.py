"""The audit configurations of MLPerf's compliance tests: what makes LoadGen play another run than its settings say.

LoadGen reads an audit configuration over its settings (loadgen.cc, StartTest). The settings are those of
mlcommons/inference compliance/TEST01 (and nvidia/TEST01/ssd-small) and compliance/TEST04/audit.config.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from serverless_mlperf.mlperf.spec import ComplianceTest

_TEST01: Final = {"mode": 2, "accuracy_log_rng_seed": 720381539243781796}
_TEST04: Final = {"mode": 2, "performance_issue_unique": 0, "performance_issue_same": 1}
SAMPLING_TARGETS: Final[Mapping[str, int]] = {"mobilenet": 4096, "ssd-mobilenet": 1024}
"""TEST01: answers logged in performance mode, by LoadGen's model name (TEST01/resnet50 and ssd-small)."""
SAME_INDEX: Final = 3
"""TEST04: position in the loaded set of the one sample that every query asks for."""


def write_audit_config(folder: Path, test: ComplianceTest, loadgen_model: str) -> Path:
    """Write the audit.config of a test; its path is what StartTest wants."""
    path = folder / "audit.config"
    path.write_text("".join(f"*.*.{name} = {value}\n" for name, value in _settings(test, loadgen_model)))
    return path


def _settings(test: ComplianceTest, loadgen_model: str) -> Iterator[tuple[str, int]]:
    if test == "test01":
        yield from _TEST01.items()
        yield "accuracy_log_sampling_target", SAMPLING_TARGETS.get(loadgen_model, 4096)
    else:
        yield from _TEST04.items()
        yield "performance_issue_same_index", SAME_INDEX
