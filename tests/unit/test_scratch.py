"""Scratch folders: gone afterwards, and what a killed owner left is told from what is in use."""

import os
from pathlib import Path
import signal
import subprocess
import sys

from serverless_mlperf.scratch import ScratchFolder, leftovers, remove_leftovers, scratch_folder

OWNER = """
import sys
from pathlib import Path
from serverless_mlperf.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]), "work")
(folder.path / "file").write_text("x")
print(folder.path, flush=True)
input()
"""


def test_folder_is_removed_with_its_content(tmp_path: Path) -> None:
    """After the block, also one that fails, nothing is left; a folder moved to its place stays there."""
    with scratch_folder(tmp_path, "a") as folder:
        (folder / "file").write_text("x")
        assert leftovers(tmp_path) == []
    with scratch_folder(tmp_path, "b") as folder:
        folder.rename(tmp_path / "made")
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_only_what_a_killed_owner_left_is_removed(tmp_path: Path) -> None:
    """A folder is a leftover from the moment its owner is killed, not before; the next scratch folder removes it."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().strip())
        mine = ScratchFolder(tmp_path, "mine")
        assert remove_leftovers(tmp_path) == []
        owner.send_signal(signal.SIGKILL)
    assert leftovers(tmp_path) == [left]
    with scratch_folder(tmp_path, "next"):
        assert not left.exists()
    assert mine.path.is_dir()
    mine.remove()
    mine.remove()
    assert list(tmp_path.iterdir()) == []


def test_locked_folder_of_an_unknown_process_is_kept(tmp_path: Path) -> None:
    """An id unknown here may be known in another container: while the lock is held it is no leftover."""
    folder = ScratchFolder(tmp_path, "other")
    renamed = folder.path.with_name(f"other.{2**22 + 1}-abcdefgh.scratch")  # above the largest possible pid
    folder.path.rename(renamed)
    assert leftovers(tmp_path) == []
    folder.remove()
    assert leftovers(tmp_path) == [renamed]


def test_other_names_and_links_are_left_alone(tmp_path: Path) -> None:
    """Files, links and folders of other names are nobody's leftovers."""
    gone = f"x.{2**22 + 1}-abcdefgh.scratch"
    (tmp_path / "target").mkdir()
    (tmp_path / "data.scratch").mkdir()
    (tmp_path / gone).symlink_to(tmp_path / "target")
    (tmp_path / f"y{gone}").write_text("")
    before = set(os.listdir(tmp_path))  # noqa: PTH208 - links are not to be followed
    assert remove_leftovers(tmp_path, tmp_path / "none") == []
    assert set(os.listdir(tmp_path)) == before  # noqa: PTH208
