"""`./corehours users` as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from data import passwords
from data.postgres.store import Store
from engine.services import users
from tests.conftest import Corehours

ROOT = Path(__file__).resolve().parents[2]


def hash_of(store: Store, name: str) -> str:
    return store.read(lambda tx: tx.users.password_hash(users.find(tx, name).id))


def test_add_prints_a_password_once_that_works(corehours: Corehours, store: Store) -> None:
    made = json.loads(corehours("users", "add", "pia", "--role", "researcher", "--payer", "somchai.p", "--lead", "ai-lab",
                                "--lead", "genomics", "--json").stdout)
    assert (made["role"], made["payer"], made["projects"]) == ("researcher", "somchai.p", ["ai-lab", "genomics"])
    assert passwords.matches(made["password"], hash_of(store, "pia"))
    assert hash_of(store, "pia").startswith("$2b$12$"), "what costs us a quarter of a second costs who guesses as much"
    listed = json.loads(corehours("users", "list", "--json").stdout)
    assert listed == [{"name": "pia", "role": "researcher", "payer": "somchai.p", "projects": ["ai-lab", "genomics"],
                       "disabled": False, "email": "", "language": "en"}]


def test_a_given_password_is_read_from_standard_input_and_not_repeated(installation_env: dict[str, str], store: Store) -> None:
    done = subprocess.run([sys.executable, "-m", "commands", "users", "add", "fin", "--role", "finance", "--password-stdin"],
                          input="a password of mine\n", env=installation_env, cwd=ROOT, capture_output=True, text=True,
                          check=True, timeout=60)
    assert "a password of mine" not in done.stdout + done.stderr
    assert passwords.matches("a password of mine", hash_of(store, "fin"))


def test_refusals_are_one_sentence(corehours: Corehours) -> None:
    corehours("users", "add", "pia", "--role", "admin")
    for words, said in ((("add", "pia", "--role", "admin"), "has this name already"), (("disable", "nobody"), "Nobody is called"),
                        (("add", "a b", "--role", "admin"), "cannot be used")):
        done = corehours("users", *words)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_where_documents_go_can_be_said_for_somebody(corehours: Corehours) -> None:
    """Their language stays unless it is named; an empty address sends nothing; what is no address is refused."""
    corehours("users", "add", "pia", "--role", "researcher")
    set_mail = json.loads(corehours("users", "set-mail", "pia", "pia@example.org", "--language", "th", "--json").stdout)
    assert (set_mail["email"], set_mail["language"]) == ("pia@example.org", "th")
    again = json.loads(corehours("users", "set-mail", "pia", "", "--json").stdout)
    assert (again["email"], again["language"]) == ("", "th")
    for words, said in ((("pia", "no address"), "This is no e-mail address."), (("nobody", "a@example.org"), "Nobody is called")):
        done = corehours("users", "set-mail", *words)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_role_and_disabling_take(corehours: Corehours) -> None:
    corehours("users", "add", "pia", "--role", "researcher")
    assert json.loads(corehours("users", "set-role", "pia", "auditor", "--json").stdout)["role"] == "auditor"
    assert json.loads(corehours("users", "disable", "pia", "--json").stdout)["disabled"] is True
    assert "disabled" in corehours("users", "list").stdout
