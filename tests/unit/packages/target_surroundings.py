"""What builds for targets find around them in tests: the Pythons of the targets, and an index that is not there."""

import os
from pathlib import Path

_KEPT = (".pyenv/versions/{python}.*/bin", ".local/share/uv/python/cpython-{python}.*/bin")
WITHOUT_INDEX = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",  # the port `discard`, on which nothing listens
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "PIP_NO_CACHE_DIR": "1",
}
"""For pip: whatever this host is configured for, no index answers."""


def path_with(python: str) -> str:
    """PATH, with folders before it that have an interpreter of this minor version, where pyenv and uv keep theirs."""
    home = Path.home()
    found = [str(folder) for pattern in _KEPT for folder in sorted(home.glob(pattern.format(python=python)))]
    return os.pathsep.join([*found, os.environ.get("PATH", "")])
