"""A process that has everything loaded and forks the others: a new one works in some milliseconds.

Each line on its input is an order in JSON: ``{"spawn": orders}`` forks a process that works
as its orders say, ``{"signal": number, "name": name}`` sends it a signal. Each line on
its output tells of one that ended. When its input ends it kills all that are left: whatever
becomes of the test, nothing stays behind.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from tests.chaos.roles import perform
from tests.chaos.services import rehearse


class Nursery:
    """The processes that were forked and have not ended."""

    def __init__(self) -> None:
        self._children: dict[int, str] = {}
        self._ended, write_end = os.pipe()
        os.set_blocking(write_end, False)
        os.set_blocking(self._ended, False)
        signal.set_wakeup_fd(write_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Obey until the input ends."""
        unread = b""
        while True:
            readable, _, _ = select.select([0, self._ended], [], [])
            if self._ended in readable:
                os.read(self._ended, 4096)
                self._reap()
            if 0 in readable:
                data = os.read(0, 65536)
                if not data:
                    break
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        for child in self._children:
            os.kill(child, signal.SIGKILL)

    def _obey(self, order: dict[str, Any]) -> None:
        if "spawn" in order:
            child = os.fork()
            if not child:
                self._become(order["spawn"])
            self._children[child] = order["spawn"]["name"]
            return
        for child, name in self._children.items():
            if name == order["name"]:  # not reaped, so the number is still its own
                os.kill(child, order["signal"])

    def _become(self, orders: dict[str, Any]) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with open(os.devnull) as nothing:  # noqa: PTH123 - only its descriptor is wanted
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        status = 1
        try:
            perform(orders)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for child in list(self._children):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                say({"ended": self._children.pop(child), "code": code})


def say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    rehearse()
    gc.collect()
    gc.freeze()  # the children share these pages
    nursery = Nursery()
    say({"ready": os.getpid()})
    nursery.run()


if __name__ == "__main__":
    main()
