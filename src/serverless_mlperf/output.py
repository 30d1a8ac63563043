"""Whether results can be written where the user wants them: told before anything is built."""

import os
from pathlib import Path

from serverless_mlperf.errors import InputError


def check_output(output: Path) -> None:
    """Raise InputError unless `output` is a folder that can be written, or can be made."""
    try:
        nearest = next(path for path in (output.absolute(), *output.absolute().parents) if _is_there(path))
    except OSError as error:
        raise InputError(f"{output}: cannot be a folder ({error.strerror}); choose another --output") from error
    if not nearest.is_dir():
        raise InputError(f"{output}: {nearest} is a file, not a folder; choose another --output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{output}: {nearest} cannot be written; choose another --output")


def _is_there(path: Path) -> bool:
    """Whether there is something under a name; a part of it that is no folder means no."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
