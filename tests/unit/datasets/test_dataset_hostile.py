"""Data sets that do not fit together: one line that names the file, the line or the number, and what to do."""

from collections.abc import Callable
import json
import os
from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.datasets.base import Dataset, load_dataset
from serverless_mlperf.errors import DatasetError


def imagenet(root: Path, val_map: bytes, *names: str) -> Path:
    """A folder in ImageNet's layout."""
    (root / "images").mkdir()
    (root / "val_map.txt").write_bytes(val_map)
    for name in names:
        (root / "images" / name).write_bytes(b"x")
    return root


def load_imagenet(folder: Path) -> Dataset:
    """All of it."""
    return load_dataset("imagenet", "classification", folder, None, 0)


def refusal(call: Callable[[], object]) -> str:
    """Why a data set is refused."""
    with pytest.raises(DatasetError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2
    return str(caught.value)


LABELS = [
    (b"", "no class for a.JPEG and 0 more images; add `<file> <class>` lines or remove the images"),
    (b"\n \n\t\n", "no class for a.JPEG"),
    (b"b.JPEG 1\n", "no class for a.JPEG"),
    (b"a.JPEG\n", "val_map.txt:1: 'a.JPEG' is not `<file> <class 0..999>`; correct the line"),
    (b"a.JPEG 1 2\n", "no class for a.JPEG"),
    (b"1\n", "val_map.txt:1: '1' is not `<file> <class 0..999>`"),
    (b" 1\n", "val_map.txt:1: '1' is not `<file> <class 0..999>`"),
    (b"a.JPEG\t1\n", r"val_map.txt:1: 'a.JPEG\t1' is not"),
    (b"a.JPEG,1\n", "val_map.txt:1: 'a.JPEG,1' is not"),
    (b"a.JPEG 1000\n", "val_map.txt:1: 'a.JPEG 1000' is not `<file> <class 0..999>`"),
    (b"a.JPEG -1\n", "val_map.txt:1: 'a.JPEG -1' is not"),
    (b"a.JPEG 1.0\n", "val_map.txt:1: 'a.JPEG 1.0' is not"),
    (b"a.JPEG 0x1\n", "val_map.txt:1: 'a.JPEG 0x1' is not"),
    (b"a.JPEG NaN\n", "val_map.txt:1: 'a.JPEG NaN' is not"),
    ("a.JPEG ٣\n".encode(), "val_map.txt:1: 'a.JPEG ٣' is not"),
    (b"a.JPEG " + b"9" * 10_000 + b"\n", "val_map.txt:1: 'a.JPEG 9999"),
    (b"b.JPEG 1\n\na.JPEG x\n", "val_map.txt:3: 'a.JPEG x' is not"),
    (b"a.JPEG 1\na.JPEG 1\n", "val_map.txt:2: a.JPEG has two lines; keep one"),
    (b"../images/a.JPEG 1\n", "val_map.txt:1: '../images/a.JPEG 1' is not"),
    (b"/etc/passwd 1\n", "val_map.txt:1: '/etc/passwd 1' is not"),
    (b"images/a.JPEG 1\n", "val_map.txt:1: 'images/a.JPEG 1' is not"),
    (b"\xff\xfea\x00", "val_map.txt: cannot be read ('utf-8' codec can't decode byte 0xff"),
    (b"n0144/a.JPEG 1\n", "val_map.txt:1: 'n0144/a.JPEG 1' is not"),
]


@pytest.mark.parametrize(("val_map", "said"), LABELS)
def test_wrong_labels_are_told_with_their_line(tmp_path: Path, val_map: bytes, said: str) -> None:
    """Empty, malformed, out of range, doubled and of another encoding."""
    assert said in refusal(lambda: load_imagenet(imagenet(tmp_path, val_map, "a.JPEG")))


@pytest.mark.parametrize(
    "val_map",
    [
        b"a.JPEG 7\r\nb.JPEG 8\r\n",
        b"\xef\xbb\xbfa.JPEG 7\nb.JPEG 8",
        b"  a.JPEG   7  \n\n\nb.JPEG 8\n\n",
        b"a.JPEG 7\rb.JPEG 08",
    ],
)
def test_ends_of_lines_and_marks_are_no_content(tmp_path: Path, val_map: bytes) -> None:
    """Files of Windows and old Macs, a byte-order mark, spaces and empty lines give the same labels."""
    samples = load_imagenet(imagenet(tmp_path, val_map, "a.JPEG", "b.JPEG")).samples
    assert [(sample.key, sample.label) for sample in samples] == [("imagenet/a.JPEG", 7), ("imagenet/b.JPEG", 8)]


def test_lines_without_their_images_are_passed_over(tmp_path: Path) -> None:
    """Documented: the complete list works with a part of the images, `..` as a name with none."""
    samples = load_imagenet(imagenet(tmp_path, b"none.JPEG 1\n.. 2\na.JPEG 3\n", "a.JPEG")).samples
    assert [sample.key for sample in samples] == ["imagenet/a.JPEG"]


def test_folder_without_images_or_labels(tmp_path: Path) -> None:
    """Each missing part has its own line."""
    assert "val_map.txt: cannot be read ([Errno 2] No such file" in refusal(lambda: load_imagenet(tmp_path))
    folder = imagenet(tmp_path, b"a.JPEG 1\n")
    assert f"no labelled image in {folder / 'images'}; check --input_dataset" in refusal(lambda: load_imagenet(folder))
    (folder / "images" / "notes.txt").write_text("")
    assert "no labelled image" in refusal(lambda: load_imagenet(folder))


@pytest.mark.parametrize("name", ["a b.JPEG", "größe.JPEG", "a+b.JPEG", "a\\b.JPEG", "x" * 240 + "é.JPEG"])
def test_names_that_no_key_can_have(tmp_path: Path, name: str) -> None:
    """The function would refuse every query of the image: it is told before anything is measured."""
    said = refusal(lambda: load_imagenet(imagenet(tmp_path, f"{name} 1\n".encode(), name)))
    assert said.startswith(f"image {name!r}: its name cannot be part of an object key here; rename it")


def test_images_that_are_no_files(tmp_path: Path) -> None:
    """A folder, a pipe and a link to nothing under an image's name do not hang."""
    folder = imagenet(tmp_path, b"a.JPEG 1\n")
    path = folder / "images" / "a.JPEG"
    makes: list[Callable[[], None]] = [path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("nowhere")]
    for make in makes:
        make()
        assert refusal(lambda: load_imagenet(folder)) == f"image {path}: is no file; remove it, or its link"
        path.rmdir() if path.is_dir() else path.unlink()


def coco_content() -> dict[str, Any]:
    """Two images of 10 x 20 pixels, one object."""
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 10, "height": 20} for n in (7, 8)],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4], "area": 5, "iscrowd": 0}],
        "categories": [{"id": 90, "name": "toothbrush"}],
    }


def coco(root: Path, text: str | bytes) -> Path:
    """A folder in COCO's layout, with both images."""
    (root / "val2017").mkdir(parents=True)
    path = root / "instances_val2017.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    for number in (7, 8):
        (root / "val2017" / f"{number}.jpg").write_bytes(b"x")
    return root


def load_coco(folder: Path) -> Dataset:
    """All of it."""
    return load_dataset("coco", "object_detection", folder, None, 0)


WHOLE = json.dumps(coco_content())
TEXTS = [
    ("", "not a COCO annotation file (Expecting value"),
    (WHOLE[: len(WHOLE) // 2], "not a COCO annotation file ("),
    (WHOLE + "}", "not a COCO annotation file (Extra data"),
    ("images: []", "not a COCO annotation file (Expecting value"),
    (b"\xff\xfe{\x00", "not a COCO annotation file ('utf-8' codec can't decode"),
    ("[" * 100_000, "not a COCO annotation file (maximum recursion depth exceeded"),
    ("[]", "not a COCO annotation file (list indices must be"),
    ("null", "not a COCO annotation file ('NoneType' object is not subscriptable)"),
    ("7", "not a COCO annotation file ('int' object is not subscriptable)"),
    ("{}", "not a COCO annotation file (no 'images'); get the original"),
]


@pytest.mark.parametrize(("text", "said"), TEXTS)
def test_annotations_that_are_none(tmp_path: Path, text: str | bytes, said: str) -> None:
    """Truncated, no JSON, of another encoding, too deep, of another form."""
    message = refusal(lambda: load_coco(coco(tmp_path, text)))
    assert message.startswith(f"{tmp_path / 'instances_val2017.json'}: ")
    assert said in message


Change = Callable[[dict[str, Any]], object]
CHANGES: list[tuple[Change, str]] = [
    (lambda c: c.pop("images"), "(no 'images')"),
    (lambda c: c.pop("annotations"), "(no 'annotations')"),
    (lambda c: c.pop("categories"), "(no 'categories')"),
    (lambda c: c["images"][0].pop("width"), "(no 'width')"),
    (lambda c: c["annotations"][0].pop("bbox"), "(no 'bbox')"),
    (lambda c: c["annotations"][0].pop("image_id"), "(no 'image_id')"),
    (lambda c: c.update(images=7), "'int' object is not iterable"),
    (lambda c: c.update(images=[7]), "'int' object is not subscriptable"),
    (lambda c: c.update(annotations={"a": 1}), "string indices must be integers"),
    (lambda c: c.update(categories=[{"id": [], "name": "x"}]), "int() argument must be"),
    (lambda c: c["images"][0].update(id=8), "image id 8 is there twice, or no whole number"),
    (lambda c: c["images"][0].update(id=True), "image id True is there twice, or no whole number"),
    (lambda c: c["images"][0].update(id=7.5), "image id 7.5 is there twice, or no whole number"),
    (lambda c: c["images"][0].update(file_name="8.jpg"), "two samples have the same file"),
    (lambda c: c["images"][0].update(file_name="../7.jpg"), "file_name '../7.jpg' is no plain name"),
    (lambda c: c["images"][0].update(file_name="/etc/passwd"), "file_name '/etc/passwd' is no plain name"),
    (lambda c: c["images"][0].update(file_name="val2017/7.jpg"), "file_name 'val2017/7.jpg' is no plain name"),
    (lambda c: c["images"][0].update(file_name=".."), "file_name '..' is no plain name"),
    (lambda c: c["images"][0].update(file_name=["7.jpg"]), "file_name ['7.jpg'] is no plain name"),
    (lambda c: c["images"][0].update(width=0), "7.jpg has the size 0 x 20"),
    (lambda c: c["images"][0].update(height=-1), "7.jpg has the size 10 x -1"),
    (lambda c: c["images"][0].update(width=float("nan")), "7.jpg has the size nan x 20"),
    (lambda c: c["images"][0].update(width="10"), "7.jpg has the size '10' x 20"),
    (lambda c: c["annotations"].append(c["annotations"][0]), "annotation id 1 is there twice"),
    (lambda c: c["annotations"][0].update(image_id=9), "annotation 1 is of image 9, which is not listed"),
    (lambda c: c["annotations"][0].update(image_id=[7]), "unhashable type"),
    (lambda c: c["annotations"][0].update(category_id=91), "category 91 is not one of its categories 1..90"),
    (lambda c: c["annotations"][0].update(category_id=1), "category 1 is not one of its categories 1..90"),
    (lambda c: c["annotations"][0].update(category_id="90"), "annotation 1 has the category '90'"),
    (lambda c: c["annotations"][0].update(category_id=90.5), "annotation 1 has the category 90.5"),
    (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "not enough values to unpack"),
    (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, 4, 5]), "too many values to unpack"),
    (lambda c: c["annotations"][0].update(bbox=["a", 2, 3, 4]), "could not convert string to float"),
    (lambda c: c["annotations"][0].update(bbox=None), "'NoneType' object is not iterable"),
    (lambda c: c["annotations"][0].update(bbox=[float("nan"), 2, 3, 4]), "annotation 1 has the box [nan, 2, 3, 4]"),
    (lambda c: c["annotations"][0].update(bbox=[1, 2, float("inf"), 4]), "annotation 1 has the box [1, 2, inf, 4]"),
    (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), "annotation 1 has the box [1, 2, -3, 4], which no"),
    (lambda c: c["annotations"][0].update(area=-1), "annotation 1 has the box"),
    (lambda c: c["annotations"][0].update(bbox=[11, 2, 3, 4]), "annotation 1 lies outside its image of 10 x 20"),
    (lambda c: c["annotations"][0].update(bbox=[1, 21, 3, 4]), "annotation 1 lies outside its image of 10 x 20"),
    (lambda c: c["annotations"][0].update(bbox=[-5, 2, 3, 4]), "annotation 1 lies outside its image of 10 x 20"),
    (lambda c: c.update(images=[]), "annotation 1 is of image 7, which is not listed"),
    (lambda c: c.update(images=[], annotations=[]), "no labelled image"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_annotations_that_do_not_fit(tmp_path: Path, change: Change, said: str) -> None:
    """Missing keys, wrong types, doubled and unknown numbers, names that lead out, boxes that are none."""
    content = coco_content()
    change(content)
    message = refusal(lambda: load_coco(coco(tmp_path, json.dumps(content))))
    assert said in message


def test_boxes_at_the_edge_are_kept(tmp_path: Path) -> None:
    """Rounding puts real boxes a little outside, and some have no width: pycocotools keeps them, and so do we."""
    content = coco_content()
    boxes = [[-0.5, 2, 3, 4], [9, 19, 1.5, 1.25], [1, 2, 0, 4], [10, 20, 0, 0]]
    content["annotations"] = [
        {"id": n, "image_id": 7, "category_id": 90, "bbox": box} for n, box in enumerate(boxes, 1)
    ]
    samples = load_coco(coco(tmp_path, json.dumps(content))).samples
    assert [len(sample.boxes) for sample in samples] == [4, 0]


def test_images_listed_but_absent_are_passed_over(tmp_path: Path) -> None:
    """Documented: the complete annotations work with a part of the images."""
    content = coco_content()
    content["images"].append({"id": 9, "file_name": "absent.jpg", "width": 10, "height": 20})
    assert len(load_coco(coco(tmp_path, json.dumps(content))).samples) == 2


def test_mark_of_utf8_before_annotations_is_no_content(tmp_path: Path) -> None:
    """A file that an editor saved with a byte-order mark is read."""
    assert len(load_coco(coco(tmp_path, b"\xef\xbb\xbf" + WHOLE.encode())).samples) == 2
