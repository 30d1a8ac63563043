"""Build the function's zip and the layers from what is installed here, for this host's Python: the local platform's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
import sys
from typing import Final

from serverless_mlperf.cache import cache_section
from serverless_mlperf.errors import HostError, PackageError
from serverless_mlperf.owner import PREFIX, own_folder
from serverless_mlperf.packages.archive import Package, digest, tree, write_zip
from serverless_mlperf.packages.bytecode import Compiler, compile_modules, this_python
from serverless_mlperf.packages.contents import LAYER_OF, layer_files, layer_versions
from serverless_mlperf.packages.kept import kept
from serverless_mlperf.packages.limits import check_limits

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE_PACKAGES: Final = f"python/lib/{PYTHON}/site-packages/"
TASK: Final = Path("/var/task")
LAYERS_AT: Final = Path("/opt")
"""Where Lambda has the function and its layers: compiled modules name their sources by it in tracebacks."""
_FUNCTION: Final = "serverless_mlperf_sut"


def build_function_zip(output: Path) -> Package:
    """Build the function's zip: its sources, compiled for the Python running now."""
    return build_zip("function", function_members(), TASK, output, {"python": PYTHON}, this_python())


def build_layer(engine_and_format: str, output: Path) -> Package:
    """Build the layer of an engine from the distributions installed here; raises PackageError."""
    layer = layer_of(engine_and_format)
    members = {_SITE_PACKAGES + name: path for name, path in layer_files(layer).items()}
    versions = {**layer_versions(layer), "python": PYTHON}
    return build_zip(layer, members, LAYERS_AT, output, versions, this_python())


def cached_packages(engine_and_format: str, folder: Path | None = None) -> tuple[Package, Package]:
    """Return the function's zip and the engine's layer, built only if what they are made of has changed.

    Blocking: it reads every file that goes in, some tenths of a second. Raises PackageError, HostError when it cannot
    be written.
    """
    layer = layer_of(engine_and_format)
    with packages_folder(folder) as place:
        function = kept(place, "function", _made_of(function_members()), build_function_zip)
        made = kept(place, layer, _made_of(layer_files(layer)), lambda output: build_layer(engine_and_format, output))
    check_limits(function, made)
    return function, made


@contextmanager
def packages_folder(folder: Path | None) -> Iterator[Path]:
    """The folder where packages are kept, the cache's by default; raises HostError for what cannot be written there."""
    place = folder or cache_section("packages")
    try:
        yield place
    except OSError as error:
        raise HostError(
            f"{place}: packages cannot be written ({error}); free 200 MB, or set SERVERLESS_MLPERF_CACHE"
        ) from error


def build_zip(
    name: str,
    sources: Mapping[str, Path],
    root: Path,
    output: Path,
    versions: Mapping[str, str],
    compiler: Compiler | None,
) -> Package:
    """Write a zip of files and, with a compiler, their compiled modules; Lambda unpacks it at `root`."""
    with own_folder(PREFIX) as scratch:
        compiled = compile_modules(sources, scratch, root, compiler) if compiler else {}
        package = write_zip(name, {**sources, **compiled}, output, versions)
    check_limits(package)
    return replace(package, bytecode=compiler.version if compiler else "")


def layer_of(engine_and_format: str) -> str:
    """The layer that an engine-and-format needs; raises PackageError for an unknown one."""
    if engine_and_format not in LAYER_OF:
        raise PackageError(f"no layer for engine-and-format {engine_and_format!r}: one of {', '.join(LAYER_OF)}")
    return LAYER_OF[engine_and_format]


def function_members() -> dict[str, Path]:
    """The function's sources by their names in its zip."""
    # Found, not imported: the client does not run the function's code.
    spec = find_spec(_FUNCTION)
    if spec is None or not spec.submodule_search_locations:
        raise PackageError(f"{_FUNCTION} is not installed here; install the project with its function package")
    folder = Path(spec.submodule_search_locations[0])
    return {name: path for name, path in tree(folder, f"{_FUNCTION}/") if name.endswith(".py")}


def digests(sources: Mapping[str, Path]) -> dict[str, str]:
    """What the files are made of, for a key."""
    return {name: digest(path) for name, path in sources.items()}


def _made_of(sources: Mapping[str, Path]) -> Mapping[str, object]:
    return {"python": sys.version, "files": digests(sources)}
