"""A way to a server on which an answer can be lost: what was sent arrives, nothing comes back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from cartsnitch_common.embedded.ports import LOOPBACK

type Loss = Literal["cut", "silence"]


class Lossy:
    """A proxy of TCP with a thread for each direction.

    Attributes:
        port: Where it listens.
        target: The port that it leads to.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self._open: list[socket.socket] = []
        self._word: bytes | None = None
        self._loss: Loss = "cut"
        self._seen = bytearray()
        self.port: int = self._listener.getsockname()[1]
        self.target = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer(self, word: bytes, loss: Loss) -> None:
        """From the next request with ``word`` on let no answer through on its connection.

        Args:
            word: Such as the name of a command.
            loss: Cut the connection, or leave the client waiting.
        """
        self._seen.clear()
        self._word, self._loss = word, loss

    def seen(self, word: bytes) -> int:
        """How often a word went to the server since ``lose_answer``."""
        return bytes(self._seen).count(word)

    def close(self) -> None:
        """End it, with every connection."""
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((LOOPBACK, self.target))
            except OSError:
                return
            self._open += [client, server]
            mute = threading.Event()
            for work in (self._ask, self._answer):
                threading.Thread(target=work, args=(client, server, mute), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self._seen += data
                if self._word is not None and self._word in data:
                    self._word = None
                    mute.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if not mute.is_set():
                    client.sendall(data)
                elif self._loss == "cut":
                    break
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def lossy() -> Iterator[Lossy]:
    """A proxy that ends with the block; set its ``target``."""
    proxy = Lossy()
    try:
        yield proxy
    finally:
        proxy.close()
