"""Image files nobody should upload: decoded as documented, or one error record that says what is wrong."""

import io
import json
import struct
import subprocess
import sys
from typing import Any
import zlib

from hostile_service import GOOD, bucket, only_error, record, served
import numpy as np
from PIL import Image
import pytest

from serverless_mlperf_sut import images
from serverless_mlperf_sut.storage import MemoryStorage

FIRST, LATER = 200, 0
PEAK = """
import sys
import numpy as np
from serverless_mlperf_sut import images

def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

images.decode(images.encode(np.zeros((9, 9, 3), np.uint8)))  # what is loaded once is no part of it
data = sys.stdin.buffer.read()
before = peak_kib()
images.preprocess("object_detection", images.decode(data))
print((peak_kib() - before) >> 10)
"""


def noise(width: int = 64, height: int = 48) -> images.Pixels:
    """A picture whose every part shows in the file."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Image.Image | images.Pixels, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    target = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(target, kind, **options)
    return target.getvalue()


def pages(kind: str, count: int) -> bytes:
    """A file of several pictures, the first one bright and the others dark."""
    first, later = (Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (FIRST, LATER))
    return encoded(first, kind, save_all=True, append_images=[later] * (count - 1))


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, data: bytes | None = None, bits: int = 8) -> bytes:
    """A PNG whose header, other chunks and compressed pixels can be told one by one."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    row = b"\0" + b"\x80" * (3 * min(width, 64) * bits // 8)
    pixels = chunk(b"IDAT", zlib.compress(row * min(height, 64)) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def bomb(mib: int) -> bytes:
    """Zeros that compress to a thousandth."""
    packer = zlib.compressobj(9)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(mib)]) + packer.flush()


def answered(data: bytes) -> tuple[dict[str, Any], MemoryStorage]:
    """The counts of an event whose image is this file, and the bucket after it."""
    storage = bucket(a=GOOD)
    storage.objects["coco/1.jpg"] = data
    return served(storage, record("input/c/a.json")), storage


JPEG, PNG_FILE = encoded(noise(), "JPEG"), encoded(noise(), "PNG")
NO_IMAGE = "BadImage: no image, or one whose header is damaged; JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM are read"
TEXT = "BadImage: damaged image: Decompressed data too large"
BAD_IMAGES = {
    "zero bytes": (b"", NO_IMAGE),
    "text": (b"this is no picture\n" * 10, NO_IMAGE),
    "JPEG by its first bytes": (b"\xff\xd8\xff\xe0" + b"\0" * 100, NO_IMAGE),
    "only the head": (JPEG[:20], NO_IMAGE),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", NO_IMAGE),
    "PDF": (b"%PDF-1.7\n%%EOF\n", NO_IMAGE),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", NO_IMAGE),
    "ICO": (encoded(noise(16, 16), "ICO"), NO_IMAGE),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 40, NO_IMAGE),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "BadImage: damaged image: image file is truncated"),
    "JPEG without its last two bytes": (JPEG[:-2], "BadImage: damaged image: image file is truncated"),
    "truncated PNG": (PNG_FILE[: len(PNG_FILE) // 2], "BadImage: damaged image: image file is truncated"),
    "truncated GIF": (encoded(noise(), "GIF")[:-100], "BadImage: damaged image: image file is truncated"),
    "truncated BMP": (encoded(noise(), "BMP")[:-100], "BadImage: damaged image: image file is truncated"),
    "truncated TIFF": (encoded(noise(), "TIFF")[:-100], "BadImage: damaged image: image file is truncated"),
    "truncated PPM": (encoded(noise(), "PPM")[:-100], "BadImage: damaged image: image file is truncated"),
    "truncated WebP": (encoded(noise(), "WEBP")[:-100], "BadImage: damaged image: could not create decoder object"),
    "PNG of other pixels": (png(8, 8, data=b"no zlib"), "BadImage: damaged image: broken data stream"),
    "no pixel": (png(0, 8), NO_IMAGE),
    "100 megapixels": (png(10_000, 10_000), "image of 10000 x 10000 has more than 24000000 pixels: make it smaller"),
    "24 megapixels and a row": (png(6000, 4001), "image of 6000 x 4001 has more than 24000000 pixels"),
    "bomb by its header": (png(2**31 - 1, 2**31 - 1), "BadImage: "),
    "bomb of pixels": (png(50_000, 50_000, data=bomb(8)), "BadImage: "),
    "bomb in zTXt": (png(8, 8, chunk(b"zTXt", b"k\0\0" + bomb(200))), TEXT),
    "bomb in iTXt": (png(8, 8, chunk(b"iTXt", b"k\0\1\0\0\0" + bomb(200))), TEXT),
    "bomb in iCCP": (png(8, 8, chunk(b"iCCP", b"k\0\0" + bomb(200))), TEXT),
    "floating point": (
        encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
        "BadImage: floating-point pixels have no defined brightness: convert to 8 or 16 bits",
    ),
    "32-bit grey": (
        encoded(Image.fromarray(np.full((8, 8), 70_000, np.int32)), "TIFF"),
        "BadImage: grey values beyond 16 bits have no defined brightness: convert to 8 or 16 bits",
    ),
    "larger than an image may be": (
        bytes(images.MAX_IMAGE_BYTES + 1),
        "TooLarge: coco/1.jpg of 67108865 bytes is larger than 67108864",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image_is_one_error_record(name: str) -> None:
    """The record says what is wrong with the file; the input is kept in failed/, and nothing else is written."""
    data, said = BAD_IMAGES[name]
    counts, storage = answered(data)
    assert counts == {"delivered": 0, "errors": 1, "duplicates": 0}
    assert said in only_error(storage)
    assert storage.objects["failed/c/a.json"] == GOOD
    assert set(storage.objects) == {"coco/1.jpg", "failed/c/a.json", "output/c/errors/a.json"}


def test_missing_image_is_named() -> None:
    """The record says which object is not there."""
    storage = bucket(a=GOOD)
    del storage.objects["coco/1.jpg"]
    assert served(storage, record("input/c/a.json"))["errors"] == 1
    assert only_error(storage) == "Missing: coco/1.jpg does not exist or may not be read"


def test_bad_image_among_good_ones_fails_its_query_only() -> None:
    """Of a query of two images and one of a good image the first is refused, the second served."""
    storage = bucket(a=b'{"ImageFilenames": ["coco/1.jpg", "coco/2.jpg"]}', b=GOOD)
    storage.objects["coco/2.jpg"] = JPEG[:100]
    counts = served(storage, record("input/c/a.json"), record("input/c/b.json"))
    assert counts == {"delivered": 1, "errors": 1, "duplicates": 0}
    assert json.loads(storage.objects["output/c/errors/a.json"])["ImageFilenames"] == ["coco/1.jpg", "coco/2.jpg"]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_of_several_pictures_is_taken(kind: str) -> None:
    """Animations and files of many pages count as their first picture."""
    pixels = images.decode(pages(kind, 200 if kind == "TIFF" else 3))
    assert abs(int(pixels.mean()) - FIRST) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_odd_modes_are_served(mode: str) -> None:
    """Grey, palette, alpha, print colours and 16 bits per sample give three channels of the size stored."""
    grey = np.full((10, 20), 0xC8C8, np.uint16)
    image = Image.fromarray(grey) if mode == "I;16" else Image.fromarray(np.full((10, 20, 3), 200, np.uint8))
    data = encoded(image if mode == "I;16" else image.convert(mode), "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    pixels = images.decode(data)
    assert pixels.shape == (10, 20, 3)
    assert abs(pixels.mean() - (255 if mode == "1" else 200)) < 2 or mode == "1"
    assert answered(data)[0]["delivered"] == 1


def test_transparent_palette_keeps_its_colours() -> None:
    """Alpha is dropped, not blended: a colour that is wholly transparent stays what it is, without a warning."""
    palette = Image.fromarray(np.full((8, 8), 1, np.uint8), "L").convert("P")
    palette.putpalette([0, 0, 0, 10, 20, 30])
    data = encoded(palette, "PNG", transparency=bytes([0, 0]))
    assert images.decode(data)[0, 0].tolist() == [10, 20, 30]


def test_sixteen_bit_colour_keeps_its_upper_bytes() -> None:
    """A PNG of 16 bits per channel is scaled as one of 8."""
    row = b"\0" + struct.pack(">3H", 0, 0x7FFF, 0xFFFF)
    assert images.decode(png(1, 1, data=zlib.compress(row), bits=16)).tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_not_applied(orientation: int) -> None:
    """Labels refer to the pixels as stored, whatever the tag says of the camera."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, turned = encoded(noise(), "JPEG"), encoded(noise(), "JPEG", exif=exif.tobytes())
    assert np.array_equal(images.decode(turned), images.decode(plain))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 10_000), (10_000, 1)])
def test_extreme_shapes_are_served(width: int, height: int) -> None:
    """One pixel, and a line of pixels either way."""
    assert answered(encoded(np.full((height, width, 3), 9, np.uint8), "PNG"))[0]["delivered"] == 1


def test_inner_damage_of_a_jpeg_is_served_as_the_reference_serves_it() -> None:
    """Documented: with its end mark a JPEG decodes as far as its data goes, the rest grey, in OpenCV as here."""
    import cv2

    data = JPEG[: len(JPEG) // 2] + b"\xff\xd9"
    pixels = images.decode(data)
    reference = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert reference is not None
    assert pixels[-1, -1].tolist() == reference[-1, -1].tolist() == [128, 128, 128]


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "WEBP"), ("RGBA", "WEBP"), ("RGBA", "PNG")])
def test_largest_image_fits_the_smallest_function(mode: str, kind: str) -> None:
    """24 megapixels take at most 450 MiB on top: with engine, runtime and file that is below 768 MB."""
    options: dict[str, Any] = {"method": 0} if kind == "WEBP" else {"compress_level": 1} if kind == "PNG" else {}
    data = encoded(Image.new(mode, (6000, 4000)), kind, **options)
    done = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) <= 450


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_pixels_or_a_bad_image() -> None:
    """Five hundred seeded alterations of every format end in an array or in BadImage, in nothing else."""
    rng = np.random.default_rng(11)
    files = [encoded(noise(37, 23), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")]
    files += [encoded(noise(37, 23), "JPEG", progressive=True), encoded(noise(37, 23), "TIFF"), pages("GIF", 3)]
    refused = 0
    for turn in range(500):
        data = bytearray(files[turn % len(files)])
        for _ in range(1 + turn % 7):
            data[rng.integers(min(len(data), int(rng.choice([64, 300, 100_000]))))] = rng.integers(256)
        counts, storage = answered(bytes(data[: rng.integers(len(data))] if turn % 5 == 0 else data))
        refused += counts["errors"]
        assert counts["delivered"] + counts["errors"] == 1
        assert counts["delivered"] or only_error(storage).startswith("BadImage: ")
    assert 100 < refused < 500
