"""`corehours users`: add, list, change and shut out people who sign in."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from commands.installation import installation
from data import passwords
from data.postgres.store import Store
from engine.documents import Language
from engine.policy import OPERATOR
from engine.services import users
from engine.users import Person, Role, check_name, check_password, generated_password

HELP = "people who sign in: add, list, set-role, set-mail, lead, set-password, disable"


def configure(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    _verb(verbs, "list", list_users, "everybody who may sign in", name=False)
    add = _verb(verbs, "add", add_user, "a new person; prints a password once unless one is given")
    add.add_argument("--role", required=True, choices=[role.value for role in Role])
    add.add_argument("--payer", default="", help="whose usage and receipts are their own (default: the same name)")
    add.add_argument("--lead", action="append", default=[], metavar="PROJECT", help="a project whose usage they may see")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    change = _verb(verbs, "set-role", set_role, "give a person another role")
    change.add_argument("role", choices=[role.value for role in Role])
    mail = _verb(verbs, "set-mail", set_mail, "where a person's documents are sent; an empty address: nowhere")
    mail.add_argument("address", help="such as somchai@example.org, or ''")
    mail.add_argument("--language", choices=[language.value for language in Language], help="of documents and mail (default: as it is)")
    lead = _verb(verbs, "lead", lead_project, "let a person see what a project used")
    lead.add_argument("project")
    password = _verb(verbs, "set-password", set_password, "replace a password and end the sessions")
    password.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    _verb(verbs, "disable", disable, "shut a person out at once")


def _verb(verbs: Any, word: str, call: Callable[[argparse.Namespace, Store], object], help: str,
          name: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(word, help=help)
    parser.set_defaults(call=call)
    parser.add_argument("--json", action="store_true")
    if name:
        parser.add_argument("name")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it and say what became of it."""
    with installation() as store:
        answer = args.call(args, store)
    print(json.dumps(answer, ensure_ascii=False) if args.json else _words(answer))
    return 0


def add_user(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Add a person."""
    check_name(args.name)
    password, shown = _password(args)
    password_hash = passwords.hashed(password)
    person = store.run(lambda tx: users.add(tx, args.name, Role(args.role), password_hash, args.payer, args.lead, by=OPERATOR),
                       actor=OPERATOR.name)
    return described(person) | ({"password": password} if shown else {})


def list_users(_args: argparse.Namespace, store: Store) -> list[dict[str, object]]:
    """Everybody."""
    return [described(person) for person in store.read(lambda tx: tx.users.everybody())]


def set_role(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Change a role."""
    return described(store.run(lambda tx: users.set_role(tx, args.name, Role(args.role), OPERATOR), actor=OPERATOR.name))


def set_mail(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Say where documents go."""
    language = Language(args.language) if args.language else None
    return described(store.run(lambda tx: users.set_mail_of(tx, args.name, args.address, language, OPERATOR), actor=OPERATOR.name))


def lead_project(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Let a person see a project."""
    store.run(lambda tx: users.lead(tx, args.name, args.project, OPERATOR), actor=OPERATOR.name)
    return described(store.read(lambda tx: users.find(tx, args.name)))


def set_password(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Replace a password."""
    password, shown = _password(args)
    password_hash = passwords.hashed(password)
    ended = store.run(lambda tx: users.set_password(tx, args.name, password_hash, OPERATOR), actor=OPERATOR.name)
    return {"name": args.name, "sessions_ended": ended} | ({"password": password} if shown else {})


def disable(args: argparse.Namespace, store: Store) -> dict[str, object]:
    """Shut a person out."""
    return {"name": args.name, "disabled": True,
            "sessions_ended": store.run(lambda tx: users.disable(tx, args.name, OPERATOR), actor=OPERATOR.name)}


def described(person: Person) -> dict[str, object]:
    """A person as JSON."""
    return {"name": person.name, "role": person.role.value, "payer": person.payer, "projects": list(person.projects),
            "disabled": person.disabled, "email": person.email, "language": person.language}


def _password(args: argparse.Namespace) -> tuple[str, bool]:
    """The password, and whether it was made here and must be shown."""
    password = sys.stdin.readline().rstrip("\r\n") if args.password_stdin else generated_password()
    check_password(args.name, password)
    return password, not args.password_stdin


def _words(answer: Any) -> str:
    if isinstance(answer, list):
        lines = [f"{row['name']:<24}{row['role']:<12}{row['payer']:<24}{'disabled' if row['disabled'] else ''}".rstrip()
                 for row in answer]
        return "\n".join([f"{'NAME':<24}{'ROLE':<12}{'PAYER':<24}", *lines])
    return "\n".join(f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
                     for key, value in answer.items() if value not in ([], ""))
