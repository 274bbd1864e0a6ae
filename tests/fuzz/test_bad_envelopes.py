from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import Counter
from random import Random

import pytest

from cartsnitch_common.errors import EventError, MalformedEnvelopeError
from cartsnitch_common.events import decode
from cartsnitch_common.events.envelope import MAX_SIZE
from tests.fuzz.malformed import bombs, full_lists, malformed, others, sound
from tests.fuzz.mutations import generated
from tests.fuzz.reading import read
from tests.fuzz.samples import sound_bytes

COUNT = 20_000
MALFORMED = malformed()
OTHERS = others()
BOMBS = bombs()
FULL_LISTS = full_lists()
MOST_MEMORY = 32
"""Unit: MiB that reading one envelope may take, the reader's own code beside it."""


def test_the_samples_are_sound() -> None:
    """What is spoilt below can be read as it is: a failure there is of the spoiling."""
    for data in [*sound_bytes(), sound()]:
        assert read(data) == "read"


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_envelope_is_called_one(name: str) -> None:
    """Each class ends in the one error that a consumer makes a dead letter of."""
    with pytest.raises(MalformedEnvelopeError) as caught:
        decode(MALFORMED[name])
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_there_are_many_classes() -> None:
    """The classes are at least the thirty that are promised."""
    assert len(MALFORMED) + len(OTHERS) >= 30


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_malformed_is_called_by_its_name(name: str) -> None:
    """Too large is refused before anything is decoded, and a newer type is told apart."""
    data, kind = OTHERS[name]
    with pytest.raises(EventError) as caught:
        decode(data)
    assert type(caught.value) is kind


@pytest.mark.parametrize("number", range(len(sound_bytes())))
def test_every_cut_and_every_flipped_bit_is_read_or_refused(number: int) -> None:
    """One envelope of each type in each form: every truncation, every single wrong bit."""
    data = bytearray(sound_bytes()[number])
    outcomes: Counter[str] = Counter()
    for length in range(len(data)):
        outcomes[read(bytes(data[:length]))] += 1
    assert set(outcomes) == {"MalformedEnvelopeError"}
    for index, bit in itertools.product(range(len(data)), range(8)):
        data[index] ^= 1 << bit
        outcomes[read(bytes(data))] += 1
        data[index] ^= 1 << bit
    assert outcomes["MalformedEnvelopeError"] > len(data)
    assert sum(outcomes.values()) == 9 * len(data)


def test_generated_envelopes_are_read_or_refused() -> None:
    """20,000 spoilt envelopes raise only our errors, and no one takes a second."""
    outcomes: Counter[str] = Counter()
    for data in itertools.islice(generated(Random(20261125)), COUNT):  # noqa: S311 - repeatable
        outcomes[read(data)] += 1
    assert sum(outcomes.values()) == COUNT
    assert outcomes["read"] > COUNT / 100, outcomes
    assert outcomes["MalformedEnvelopeError"] > COUNT / 3, outcomes
    assert outcomes["UnknownEventTypeError"] > 0, outcomes


@pytest.mark.parametrize("name", BOMBS)
def test_the_largest_envelope_makes_little_work(name: str) -> None:
    """256 KiB of the worst are read or refused in less than a second."""
    assert MAX_SIZE * 0.7 < len(BOMBS[name]) <= MAX_SIZE
    start = time.process_time()
    read(BOMBS[name])
    assert time.process_time() - start < 1


@pytest.mark.parametrize("name", FULL_LISTS)
def test_a_small_envelope_makes_little_work(name: str) -> None:
    """2 KB that break thousands of rules hold a reader up for less than a second."""
    start = time.process_time()
    assert read(FULL_LISTS[name]) == "MalformedEnvelopeError"
    assert time.process_time() - start < 1


PROGRAM = """
import resource
from tests.fuzz.malformed import bombs, others
from tests.fuzz.reading import read
from tests.fuzz.samples import sound_bytes

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

inputs = bombs() | {name: data for name, (data, _) in others().items()}
for data in sound_bytes():
    read(data)
before = peak()
for name, data in inputs.items():
    read(data)
    print(f"{peak() - before:8.1f} {name}", flush=True)
"""


def test_no_envelope_takes_much_memory() -> None:
    """A fresh process that reads all of them grows by less than 32 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    grown = max(float(line.split()[0]) for line in done.stdout.splitlines())
    assert grown < MOST_MEMORY, done.stdout
