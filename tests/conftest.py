"""What every test gets: no credentials of the host, a cache of the session's own, no process left behind.

For the tests of the local platform's S3: one server, and a bucket for each.
"""

from collections.abc import Generator, Iterator
import os
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hypothesis import settings
import pytest

from local_server import MOTO, PLATFORM, client, serving
from sharing import host

if TYPE_CHECKING:
    from aws_double import AwsDouble
    from serverless_mlperf.platforms.aws.session import Aws

settings.register_profile("thorough", max_examples=5_000, deadline=None)
if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)

# ONNX Runtime reads it when it is imported, which test modules do.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
MARK = "SERVERLESS_MLPERF_TEST_SESSION"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Beside other workers' tests; what measures the host's CPU runs alone."""
    with host(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is `long` runs with `make test-all`, or where it is asked for by name."""
    if os.environ.get("SERVERLESS_MLPERF_LONG") or any("::" in argument for argument in config.args):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Modules in the order of their names: the long ones come first, so that all workers end together."""
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


@pytest.fixture(scope="session")
def double_server() -> "Iterator[AwsDouble]":
    """AWS in this process, shared."""
    from aws_double import running  # not at the top: it brings moto

    with running() as double:
        yield double


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host on which nobody has ever logged in to AWS."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def double(double_server: "AwsDouble", no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> "Iterator[AwsDouble]":
    """AWS with nothing in it; boto3's own chain finds it."""
    del no_credentials  # the host's own are not looked at
    monkeypatch.setenv("AWS_ENDPOINT_URL", double_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    double_server.reset()
    yield double_server
    double_server.cloudformation.join()


@pytest.fixture(scope="session")
def opened_accounts() -> "dict[str, Aws]":
    """By the double's URL: making clients takes longer than most tests."""
    return {}


@pytest.fixture
def aws(double: "AwsDouble", opened_accounts: "dict[str, Aws]") -> "Aws":
    """The account as the project opens it."""
    from serverless_mlperf.platforms.aws.session import open_session

    if double.url not in opened_accounts:
        opened_accounts[double.url] = open_session()
    return opened_accounts[double.url]
