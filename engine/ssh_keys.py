"""Public SSH keys: read strictly, looked into, and written anew, so that nothing but the key itself goes on.

Whatever stood around a key (options, comment, blanks) is refused or left behind. Knows no file and no private key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import DomainError

MOST_CHARACTERS = 16 * 1024
RSA_BITS = range(2048, 16384 + 1)


class KeyKind(StrEnum):
    """What a key is for the programs that use it, in their words."""

    ED25519 = "ssh-ed25519"
    """The usual kind."""
    ECDSA_256 = "ecdsa-sha2-nistp256"
    """NIST's curve of 256 bits."""
    ECDSA_384 = "ecdsa-sha2-nistp384"
    """NIST's curve of 384 bits."""
    ECDSA_521 = "ecdsa-sha2-nistp521"
    """NIST's curve of 521 bits."""
    RSA = "ssh-rsa"
    """RSA, from 2048 bits."""
    SK_ED25519 = "sk-ssh-ed25519@openssh.com"
    """Ed25519 in a security key."""
    SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
    """ECDSA in a security key."""


class BadPublicKey(DomainError):
    """This public key cannot be used."""

    code = "bad_public_key"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its kind, its bytes as they travel between SSH programs, and what its owner calls it (one printable
    line, for people only)."""

    kind: KeyKind
    blob: bytes
    comment: str = ""

    @property
    def line(self) -> str:
        """`ssh-ed25519 AAAA…`: letters, digits, `+/=@.-` and one blank, nothing else."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")

    def same(self, other: PublicKey) -> bool:
        """True when it is the same key, whatever it is called."""
        return (self.kind, self.blob) == (other.kind, other.blob)


def parse_public_key(text: str) -> PublicKey:
    """The key in the one line of a .pub file. Raises BadPublicKey, with one sentence that says why."""
    kind, encoded, comment = _words(_one_line(text))
    blob = _decoded(encoded)
    fields = _Fields(blob)
    if fields.take() != kind.encode("ascii"):
        raise BadPublicKey(f"It says {kind} and holds something else.")
    LOOKED_INTO[kind](fields)
    fields.end()
    return PublicKey(kind, blob, comment)


def parse_host_key(text: str) -> PublicKey:
    """A node's own key, which is of kind ssh-ed25519."""
    key = parse_public_key(text)
    if key.kind is not KeyKind.ED25519:
        raise BadPublicKey(f"A node is known by its ssh-ed25519 key, and this one is {key.kind}.")
    return key


def _one_line(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise BadPublicKey(f"It is longer than {MOST_CHARACTERS} characters.")
    if "PRIVATE KEY" in text.upper() or "PUTTY-USER-KEY-FILE" in text.upper():
        raise BadPublicKey("This is a private key, which nobody should see: make a new pair and give the .pub file.")
    if "BEGIN" in text and "PUBLIC KEY" in text:
        raise BadPublicKey("It is in another format: give the one line that `ssh-keygen -i -f FILE` makes of it.")
    line = text.strip(" \r\n")
    if not line:
        raise BadPublicKey("It is empty.")
    if len(line.splitlines()) > 1:
        raise BadPublicKey("It has several lines: give one key on one line.")
    if not line.isprintable():
        raise BadPublicKey("It contains control characters.")
    return line


def _words(line: str) -> tuple[KeyKind, str, str]:
    first, _, rest = line.partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if first == "ssh-dss":
        raise BadPublicKey("DSA keys are not safe any more: make a new one with `ssh-keygen -t ed25519`.")
    if "-cert-v01@" in first:
        raise BadPublicKey("This is a certificate: give the key itself.")
    if first in {str(kind) for kind in KeyKind}:
        return KeyKind(first), encoded, comment.strip()
    if any(f"{kind} " in line for kind in (*KeyKind, "ssh-dss")):
        raise BadPublicKey("It begins with something before the key, such as options: begin at the kind, as in `ssh-ed25519 AAAA…`.")
    raise BadPublicKey(f"It must begin with one of {', '.join(KeyKind)}.")


def _decoded(encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        blob = b""
    if not blob or base64.b64encode(blob).decode("ascii") != encoded:
        raise BadPublicKey("It is broken: the part after the kind is not whole.")
    return blob


class _Fields:
    """The length-prefixed fields of a key, one after the other."""

    def __init__(self, blob: bytes) -> None:
        self.rest = blob

    def take(self) -> bytes:
        length = int.from_bytes(self.rest[:4], "big")
        field, whole = self.rest[4:4 + length], len(self.rest) >= 4 + length
        if len(self.rest) < 4 or not whole:
            raise BadPublicKey("It is cut off.")
        self.rest = self.rest[4 + length:]
        return field

    def number(self) -> int:
        """A positive number in its shortest form."""
        field = self.take()
        number = int.from_bytes(field, "big")
        if not field or field[0] & 0x80 or number == 0 or len(field) != number.bit_length() // 8 + 1:
            raise BadPublicKey("One of its numbers is not written as it must be.")
        return number

    def end(self) -> None:
        if self.rest:
            raise BadPublicKey("Something follows the key inside of it.")


def _rsa(fields: _Fields) -> None:
    exponent, modulus = fields.number(), fields.number()
    if modulus.bit_length() not in RSA_BITS:
        raise BadPublicKey(f"It has {modulus.bit_length()} bits: RSA keys need {RSA_BITS.start} to {RSA_BITS.stop - 1}.")
    if exponent < 3 or exponent % 2 == 0 or modulus % 2 == 0:
        raise BadPublicKey("Its numbers are not those of an RSA key.")


ED_PRIME = 2**255 - 19
ED_D = -121665 * pow(121666, -1, ED_PRIME) % ED_PRIME


def _ed25519(fields: _Fields) -> None:
    """A point of the curve: x² = (y² − 1) / (d·y² + 1) has a root."""
    field = fields.take()
    y = int.from_bytes(field, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(ED_D * y * y + 1, -1, ED_PRIME) % ED_PRIME
    if len(field) != 32 or y >= ED_PRIME or pow(square, (ED_PRIME - 1) // 2, ED_PRIME) not in (0, 1):
        raise BadPublicKey("Its bytes are not those of an Ed25519 key.")


@dataclass(frozen=True, slots=True)
class _Curve:
    """y² = x³ − 3x + b over `prime`."""

    name: str
    prime: int
    b: int

    def look(self, fields: _Fields) -> None:
        """Its name, then a point of it, uncompressed."""
        size = (self.prime.bit_length() + 7) // 8
        named, point = fields.take(), fields.take()
        x, y = int.from_bytes(point[1:1 + size], "big"), int.from_bytes(point[1 + size:], "big")
        whole = named == self.name.encode("ascii") and len(point) == 1 + 2 * size and point[0] == 4
        if not whole or max(x, y) >= self.prime or (y * y - x * x * x + 3 * x - self.b) % self.prime:
            raise BadPublicKey(f"Its bytes are not those of a key on {self.name}.")


P256 = _Curve("nistp256", 2**256 - 2**224 + 2**192 + 2**96 - 1,
              0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)
P384 = _Curve("nistp384", 2**384 - 2**128 - 2**96 + 2**32 - 1,
              0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF)
P521 = _Curve("nistp521", 2**521 - 1,
              0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00)


def _application(fields: _Fields) -> None:
    """What a security key signs for: `ssh:`, perhaps with a name."""
    if not re.fullmatch(rb"ssh:[A-Za-z0-9_.@:+-]{0,64}", fields.take()):
        raise BadPublicKey("Its security key is not for SSH.")


def _sk_ed25519(fields: _Fields) -> None:
    _ed25519(fields)
    _application(fields)


def _sk_ecdsa(fields: _Fields) -> None:
    P256.look(fields)
    _application(fields)


LOOKED_INTO: dict[KeyKind, Callable[[_Fields], None]] = {
    KeyKind.ED25519: _ed25519, KeyKind.SK_ED25519: _sk_ed25519, KeyKind.SK_ECDSA: _sk_ecdsa, KeyKind.RSA: _rsa,
    KeyKind.ECDSA_256: P256.look, KeyKind.ECDSA_384: P384.look, KeyKind.ECDSA_521: P521.look,
}
