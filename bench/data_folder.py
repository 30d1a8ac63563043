"""What a data folder costs: PUT and GET on a server with one and on a server without, in turn.

Prints the medians of interleaved windows, their ratio and the servers' CPU time for each request.
Client and servers share the host's cores.
Exit status 1 when PUT of 1 KB into a data folder is slower than the platform's gate for memory.

    python bench/data_folder.py [--rounds 7] [--window 0.3] [--folder FOLDER]
"""

import argparse
import json
from pathlib import Path
from statistics import median
import sys
import tempfile
from typing import Final, NamedTuple
from urllib.request import urlopen

from front_servers import PLATFORM, SIZES, objects, serving
from raw_client import burst, message, window

CONNECTIONS: Final = (1, 4, 16)
GATE_PER_S: Final = 2_500
"""Of PUT 1 KB, at any number of connections."""

Load = tuple[str, str, int]
"""Method, size, connections."""


class Window(NamedTuple):
    """What one window gave."""

    per_s: float
    cpu_us: float


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--window", type=float, default=0.3, help="seconds")
    parser.add_argument("--folder", type=Path, help="where the data folder is made; default: the temporary folder")
    chosen = parser.parse_args()
    loads = [(method, size, n) for size in SIZES for method in ("PUT", "GET") for n in CONNECTIONS]
    found: dict[Load, list[tuple[Window, Window]]] = {load: [] for load in loads}
    with (
        tempfile.TemporaryDirectory(dir=chosen.folder) as folder,
        serving(*PLATFORM) as memory,
        serving(*PLATFORM, "--data", folder) as disk,
    ):
        for port in (memory, disk):
            burst(port, [[message(port, "PUT", "/bench")]], 1)
        for _ in range(chosen.rounds):
            for load in loads:
                found[load].append((measured(memory, load, chosen.window), measured(disk, load, chosen.window)))
    return report(found)


def measured(port: int, load: Load, seconds: float) -> Window:
    """One window."""
    before_ns = cpu_ns(port)
    answers = window(port, objects(port, *load), seconds)
    return Window(answers.per_s, (cpu_ns(port) - before_ns) / 1e3 / len(answers.latencies_ns))


def cpu_ns(port: int) -> int:
    """CPU time that a server has taken."""
    with urlopen(f"http://127.0.0.1:{port}/_platform/status") as answer:
        return int(json.loads(answer.read())["cpu_ns"])


def report(found: dict[Load, list[tuple[Window, Window]]]) -> int:
    """Print the medians; the exit status."""
    missed = 0
    print(f"{'load':15s} {'memory':>9s} {'data folder':>13s} {'ratio':>6s} {'CPU each':>18s}")
    for (method, size, connections), windows in found.items():
        memory, disk = (median(w.per_s for w in column) for column in zip(*windows, strict=True))
        cpu = " -> ".join(f"{median(w.cpu_us for w in column):.0f}" for column in zip(*windows, strict=True))
        ratio = median(kept.per_s / forgotten.per_s for forgotten, kept in windows)
        misses = (method, size) == ("PUT", "1 KB") and disk < GATE_PER_S
        missed += misses
        verdict = f"   misses {GATE_PER_S}/s" if misses else ""
        name = f"{method} {size} x{connections}"
        print(f"{name:15s} {memory:7.0f}/s {disk:11.0f}/s {ratio:6.2f} {cpu:>15s} us{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
