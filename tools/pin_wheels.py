"""Pin the wheels of every layer for Lambda's machines: `packages/wheels/<layer>-<architecture>.txt`.

uv resolves the versions, those of requirements.lock wherever the target's Pythons, its glibc and the engines' own
demands allow it; pip then names the wheel that it would take for each Python. Needs uv and the package index:

python tools/pin_wheels.py            # or: make lock
"""

from collections.abc import Iterator, Sequence
import json
from pathlib import Path
import shutil
import subprocess
from tempfile import TemporaryDirectory
from typing import Final

from serverless_mlperf.packages.contents import LAYERS
from serverless_mlperf.packages.fetch import pip_install
from serverless_mlperf.packages.target import ARCHITECTURES, GLIBC_MINOR, BuildTarget, pins_name

ROOT: Final = Path(__file__).resolve().parents[1]
WHEELS: Final = ROOT / "src/serverless_mlperf/packages/wheels"
BOUNDS: Final = {
    "opencv-python-headless": "<5"  # OpenCV 5 reads neither Caffe nor Darknet files any more
}
NOT_IMPORTED: Final = ("openvino-telemetry", "packaging", "typing-extensions")
"""Dependencies that the function's code never reaches: they are left out, as the layers of this host leave them out."""
HEAD: Final = "# The layer {layer} on Lambda's {architecture}, {pythons}; written by tools/pin_wheels.py.\n"


def main() -> None:
    """Write all files."""
    for layer, distributions in LAYERS.items():
        for architecture in ARCHITECTURES:
            targets = [BuildTarget(python, architecture) for python in GLIBC_MINOR]
            text = HEAD.format(layer=layer, architecture=architecture, pythons=" and ".join(t.runtime for t in targets))
            text += "".join(_rows(distributions, targets))
            (WHEELS / pins_name(layer, architecture)).write_text(text)
            print(text)


def _rows(distributions: Sequence[str], targets: Sequence[BuildTarget]) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        resolved = _resolved(distributions, targets[0], Path(folder))
        found = [_wheels(resolved, target) for target in targets]
    for name in sorted(found[0]):
        (version,) = {wheels[name][0] for wheels in found}
        links = sorted({wheels[name][1:] for wheels in found})
        yield "".join(f"# {file}\n" for file, _ in links)
        yield f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{digest}" for _, digest in links) + "\n"


def _resolved(distributions: Sequence[str], target: BuildTarget, folder: Path) -> Path:
    """Versions for the oldest Python, with the hashes of all their files."""
    wanted, resolved = folder / "wanted.in", folder / "resolved.txt"
    wanted.write_text("".join(f"{name}{BOUNDS.get(name, '')}\n" for name in distributions))
    shutil.copyfile(ROOT / "requirements.lock", resolved)  # uv prefers what the output pins already
    platform = f"{target.machine}-manylinux_2_{target.glibc_minor}"
    command = ["uv", "pip", "compile", str(wanted), "--python-version", target.python, "--python-platform", platform]
    command += ["--only-binary", ":all:", "--generate-hashes", "--no-header", "--quiet", "--output-file", str(resolved)]
    command += [option for name in NOT_IMPORTED for option in ("--no-emit-package", name)]
    subprocess.run(command, check=True)
    return resolved


def _wheels(resolved: Path, target: BuildTarget) -> dict[str, tuple[str, str, str]]:
    """Version, file name and digest of what pip takes of the resolved, by distribution."""
    command = [
        *pip_install(target),
        "--quiet",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "-",
        "--requirement",
        str(resolved),
    ]
    done = subprocess.run([*command, "--target", "/nonexistent"], check=True, stdout=subprocess.PIPE, text=True)
    return {
        each["metadata"]["name"].lower(): (
            each["metadata"]["version"],
            each["download_info"]["url"].rpartition("/")[2],
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in json.loads(done.stdout)["install"]
    }


if __name__ == "__main__":
    main()
