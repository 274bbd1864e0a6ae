"""The long run of bad input; started by scripts/fuzz-envelope, which tells the options."""

from __future__ import annotations

import argparse
import itertools
import resource
import secrets
import sys
import time
from collections import Counter
from random import Random
from typing import Final

from tests.fuzz.mutations import generated
from tests.fuzz.reading import read

FAILED: Final = 1
EVERY: Final = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz-envelope")
    parser.add_argument("--count", type=int, default=500_000)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    return read_many(options.count, seed)


def read_many(count: int, seed: int) -> int:
    """Read spoilt envelopes; the first that does not end in one of our errors fails the run."""
    say(f"{count} envelopes, spoilt by --seed {seed}")
    outcomes: Counter[str] = Counter()
    start, before = time.monotonic(), memory()
    inputs = itertools.islice(generated(Random(seed)), count)  # noqa: S311 - repeatable
    for number, data in enumerate(inputs, 1):
        try:
            outcomes[read(data)] += 1
        except Exception as error:  # noqa: BLE001 - which one it may be is the question
            say(f"number {number} raised {type(error).__name__}: {error!r}\n{data.hex()}")
            return FAILED
        if number % EVERY == 0:
            say(f"{number} in {time.monotonic() - start:.0f} s")
    for outcome, some in outcomes.most_common():
        say(f"{some:>9} {outcome}")
    say(f"memory grew by {memory() - before:.1f} MiB; below 3/{count} of such are harmful, 95 %")
    return 0


def memory() -> float:
    """The most that this process had so far. Unit: MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
