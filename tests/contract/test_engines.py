"""One suite against every engine: tiny models written here, real ones where trained weights are at hand."""

from collections.abc import Callable
from pathlib import Path
import struct

import numpy as np
import pytest

from serverless_mlperf_sut.engines.base import ENGINES, Engine, EngineError, create

SIZE = 224
CLASSES = 3
PROTOTXT = f"""
name: "tiny" input: "data" input_shape {{ dim: 1 dim: 3 dim: {SIZE} dim: {SIZE} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "flat" type: "Flatten" bottom: "pool" top: "flat" }}
layer {{ name: "prob" type: "Softmax" bottom: "flat" top: "prob" softmax_param {{ axis: 1 }} }}
"""


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def graph_def() -> bytes:
    """Placeholder -> mean over height and width -> softmax, as a TensorFlow graph."""

    def node(name: str, operation: str, inputs: list[str], attributes: dict[str, bytes]) -> bytes:
        parts = [field(1, name.encode()), field(2, operation.encode()), *(field(3, i.encode()) for i in inputs)]
        parts += [field(5, field(1, key.encode()) + field(2, value)) for key, value in attributes.items()]
        return field(1, b"".join(parts))

    floats, integers = b"\x30\x01", b"\x30\x03"
    axes = b"\x08\x03" + field(2, field(2, b"\x08\x02")) + field(4, struct.pack("<2i", 1, 2))
    return b"".join(
        [
            node("data", "Placeholder", [], {"dtype": floats}),
            node("axes", "Const", [], {"dtype": integers, "value": field(8, axes)}),
            node("mean", "Mean", ["data", "axes"], {"T": floats, "Tidx": integers, "keep_dims": b"\x28\x00"}),
            node("prob", "Softmax", ["mean"], {"T": floats}),
        ]
    )


def ir_files(folder: Path) -> tuple[bytes, bytes]:
    """The same network as OpenVINO's two files."""
    import openvino as ov
    from openvino import opset13

    data = opset13.parameter([1, 3, SIZE, SIZE], np.float32, name="data")
    mean = opset13.reduce_mean(data, np.array([2, 3]), keep_dims=False)
    weights = opset13.constant(np.ones((1, CLASSES), np.float32))
    prob = opset13.softmax(opset13.multiply(mean, weights), 1)
    ov.save_model(ov.Model([opset13.result(prob)], [data], "tiny"), str(folder / "tiny.xml"), compress_to_fp16=False)
    return (folder / "tiny.xml").read_bytes(), (folder / "tiny.bin").read_bytes()


FILES: dict[str, Callable[[Path], tuple[bytes, ...]]] = {
    "ie-ir": ir_files,
    # An empty NetParameter but for its name: the tiny network has no weights.
    "ocv-cf": lambda _: (PROTOTXT.encode(), field(1, b"tiny")),
    "ocv-tf": lambda _: (graph_def(),),
}


def batch(level: float) -> np.ndarray:
    """A picture of one colour: three channels, each a constant."""
    planes = np.empty((1, CLASSES, SIZE, SIZE), np.float32)
    planes[0] = np.array([level, 0, -level], np.float32)[:, None, None]
    return planes


@pytest.fixture(params=sorted(FILES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Every engine with the tiny network loaded."""
    made = create(request.param)
    made.load(FILES[request.param](tmp_path), 2, "f32")
    made.compile()
    return made


def test_infers_what_the_network_says(engine: Engine) -> None:
    """Softmax of the channel means, to float precision, in f32."""
    expected = np.exp([0.5, 0, -0.5]) / np.exp([0.5, 0, -0.5]).sum()
    np.testing.assert_allclose(engine.infer(batch(0.5)).reshape(-1), expected, rtol=1e-5)


def test_infers_again_with_new_data(engine: Engine) -> None:
    """A second batch is not answered with the first one's result, though buffers are shared."""
    first = engine.infer(batch(0.5)).copy()
    second = engine.infer(batch(-0.5)).copy()
    np.testing.assert_allclose(first.reshape(-1), second.reshape(-1)[::-1], rtol=1e-5)


def test_names_itself_and_its_version(engine: Engine) -> None:
    """Results name the engine that made them."""
    assert engine.name in ("openvino", "opencv")
    assert engine.version[0].isdigit()


def test_wrong_input_is_an_engine_error(engine: Engine) -> None:
    """A vendor's exception stops at its adapter."""
    with pytest.raises(EngineError, match="cannot infer"):
        engine.infer(np.zeros((1, 1, 2, 2), np.float32) if engine.name == "openvino" else np.zeros((0,), np.float32))


@pytest.mark.parametrize("name", sorted(FILES))
def test_infer_before_load_is_an_engine_error(name: str) -> None:
    """An engine without a model says so."""
    with pytest.raises(EngineError, match="before load"):
        create(name).infer(batch(0))


@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_model_is_an_engine_error(name: str, tmp_path: Path) -> None:
    """Files that are no model are refused in one line."""
    rubbish = tuple(b"rubbish \x00\xff" for _ in FILES[name](tmp_path))
    engine = create(name)
    with pytest.raises(EngineError, match="cannot load"):
        engine.load(rubbish, 1, "f32")


@pytest.mark.parametrize("name", ["ocv-cf", "ocv-tf", "fake"])
def test_precision_an_engine_lacks_is_refused(name: str) -> None:
    """Asking OpenCV for bf16 does not quietly give f32."""
    with pytest.raises(EngineError, match="bf16"):
        create(name).load((), 1, "bf16")


def test_openvino_computes_in_the_precision_asked_for(tmp_path: Path) -> None:
    """Neither f32 nor bf16 is refused, and an unknown one is."""
    for precision in ("f32", "bf16"):
        engine = create("ie-ir")
        engine.load(ir_files(tmp_path), 1, precision)
        engine.compile()
    with pytest.raises(EngineError, match="f8"):
        create("ie-ir").load(ir_files(tmp_path), 1, "f8")


@pytest.mark.parametrize("name", ["ie-ir", "ocv-cf", "ocv-tf"])
def test_compile_before_load_is_an_engine_error(name: str) -> None:
    """There is nothing to compile yet."""
    with pytest.raises(EngineError, match="before load"):
        create(name).compile()


def test_unknown_engine_names_the_known_ones() -> None:
    """The error lists what could have been meant."""
    with pytest.raises(EngineError, match="ie-ir, ocv-cf, ocv-tf"):
        create("ocv-xx")


def test_every_engine_of_the_table_exists() -> None:
    """Each row of the table leads to a class with the Protocol's members."""
    for name in ENGINES:
        made = create(name)
        assert made.name
        assert made.version
