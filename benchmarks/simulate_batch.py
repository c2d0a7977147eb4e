"""Simulates `prnet batch` on a thousand workers that differ in speed and get lost.

    python benchmarks/simulate_batch.py

Prints the table of docs/scale.md, the same every time. Workers take part after part. Their speeds
are lognormal, and one in a hundred runs at a fifth of its own; each is lost now and then, with the
part that it was at, and a new one stands in some minutes later. With `re-issued`, workers that find
no part left begin those again that are still under way, and whoever ends first counts.
"""

import heapq
from dataclasses import dataclass

import numpy as np

PHOTOS, WORKERS = 100_000_000, 1000
RATE = 13.0  # photos of a megapixel a second of a usual worker
SPREAD = 0.3  # standard deviation of the logarithm of the speed
STRAGGLERS, STRAGGLER_RATE = 0.01, 0.2
LOSSES_AN_HOUR = 0.05  # of each worker
REPLACED_S = 300.0
PART_S = 0.5  # to hand out a part, open its file and store what comes of it
SIZES = (100, 1000, 10_000, 100_000)
SEEDS = range(3)


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        hours: Until the last photo was done.
        tail_s: Of these, since the last part was handed out.
        repeated: Photos done in vain, as a part of all.
    """

    hours: float
    tail_s: float
    repeated: float


def simulate(size: int, is_reissued: bool, seed: int) -> Outcome:
    """Hand out parts of so many photos until all are done."""
    rng = np.random.default_rng(seed)
    parts = PHOTOS // size
    waiting = list(range(parts))
    copies, is_done, under_way = [0] * parts, [False] * parts, set[int]()
    left, last_issue, in_vain = parts, 0.0, 0.0
    # when something happens, to which worker, of which speed; the part that ends there, and the
    # photos of it that were done: all, or less if the worker was lost. None: the worker is free
    events: list[tuple[float, int, float, tuple[int, float] | None]]
    events = [(0.0, worker, draw_speed(rng), None) for worker in range(WORKERS)]
    idle: list[tuple[int, float]] = []
    while left:
        now, worker, speed, ending = heapq.heappop(events)
        if ending is not None:
            part, done = ending
            copies[part] -= 1
            is_lost = done < size
            if is_lost or is_done[part]:
                in_vain += done
            else:
                is_done[part] = True
                left -= 1
            if copies[part] == 0 or is_done[part]:
                under_way.discard(part)
            if is_lost and not is_done[part] and copies[part] == 0:
                waiting.append(part)
                if idle:
                    heapq.heappush(events, (now, *idle.pop(), None))
            if is_lost:
                heapq.heappush(events, (now + REPLACED_S, worker, draw_speed(rng), None))
                continue
        if waiting:
            part, last_issue = waiting.pop(), now
        else:
            again = (each for each in sorted(under_way) if is_reissued and copies[each] == 1)
            part = next(again, -1)
            if part < 0:
                idle.append((worker, speed))
                continue
        copies[part] += 1
        under_way.add(part)
        takes_s, lost_s = PART_S + size / speed, rng.exponential(3600 / LOSSES_AN_HOUR)
        done = float(size) if takes_s <= lost_s else max(lost_s - PART_S, 0) * speed
        heapq.heappush(events, (now + min(takes_s, lost_s), worker, speed, (part, done)))
    return Outcome(now / 3600, now - last_issue, in_vain / PHOTOS)


def draw_speed(rng: np.random.Generator) -> float:
    """Photos a second of a worker."""
    speed = RATE * float(np.exp(SPREAD * rng.standard_normal()))
    return speed * (STRAGGLER_RATE if rng.random() < STRAGGLERS else 1.0)


def main() -> None:
    """Print the table."""
    print("| photos a part | parts | hours | tail, s | done in vain | hours, re-issued | tail, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        plain, again = (
            [simulate(size, is_reissued, seed) for seed in SEEDS] for is_reissued in (False, True)
        )

        def mean(runs: list[Outcome], name: str) -> float:
            return float(np.mean([getattr(run, name) for run in runs]))

        print(
            f"| {size:,} | {PHOTOS // size:,} | {mean(plain, 'hours'):.2f} "
            f"| {mean(plain, 'tail_s'):.0f} | {100 * mean(plain, 'repeated'):.2f}% "
            f"| {mean(again, 'hours'):.2f} | {mean(again, 'tail_s'):.0f} |"
        )
    speeds = [draw_speed(np.random.default_rng(seed)) for seed in range(WORKERS)]
    print(f"\nIf all worked all the time: {PHOTOS / sum(speeds) / 3600:.2f} hours.")


if __name__ == "__main__":
    main()
