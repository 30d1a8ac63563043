"""Specifications of runs against the fake transport."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from serverless_mlperf.mlperf.spec import RunSpec, WarmupRule
from serverless_mlperf.platforms.base import Target

_URL = "http://127.0.0.1:1"
TARGET = Target("fake", "us-east-1", _URL, _URL, _URL, "b", "f", "input/c/", "output/c/", "completed/c/", "q", 2)
WARMUP = {"delay_s": 0.002, "environments": 2, "faults_after": 40}
"""Two environments, no faults while they warm up (3 queries each, with up to 4 under way)."""


def fake_spec(output: Path, **changes: Any) -> RunSpec:
    """A run of 100 queries; `fake` are settings of the fake transport."""
    fake = {**WARMUP, **changes.pop("fake", {})}
    spec = RunSpec(
        run="run1",
        target=TARGET,
        samples=tuple(f"imagenet/{n}.jpg" for n in range(20)),
        task="classification",
        loadgen_model="mobilenet",
        output=output,
        timeout_s=1.5,
        warmup=WarmupRule(deadline_s=20, patience_s=5),
        transport="fake",
        transport_options=fake,
    )
    return replace(spec, **changes)
