"""How `make test` gives tests to its workers (pytest-xdist)."""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

APART: Final = ("tests/e2e/test_docs.py",)
"""Modules of long tests that share nothing which takes long to make."""
TOGETHER: Final = ("tests/unit/packages/",)
"""Folders whose modules share what takes long to make: the layers of all engines."""


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """A module goes to one worker as a whole, so that what its tests share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module in APART:
            return nodeid
        return next((folder for folder in TOGETHER if module.startswith(folder)), module)
