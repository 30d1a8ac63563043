"""What is deployed: the function's zip and one layer per engine, built from what is installed here."""

from serverless_mlperf.packages.archive import LIMIT_BYTES, Package, unpack
from serverless_mlperf.packages.build import build_function_zip, build_layer, cached_packages
from serverless_mlperf.packages.limits import check_limits

__all__ = ["LIMIT_BYTES", "Package", "build_function_zip", "build_layer", "cached_packages", "check_limits", "unpack"]
