"""Zips made to do harm: refused in one line, and nothing is written outside the folder."""

import io
import os
from pathlib import Path
import stat
import struct
import warnings
import zipfile

import pytest

from serverless_mlperf import packages
from serverless_mlperf.errors import PackageError

FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
Members = list[tuple[str, bytes, int]]


def write(path: Path, members: Members) -> Path:
    """A zip of these members in this order, twice the same name included."""
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.create_system = mode << 16, 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder to unpack into; its neighbour must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (tmp_path / "in").mkdir()
    return tmp_path / "in" / "out"


def refusal(place: Path, archive: Path, max_bytes: int = packages.LIMIT_BYTES) -> str:
    """Why a zip is refused; around the folder nothing may have changed."""
    with pytest.raises(PackageError) as caught:
        packages.unpack(archive, place, max_bytes)
    outside = place.parents[1] / "outside"
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("secret", "secret")]
    assert [path.name for path in place.parent.iterdir()] == ["out"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["../x", "../../outside/secret", "a/../../x", "/etc/x", "//x", "a\\..\\x", "..\\x", "C:\\x", "..", "a/.."],
)
def test_names_that_lead_out(tmp_path: Path, place: Path, name: str) -> None:
    """Told by name, before anything is written."""
    archive = write(tmp_path / "bad.zip", [("fine", b"x", FILE), (name, b"y", FILE)])
    assert f"member {name!r} points outside the folder: refused" in refusal(place, archive)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("target", ["../../outside", "/etc", "/", "..", "a/../../..", "./../../outside/secret"])
def test_links_that_lead_out(tmp_path: Path, place: Path, target: str) -> None:
    """A link may not be made to a place outside, whatever it is written as."""
    archive = write(tmp_path / "bad.zip", [("link", target.encode(), LINK)])
    assert f"link to {target!r} leaves the folder: refused" in refusal(place, archive)


def test_writing_through_a_link_of_the_same_zip(tmp_path: Path, place: Path) -> None:
    """A file below a link's name finds a folder there, not the link: both together are refused."""
    for order in (1, -1):
        members = [("lib", b"../../outside", LINK), ("lib/secret", b"changed", FILE)][::order]
        said = refusal(place, write(tmp_path / "bad.zip", members))
        assert "leaves the folder: refused" in said


def test_writing_through_a_link_of_an_earlier_zip(tmp_path: Path, place: Path) -> None:
    """Layers are unpacked over each other: a link of the first one is no way out for the second."""
    place.mkdir()
    (place / "lib").symlink_to("../../outside")
    said = refusal(place, write(tmp_path / "bad.zip", [("lib/secret", b"changed", FILE)]))
    assert said == "lib/secret: reached through a link that leaves the folder: refused"


def test_links_that_lead_out_together(tmp_path: Path, place: Path) -> None:
    """Each link leads inside when it is made, the first leads out once the second is there: it is removed again."""
    members = [("s/t/file", b"x", FILE), ("x", b"s/t/y/../../..", LINK), ("s/t/y", b"../..", LINK)]
    said = refusal(place, write(tmp_path / "bad.zip", members))
    assert "link 'x' leaves the folder: refused" in said
    assert not (place / "x").is_symlink()


def test_links_in_a_circle(tmp_path: Path, place: Path) -> None:
    """Links that lead to each other lead nowhere, and no loop is walked for ever."""
    archive = write(tmp_path / "bad.zip", [("a", b"b", LINK), ("b", b"a", LINK)])
    try:
        packages.unpack(archive, place)
    except PackageError as error:
        said = str(error)
    else:
        said = "cannot be unpacked: Python 3.13 resolves a circle to itself, which is inside"
    assert "cannot be unpacked" in said


def test_file_replaces_a_hard_link_or_link_it_finds(tmp_path: Path, place: Path) -> None:
    """What another archive or user left under the name is unlinked, never written through."""
    place.mkdir()
    secret = tmp_path / "outside/secret"
    os.link(secret, place / "hard")
    (place / "soft").symlink_to("../../outside/secret")
    packages.unpack(write(tmp_path / "a.zip", [("hard", b"new", FILE), ("soft", b"new", FILE)]), place)
    assert secret.read_text() == "secret"
    assert (place / "hard").read_text() == (place / "soft").read_text() == "new"


@pytest.mark.parametrize("kind", [stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_pipes_and_sockets(tmp_path: Path, place: Path, kind: int) -> None:
    """A member that is neither file, folder nor link is refused before anything is written."""
    archive = write(tmp_path / "bad.zip", [("fine", b"x", FILE), ("dev", b"", kind | 0o666)])
    assert "member 'dev' is neither file, folder nor link: refused" in refusal(place, archive)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1777, 0o7777])
def test_special_bits_are_dropped(tmp_path: Path, place: Path, bits: int) -> None:
    """No set-user-id, set-group-id or sticky file comes out of a zip."""
    packages.unpack(write(tmp_path / "a.zip", [("tool", b"x", stat.S_IFREG | bits)]), place)
    assert stat.S_IMODE((place / "tool").stat().st_mode) == bits & 0o777


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a"), ("d/a", "d/a"), ("a", "./a"), ("d/a", "d//a"), ("d/a", "d/./a")]
)
def test_member_twice(tmp_path: Path, place: Path, first: str, second: str) -> None:
    """Two members of one path, however spelt: which one would count differs between unpackers."""
    archive = write(tmp_path / "bad.zip", [(first, b"good", FILE), (second, b"evil", FILE)])
    assert f"member {second!r} is there twice: refused" in refusal(place, archive)
    assert list(place.iterdir()) == []


def test_names_that_differ_in_case_are_two(tmp_path: Path, place: Path) -> None:
    """Lambda's file system tells them apart, and so does ours."""
    packages.unpack(write(tmp_path / "a.zip", [("a", b"1", FILE), ("A", b"2", FILE)]), place)
    assert ((place / "a").read_bytes(), (place / "A").read_bytes()) == (b"1", b"2")


def test_file_and_folder_of_one_name(tmp_path: Path, place: Path) -> None:
    """What cannot be written is told with the reason."""
    said = refusal(place, write(tmp_path / "bad.zip", [("a", b"x", FILE), ("a/b", b"y", FILE)]))
    assert "cannot be unpacked into" in said
    assert "File exists" in said or "Not a directory" in said


@pytest.mark.parametrize(
    ("name", "data", "mode"),
    [
        ("link", b"\xff\xfe", LINK),
        ("link", b"a\0b", LINK),
        ("link", b"x" * 5000, LINK),
        ("link", b"", LINK),
        ("n" * 300, b"x", FILE),
    ],
)
def test_names_and_links_that_no_file_system_takes(
    tmp_path: Path, place: Path, name: str, data: bytes, mode: int
) -> None:
    """Links that are no text, too long or empty, and names that are too long."""
    assert "cannot be unpacked" in refusal(place, write(tmp_path / "bad.zip", [(name, data, mode)]))


def altered(tmp_path: Path, old: bytes, new: bytes, data: bytes = b"d" * 5000) -> Path:
    """A zip of one member with some bytes of it replaced."""
    path = write(tmp_path / "bad.zip", [("member", data, FILE)])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def test_sizes_that_lie(tmp_path: Path, place: Path) -> None:
    """Smaller than the data is a checksum error, larger an end of data, gigantic refused by the total."""
    size = struct.pack("<I", 5000)
    assert "Bad CRC-32" in refusal(place, altered(tmp_path, size, struct.pack("<I", 100)))
    for claimed in (6000, 5001):
        said = refusal(place, altered(tmp_path, size, struct.pack("<I", claimed), os.urandom(5000)))
        assert f"'member' has 5000 bytes, not {claimed}" in said
    said = refusal(place, altered(tmp_path, size, struct.pack("<I", 0xF0000000)))
    assert "4026531840 bytes unzipped, 262144000 are allowed" in said


def test_compressed_data_that_is_damaged(tmp_path: Path, place: Path) -> None:
    """What zlib makes of altered data is an error of ours."""
    path = write(tmp_path / "bad.zip", [("member", bytes(range(256)) * 40, FILE)])
    content = bytearray(path.read_bytes())
    for index in range(40, 60):
        content[index] ^= 0xFF
    path.write_bytes(content)
    said = refusal(place, path)
    assert "cannot be unpacked" in said
    assert said.endswith("build or upload it again")


@pytest.mark.parametrize(
    ("attribute", "value"), [("flag_bits", 1), ("compress_type", 99), ("compress_type", zipfile.ZIP_LZMA)]
)
def test_methods_that_are_not_read(tmp_path: Path, place: Path, attribute: str, value: int) -> None:
    """Encrypted members, unknown methods, and data that are not of the method they claim."""
    path = write(tmp_path / "bad.zip", [("member", b"d" * 5000, FILE)])
    content = bytearray(path.read_bytes())
    local, central = 0, content.index(b"PK\x01\x02")
    offset = {"flag_bits": 6, "compress_type": 8}[attribute]
    for place_of in (local + offset, central + offset + 2):
        content[place_of : place_of + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    assert "cannot be unpacked" in refusal(place, path)


def test_bombs(tmp_path: Path, place: Path) -> None:
    """One member of zeros, many of them, and more bytes than allowed: by the headers, before anything is written."""
    one = write(tmp_path / "one.zip", [("zeros", bytes(20_000_000), FILE)])
    many = write(tmp_path / "many.zip", [(f"zeros{n}", bytes(1_000_000), FILE) for n in range(20)])
    for archive in (one, many):
        assert "times its size, at most 200: refused" in refusal(place, archive)
        assert "20000000 bytes unzipped, 1000 are allowed: leave something out" in refusal(place, archive, 1000)
        assert list(place.iterdir()) == []


def test_overlapping_members(tmp_path: Path, place: Path) -> None:
    """A directory that names the same data a thousand times is a bomb as well."""
    path = write(tmp_path / "bad.zip", [("m0", os.urandom(200_000), FILE)])
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"m0", b"%c%c" % (65 + n // 26, 65 + n % 26)) for n in range(600))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 600, 600, len(entries), start, 0)
    path.write_bytes(content[:start] + entries + tail)
    assert "times its size" in refusal(place, path)


def test_large_sizes_in_their_long_form_are_read(tmp_path: Path, place: Path) -> None:
    """Zip64 is a form, not an attack: a member in it is unpacked."""
    path = tmp_path / "long.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("member", "w", force_zip64=True) as member:
        member.write(b"data")
    assert packages.unpack(path, place) == 4
    assert (place / "member").read_bytes() == b"data"


def test_altered_zips_are_refused_or_whole(tmp_path: Path, place: Path) -> None:
    """Three hundred seeded alterations end in files inside the folder or in an error of ours."""
    import random

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(4):
            archive.writestr(f"d{n}/file", bytes(range(200)) * n)
    whole, refused = target.getvalue(), 0
    for seed in range(300):
        source = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
        content = bytearray(whole)
        for _ in range(1 + seed % 4):
            content[source.randrange(len(content))] = source.randrange(256)
        path = tmp_path / "bad.zip"
        path.write_bytes(content[: source.randrange(len(content))] if seed % 7 == 0 else content)
        try:
            packages.unpack(path, place / str(seed))
        except PackageError:
            refused += 1
    assert refused > 100
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "in", "bad.zip"}
    assert [path.name for path in place.parent.iterdir()] == ["out"]


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written: empty files cost no bytes, but inodes."""
    monkeypatch.setattr("serverless_mlperf.packages.archive.MAX_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}", b"")
    with pytest.raises(PackageError, match="4 members, at most 3: refused"):
        packages.unpack(tmp_path / "many.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
