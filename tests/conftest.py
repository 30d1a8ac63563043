"""What every test gets: no credentials of the host, a cache of the session's own, no process left behind.

For the tests of the local platform's S3: one server, and a bucket for each.
"""

from collections.abc import Generator, Iterator
import os
from pathlib import Path
import re
from typing import Any
from zlib import crc32

from hypothesis import settings
import pytest

from local_server import MOTO, PLATFORM, client, serving
from sharing import host

settings.register_profile("thorough", max_examples=5_000, deadline=None)
if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)

# ONNX Runtime reads it when it is imported, which test modules do.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
MARK = "SERVERLESS_MLPERF_TEST_SESSION"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Beside the other worker's test; what measures the host's CPU runs alone."""
    with host(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Modules in the order of their names: the long ones come first, so that both workers end together."""
    from workers import ByModule  # not at the top: only what `-n` asks for needs pytest-xdist

    config.option.loadscopereorder = False
    return ByModule(config, log)


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No AWS_* variable reaches a test; built packages are shared within the session alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        cache = tmp_path_factory.mktemp("cache")
        # Functions run as another user when the tests run as root: they must be able to walk to the cache. A worker has
        # a folder of its own in the session's.
        above = 3 if "PYTEST_XDIST_WORKER" in os.environ else 2
        for folder in (cache, *cache.parents[:above]):
            folder.chmod(0o755)
        patch.setenv("SERVERLESS_MLPERF_CACHE", str(cache))
        patch.setenv(MARK, str(os.getpid()))
        yield
        assert (left := processes_left()) == [], f"processes left behind: {left}"


def processes_left() -> list[str]:
    """Processes that carry this session's mark in their environment, but for the session itself."""
    wanted = f"{MARK}={os.getpid()}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The URL of a server process of the local platform."""
    with serving(*PLATFORM) as url:
        yield url


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Iterator[Any]:
    """A boto3 client of it."""
    made = client("s3", s3_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of moto's server."""
    with serving(MOTO) as url:
        yield url


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A new bucket, named after the test."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{stem}-{crc32(request.node.nodeid.encode()):08x}"
    s3.create_bucket(Bucket=name)
    return name
