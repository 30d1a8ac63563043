"""Packages as files for somebody else to deploy: function.zip, layer-<name>.zip and their bill of materials."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import shutil
from typing import Final

from serverless_mlperf.cache import cache_in_use
from serverless_mlperf.errors import InputError
from serverless_mlperf.owner import this_process
from serverless_mlperf.packages.archive import Package
from serverless_mlperf.packages.bom import bill_of_materials
from serverless_mlperf.packages.build import cached_packages
from serverless_mlperf.packages.target import BuildTarget
from serverless_mlperf.packages.target_build import cached_target_packages

BOM: Final = "bom.json"


def deliver_packages(
    engine_and_formats: Sequence[str], output: Path, target: BuildTarget | None = None
) -> list[Package]:
    """Write the function's zip, the engines' layers, each once, and `bom.json` into a folder, over what is there.

    Without a target they are for this host. Raises PackageError, InputError when the folder cannot be written.
    """
    with cache_in_use():
        built = [package for engine in engine_and_formats for package in _cached(engine, target)]
        packages = list({package.name: package for package in built}.values())
        try:
            output.mkdir(parents=True, exist_ok=True)
            (output / BOM).unlink(missing_ok=True)  # a cut-off delivery has none
            delivered = [_copied(package, output) for package in packages]
            (output / BOM).write_text(bill_of_materials(delivered, target))
        except OSError as error:
            raise InputError(f"{output}: cannot be written ({error}); choose another --output") from error
    return delivered


def _cached(engine_and_format: str, target: BuildTarget | None) -> tuple[Package, Package]:
    return cached_target_packages(engine_and_format, target) if target else cached_packages(engine_and_format)


def _copied(package: Package, output: Path) -> Package:
    name = "function.zip" if package.name == "function" else f"layer-{package.name}.zip"
    partial = output / f"{name}.{this_process().mark}.partial"
    try:
        shutil.copyfile(package.path, partial)
        partial.replace(output / name)
    finally:
        partial.unlink(missing_ok=True)
    return replace(package, path=output / name)
