"""From a pack to weights, on whatever device is there; or what a step of it costs.

python recipes/train_packed.py RECIPE --out DIR [--pack DIR] [--minutes M] [--benchmark]
"""

import argparse
import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch

from prnet.train.on_device import DeviceConfig, DeviceRun, load_device_recipe


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--out", required=True)
    parser.add_argument("--pack", help="in place of the recipe's")
    parser.add_argument("--minutes", type=float, help="in place of the recipe's")
    parser.add_argument("--batch-size", type=int, help="in place of the recipe's")
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="time the parts of a step; trains after it only where --minutes is given",
    )
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--contiguous", action="store_true", help="not channels last")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given = {"pack": options.pack, "minutes": options.minutes, "batch_size": options.batch_size}
    config = dataclasses.replace(
        load_device_recipe(options.recipe), **{k: v for k, v in given.items() if v is not None}
    )
    if options.eager:
        config = dataclasses.replace(config, compile=False)
    if options.contiguous:
        config = dataclasses.replace(config, channels_last=False)
    run = DeviceRun(config, Path(options.out), time.monotonic())
    if options.benchmark:
        benchmark(run, config)
    if options.minutes or not options.benchmark:
        run.train()


def benchmark(run: DeviceRun, config: DeviceConfig) -> None:
    """Log milliseconds and samples a second of each part of a step."""
    batch = run.training.batch(config.batch_size, config.augment)
    target = run.target(batch)

    def learn(k: int) -> None:
        learner = run.learners[k]
        learner.step(run.loss(learner.predict(batch.crops), target).total, 1e-4)

    parts: dict[str, Callable[[], object]] = {
        "synthesis": lambda: run.training.batch(config.batch_size, config.augment),
        "targets": lambda: run.target(batch),
    }
    for k, learner in enumerate(run.learners):
        parts[learner.name] = lambda k=k: learn(k)
    parts["whole step"] = lambda: run.optimise(
        run.training.batch(config.batch_size, config.augment), 0.5
    )
    for name, part in parts.items():
        started = time.monotonic()
        part()
        _wait()
        first = time.monotonic() - started
        rounds = 3 if not torch.cuda.is_available() else 20
        for _ in range(2):
            part()
        _wait()
        started = time.monotonic()
        for _ in range(rounds):
            part()
        _wait()
        each = (time.monotonic() - started) / rounds
        rate = len(batch.crops) / each
        logging.info("%s: %.1f ms, %.0f crops/s (first %.1f s)", name, 1e3 * each, rate, first)
    if torch.cuda.is_available():
        logging.info("peak %.1f GiB", torch.cuda.max_memory_allocated() / 2**30)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
