"""What is deployed: the function's zip and one layer per engine, of what is installed here or of a target's wheels."""

from serverless_mlperf.packages.archive import LIMIT_BYTES, Package, unpack
from serverless_mlperf.packages.build import build_function_zip, build_layer, cached_packages
from serverless_mlperf.packages.limits import check_limits
from serverless_mlperf.packages.target import BuildTarget
from serverless_mlperf.packages.target_build import cached_target_packages

__all__ = [
    "LIMIT_BYTES",
    "BuildTarget",
    "Package",
    "build_function_zip",
    "build_layer",
    "cached_packages",
    "cached_target_packages",
    "check_limits",
    "unpack",
]
