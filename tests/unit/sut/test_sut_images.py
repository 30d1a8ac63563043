"""Decoding and pre-processing, odd files included."""

import io
import struct
from typing import Any
import zlib

import numpy as np
from PIL import Image
import pytest

from serverless_mlperf_sut import images
from serverless_mlperf_sut.protocol import QueryError


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def noise(width: int, height: int) -> images.Pixels:
    """A picture no encoder or filter finds easy."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims a size and has no data to speak of."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    """Grey, palette, alpha and print colours all decode to three channels."""
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    pixels = images.decode(encoded(Image.fromarray(noise(20, 10)).convert(mode), kind))
    assert pixels.shape == (10, 20, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("task", ["classification", "object_detection"])
def test_colours_keep_their_order(task: str) -> None:
    """The first plane of an input is red, the second green, the third blue: synthetic accuracy would not show it."""
    red_green = Image.new("RGB", (400, 300), (255, 127, 0))
    planes = images.preprocess(task, images.decode(encoded(red_green, "PNG")))[0]
    assert planes.mean((1, 2)).tolist() == pytest.approx([1, 0, -1], abs=0.01)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    """The upper byte of a 16-bit sample is its 8-bit value."""
    samples = np.array([[0, 0x7FFF, 0xFFFF]], np.uint16)
    pixels = images.decode(encoded(Image.fromarray(samples), "PNG"))
    assert pixels[0, :, 0].tolist() == [0, 127, 255]


def test_exif_orientation_is_not_applied() -> None:
    """Labels refer to the pixels as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = images.decode(encoded(Image.fromarray(noise(20, 10)), "JPEG", exif=exif.tobytes()))
    assert pixels.shape == (10, 20, 3)


@pytest.mark.parametrize("data", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff\xe0" + b"\0" * 40])
def test_other_bytes_are_bad_images(data: bytes) -> None:
    """Text, PostScript and JPEG-like rubbish end in one kind of error."""
    with pytest.raises(QueryError, match="BadImage"):
        images.decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_bad_images(kind: str) -> None:
    """Half a file is no image."""
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(QueryError, match="BadImage"):
        images.decode(data[: len(data) // 2])


@pytest.mark.parametrize(("width", "height"), [(5793, 5793), (9000, 9000), (60000, 60000)])
def test_bombs_are_refused_by_their_header(width: int, height: int) -> None:
    """A size above the cap is refused whether or not Pillow would have minded."""
    with pytest.raises(QueryError, match="BadImage"):
        images.decode(png_header(width, height))


@pytest.mark.parametrize("task", ["classification", "object_detection"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 900), (900, 2), (224, 224), (500, 375), (300, 300)])
def test_any_size_becomes_the_models_input(task: str, width: int, height: int) -> None:
    """Whatever comes in, a contiguous float32 1 x 3 x S x S in -1..1 comes out."""
    batch = images.preprocess(task, noise(width, height))
    size = images.INPUT_SIZES[task]
    assert batch.shape == (1, 3, size, size)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert -1 <= batch.min() <= batch.max() <= 1


def test_normalise_is_the_references_formula() -> None:
    """(x - 127.5) / 127.5 for each of the 256 values, channels first."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.stack([levels, levels[::-1], levels.T], axis=2)
    expected = (image.astype(np.float64).transpose(2, 0, 1)[None] - 127.5) / 127.5
    np.testing.assert_allclose(images.normalise(image), expected, atol=1e-6)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (301, 257), (640, 640)])
def test_crop_equals_scaling_first_and_cropping_then(width: int, height: int) -> None:
    """The one-call crop differs from MLPerf's two steps by rounding only: one level of 255."""
    pixels = noise(width, height)
    scale = 256 / min(width, height)
    scaled = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (scaled.width - 224) // 2, (scaled.height - 224) // 2
    expected = images.normalise(np.asarray(scaled.crop((left, top, left + 224, top + 224))))
    difference = np.abs(images.preprocess("classification", pixels) - expected).max()
    assert difference <= 1.01 / 127.5


def test_encode_gives_what_decode_takes() -> None:
    """The picture of the first inference goes through the real decoder."""
    assert images.decode(images.encode(noise(30, 20))).shape == (20, 30, 3)
