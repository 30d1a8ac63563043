"""Files that are there whole or not at all, also through a crash of the host."""

import os
from pathlib import Path

from serverless_mlperf.errors import HostError


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name, bring it to the disk, and rename it into place; raises HostError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise HostError(f"{path}: cannot be written ({error.strerror}); is the disk full?") from error
