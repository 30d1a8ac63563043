"""Room for an experiment: what is needed, and what is said when it is not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.errors import HostError
from serverless_mlperf.preflight import MIB, RUN_BYTES, Disk, Needs, Room, needs_of, preflight, read_room

OUTPUT, CACHE, WORK = Path("/results"), Path("/cache"), Path("/work")


def needs(tmp_path: Path, **settings: Any) -> Needs:
    """Of the default experiment, with environments as on two cores, and nothing cached."""
    config = load_config(None, settings)
    environments = {cell: max(1, round(3000 / cell.memory_mib)) for cell in config.cells}
    made = needs_of(config, environments, OUTPUT, tmp_path / "none", WORK)
    return replace(made, disk=(made.disk[0], replace(made.disk[1], folder=CACHE), made.disk[2]))


def room(
    memory_gib: float = 64, files: int = 4096, free_gib: float = 64, devices: tuple[int, int, int] = (1, 1, 1)
) -> Room:
    """A host's readings."""
    folders = zip((OUTPUT, CACHE, WORK), devices, strict=True)
    return Room({f: Disk(d, int(free_gib * 2**30)) for f, d in folders}, int(memory_gib * 2**30), files)


def test_large_host_has_room(tmp_path: Path) -> None:
    """Nothing is said where everything is there."""
    preflight(needs(tmp_path), room())


def test_this_host_is_read(tmp_path: Path) -> None:
    """Readings of this host, also for folders that do not exist yet, are plausible."""
    config = load_config(None, {})
    found = read_room(needs_of(config, dict.fromkeys(config.cells, 1), tmp_path / "a" / "b", tmp_path, tmp_path))
    assert found.disks[tmp_path / "a" / "b"].device == tmp_path.stat().st_dev
    assert found.disks[tmp_path].free_bytes > 0
    assert found.memory_bytes > 64 * MIB
    assert found.files >= 256


def test_lack_of_disk_names_every_folder_with_its_need(tmp_path: Path) -> None:
    """Folders on one file system are added up; each is named with what it is for."""
    with pytest.raises(HostError) as caught:
        preflight(needs(tmp_path), room(free_gib=1))
    said = str(caught.value)
    assert said.startswith("disk space: 1,024 MiB free, 1,667 MiB are needed: ")
    for part in ("131 MiB for the results of 24 cells in /results", "1,280 MiB for the cache in /cache",
                 "256 MiB for the work folder in /work"):  # fmt: skip
        assert part in said
    assert "\n" not in said


def test_folders_on_different_disks_are_not_added_up(tmp_path: Path) -> None:
    """1.3 GiB on each of three disks are enough, 1 GiB is not, for the cache alone."""
    preflight(needs(tmp_path), room(free_gib=1.3, devices=(1, 2, 3)))
    with pytest.raises(HostError, match=r"1,280 MiB are needed: 1,280 MiB for the cache in /cache;"):
        preflight(needs(tmp_path), room(free_gib=1, devices=(1, 2, 3)))


def test_filled_cache_needs_no_more_room(tmp_path: Path) -> None:
    """What the cache holds already is not asked for again."""
    with (tmp_path / "models").open("wb") as file:
        file.truncate(2 << 30)
    config = load_config(None, {})
    made = needs_of(config, dict.fromkeys(config.cells, 1), OUTPUT, tmp_path, WORK)
    assert made.disk[1].bytes_needed == 0


def test_lack_of_memory_names_the_largest_cell(tmp_path: Path) -> None:
    """The largest cell by environments x size is named, and what client and server take beside it."""
    with pytest.raises(HostError) as caught:
        preflight(needs(tmp_path), room(memory_gib=2))
    said = str(caught.value)
    assert said.startswith("free memory: 2,048 MiB, 3,968 MiB are needed: 3,072 MiB for the largest cell (")
    assert "4 environments of 768 MiB" in said
    assert "896 MiB for client and server" in said
    assert "--concurrency" in said


def test_lack_of_descriptors_says_how_many(tmp_path: Path) -> None:
    """The count of open files grows with the environments and is told."""
    with pytest.raises(HostError, match=r"open files: 64 are allowed, 320 are needed .* `ulimit -n`"):
        preflight(needs(tmp_path), room(files=64))


def test_results_grow_with_queries_runs_and_tries(tmp_path: Path) -> None:
    """More queries, runs or tries need more room for results."""
    base = needs(tmp_path, queries=1000).disk[0].bytes_needed
    assert needs(tmp_path, queries=1000, repeat=2).disk[0].bytes_needed > 1.9 * base
    assert needs(tmp_path, queries=1000, retry_invalid=0).disk[0].bytes_needed < 0.4 * base
    assert needs(tmp_path, queries=10_000).disk[0].bytes_needed > 5 * base


@pytest.mark.parametrize(
    ("settings", "runs"),
    [
        ({"scenario": "server", "length": "standard", "search_capacity": True}, 10),
        ({"scenario": "offline", "sweep": (1, 2, 4)}, 3),
        ({"mode": "test01"}, 3),
        ({"mode": "test04"}, 2),
    ],
)
def test_results_grow_with_the_runs_of_a_round(tmp_path: Path, settings: dict[str, Any], runs: int) -> None:
    """A search, a sweep and a compliance test have room for all their runs."""
    once = {"scenario": settings.get("scenario", "offline"), "queries": 1000, "samples": 1000}
    one = needs(tmp_path, **once).disk[0].bytes_needed - RUN_BYTES
    assert needs(tmp_path, **{**once, **settings}).disk[0].bytes_needed == runs * one + RUN_BYTES


def test_samples_of_a_query_are_kept_each(tmp_path: Path) -> None:
    """MultiStream sends eight samples per query, and each has its record and output."""
    one, eight = (needs(tmp_path, scenario=s, queries=1000).disk[0].bytes_needed for s in ("offline", "multi-stream"))
    assert eight > 7.5 * one


@pytest.mark.parametrize("mode", ["accuracy", "test01"])
def test_images_of_a_folder_are_held_in_memory(tmp_path: Path, mode: str) -> None:
    """Where answers are scored the whole folder is."""
    (tmp_path / "image.jpg").write_bytes(bytes(40 * MIB))
    folder: dict[str, Any] = {"dataset": "coco", "input_dataset": tmp_path, "weights": tmp_path, "samples": 1}
    config = load_config(None, {**folder, "mode": mode})
    few = config.model_copy(update={"mode": "performance"})
    environments = dict.fromkeys(config.cells, 1)
    whole, part = (needs_of(c, environments, OUTPUT, CACHE, WORK).server_bytes for c in (config, few))
    assert 38 * MIB < whole - part < 42 * MIB
