"""The guard: a small process that owns the embedded servers.

Run by its path as a script, with the private directory and the id of the
process that asks (see ``guard.py``), so it imports the standard library only.
Orders come as lines of JSON over its standard input, which is a socket.

The servers are its children. When the socket closes or the asking process is
gone, however it went, the guard ends the servers, removes the directory and
exits. Its own death takes the servers along: on Linux each one asks the kernel
for a signal then, which is safe here and not in the asking process, because
that signal is tied to the thread that forked and the guard has only one.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

type Ending = list[tuple[int, float]]
"""Signals to end a process with, each with the seconds to wait before the next."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IPC_RMID = 0
_SHARED_MEMORY_LINE = 6

# Seconds after which orphans are asked to end, are forced to, and are left to
# the kernel in which they are stuck.
_ORPHANS_ASKED = 0.5
_ORPHANS_FORCED = 2.0
_ORPHANS_STUCK = 12.0

_ON_LINUX = sys.platform == "linux"


class Guard:
    """The state of the guard: its children and the socket to the asking process."""

    def __init__(self, directory: Path, asker: int, orders: socket.socket) -> None:
        self._directory = directory
        self._asker = asker
        self._orders = orders
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._endings: dict[str, Ending] = {}
        self._accounts: list[tuple[int, int]] = []
        self._kept = False
        self._told_to_end = False
        # Loaded before any fork: a child must not search for libraries.
        self._libc = ctypes.CDLL(None)
        if _ON_LINUX:
            # Orphans of a killed postmaster become children of the guard, which
            # so knows when the last of them is gone.
            self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def serve(self) -> None:
        """Answer orders until it is time to end everything."""
        awake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        received = b""
        sources = [self._orders.fileno(), awake]
        while not self._told_to_end:
            # A fork of the asking process may hold the socket open after it,
            # so the end of the file alone does not tell that it is gone.
            if not self._kept and os.getppid() != self._asker:
                return
            ready, _, _ = select.select(sources, [], [], None if self._kept else 0.5)
            if self._orders.fileno() not in ready:
                continue
            try:
                chunk = self._orders.recv(65536)
            except ConnectionError:
                chunk = b""
            if not chunk:
                if not self._kept:
                    return
                sources.remove(self._orders.fileno())
                continue
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                self._answer(json.loads(line))

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._told_to_end = True

    def _answer(self, order: dict[str, Any]) -> None:
        try:
            answer = self._obey(order)
        except (OSError, subprocess.SubprocessError) as error:
            answer = {"error": str(error)}
        try:
            self._orders.sendall(json.dumps(answer).encode() + b"\n")
        except ConnectionError:
            return  # The asker is gone: the next turn of the loop sees it.

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["order"]:
            case "spawn":
                return {"pid": self._spawn(order)}
            case "poll":
                return {"status": self._children[order["name"]].poll()}
            case "end":
                child = self._children[order["name"]]
                _send(child, order["ending"][0][0])
                self._await_end(child, order["ending"])
                self._end_orphans()
                return {"status": child.returncode}
            case "keep":
                self._kept = True
                return {}
            case unknown:
                return {"error": f"unknown order {unknown}"}

    def _spawn(self, order: dict[str, Any]) -> int:
        earlier = self._children.get(order["name"])
        if earlier is not None:
            self._await_end(earlier, [(signal.SIGKILL, 0.0), (signal.SIGKILL, 5.0)])
        self._end_orphans()
        account: tuple[int, int] | None = order["account"] and tuple(order["account"])
        if account is not None and account not in self._accounts:
            self._accounts.append(account)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            child = subprocess.Popen(  # noqa: S603 - the caller checked the program
                order["argv"],
                stdin=subprocess.DEVNULL if order["input"] is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=order["environment"],
                cwd="/",
                text=True,
                user=None if account is None else account[0],
                group=None if account is None else account[1],
                extra_groups=None if account is None else [],
                # Called after the change of user, which would clear the setting.
                preexec_fn=self._tie(order["ending"][0][0]) if _ON_LINUX else None,  # noqa: PLW1509
            )
        finally:
            os.close(log)
        self._children[order["name"]] = child
        self._endings[order["name"]] = order["ending"]
        if child.stdin is not None:
            try:
                with child.stdin:
                    child.stdin.write(order["input"])
            except BrokenPipeError:
                pass  # It ended early: its status and its log say why.
        return child.pid

    def _tie(self, number: int) -> Callable[[], None]:
        prctl, guard = self._libc.prctl, os.getpid()

        def tie() -> None:
            prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(1)

        return tie

    def finish(self) -> None:
        """End every child, free what the kernel holds for them, remove the directory."""
        for name, child in self._children.items():
            _send(child, self._endings[name][0][0])
        for name, child in self._children.items():
            self._await_end(child, self._endings[name])
        self._end_orphans()
        for pid_file in self._directory.glob("*/data/postmaster.pid"):
            self._free_shared_memory(pid_file)
        for attempt in range(50):
            try:
                shutil.rmtree(self._directory)
            except FileNotFoundError:
                if not self._directory.exists():
                    return
            except OSError:
                # Without orphans to wait for (macOS) a backend may still write.
                if attempt == 49:  # noqa: PLR2004
                    raise
                time.sleep(0.1)
            else:
                return

    @staticmethod
    def _await_end(child: subprocess.Popen[str], ending: Ending) -> None:
        """Wait for a child that has been sent the first signal; escalate."""
        for turn, (number, seconds) in enumerate(ending):
            if turn:
                _send(child, number)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            return

    def _end_orphans(self) -> None:
        """Reap what a killed program left behind, by force if it does not end by itself.

        A backend sees that its postmaster is gone, a child of initdb that its
        input has ended. Asked to end they free their shared memory, forced they
        do not.
        """
        started = time.monotonic()
        asked: set[int] = set()
        while orphans := self._orphans():
            waited = time.monotonic() - started
            if waited > _ORPHANS_STUCK:
                return
            for pid in orphans:
                if waited > _ORPHANS_FORCED:
                    os.kill(pid, signal.SIGKILL)
                elif waited > _ORPHANS_ASKED and pid not in asked:
                    os.kill(pid, signal.SIGTERM)
                    asked.add(pid)
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)

    def _orphans(self) -> list[int]:
        if not _ON_LINUX:
            return []
        known = {child.pid for child in self._children.values() if child.poll() is None}
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in known:
                continue
            try:
                stat = (entry / "stat").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(entry.name))
        return found

    def _free_shared_memory(self, pid_file: Path) -> None:
        """Free the System V segment of a postmaster that was killed.

        The seventh line of its lock file names it. The file belongs to the
        server's account, so the call is made with that account's rights: a
        forged line can name no other user's segment.
        """
        lines = pid_file.read_text("utf-8", "replace").splitlines()
        words = lines[_SHARED_MEMORY_LINE].split() if len(lines) > _SHARED_MEMORY_LINE else []
        if len(words) != 2 or not words[1].isdigit():  # noqa: PLR2004 - key and id
            return
        child = os.fork()
        if child == 0:
            self._remove_segment_and_exit(int(words[1]))
        os.waitpid(child, 0)

    def _remove_segment_and_exit(self, segment: int) -> NoReturn:
        try:
            for user, group in self._accounts[:1]:
                os.setgroups([])
                os.setgid(group)
                os.setuid(user)
            self._libc.shmctl(segment, _IPC_RMID, None)
        finally:
            os._exit(0)


def _send(child: subprocess.Popen[str], number: int) -> None:
    # A stopped process takes no signal but SIGKILL until it is continued.
    child.send_signal(number)
    child.send_signal(signal.SIGCONT)


def main() -> int:
    """Serve until the asking process is gone, then leave nothing behind."""
    os.umask(0o077)
    directory, asker = Path(sys.argv[1]), int(sys.argv[2])
    with socket.socket(fileno=0) as orders:
        guard = Guard(directory, asker, orders)
        try:
            guard.serve()
        finally:
            guard.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
