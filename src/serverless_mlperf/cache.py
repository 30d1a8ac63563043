"""Where built models, packages and unpacked runtimes are kept between experiments."""

from collections.abc import Mapping
import os
from pathlib import Path


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder, made if it is missing.

    Root's is under /var/cache, because functions run as another user, who cannot look into root's home.
    """
    folder = _choose(environ)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _choose(environ: Mapping[str, str]) -> Path:
    if given := environ.get("SERVERLESS_MLPERF_CACHE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/cache/serverless-mlperf")
    home = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/nonexistent")) / ".cache")
    if os.access(home if home.exists() else home.parent, os.W_OK):
        return home / "serverless-mlperf"
    return Path(f"/var/tmp/serverless-mlperf-{os.geteuid()}")  # noqa: S108 - named by uid, made 0700 by its owner
