"""Train, or check, the weights that are shipped in `src/serverless_mlperf/models/embedded/`.

    python tools/train_embedded --work DIR     # draw, train, write, check: about an hour on two busy cores
    python tools/train_embedded --work DIR --ship    # write the files from what DIR holds of a run that was cut off
    python tools/train_embedded --check              # only measure the shipped files; needs no torch

Training needs `torch` (made with 2.13.0) beside the project, in an environment of its own: the project must not depend
on it. Pictures for training, for watching the training and for the final check are of different seeds. Another machine
gives other numbers of the same quality, because sums are ordered differently.
"""

import argparse
import os
from pathlib import Path
from typing import Any, Final

from measuring import check

from serverless_mlperf.datasets.synthetic import CATEGORIES
from serverless_mlperf.workloads import ENGINE_AND_FORMATS, TASKS, Task

TRAINING_SEED: Final = 1_000_001
VALIDATION_SEED: Final = 1_000_002
CHECK_SEED: Final = 2_000_002
"""Never used in any choice."""
TRAINING_COUNTS: Final[dict[Task, int]] = {"classification": 8000, "object_detection": 10_000}
VALIDATION_COUNT: Final = 500
CHECK_COUNT: Final = 1000
NETWORK_SEED: Final = 7
THREADS: Final = 2


def main() -> None:
    """Train and write unless only a check is asked for; then measure what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do not train, only measure the shipped files")
    parser.add_argument("--work", type=Path, help="folder for pictures (4 GB) and checkpoints")
    parser.add_argument("--ship", action="store_true", help="do not train, write what the folder holds")
    parser.add_argument(
        "--task", choices=TASKS, action="append", help="only this task; detection starts from the other"
    )
    parser.add_argument("--engine", choices=ENGINE_AND_FORMATS, action="append", help="only this one in the check")
    parser.add_argument("--seed", type=int, default=CHECK_SEED, help="seed of the pictures of the check")
    parser.add_argument("--count", type=int, default=CHECK_COUNT, help="pictures of the check")
    options = parser.parse_args()
    if not options.check and options.work is None:
        parser.error("give --work DIR to train, or --check")
    for task in () if options.check else options.task or TASKS:
        if not options.ship:
            train_task(task, options.work)
        ship_task(task, options.work)
    check(options.task or TASKS, options.engine or ENGINE_AND_FORMATS, options.seed, options.count)


def train_task(task: Task, work: Path) -> None:
    """Draw the pictures that are missing, train, and keep the state in the folder."""
    from network import new_network
    from optimising import SCHEDULES, loss_for, train
    from rendering import rendered
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(NETWORK_SEED)
    training = rendered(task, TRAINING_SEED, TRAINING_COUNTS[task], work / "pictures", os.cpu_count() or 1)
    validation = rendered(task, VALIDATION_SEED, VALIDATION_COUNT, work / "pictures", os.cpu_count() or 1)
    network = new_network(task, len(CATEGORIES[task]))
    if task == "object_detection":
        network.begin_with(torch.load(work / "classification.pt"))
    train(network, loss_for(task), training, validation, SCHEDULES[task], work / f"{task}.pt", NETWORK_SEED)


def ship_task(task: Task, work: Path) -> None:
    """Write the shipped file of a task from the state in the folder."""
    from network import folded_heads, folded_layers, folded_logits, new_network
    from shipping import placed_logits, placed_predictors, ship
    import torch

    network: Any = new_network(task, len(CATEGORIES[task]))
    network.load_state_dict(torch.load(work / f"{task}.pt"))
    if task == "classification":
        predictors = placed_logits(*folded_logits(network))
    else:
        predictors = placed_predictors(folded_heads(network))
    ship(task, {**folded_layers(network), **predictors})


if __name__ == "__main__":
    main()
