"""The function stands alone."""

import subprocess
import sys

import pytest

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split(","):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
sys.path[:0] = sys.argv[3].split(":")
for module in sys.argv[1].split(","):
    __import__("serverless_mlperf_sut." + module)
print("ok")
"""
CLIENT = "serverless_mlperf,aiohttp,boto3,botocore,scipy,mlperf_loadgen,pydantic,typer,rich"
ENGINES = "openvino,cv2,onnxruntime"


@pytest.mark.parametrize(
    ("modules", "blocked"),
    [
        ("protocol,settings,stopwatch", f"{CLIENT},{ENGINES},numpy,PIL,obstore"),
        ("images", f"{CLIENT},{ENGINES},obstore"),
        ("service,storage,postprocess,engines.base,engines.fake", f"{CLIENT},{ENGINES}"),
        ("engines.openvino", f"{CLIENT},cv2,onnxruntime"),
        ("engines.opencv", f"{CLIENT},openvino,onnxruntime"),
    ],
)
def test_imports_nothing_but_what_is_packaged(modules: str, blocked: str) -> None:
    """Each part imports with the client, and every engine but its own, out of reach; protocol needs nothing at all."""
    command = [sys.executable, "-I", "-B", "-c", BLOCK, modules, blocked, ":".join(path for path in sys.path if path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
