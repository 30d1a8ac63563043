"""Entry point of the function: initialises the environment when imported, then serves one event per call."""

import os

from serverless_mlperf_sut.stopwatch import Stopwatch

_INIT = Stopwatch()  # before the imports that it times

# numpy's BLAS is never called here, but starts a thread per core that spins: half the CPU time of the imports.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Mapping  # noqa: E402
from typing import Any  # noqa: E402

from serverless_mlperf_sut import service  # noqa: E402
from serverless_mlperf_sut.engines.base import create  # noqa: E402
from serverless_mlperf_sut.settings import Settings, read_settings  # noqa: E402
from serverless_mlperf_sut.storage import S3Storage  # noqa: E402


def _start(settings: Settings) -> service.Service:
    engine = create(settings.engine_and_format)
    storage = S3Storage(settings.bucket)
    _INIT.lap("imports")
    return service.start(settings, storage, engine, _INIT)


_SERVICE = _start(read_settings())


def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Serve an S3 event or an input JSON; raises only what a retry may cure."""
    return _SERVICE.handle(event, context.aws_request_id)
