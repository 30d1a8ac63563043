"""What several tests of packages share: builds that differ in nothing but their surroundings."""

import json
import os
from pathlib import Path
import subprocess
import sys

SITE_PACKAGES = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
BUILD = """
import json, os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from serverless_mlperf import packages
output = Path(sys.argv[1])
made = [packages.build_function_zip(output / "function.zip")]
made += [packages.build_layer(engine, output / f"{engine}.zip") for engine in sys.argv[3:]]
print(json.dumps({package.name: package.sha256 for package in made}))
"""


def build_elsewhere(output: Path, umask: str, cwd: Path, engines: list[str], **variables: str) -> dict[str, str]:
    """Digests of packages that a process of its own builds into a folder, by their names."""
    command = [sys.executable, "-c", BUILD, str(output), umask, *engines]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    digests: dict[str, str] = json.loads(done.stdout)
    return digests
