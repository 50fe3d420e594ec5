"""Key pairs for people who bring none. The private half is given to whoever asked, once: it is kept nowhere and shown by no log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engine.ssh_keys import PublicKey, parse_host_key, parse_public_key


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new pair; `private` is the text of an OpenSSH private key file without a passphrase."""

    public: PublicKey
    private: str = field(repr=False)


def new_key_pair(comment: str = "") -> KeyPair:
    """A new Ed25519 pair; `comment` names it to people."""
    private = Ed25519PrivateKey.generate()
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
    return KeyPair(replace(parse_public_key(line), comment=comment), text)


def place_key(host: str, port: int) -> PublicKey:
    """The host key of a node that is not there: always the same for one place."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{host}:{port}".encode()).digest())
    return parse_host_key(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii"))
