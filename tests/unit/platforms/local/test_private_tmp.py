"""A /tmp of its own: what the process sees in it, and that the host's mounts stay as they are."""

import json
from pathlib import Path
import subprocess
import sys
import tempfile

import pytest

from serverless_mlperf.platforms.local.isolation import why_tmp_is_shared

INSIDE = """
import json, os, sys
from serverless_mlperf.platforms.local.private_tmp import leave_host, show
folder, kept = sys.argv[1:]
leave_host()
show(folder, [kept])
open("/tmp/written", "w").close()
print(json.dumps([sorted(os.listdir("/tmp")), os.listdir(kept), os.getuid()]))
"""


def test_the_folder_is_at_tmp_for_one_process_alone(tmp_path: Path) -> None:
    """It sees the folder and what is kept of the host's /tmp, as the user it was; on the host nothing is mounted."""
    if reason := why_tmp_is_shared():
        pytest.skip(reason)
    before = Path("/proc/self/mounts").read_text()
    with tempfile.TemporaryDirectory(dir="/tmp") as kept:
        (Path(kept) / "code").touch()
        command = [sys.executable, "-c", INSIDE, str(tmp_path), kept]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        names, code, uid = json.loads(done.stdout)
        assert names == sorted(["written", Path(kept).name])
        assert (code, uid) == (["code"], tmp_path.stat().st_uid)
        assert list((tmp_path / Path(kept).name).iterdir()) == []  # what is mounted there is seen inside only
    assert (tmp_path / "written").is_file()
    assert Path("/proc/self/mounts").read_text() == before


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As an OSError with both names, not as the host's /tmp under another name."""
    if reason := why_tmp_is_shared():
        pytest.skip(reason)
    command = [sys.executable, "-c", INSIDE, str(tmp_path / "gone"), "/usr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot mount {tmp_path / 'gone'} at /tmp: No such file or directory" in done.stderr
