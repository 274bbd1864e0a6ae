"""The test's side of the processes: it orders, hears, stops, continues and kills its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Child:
    """One process.

    Attributes:
        name: Its name, which no other has.
        reports: How often it reported what, such as ``reached after publish``.
        log: The last lines that the library logged in it.
        ended: Set when it is gone and its exit code known.
        code: Its exit code; -9 when it was killed.
    """

    def __init__(self, nursery: Nursery, name: str) -> None:
        self.name = name
        self.reports: Counter[str] = Counter()
        self.log: deque[str] = deque(maxlen=50)
        self._measured: dict[str, int] = {}
        self.gone = asyncio.Event()
        self.ended = asyncio.Event()
        self.code: int | None = None
        self._nursery = nursery
        self._changed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    def order(self, order: str, **words: Any) -> None:
        """Tell it what to do."""
        assert self._writer is not None, "it has not begun"
        self._writer.write(json.dumps({"order": order, **words}).encode() + b"\n")

    def arm(
        self, point: str, *, passes: int = 1, do: str = "kill"
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """Make it kill or stop itself at a point.

        Returns:
            What waits until it has come there.
        """
        times = self.reports[f"reached {point}"] + 1
        self.order("arm", point=point, passes=passes, do=do)
        return lambda: self.hears(f"reached {point}", times=times)

    async def hears(self, report: str, *, within: float = 20, times: int = 1) -> None:
        """Wait until it has reported something, or fail."""
        async with asyncio.timeout(within):
            while self.reports[report] < times:
                assert not self.ended.is_set(), f"{self.name} ended with {self.code}: {self.log}"
                self._changed.clear()
                await self._changed.wait()

    async def measure(self) -> dict[str, int]:
        """Its open files, its memory, its tasks."""
        times = self.reports["measured"] + 1
        self.order("measure")
        await self.hears("measured", times=times)
        return self._measured

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._nursery.tell(signal=number, name=self.name)

    async def kill(self) -> None:
        """Kill it and wait for its end."""
        if not self.ended.is_set():
            self.send(signal.SIGKILL)
        await self.end()

    async def end(self, *, within: float = 30) -> int | None:
        """Wait for its end; its exit code."""
        await asyncio.wait_for(self.ended.wait(), within)
        return self.code

    async def close(self) -> int | None:
        """Stop it as a service is stopped."""
        if not self.ended.is_set():
            self.send(signal.SIGTERM)
        return await self.end()

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take its reports until it is gone."""
        self._writer = writer
        self._report({"begun": True})
        with suppress(OSError):
            async for line in reader:
                self._report(json.loads(line))
        self.gone.set()
        writer.close()

    def over(self, code: int) -> None:
        """It was reaped."""
        self.code = code
        self.ended.set()
        self._changed.set()

    def _report(self, words: dict[str, Any]) -> None:
        if "measured" in words:
            self._measured = words
        for name, value in words.items():
            match name, value:
                case "log" | "stack", str(line):
                    self.log.append(line)
                case "reached" | "settled" | "outage", str(what):
                    self.reports[f"{name} {what}"] += 1
                case _:
                    self.reports[name] += 1
        self._changed.set()


class Nursery:
    """Starts processes by forking one that has everything loaded."""

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="cartsnitch-"))
        self._socket = str(Path(folder) / "s")
        self._children: dict[str, Child] = {}
        self._number = 0
        server = await asyncio.start_unix_server(self._welcome, self._socket)
        self._stack.callback(server.close)
        self._process: Process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.nursery"),
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        )
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it kills what is left
        await self._process.wait()
        await self._listening
        await self._stack.aclose()

    async def spawn(self, role: str, **orders: Any) -> Child:
        """A new process; it works when this returns."""
        self._number += 1
        name = f"{role}-{self._number}"
        child = self._children[name] = Child(self, name)
        self.tell(spawn={"name": name, "role": role, "socket": self._socket, **orders})
        await child.hears("begun")
        return child

    def tell(self, **order: Any) -> None:
        """Order something of the process that forks."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = json.loads(await reader.readline())
        await self._children[first["name"]].listen(reader, writer)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            words = json.loads(line)
            if "ended" in words:
                self._children.pop(words["ended"]).over(words["code"])
