"""Which installed files a layer is made of: of the distributions installed here, or in a folder for a target."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from typing import Final

from serverless_mlperf.errors import PackageError

COMMON: Final = ("numpy", "pillow", "obstore")
"""In every layer: arrays, the decoder, the object store's client."""
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "openvino": ("openvino", *COMMON),
    "opencv": ("opencv-python-headless", *COMMON),
    "fake": COMMON,
}
"""Layer -> distributions. OpenVINO and OpenCV together would not fit."""
LAYER_OF: Final[dict[str, str]] = {"ie-ir": "openvino", "ocv-cf": "opencv", "ocv-tf": "opencv", "fake": "fake"}
"""Engine-and-format -> layer: both formats of OpenCV share one."""

_NOWHERE: Final = (
    "../*",
    "*.pyc",
    "*/tests/*",
    "*/test/*",
    "*/include/*",
    "*/benchmarks/*",
    "*/cmake/*",
    "*.pyi",
    "*.pxd",
    "*.pyx",
    "*.h",
    "*.a",
    "*.dist-info/RECORD",
    "*.dist-info/sboms/*",
    "*.dist-info/INSTALLER",
    "*.dist-info/direct_url.json",
    "*.dist-info/REQUESTED",
)
"""Needed by no function: tests, headers, stubs; and what differs between two installations of the same version."""
_LEFT_OUT: Final[dict[str, tuple[str, ...]]] = {
    "numpy": ("numpy/f2py/*", "numpy/distutils/*", "numpy/_core/_simd.*", "numpy/_pyinstaller/*"),
    "pillow": ("PIL/_avif*", "pillow.libs/libavif*", "PIL/_imagingft*", "pillow.libs/libharfbuzz*", "PIL/_imagingtk*"),
    "obstore": ("obstore/fsspec.py",),
    "opencv-python-headless": ("cv2/data/*", "cv2/qt/*"),
    "openvino": (
        "openvino/libs/*",
        "openvino/tools/*",
        "openvino/torch/*",
        "openvino/frontend/*/*",
    ),
}
_KEPT: Final[dict[str, tuple[str, ...]]] = {
    # Core, CPU plug-in, reader of IR files and the threads below them; no GPU, NPU, or other formats.
    "openvino": (
        "openvino/libs/libopenvino.so*",
        "openvino/libs/libopenvino_*_cpu_plugin.so*",  # intel, arm
        "openvino/libs/libopenvino_ir_frontend.so*",
        "openvino/libs/libtbb*",
        "openvino/libs/libhwloc*",
    ),
}


def layer_versions(layer: str, folder: Path | None = None) -> Mapping[str, str]:
    """Versions of the distributions a layer would be made of now."""
    return {name: _distribution(name, folder).version for name in LAYERS[layer]}


def layer_files(layer: str, folder: Path | None = None) -> dict[str, Path]:
    """Files of a layer by their path below site-packages, installed here or in a folder.

    Raises PackageError when a distribution is not installed.
    """
    return {member: path for name in LAYERS[layer] for member, path in _files(name, folder)}


def _files(name: str, folder: Path | None) -> Iterator[tuple[str, Path]]:
    for file in _distribution(name, folder).files or ():
        member = file.as_posix()
        if _wanted(name, member) and (path := Path(str(file.locate()))).is_file():
            yield member, path


def _wanted(name: str, member: str) -> bool:
    if _matches(member, _NOWHERE):
        return False
    return _matches(member, _KEPT.get(name, ())) or not _matches(member, _LEFT_OUT.get(name, ()))


def _matches(member: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(member, pattern) for pattern in patterns)


def _distribution(name: str, folder: Path | None) -> Distribution:
    where = {"path": [str(folder)]} if folder else {}
    context = DistributionFinder.Context(name=name, **where)
    found = next(iter(Distribution.discover(context=context)), None)
    if found is None:
        raise PackageError(f"layer: {name} is not installed here; install the project's dependencies")
    if not found.files:
        raise PackageError(f"layer: {name} was installed without a list of its files; install it from a wheel")
    return found
