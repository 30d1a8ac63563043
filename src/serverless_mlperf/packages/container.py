"""The alternative to zips: build contexts for container images, of the same pinned wheels and the same function."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.packages.build import function_members, layer_of
from serverless_mlperf.packages.target import BuildTarget, pins

HANDLER: Final = "serverless_mlperf_sut.handler.lambda_handler"
"""The same as of the zips."""
BASE: Final = "public.ecr.aws/lambda/python"
_REQUIREMENTS: Final = "requirements.txt"
_DOCKERFILE: Final = """\
# Container image of a function, written by `serverless-mlperf package --dockerfile`.
# docker build --provenance=false --tag serverless-mlperf-{layer}:{target.name} .
FROM {base}:{target.python}-{target.architecture}
COPY {requirements} /tmp/{requirements}
RUN python -m pip install --no-cache-dir --only-binary=:all: --no-deps --require-hashes \\
    --requirement /tmp/{requirements} --target "${{LAMBDA_TASK_ROOT}}" && rm /tmp/{requirements}
COPY serverless_mlperf_sut "${{LAMBDA_TASK_ROOT}}/serverless_mlperf_sut"
# Lambda runs it as a user who owns nothing of it.
RUN python -m compileall -q "${{LAMBDA_TASK_ROOT}}/serverless_mlperf_sut" && chmod -R a+rX "${{LAMBDA_TASK_ROOT}}"
CMD ["{handler}"]
"""


def write_contexts(engine_and_formats: Sequence[str], output: Path, target: BuildTarget) -> list[Path]:
    """Write one folder per layer, `docker-<layer>`, that `docker build` takes; returns the folders.

    Raises PackageError for an unknown engine, InputError when the folder cannot be written.
    """
    layers = list(dict.fromkeys(layer_of(engine) for engine in engine_and_formats))
    try:
        return [_write_context(layer, output / f"docker-{layer}", target) for layer in layers]
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error}); choose another --output") from error


def dockerfile(layer: str, target: BuildTarget) -> str:
    """The text of a layer's Dockerfile."""
    names = {"base": BASE, "requirements": _REQUIREMENTS, "handler": HANDLER}
    return _DOCKERFILE.format(layer=layer, target=target, **names)


def _write_context(layer: str, folder: Path, target: BuildTarget) -> Path:
    texts = {name: path.read_text() for name, path in function_members().items()}
    texts |= {_REQUIREMENTS: pins(layer, target), "Dockerfile": dockerfile(layer, target)}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
