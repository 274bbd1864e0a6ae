from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from cartsnitch_common.contract import bindings
from cartsnitch_common.events.slot_reads import SlotReads


class Streams:
    """Streams that answer when the test says so, and count who reads."""

    def __init__(self) -> None:
        self.answers: dict[str, asyncio.Queue[Any]] = {name: asyncio.Queue() for name in "ab"}
        self.reads = Counter[str]()

    async def read(self, stream: str) -> list[Any]:
        """Wait for what the stream says."""
        self.reads[stream] += 1
        answer = await self.answers[stream].get()
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    def say(self, stream: str, answer: Any) -> None:
        """Answer one read of a stream, by an error perhaps."""
        self.answers[stream].put_nowait(answer)


async def test_the_first_answer_is_handed_on_at_once() -> None:
    """Nobody waits for the stream that is quiet, and its read goes on: it is not begun anew."""
    streams = Streams()
    reads = SlotReads(streams.read)
    streams.say("a", 1)
    assert await reads.first("ab") == [1]
    streams.say("a", 2)
    assert await reads.first("ab") == [2]
    streams.say("b", 3)
    assert await reads.first("ab") == [3]
    assert streams.reads == {"a": 3, "b": 1}
    streams.say("a", 4)
    await reads.end()


async def test_what_comes_in_between_two_calls_is_not_lost() -> None:
    """What a read brings while its caller works is there for the next call."""
    streams = Streams()
    reads = SlotReads(streams.read)
    streams.say("a", 1)
    assert await reads.first("ab") == [1]
    streams.say("b", 2)
    await asyncio.sleep(0)
    assert await reads.first("ab") == [2]
    streams.say("a", 3)
    await reads.end()


async def test_a_failure_is_raised_and_the_others_go_on() -> None:
    """A node that is lost is told; reads of the other nodes stay under way."""
    streams = Streams()
    reads = SlotReads(streams.read)
    streams.say("a", RedisError("lost"))
    with pytest.raises(RedisError):
        await reads.first("ab")
    streams.say("b", 1)
    assert await reads.first("ab") == [1]
    assert streams.reads["b"] == 1
    streams.say("a", 1)
    await reads.end()


async def test_the_end_waits_for_every_read() -> None:
    """Afterwards nothing is under way, and a failure on the way is nobody's any more."""
    streams = Streams()
    reads = SlotReads(streams.read)
    streams.say("a", 1)
    await reads.first("ab")
    ending = asyncio.create_task(reads.end())
    await asyncio.sleep(0.01)
    assert not ending.done()
    streams.say("b", RedisError("lost"))
    await ending
    streams.say("b", 2)
    assert await reads.first("b") == [2]
    assert streams.reads["b"] == 2


async def test_a_call_that_is_given_up_gives_up_no_read() -> None:
    """A cancelled caller leaves the reads under way; the next one gets what they bring."""
    streams = Streams()
    reads = SlotReads(streams.read)
    waiting = asyncio.create_task(reads.first("ab"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    streams.say("a", 1)
    assert await reads.first("ab") == [1]
    streams.say("b", 2)
    await reads.end()


def test_all_names_of_a_channel_lie_in_one_slot() -> None:
    """The stream's hash tag is the channel's name: one transaction may write both."""
    for binding in bindings():
        assert key_slot(binding.channel.encode()) == key_slot(binding.stream.encode())
