"""`serverless-mlperf package` for targets: what it refuses, and the build contexts it writes for containers."""

from collections.abc import Mapping
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest
from target_surroundings import WITHOUT_INDEX, path_with

from serverless_mlperf.errors import HostError
from serverless_mlperf.owner import own_folder
from serverless_mlperf.packages.build import function_members
from serverless_mlperf.packages.bytecode import compiler_for
from serverless_mlperf.packages.container import HANDLER, dockerfile
from serverless_mlperf.packages.fetch import fetch_wheels
from serverless_mlperf.packages.target import BuildTarget, pins
from serverless_mlperf.platforms.aws.spec import HANDLER as AWS_HANDLER
from serverless_mlperf.platforms.local.platform import HANDLER as LOCAL_HANDLER


def package(
    *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `serverless-mlperf package`."""
    command = [sys.executable, "-m", "serverless_mlperf", "package", *arguments]
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--python", "3.11"], "--python 3.11: "),
        (["--python", ""], "--python : "),
        (["--architecture", "aarch64"], "one of x86_64, arm64"),
        (["--architecture", "arm64", "--engine-and-format", "ocv-xx"], "'ocv-xx'"),
        (["--dockerfile", "--python", "2.7"], "--python 2.7: "),
        (["--dockerfile", "--engine-and-format", "ocv-xx"], "'ocv-xx'"),
        (["--dockerfile", "--output", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    """A Python, architecture, engine or folder that cannot be is told in one line, and nothing is written."""
    done = package(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unreachable_index_is_one_line_and_status_1(tmp_path: Path) -> None:
    """Nothing is wrong with what was given: the host lacks the index."""
    cache = tmp_path / "cache"
    arguments = ["--architecture", "arm64", "--engine-and-format", "fake", "--output", str(tmp_path / "out")]
    done = package(*arguments, variables={**WITHOUT_INDEX, "SERVERLESS_MLPERF_CACHE": str(cache)})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: wheels for python3.13-arm64: the package index cannot be reached")
    assert not (tmp_path / "out").exists()


def test_handler_is_the_same_everywhere() -> None:
    """Zips on AWS, zips on the local platform and images name one handler."""
    assert {HANDLER} == {AWS_HANDLER, LOCAL_HANDLER}
    assert f'CMD ["{HANDLER}"]' in dockerfile("openvino", BuildTarget())


def test_contexts_hold_pins_and_function(tmp_path: Path) -> None:
    """One context per layer, in a folder named after the target: the pinned wheels, the function and the base's tag."""
    done = package("--dockerfile", "--architecture", "arm64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    target = BuildTarget("3.13", "arm64")
    folders = [Path("packages/python3.13-arm64") / f"docker-{layer}" for layer in ("openvino", "opencv")]
    assert done.stdout.split() == [str(folder) for folder in folders]
    for folder, layer in zip(folders, ("openvino", "opencv"), strict=True):
        files = {p.relative_to(tmp_path / folder).as_posix() for p in (tmp_path / folder).rglob("*") if p.is_file()}
        assert files == {"Dockerfile", "requirements.txt", *function_members()}
        assert (tmp_path / folder / "requirements.txt").read_text() == pins(layer, target)
        assert "\nFROM public.ecr.aws/lambda/python:3.13-arm64\n" in (tmp_path / folder / "Dockerfile").read_text()


def test_instructions_of_the_dockerfile_make_a_function(tmp_path: Path) -> None:
    """Carried out one by one without a container, they install the pinned wheels, and the handler is found there.

    Shows neither that the base's tag exists nor that Docker accepts the file: no registry is asked.
    """
    path = path_with("3.13")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        python = compiler_for("3.13")
    if python is None:
        pytest.skip("needs Python 3.13 on PATH or of pyenv, as the base image has it")
    try:
        with own_folder("serverless-mlperf-", tmp_path) as folder:
            fetch_wheels(pins("fake", BuildTarget()), BuildTarget(), folder / "wheels")
    except HostError as error:
        pytest.skip(f"needs the package index: {error}")
    done = package("--dockerfile", "--engine-and-format", "fake", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(python.path)
    context, task = tmp_path / "docker-fake", tmp_path / "task"
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{path}", "LAMBDA_TASK_ROOT": str(task)}
    carry_out(context, environment)
    module, _, name = HANDLER.rpartition(".")
    code = (
        f"import sys; sys.path.append({str(task)!r}); import numpy, obstore, PIL.Image, serverless_mlperf_sut.service\n"
        f"import importlib.util as u; print(numpy.__file__, u.find_spec({module!r}).origin)"
    )
    ran = subprocess.run([python.path, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    handler = task / "serverless_mlperf_sut/handler.py"
    assert ran.stdout.split() == [f"{task}/numpy/__init__.py", str(handler)], ran.stderr
    assert f"\ndef {name}(event" in handler.read_text()


def carry_out(context: Path, environment: dict[str, str]) -> None:
    """Do what COPY and RUN say, with the image's /tmp and task folder in folders of ours."""
    text = (context / "Dockerfile").read_text().replace("\\\n", " ").replace("/tmp/", f"{context.parent}/")  # noqa: S108
    for verb, rest in re.findall(r"^(COPY|RUN) (.*)$", text, re.MULTILINE):
        if verb == "RUN":
            done = subprocess.run(rest, shell=True, env=environment, capture_output=True, text=True, check=False)  # noqa: S602
            assert done.returncode == 0, done.stderr
            continue
        source, goal = rest.split()
        there = Path(goal.strip('"').replace("${LAMBDA_TASK_ROOT}", environment["LAMBDA_TASK_ROOT"]))
        copy = shutil.copytree if (context / source).is_dir() else shutil.copyfile
        copy(context / source, there)


def test_default_image_is_lambdas_newest(tmp_path: Path) -> None:
    """Without --python and --architecture it is Python 3.13 on x86-64, whatever this host runs."""
    done = package("--dockerfile", "--engine-and-format", "ie-ir", cwd=tmp_path)
    assert done.stdout == "packages/python3.13-x86_64/docker-openvino\n"
