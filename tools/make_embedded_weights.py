"""Make, or check, the weights that are shipped in `src/serverless_mlperf/models/embedded/`.

    python tools/make_embedded_weights.py            # fit, write, check: about four minutes on two cores
    python tools/make_embedded_weights.py --check    # only measure the shipped files on fresh seeds

No network is trained: backbones are structured random kernels (embedded_backbone.py), heads are linear fits on their
features (embedded_heads.py), and all data are synthetic pictures, through the function's own decoder and
pre-processing. Pictures for fitting, for the choice of the classifier's penalty and for the check come from different
seeds. The same machine and versions give the same files; others give the same accuracy within about a percent,
because BLAS and LAPACK differ.
"""

import argparse
from collections.abc import Iterator
import io
from pathlib import Path
import tempfile
from typing import Any, Final

from embedded_backbone import Layer, backbone, feature_extractor, stored
from embedded_heads import Cells, Linear, Truth, box_head, class_head, matched, ridge
import numpy as np
from numpy.typing import NDArray

from serverless_mlperf.accuracy import classification_accuracy, detection_accuracy
from serverless_mlperf.datasets.base import load_dataset
from serverless_mlperf.datasets.pictures import CLASSES
from serverless_mlperf.datasets.synthetic import JPEG_QUALITY, boxes_of, picture
from serverless_mlperf.models.architecture import (
    CLASSIFIER_CLASSES,
    DETECTOR_CLASSES,
    Array,
    conv_shapes,
    prior_sizes,
)
from serverless_mlperf.models.build import build_models
from serverless_mlperf.workloads import TASKS, Task
from serverless_mlperf_sut.engines.base import create
from serverless_mlperf_sut.images import decode, preprocess
from serverless_mlperf_sut.postprocess import postprocess
from serverless_mlperf_sut.protocol import MODEL_FILES, MODEL_FOLDERS

EMBEDDED: Final = Path(__file__).resolve().parents[1] / "src" / "serverless_mlperf" / "models" / "embedded"
FIT_SEED: Final = 1_000_001
VALIDATION_SEED: Final = 1_000_002
CHECK_SEED: Final = 2_000_001
FIT_COUNTS: Final[dict[Task, int]] = {"classification": 8000, "object_detection": 4000}
VALIDATION_COUNT: Final = 1000
CHECK_COUNT: Final = 500
CALIBRATION_COUNT: Final = 12
PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1)
CENTRE_SHARES: Final[dict[Task, float]] = {"classification": 0.95, "object_detection": 0.75}
"""Share of depthwise kernels that hand on the pixel itself: a classifier pools over the image and needs little else;
a detector has to see what surrounds a cell."""
EMPTY_SHARE: Final = 0.15
"""Share kept of the cells without an object, on the large maps; near an object three times as many."""
NEVER: Final = -20.0
"""Score of classes that are not in the set: a probability of 0 in float32's eyes, far from its limits."""
BIAS_DTYPE: Final = np.float32

Arrays = dict[str, NDArray[Any]]


def main() -> None:
    """Write the files unless only a check is asked for; then measure what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do not write, only measure the shipped files")
    parser.add_argument("--seed", type=int, default=CHECK_SEED, help="seed of the pictures of the check")
    parser.add_argument("--engine", default="ie-ir", help="engine-and-format of the check")
    options = parser.parse_args()
    if not options.check:
        write("classification", classifier())
        write("object_detection", detector())
    check(options.seed, options.engine)


def write(task: Task, arrays: Arrays) -> None:
    """Write one file."""
    EMBEDDED.mkdir(exist_ok=True)
    path = EMBEDDED / f"{task}.npz"
    np.savez_compressed(path, allow_pickle=False, **arrays)
    print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)


def check(seed: int, engine_and_format: str) -> None:
    """Print the accuracy of the shipped files on fresh pictures, through the model files and the function's code."""
    with tempfile.TemporaryDirectory() as scratch:
        build_models(Path(scratch, "models"), None)
        for task in TASKS:
            paths = [
                Path(scratch, "models", MODEL_FOLDERS[task], name) for name in MODEL_FILES[task, engine_and_format]
            ]
            engine = create(engine_and_format)
            engine.load([path.read_bytes() for path in paths], threads=2, precision="f32")
            dataset = load_dataset("synthetic", task, Path(scratch, task), CHECK_COUNT, seed)
            results = {
                sample.index: postprocess(task, engine.infer(preprocess(task, decode(sample.path.read_bytes()))))
                for sample in dataset.samples
            }
            score = classification_accuracy if task == "classification" else detection_accuracy
            rows = sum(map(len, results.values())) / len(results)
            print(f"{engine_and_format} seed {seed}: {score(dataset, results)}, {rows:.1f} rows per image", flush=True)


def inputs(task: Task, seed: int, count: int) -> Iterator[tuple[Array, dict[str, Any]]]:
    """Network inputs (1 x 3 x S x S) of synthetic pictures, by way of JPEG, with their truth."""
    for index in range(count):
        image, truth = picture(task, seed, index)
        body = io.BytesIO()
        image.save(body, "JPEG", quality=JPEG_QUALITY)
        yield preprocess(task, decode(body.getvalue())), truth | {"width": image.width, "height": image.height}


def calibrated(task: Task) -> list[Layer]:
    """The backbone of a task."""
    images = np.concatenate([batch for batch, _ in inputs(task, FIT_SEED, CALIBRATION_COUNT)])
    return backbone(task, images, CENTRE_SHARES[task])


def classifier() -> Arrays:
    """Backbone and logits; the ridge penalty and the scale of the logits are chosen on validation pictures."""
    layers = calibrated("classification")
    features, labels = pooled(layers, FIT_SEED, FIT_COUNTS["classification"])
    validation, validation_labels = pooled(layers, VALIDATION_SEED, VALIDATION_COUNT)
    heads = [ridge(features, np.eye(len(CLASSES))[labels], penalty) for penalty in PENALTIES]
    top1 = [float(((validation @ h.weights + h.bias).argmax(axis=1) == validation_labels).mean()) for h in heads]
    print(f"classifier: validation Top-1 {dict(zip(PENALTIES, top1, strict=True))}", flush=True)
    head = heads[int(np.argmax(top1))]
    scale = likeliest_scale(validation @ head.weights + head.bias, validation_labels)
    print(f"classifier: logits times {scale}", flush=True)
    return stored(layers) | placed_logits(Linear(head.weights * scale, head.bias * scale))


def pooled(layers: list[Layer], seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Globally averaged features, and labels."""
    extract = feature_extractor(layers, [layers[-1].shape.name])
    rows = [(extract(batch)[0].mean(axis=(0, 1)), truth["label"]) for batch, truth in inputs(TASKS[0], seed, count)]
    return np.array([features for features, _ in rows], float), np.array([label for _, label in rows])


def likeliest_scale(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The factor under which softmax gives the right classes the greatest likelihood."""

    def loss(scale: float) -> float:
        logits = scores * scale
        return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean())

    return min((float(scale) for scale in range(1, 41)), key=loss)


def placed_logits(head: Linear) -> Arrays:
    """Data-set class k is output k + 1; all other outputs have no weights and the score NEVER."""
    shape = conv_shapes("classification")[-1]
    weights, bias = np.zeros(shape.weights_shape, np.float16), np.full(CLASSIFIER_CLASSES, NEVER, BIAS_DTYPE)
    outputs = slice(1, 1 + len(CLASSES))
    weights[0, 0, :, outputs], bias[outputs] = head.weights, head.bias
    return {shape.weights_name: weights, shape.bias_name: bias}


def detector() -> Arrays:
    """Backbone, extra maps and the predictors of every map."""
    layers = calibrated("object_detection")
    arrays: Arrays = dict(stored(layers))
    for number, cells in enumerate(sampled_cells(layers)):
        classes, boxes = class_head(cells, len(CLASSES)), box_head(cells)
        hits = (cells.kinds > 0).sum(axis=0)
        print(f"detector: map {number}, {len(cells.features)} cells, hits per anchor {hits}", flush=True)
        arrays |= placed_predictors(number, classes, boxes)
    return arrays


def sampled_cells(layers: list[Layer]) -> Iterator[Cells]:
    """Per feature map: all cells with an object, and a share of the others."""
    taps = feature_names(layers)
    extract, rng = feature_extractor(layers, taps), np.random.default_rng(0)
    parts: list[list[tuple[Any, ...]]] = [[] for _ in taps]
    for batch, truth in inputs("object_detection", FIT_SEED, FIT_COUNTS["object_detection"]):
        answers = matched(truth["width"], truth["height"], boxes_of(truth))
        begin = 0
        for part, features, priors in zip(parts, extract(batch), prior_sizes(), strict=True):
            end = begin + features.shape[0] ** 2 * len(priors)
            part.append(selected(rng, features, answers, slice(begin, end), len(priors)))
            begin = end
    for part in parts:
        yield Cells(*(np.concatenate(columns) for columns in zip(*part, strict=True)))


def feature_names(layers: list[Layer]) -> list[str]:
    """Names of the layers the predictors look at: pointwise 11 and 13, and the second of each pair of extras."""
    names = [layer.shape.name for layer in layers]
    return [name for name in names if name.endswith(("_11_pointwise", "_13_pointwise")) or "_3x3_s2_" in name]


def selected(
    rng: np.random.Generator, features: Array, truth: Truth, part: slice, anchor_count: int
) -> tuple[NDArray[Any], ...]:
    """The fields of Cells for one map of one scene."""
    flat = features.reshape(-1, features.shape[-1])
    kinds, near = (field[part].reshape(len(flat), anchor_count) for field in (truth.kinds, truth.near))
    share = np.full(len(flat), EMPTY_SHARE if len(flat) > 50 else 1.0)
    share[near.any(axis=1)] *= 3
    share = np.where((kinds > 0).any(axis=1), 1.0, np.minimum(share, 1.0))
    kept = rng.random(len(flat)) < share
    offsets = truth.offsets[part].reshape(len(flat), anchor_count, 4)
    return flat[kept], kinds[kept], offsets[kept], near[kept], (1 / share[kept]).astype(np.float32)


def placed_predictors(number: int, classes: Linear | None, boxes: Linear) -> Arrays:
    """Category k is class k of each anchor; all other classes have no weights and the score NEVER."""
    shapes = {shape.name: shape for shape in conv_shapes("object_detection")}
    box_shape = shapes[f"BoxPredictor_{number}/BoxEncodingPredictor"]
    class_shape = shapes[f"BoxPredictor_{number}/ClassPredictor"]
    anchor_count = len(prior_sizes()[number])
    weights = np.zeros((class_shape.in_channels, anchor_count, DETECTOR_CLASSES), np.float16)
    bias = np.full((anchor_count, DETECTOR_CLASSES), NEVER, BIAS_DTYPE)
    if classes is not None:
        found = slice(1, 1 + len(CLASSES))
        weights[:, :, found] = classes.weights.reshape(-1, anchor_count, len(CLASSES))
        bias[:, found] = classes.bias.reshape(anchor_count, len(CLASSES))
    return {
        class_shape.weights_name: weights.reshape(class_shape.weights_shape),
        class_shape.bias_name: bias.ravel(),
        box_shape.weights_name: boxes.weights.reshape(box_shape.weights_shape).astype(np.float16),
        box_shape.bias_name: boxes.bias.astype(BIAS_DTYPE),
    }


if __name__ == "__main__":
    main()
