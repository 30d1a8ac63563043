"""The bill of materials, and the command that delivers packages with it."""

from importlib.metadata import version
import json
from pathlib import Path
import platform
import subprocess
import sys
from typing import Any

import pytest

from serverless_mlperf.packages import cached_packages
from serverless_mlperf.packages.archive import digest
from serverless_mlperf.packages.bom import bill_of_materials
from serverless_mlperf.packages.contents import LAYERS
from serverless_mlperf.packages.delivery import deliver_packages


def package(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `serverless-mlperf package`."""
    command = [sys.executable, "-m", "serverless_mlperf", "package", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the function and the smallest layer."""
    folder = tmp_path_factory.mktemp("delivered")
    deliver_packages(["fake", "fake"], folder)
    return folder


@pytest.fixture
def bom(delivered: Path) -> Any:
    """The folder's bill of materials."""
    return json.loads((delivered / "bom.json").read_text())


def test_zips_and_bill_are_delivered(delivered: Path, bom: Any) -> None:
    """Function and layer lie there once each, under the names and digests that the bill says."""
    assert sorted(path.name for path in delivered.iterdir()) == ["bom.json", "function.zip", "layer-fake.zip"]
    hashes = {c["name"]: c["hashes"] for c in bom["components"]}
    assert hashes == {
        name: [{"alg": "SHA-256", "content": digest(delivered / name)}] for name in ("function.zip", "layer-fake.zip")
    }


def test_bill_names_what_a_layer_is_made_of(bom: Any) -> None:
    """Every distribution with its version, package URL and licence; the Python it was built for."""
    (layer,) = [c for c in bom["components"] if c["name"] == "layer-fake.zip"]
    purls = {c["purl"] for c in layer["components"]}
    assert purls == {f"pkg:pypi/{name}@{version(name)}" for name in LAYERS["fake"]}
    licences = {c["name"]: c["licenses"] for c in layer["components"]}
    assert "BSD-3-Clause" in licences["numpy"][0]["expression"]
    assert licences["obstore"] == [{"license": {"name": "MIT License"}}]
    properties = {p["name"]: p["value"] for p in bom["metadata"]["properties"]}
    assert properties["serverless-mlperf:python"] == platform.python_version()


def test_bill_is_cyclonedx(bom: Any) -> None:
    """What CycloneDX 1.6 demands of every bill and component is there, and references are unique."""
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    components = [bom["metadata"]["component"], *bom["components"]]
    components += [inner for component in bom["components"] for inner in component.get("components", ())]
    assert len({c["bom-ref"] for c in components}) == len(components)
    assert all(c["type"] in {"application", "file", "library"} and c["name"] for c in components)


def test_bill_is_reproducible(delivered: Path) -> None:
    """The same packages give the same bill, without a time or a random number."""
    again = [*cached_packages("fake")]
    texts = {bill_of_materials(again), bill_of_materials(again)}
    assert len(texts) == 1
    assert "timestamp" not in (delivered / "bom.json").read_text()


def test_command_prints_names_sizes_and_digests(tmp_path: Path) -> None:
    """One line per zip, layers of both OpenCV formats once; a zip too large for a direct upload is noted."""
    done = package("--engine_and_format", "ocv-cf", "--engine-and-format", "ocv-tf", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["function.zip", "layer-opencv.zip"]
    assert [row[-1] for row in rows] == [digest(tmp_path / "out" / row[0]) for row in rows]
    assert float(rows[1][1]) == pytest.approx((tmp_path / "out/layer-opencv.zip").stat().st_size / 2**20, abs=0.05)
    assert ("layer-opencv.zip is larger than 50 MiB" in done.stderr) == (float(rows[1][1]) > 50)
    (tmp_path / "out/layer-opencv.zip").unlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine_and_format", "ocv-xx"], "'ocv-xx'"),
        (["--engine_and_format", "fake", "--output", "/proc/nowhere"], "/proc/nowhere"),
        (["--engine_and_format", "fake", "--output", __file__], __file__),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    """An unknown engine and a folder that cannot be written are said in one line."""
    done = package(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
