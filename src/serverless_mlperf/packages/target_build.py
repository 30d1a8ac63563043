"""Build the function's zip and the layers for a target, from wheels that pip fetches for it: no Docker, any host."""

from dataclasses import replace
from pathlib import Path

from serverless_mlperf.owner import PREFIX, own_folder
from serverless_mlperf.packages.archive import Package
from serverless_mlperf.packages.build import (
    LAYERS_AT,
    TASK,
    build_zip,
    digests,
    function_members,
    layer_of,
    packages_folder,
)
from serverless_mlperf.packages.bytecode import Compiler, compiler_for
from serverless_mlperf.packages.contents import layer_files, layer_versions
from serverless_mlperf.packages.fetch import fetch_wheels
from serverless_mlperf.packages.kept import kept
from serverless_mlperf.packages.limits import check_limits
from serverless_mlperf.packages.target import BuildTarget, pins


def cached_target_packages(
    engine_and_format: str, target: BuildTarget, folder: Path | None = None
) -> tuple[Package, Package]:
    """Return the function's zip and the engine's layer for a target, built only if what they are made of has changed.

    Modules are compiled if a Python of the target's version is found (`bytecode.compiler_for`). Blocking: the first
    time it fetches up to 110 MB and compresses twice as much. Raises PackageError, HostError.
    """
    layer, compiler = layer_of(engine_and_format), compiler_for(target.python)
    common = {"target": target.runtime, "bytecode": compiler.version if compiler else ""}
    function_of = {**common, "files": digests(function_members())}
    layer_of_ = {**common, "pins": pins(layer, target), "platforms": target.platforms}
    with packages_folder(folder) as place:
        function = kept(place, "function", function_of, lambda out: build_target_function_zip(target, out, compiler))
        made = kept(place, layer, layer_of_, lambda out: build_target_layer(layer, target, out, compiler))
    check_limits(function, made)
    return function, made


def build_target_function_zip(target: BuildTarget, output: Path, compiler: Compiler | None) -> Package:
    """Build the function's zip for a target's Python: the same for every architecture."""
    return build_zip("function", function_members(), TASK, output, {"python": target.runtime}, compiler)


def build_target_layer(layer: str, target: BuildTarget, output: Path, compiler: Compiler | None) -> Package:
    """Fetch a layer's wheels for a target and build it of them; raises PackageError, HostError."""
    with own_folder(PREFIX) as scratch:
        wheels = fetch_wheels(pins(layer, target), target, scratch / "wheels")
        installed = scratch / "wheels"
        members = {target.site_packages + name: path for name, path in layer_files(layer, installed).items()}
        versions = {**layer_versions(layer, installed), "python": target.runtime}
        package = build_zip(layer, members, LAYERS_AT, output, versions, compiler)
    return replace(package, wheels=dict(wheels))
