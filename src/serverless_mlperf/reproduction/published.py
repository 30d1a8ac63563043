"""The paper's 24 cells as its authors published them.

`published.csv` has model_name, latency (median of forward, ms), qps (files / (last finish - first start)) and memory of
results.csv in github.com/Vicomtech/serverless-mlperf, the numbers behind the paper's figures 2 and 3.
"""

from importlib import resources
from pathlib import Path

from serverless_mlperf.report.figures import Bar, read_bars


def published_bars() -> list[Bar]:
    """The 24 cells."""
    with resources.as_file(resources.files(__package__).joinpath("published.csv")) as path:
        return read_bars(Path(path))
