"""The cache folder: where it is, and when it is not trusted."""

import os
from pathlib import Path

import pytest

from serverless_mlperf.cache import TAG, cache_dir, cache_in_use, cache_section, close_to_others, is_ours
from serverless_mlperf.errors import HostError


def at(folder: Path) -> dict[str, str]:
    """An environment that names a cache folder."""
    return {"SERVERLESS_MLPERF_CACHE": str(folder)}


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_folder_is_made_for_us_to_write_and_all_to_read(tmp_path: Path, umask: int) -> None:
    """Whatever the umask: functions run as another user and must be able to read, but not to write."""
    before = os.umask(umask)
    try:
        folder = cache_dir(at(tmp_path / "new/cache"))
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / TAG).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_folder_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """One line says the folder, its mode and what to do."""
    tmp_path.chmod(mode)
    with pytest.raises(HostError, match=rf"{tmp_path}: others can write to it \(mode 7..\); set SERVERLESS_MLPERF"):
        cache_dir(at(tmp_path))


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another uid owns is not trusted."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: 65534)  # nobody but root can give a folder away
    with pytest.raises(HostError, match=r"belongs to uid \d+, not to us"):
        cache_dir(at(tmp_path))


def test_section_others_can_write_to_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A section is looked at as the folder itself is."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    cache_section("packages").chmod(0o777)
    with pytest.raises(HostError, match="packages: others can write"):
        cache_section("packages")


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file in its place is an error with a next step, not a traceback."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(HostError, match="cannot be made"):
            cache_dir(at(path))


def test_folder_with_other_things_gets_no_tag(tmp_path: Path) -> None:
    """A folder that was not made as a cache is used, but not marked as one that may be removed."""
    (tmp_path / "letters").mkdir()
    assert not (cache_dir(at(tmp_path)) / TAG).exists()


def test_content_others_can_write_to_is_not_ours(tmp_path: Path) -> None:
    """One loose file in a folder is enough; closing it makes the folder ours again; links are not followed."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "a/link").symlink_to("b/file")
    close_to_others(tmp_path)
    assert is_ours(tmp_path)
    (tmp_path / "a/b/file").chmod(0o646)
    assert not is_ours(tmp_path)
    close_to_others(tmp_path)
    assert is_ours(tmp_path)


def test_many_use_the_cache_and_one_empties_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Users do not hinder each other, but each hinders who wants it alone, and is hindered by it."""
    monkeypatch.setenv("SERVERLESS_MLPERF_CACHE", str(tmp_path / "cache"))
    with cache_in_use(), cache_in_use(), pytest.raises(HostError, match="uses it"), cache_in_use(alone=True):
        pass
    with cache_in_use(alone=True), pytest.raises(HostError, match="being removed"), cache_in_use():
        pass
    with cache_in_use():
        pass
