"""Where built models, packages and unpacked runtimes are kept between experiments."""

from collections.abc import Mapping
import os
from pathlib import Path
from typing import Final

from serverless_mlperf.errors import HostError

_HINT: Final = "set SERVERLESS_MLPERF_CACHE to a folder of your own"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder, made if it is missing; raises HostError when it cannot be made or used.

    Root's is under /var/cache, because functions run as another user, who cannot look into root's home.
    """
    folder = _choose(environ)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"cache {folder}: cannot be made ({error.strerror}); {_HINT}") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise HostError(f"cache {folder}: cannot be written; {_HINT}")
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
