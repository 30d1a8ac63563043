"""Decode, resize and normalise images: once per workload, the same for every engine.

EXIF orientation is not applied: MLPerf's reference pre-processing (OpenCV, IMREAD_COLOR on files without the tag)
and the labels of both data sets refer to the pixels as stored. Alpha is dropped, not blended; of several pictures in
one file the first is taken. A file that ends early is refused, but inside a JPEG that does have its end mark damage
cannot be told from content: libjpeg decodes as far as it gets and leaves the rest grey, in the reference as well.
"""

import io
import struct
from typing import Any, Final
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from serverless_mlperf_sut.protocol import QueryError

MAX_IMAGE_BYTES: Final = 64 * 2**20
MAX_PIXELS: Final = 24_000_000
"""Checked on the header, before a pixel is decoded. The costliest format (WebP) takes 18 bytes per pixel: 415 MiB,
which fit the seed's smallest function, 768 MB, beside engine (180), file (64) and runtime."""
INPUT_SIZES: Final[dict[str, int]] = {"classification": 224, "object_detection": 300}
_CROP_FROM: Final = 256
"""MLPerf's classification pre-processing: shorter side to 256, then the centre 224 x 224."""
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Named, so that formats which start other programs (EPS) stay out."""

_DAMAGE: Final = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RuntimeError, struct.error, zlib.error, Image.DecompressionBombError, Warning),
)
"""How Pillow's decoders report damage (warnings where they raise); MemoryError is the environment's own."""

Pixels = npt.NDArray[np.uint8]
Batch = npt.NDArray[np.float32]


def decode(data: bytes) -> Pixels:
    """Decode an image file to RGB, height x width x 3; raises QueryError on anything else."""
    try:
        # In two steps: what the file was decoded from and to is freed before the pixels are copied out.
        return np.asarray(_read_rgb(data))
    except UnidentifiedImageError as error:
        formats = ", ".join(_FORMATS)
        raise QueryError("BadImage", f"no image, or one whose header is damaged; {formats} are read") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise QueryError("BadImage", f"damaged image: {reason}") from error


def encode(image: Pixels) -> bytes:
    """Encode RGB as JPEG: the picture of a first, warming inference."""
    target = io.BytesIO()
    Image.fromarray(image).save(target, "JPEG")
    return target.getvalue()


def preprocess(task: str, image: Pixels) -> Batch:
    """Resize (classification: and crop) to the model's input, 1 x 3 x S x S in -1..1."""
    resized = _centre(image) if task == "classification" else _stretch(image)
    return normalise(resized)


def normalise(image: Pixels) -> Batch:
    """Map 0..255 to -1..1 and put the channels first."""
    planes = np.empty((1, 3, *image.shape[:2]), np.float32)
    np.multiply(image.transpose(2, 0, 1), np.float32(1 / 127.5), out=planes[0], casting="unsafe")
    planes -= 1
    return planes


def _read_rgb(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        _check_size(image)
        image.load()
        return _to_rgb(image)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise QueryError("BadImage", f"image of {width} x {height} has more than {MAX_PIXELS} pixels: make it smaller")
    if width < 1 or height < 1:
        raise QueryError("BadImage", f"image of {width} x {height} has no pixel")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise QueryError("BadImage", "floating-point pixels have no defined brightness: convert to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip at 255, not scale
        image = Image.fromarray(_upper_bytes(np.asarray(image)))
    image.info.pop("transparency", None)  # else Pillow warns that it will be dropped
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bytes(samples: npt.NDArray[Any]) -> Pixels:
    if samples.min() < 0 or samples.max() > 0xFFFF:
        raise QueryError("BadImage", "grey values beyond 16 bits have no defined brightness: convert to 8 or 16 bits")
    return (samples >> 8).astype(np.uint8)


def _centre(image: Pixels) -> Pixels:
    """Scale the shorter side to 256 and crop, in one call: only the crop's own box is resampled.

    Sides and offsets are whole pixels of the scaled image, as if it had been made: the same result, a third faster.
    """
    height, width = image.shape[:2]
    size, scale = INPUT_SIZES["classification"], _CROP_FROM / min(height, width)
    scaled_width, scaled_height = round(width * scale), round(height * scale)
    left, top = (scaled_width - size) // 2, (scaled_height - size) // 2
    x, y = width / scaled_width, height / scaled_height
    return _resize(image, size, (left * x, top * y, (left + size) * x, (top + size) * y))


def _stretch(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    return _resize(image, INPUT_SIZES["object_detection"], (0, 0, width, height))


def _resize(image: Pixels, size: int, box: tuple[float, float, float, float]) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))
