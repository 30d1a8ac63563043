"""The function's settings: its environment variables, read in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
import os
import re

from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS


class SettingsError(Exception):
    """An environment variable of the function is missing or wrong; initialising fails with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function was deployed as."""

    bucket: str
    engine_and_format: str
    task: str
    models_path: str = "models/"
    threads: int = 1
    precision: str = "f32"
    model_sha256: tuple[str, ...] = ()
    """Digests that the model's files must have, in the order of `model_keys`; empty: they are not checked."""

    @property
    def model_keys(self) -> tuple[str, ...]:
        """Keys of the model's files, structure first."""
        folder = self.models_path + MODEL_FOLDERS[self.task]
        return tuple(folder + name for name in MODEL_FILES[self.task, self.engine_and_format])


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the function's environment; raises SettingsError."""
    task, engine = _required(environ, "CV_TASK"), _required(environ, "ENGINE_AND_FORMAT")
    if (task, engine) not in MODEL_FILES:
        known = ", ".join(sorted({f"{task} with {engine}" for task, engine in MODEL_FILES if engine != "fake"}))
        raise SettingsError(f"CV_TASK={task} with ENGINE_AND_FORMAT={engine} is not known: one of {known}")
    models_path = environ.get("MODELS_PATH", "models/")
    if not models_path.endswith("/"):
        raise SettingsError(f"MODELS_PATH={models_path} must end in /")
    return Settings(
        bucket=_required(environ, "BUCKET_NAME"),
        engine_and_format=engine,
        task=task,
        models_path=models_path,
        threads=_threads(environ.get("SUT_THREADS", "")),
        precision=environ.get("SUT_PRECISION") or "f32",
        model_sha256=_digests(environ.get("SUT_MODEL_SHA256", ""), len(MODEL_FILES[task, engine])),
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"environment variable {name} is not set")
    return value


def _digests(value: str, count: int) -> tuple[str, ...]:
    digests = tuple(value.split(",")) if value else ()
    if digests and (len(digests) != count or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)):
        raise SettingsError(f"SUT_MODEL_SHA256={value[:80]} must be {count} SHA-256 in hexadecimal, between commas")
    return digests


def _threads(value: str) -> int:
    if not value:
        # What an engine would find by itself: the cores this process may run on.
        return len(os.sched_getaffinity(0))
    if not value.isdecimal() or not 1 <= int(value) <= 1024:
        raise SettingsError(f"SUT_THREADS={value} must be a whole number from 1 to 1024")
    return int(value)
