"""Keys as people paste them: made by ssh-keygen's own rules with `cryptography`, and a corpus of what must be refused."""

from __future__ import annotations

import base64
import struct

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engine.ssh_keys import PublicKey, parse_public_key


def written(*fields: bytes) -> bytes:
    """Length-prefixed fields, as keys are made of."""
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def line_of(kind: str, blob: bytes) -> str:
    return f"{kind} {base64.b64encode(blob).decode()}"


def openssh(private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """The public half, as OpenSSH writes it."""
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def raw_ed25519() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def raw_p256() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def some_key() -> PublicKey:
    """An Ed25519 key that nobody has the private half of."""
    return parse_public_key(line_of("ssh-ed25519", written(b"ssh-ed25519", raw_ed25519())))


ED = openssh(ed25519.Ed25519PrivateKey.generate())
P256, P384 = "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"
SK_ED = "sk-ssh-ed25519@openssh.com"
SK_EC = "sk-ecdsa-sha2-nistp256@openssh.com"
GOOD = {
    "ed25519": ED,
    "nistp256": openssh(ec.generate_private_key(ec.SECP256R1())),
    "nistp384": openssh(ec.generate_private_key(ec.SECP384R1())),
    "nistp521": openssh(ec.generate_private_key(ec.SECP521R1())),
    "rsa 2048": openssh(rsa.generate_private_key(65537, 2048)),
    "sk ed25519": line_of(SK_ED, written(SK_ED.encode(), raw_ed25519(), b"ssh:")),
    "sk ecdsa": line_of(SK_EC, written(SK_EC.encode(), b"nistp256", raw_p256(), b"ssh:lab")),
}
PRIVATE = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
_BLOB = base64.b64decode(ED.split()[1])
_EVEN_MODULUS = (1 << 2047).to_bytes(256, "big")
BAD = {
    "empty": ("", "empty"),
    "a private key": (PRIVATE, "private key"),
    "a private key of PuTTY": ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "private key"),
    "two keys": (f"{ED}\n{GOOD['nistp256']}\n", "several lines"),
    "a key and a command line": (f"{ED} x\u2028touch /tmp/x", "several lines"),
    "a carriage return": (f"{ED} alice\rroot", "several lines"),
    "a comment that clears the screen": (f"{ED} \x1b[2Jalice", "control characters"),
    "a comment with NUL": (f"{ED} alice\0", "control characters"),
    "a tab": (ED.replace(" ", "\t", 1), "control characters"),
    "an override of direction": (f"{ED} \u202eecila", "control characters"),
    "an option": (f"no-pty {ED}", "options"),
    "a forced command": (f'command="rm -rf /" {ED}', "options"),
    "an environment": (f'environment="LD_PRELOAD=/tmp/x.so" {ED}', "options"),
    "DSA": ("ssh-dss AAAAB3NzaC1kc3MAAACBAPl alice", "DSA"),
    "RSA of 1024 bits": (openssh(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    "RSA that anybody can sign for": (line_of("ssh-rsa", written(b"ssh-rsa", b"\x01", b"\0" + b"\xff" * 256)), "not those of an RSA key"),
    "RSA with an even modulus": (line_of("ssh-rsa", written(b"ssh-rsa", b"\x03", b"\0" + _EVEN_MODULUS)), "not those of an RSA key"),
    "RSA with a padded number": (line_of("ssh-rsa", written(b"ssh-rsa", b"\0\x03", b"\0" + b"\xff" * 256)), "not written as it must"),
    "a certificate": (line_of("ssh-ed25519-cert-v01@openssh.com", _BLOB), "certificate"),
    "another kind inside": (line_of("ssh-rsa", _BLOB), "holds something else"),
    "cut off": (line_of("ssh-ed25519", _BLOB[:-3]), "cut off"),
    "something behind": (line_of("ssh-ed25519", _BLOB + b"; id"), "follows"),
    "no base64": ("ssh-ed25519 $(id)", "broken"),
    "url base64": ("ssh-ed25519 AAAA-_==", "broken"),
    "base64 with a gap": (ED[:40] + " " + ED[40:], "broken|cut off"),
    "kind only": ("ssh-ed25519", "broken"),
    "no point of the curve": (line_of(P256, written(P256.encode(), b"nistp256", b"\x04" + b"\x01" * 64)), "nistp256"),
    "a point of another curve": (line_of(P384, written(P384.encode(), b"nistp256", raw_p256())), "nistp384"),
    "not on Curve25519": (line_of("ssh-ed25519", written(b"ssh-ed25519", b"\x02" + b"\0" * 31)), "Ed25519"),
    "a security key for something else": (line_of(SK_ED, written(SK_ED.encode(), raw_ed25519(), b"https://x")), "not for SSH"),
    "the .pem of a public key": ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "another format"),
    "a word": ("hello", "must begin with"),
    "a shell": ("`id`", "must begin with"),
    "very long": (f"{ED} {'x' * 20_000}", "longer than"),
}
