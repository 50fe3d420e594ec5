"""Something that speaks SSH up to a point and then hangs: at its banner, at the login, when a channel is opened, at a command."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import paramiko

from data.ssh_keys import KeyPair

HANGS_SECONDS = 20.0


class _Hanging(paramiko.ServerInterface):
    def __init__(self, at: str, over: threading.Event) -> None:
        self.at, self.over = at, over

    def _hang(self, at: str) -> None:
        if self.at == at:
            self.over.wait(HANGS_SECONDS)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._hang("login")
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._hang("channel")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._hang("command")
        return True


@contextmanager
def hanging_node(at: str, key: KeyPair) -> Iterator[int]:
    """The port of one that hangs `at` banner, login, channel or command; it shows `key`."""
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_serve, args=(server, at, key, over), daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join(5)


def _serve(server: socket.socket, at: str, key: KeyPair, over: threading.Event) -> None:
    with server.accept()[0] as one, suppress(OSError, EOFError, paramiko.SSHException):
        if at == "banner":
            return _drip(one, over)
        transport = paramiko.Transport(one)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key(io.StringIO(key.private)))
        transport.start_server(server=_Hanging(at, over))
        over.wait(HANGS_SECONDS)
        return transport.close()


def _drip(one: socket.socket, over: threading.Event) -> None:
    """A line that is no banner, again and again: each comes in time."""
    until = time.monotonic() + HANGS_SECONDS
    while not over.wait(0.1) and time.monotonic() < until:
        one.sendall(b"please wait\r\n")
