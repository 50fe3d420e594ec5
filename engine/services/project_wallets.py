"""Give a project a wallet and say who shares it. Its owner and those who manage wallets may; one transaction each."""

from __future__ import annotations

from engine.errors import DomainError, IllegalMove, NotAllowed, NotFound
from engine.policy import allow
from engine.ports import Transaction
from engine.users import Action, Person
from engine.wallets import ProjectWallet, project_owner


class WalletExists(DomainError):
    """This project has a wallet already."""

    code, status = "wallet_exists", 409


def open_project_wallet(tx: Transaction, project: str, owner: str, by: Person) -> ProjectWallet:
    """Give `project` (a Slurm account) a wallet; `owner` is the person who says who shares it."""
    allow(by, Action.MANAGE_WALLETS)
    project = project.strip()
    if not project or len(project) > 200:
        raise IllegalMove("Name a project of at most 200 letters.")
    if tx.wallets.known(project_owner(project)) and tx.wallets.project(project) is None:
        raise IllegalMove(f"Somebody is billed under the name {project_owner(project)}: their wallet is their own.")
    if not tx.wallets.add_project(project, _person(tx, owner).id, by.name):
        raise WalletExists(project)
    tx.audit.record("wallet.opened", f"wallet:{project_owner(project)}", owner=owner)
    return _found(tx, project)


def share_project_wallet(tx: Transaction, project: str, member: str, by: Person) -> ProjectWallet:
    """Let `member` fill and use the project's wallet."""
    wallet = _mine(tx, project, by)
    if member not in wallet.members and tx.wallets.add_member(project, _person(tx, member).id):
        tx.audit.record("wallet.shared", f"wallet:{project_owner(project)}", member=member)
    return _found(tx, project)


def unshare_project_wallet(tx: Transaction, project: str, member: str, by: Person) -> ProjectWallet:
    """Let `member` use it no more; the owner stays."""
    wallet = _mine(tx, project, by)
    if member == wallet.owner:
        raise IllegalMove(f"{member} owns the wallet of {project}.")
    if tx.wallets.remove_member(project, _person(tx, member).id):
        tx.audit.record("wallet.unshared", f"wallet:{project_owner(project)}", member=member)
    return _found(tx, project)


def _mine(tx: Transaction, project: str, by: Person) -> ProjectWallet:
    wallet = _found(tx, project)
    if by.name != wallet.owner and not by.may(Action.MANAGE_WALLETS):
        raise NotAllowed(f"Only {wallet.owner} says who shares the wallet of {project}.")
    return wallet


def _found(tx: Transaction, project: str) -> ProjectWallet:
    wallet = tx.wallets.project(project)
    if wallet is None:
        raise NotFound(f"The project {project!r} has no wallet.")
    return wallet


def _person(tx: Transaction, name: str) -> Person:
    person = tx.users.by_name(name)
    if person is None or person.disabled:
        raise NotFound(f"Nobody named {name!r} signs in here.")
    return person
