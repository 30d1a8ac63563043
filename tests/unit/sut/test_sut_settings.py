"""The function's environment variables."""

import os

import pytest

from serverless_mlperf_sut.settings import Settings, SettingsError, read_settings

GIVEN = {"BUCKET_NAME": "b", "CV_TASK": "classification", "ENGINE_AND_FORMAT": "ocv-cf"}


def test_defaults_are_what_the_engine_would_find() -> None:
    """Threads default to the cores of the process, precision to f32, models to models/."""
    cores = len(os.sched_getaffinity(0))
    assert read_settings(GIVEN) == Settings("b", "ocv-cf", "classification", "models/", cores, "f32")


def test_model_keys_follow_the_task() -> None:
    """Structure first, weights second, below MODELS_PATH."""
    assert read_settings({**GIVEN, "MODELS_PATH": "models/own/"}).model_keys == (
        "models/own/mobilenetv1/FP32/mobilenet_v1_224_frozen.prototxt",
        "models/own/mobilenetv1/FP32/mobilenet_v1_224_frozen.caffemodel",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUCKET_NAME", ""),
        ("CV_TASK", "segmentation"),
        ("ENGINE_AND_FORMAT", "ocv-xx"),
        ("MODELS_PATH", "models"),
        ("SUT_THREADS", "0"),
        ("SUT_THREADS", "two"),
        ("SUT_THREADS", "-1"),
        ("SUT_THREADS", "1025"),
        ("SUT_THREADS", "1.5"),
        ("SUT_MODEL_SHA256", "0" * 64),
        ("SUT_MODEL_SHA256", "0" * 64 + "," + "F" * 64),
        ("SUT_MODEL_SHA256", ","),
    ],
)
def test_wrong_values_name_their_variable(name: str, value: str) -> None:
    """A wrong setting fails the initialisation with its own name."""
    with pytest.raises(SettingsError, match=name):
        read_settings({**GIVEN, name: value})


def test_digests_come_in_the_order_of_the_files() -> None:
    """One digest per file, structure first; without any the files are not checked."""
    given = ",".join(("a" * 64, "b" * 64))
    assert read_settings({**GIVEN, "SUT_MODEL_SHA256": given}).model_sha256 == ("a" * 64, "b" * 64)
    assert read_settings(GIVEN).model_sha256 == ()
