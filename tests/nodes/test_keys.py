"""Public keys: the kinds that are taken, written anew without what stood around them, and one sentence for each that is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from data.ssh_keys import new_key_pair
from engine.ssh_keys import BadPublicKey, KeyKind, PublicKey, parse_host_key, parse_public_key
from tests.nodes.keys import BAD, ED, GOOD


@pytest.mark.parametrize("name", GOOD)
def test_a_key_is_written_anew_and_is_the_same_key(name: str) -> None:
    key = parse_public_key(f"  {GOOD[name]} alice@laptop ใช่\r\n")
    assert (key.line, key.comment) == (GOOD[name], "alice@laptop ใช่")
    assert re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+", key.line)
    assert load_ssh_public_key(key.line.encode()), "others read it too"
    assert parse_public_key(key.line) == PublicKey(key.kind, key.blob)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_good_key_is_refused_in_one_sentence(name: str) -> None:
    text, word = BAD[name]
    with pytest.raises(BadPublicKey, match=word) as refusal:
        parse_public_key(text)
    assert refusal.value.sentence.isprintable()
    assert text[:40] not in refusal.value.sentence or not text, "what was given is not repeated"


def test_every_cut_and_every_changed_byte_of_the_text_is_refused_or_is_another_whole_key() -> None:
    for at in range(len(ED)):
        for changed in (ED[:at], ED[:at] + "!" + ED[at + 1:], ED[:at] + "\n" + ED[at:]):
            try:
                assert parse_public_key(changed).line == changed.strip()
            except BadPublicKey as refusal:
                assert refusal.detail


def test_fingerprints_are_ssh_keygens(tmp_path: Path) -> None:
    for name, line in GOOD.items():
        (tmp_path / "key.pub").write_text(line + "\n")
        try:
            said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True).stdout
        except FileNotFoundError:
            pytest.skip("no ssh-keygen here")
        assert said.split()[1] == parse_public_key(line).fingerprint, name


def test_a_host_key_is_of_one_kind() -> None:
    assert parse_host_key(ED).kind is KeyKind.ED25519
    with pytest.raises(BadPublicKey, match="A node is known by"):
        parse_host_key(GOOD["nistp256"])


def test_a_generated_pair_fits_and_does_not_show_its_private_half() -> None:
    pair = new_key_pair("alice")
    private = load_ssh_private_key(pair.private.encode(), None)
    again = parse_public_key(new_key_pair("bob").public.line)
    assert pair.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert load_ssh_public_key(pair.public.line.encode()) == private.public_key()
    assert (pair.public.comment, again.same(pair.public)) == ("alice", False)
    assert "PRIVATE" not in repr(pair) + str(pair)
