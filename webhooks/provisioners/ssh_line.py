"""One SSH connection to a node: the pinned key or none, a limit on every wait, and for every way it can break what is known.

Runs commands that are fixed beforehand; what varies travels on their standard input. Knows no step and no tenant.
"""

from __future__ import annotations

import hmac
import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_ssh_private_key

from engine.nodes import NodeAddress
from engine.payments import Outcome
from engine.provisioning import NodeTrouble, Trouble
from engine.ssh_keys import BadPublicKey, KeyKind, PublicKey, parse_host_key

MOST_BYTES = 1024 * 1024
MARGIN_SECONDS = 5.0                    # beyond a command's own limit, for the way there and back
LIMIT_CODES = (124, 137)                # what `timeout` ends with when it ended the command
_log = logging.getLogger("paramiko")    # it writes stack traces of ordinary refusals, and what nodes send
_log.setLevel(logging.CRITICAL + 1)
_log.propagate = False
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each part of a connection may take, in seconds; the last two hold on the node as well, as whole seconds."""

    connect_seconds: float = 5.0
    banner_seconds: float = 5.0
    keys_seconds: float = 8.0
    login_seconds: float = 8.0
    channel_seconds: float = 5.0
    step_seconds: int = 30
    read_seconds: int = 10


@dataclass(frozen=True, slots=True)
class Command:
    """A fixed command line, which limits itself to `seconds`; with `effect` it may change the node."""

    words: str
    seconds: int
    effect: bool = False

    @property
    def unanswered(self) -> Outcome:
        """What is known of it when its answer is lost."""
        return Outcome.UNKNOWN if self.effect else Outcome.NOT_DONE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command ended with."""

    code: int
    out: str
    err: str


def management_key(text: str) -> paramiko.PKey:
    """The private key that nodes let in, from the text of its file. Its text is in no error. `cryptography` reads it first:
    paramiko asserts where a file is broken."""
    try:
        private = load_ssh_private_key(text.encode("utf-8"), None)
        if isinstance(private, Ed25519PrivateKey):
            whole = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            return paramiko.Ed25519Key.from_private_key(io.StringIO(whole.decode("ascii")))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise ValueError("The management key is no OpenSSH private key of kind ed25519 without a passphrase.")


def shown_key(host: str, port: int, patience: Patience) -> PublicKey:
    """The Ed25519 key that answers there; the connection ends before anything of ours is said."""
    with _greeted(f"{host}:{port}", host, port, patience) as (_, key):
        return key


@contextmanager
def open_line(node: NodeAddress, user: str, key: paramiko.PKey, patience: Patience) -> Iterator[Line]:
    """Logged in at the node that shows the pinned key, and at no other. Raises NodeTrouble; nothing was done then."""
    with _greeted(node.name, node.host, node.port, patience) as (transport, shown):
        if not hmac.compare_digest(shown.blob, node.host_key.blob):
            raise NodeTrouble(f"{node.name} shows another host key, {shown.fingerprint} instead of {node.host_key.fingerprint}: "
                              "nothing was sent to it.", Trouble.HOST_KEY, Outcome.REFUSED)
        _log_in(node.name, transport, user, key)
        yield Line(node.name, transport, patience)


class Line:
    """An open connection."""

    def __init__(self, name: str, transport: paramiko.Transport, patience: Patience) -> None:
        self.name, self.transport, self.patience = name, transport, patience

    def run(self, command: Command, said: str = "") -> Answer:
        """Run it with `said` on its standard input. Raises NodeTrouble where it did not come to an end of its own."""
        channel = self._channel()
        with _limit(self.transport, command.seconds + MARGIN_SECONDS) as over:
            try:
                answer = _asked(channel, command, said)
            except (OSError, EOFError, paramiko.SSHException):
                answer = Answer(-1, "", "")
        if over.is_set() or answer.code in LIMIT_CODES:
            raise NodeTrouble(f"{self.name} did not get done within {command.seconds} seconds.", Trouble.TIMED_OUT, command.unanswered)
        if answer.code < 0:
            raise NodeTrouble(f"The line to {self.name} broke before the answer.", Trouble.DROPPED, command.unanswered)
        if len(answer.out) > MOST_BYTES:
            raise NodeTrouble(f"{self.name} says more than {MOST_BYTES} bytes.", Trouble.UNREADABLE, command.unanswered)
        return answer

    def _channel(self) -> paramiko.Channel:
        try:
            return self.transport.open_session(timeout=self.patience.channel_seconds)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise NodeTrouble(f"The line to {self.name} broke.", Trouble.DROPPED, Outcome.NOT_DONE) from error


def _asked(channel: paramiko.Channel, command: Command, said: str) -> Answer:
    channel.exec_command(command.words)
    channel.sendall(said.encode("utf-8"))
    channel.shutdown_write()
    out = channel.makefile("rb").read(MOST_BYTES + 1).decode("utf-8", "replace")
    err = channel.makefile_stderr("rb").read(MOST_BYTES).decode("utf-8", "replace")
    return Answer(channel.recv_exit_status(), out, err)


@contextmanager
def _limit(transport: paramiko.Transport, seconds: float) -> Iterator[threading.Event]:
    """Ends the connection when the block takes longer, and with it every wait in the block; then the event is set."""
    over = threading.Event()

    def end() -> None:
        over.set()
        transport.close()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


@contextmanager
def _greeted(name: str, host: str, port: int, patience: Patience) -> Iterator[tuple[paramiko.Transport, PublicKey]]:
    """A connection on which keys were exchanged and nothing else, and the key it showed."""
    with _reached(name, host, port, patience) as sock:
        transport = _transport(sock, patience)
        try:
            yield transport, _exchanged(name, transport, patience)
        finally:
            transport.close()


@contextmanager
def _reached(name: str, host: str, port: int, patience: Patience) -> Iterator[socket.socket]:
    try:
        sock = socket.create_connection((host, port), patience.connect_seconds)
    except OSError as error:
        why = (error.strerror or "no answer").lower()
        raise NodeTrouble(f"{name} cannot be reached: {why}.", Trouble.DOWN, Outcome.NOT_DONE) from error
    with sock:
        yield sock


def _transport(sock: socket.socket, patience: Patience) -> paramiko.Transport:
    transport = paramiko.Transport(sock)
    transport.banner_timeout = patience.banner_seconds
    transport.handshake_timeout = patience.keys_seconds
    transport.auth_timeout = patience.login_seconds
    transport.channel_timeout = patience.channel_seconds
    transport.get_security_options().key_types = (str(KeyKind.ED25519),)
    return transport


def _exchanged(name: str, transport: paramiko.Transport, patience: Patience) -> PublicKey:
    """`start_client` returns without a word when its time is over: then there is no key yet."""
    try:
        transport.start_client(timeout=patience.banner_seconds + patience.keys_seconds)
        return parse_host_key(f"{KeyKind.ED25519} {transport.get_remote_server_key().get_base64()}")
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise NodeTrouble(f"{name} has no {KeyKind.ED25519} host key, or speaks too old an SSH.", Trouble.NOT_PREPARED,
                          Outcome.NOT_DONE) from error
    except (OSError, EOFError, paramiko.SSHException, BadPublicKey) as error:
        raise NodeTrouble(f"{name} does not answer as SSH.", Trouble.SILENT, Outcome.NOT_DONE) from error


def _log_in(name: str, transport: paramiko.Transport, user: str, key: paramiko.PKey) -> None:
    refused = NodeTrouble(f"{name} does not take our management key for {user}.", Trouble.KEY_REFUSED, Outcome.NOT_DONE)
    try:
        if transport.auth_publickey(user, key):
            raise refused                       # it wants more than the key
    except paramiko.AuthenticationException as error:
        if transport.is_active() and "timeout" not in str(error).lower():
            raise refused from error
        raise NodeTrouble(f"{name} does not answer to our login.", Trouble.SILENT, Outcome.NOT_DONE) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise NodeTrouble(f"The line to {name} broke at our login.", Trouble.DROPPED, Outcome.NOT_DONE) from error


