"""Files forced to the disk beside the thread that writes: what is old is deleted only when its copy is safe."""

from collections.abc import Mapping
import os
from pathlib import Path
import threading


class Syncing(threading.Thread):
    """Forces files of one folder, by number, and its entries to the disk, once."""

    def __init__(self, folder: Path, files: Mapping[int, Path]) -> None:
        super().__init__(name="journal-sync", daemon=True)
        self.files = files
        self.error: OSError | None = None
        """Why it could not be done; to be looked at when the thread has ended."""
        self._folder = folder

    def run(self) -> None:
        """Blocking, for as long as the disk takes."""
        try:
            for path in (*self.files.values(), self._folder):
                _sync(path)
        except OSError as error:
            self.error = error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
