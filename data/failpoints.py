"""Failpoints: named places at transaction boundaries where a test can kill the process or raise.

`COREHOURS_FAILPOINT=name` or `name:kill` ends the process there with SIGKILL, `name:raise` raises. Does nothing
in production, whatever the environment says. `./corehours check --failpoints` lists them.
"""

from __future__ import annotations

import os
import signal

# Transactions: NAME.committing is just before the commit, NAME.committed just after it.
PLACES = ("usage.begin", "usage.keep", "receipt.create", "receipt.void", "payment.start", "payment.expire",
          "inbox.claim", "inbox.put_off", "outbox.claim", "outbox.mark", "outbox.put_off",
          "refund.request", "refund.ask", "refund.answer", "reconcile.apply", "reconcile.keep",
          "dashboard.action", "wallets.topup", "wallets.pay", "wallets.adjust", "wallets.confirm", "wallets.assign",
          "document.issue", "mail.note", "bank.bring", "bank.apply", "billing.charge", "billing.stop",
          "node.provision.begin", "node.step", "node.provision.done", "node.provision.give_up", "node.provision.fail",
          "node.release.begin", "node.release.done", "node.release.trouble",
          "node.queue_anew", "node.look", "node.miss", "node.orphan_gone", "node.orphan_stays", "node.repaired", "node.not_repaired",
          "node.sample", "node.idle", "node.term", "node.usage")
# Places between two steps.
STEPS = ("checkout.made", "checkout.kept", "inbox.storing", "inbox.stored", "inbox.claimed",
         "inbox.applying", "inbox.applied", "inbox.processed", "outbox.handled")
NAMES = (*STEPS, *(f"{place}.{when}" for place in PLACES for when in ("committing", "committed")))
_KNOWN = frozenset(NAMES)


class Failpoint(Exception):
    """A test asked for trouble here."""


def hit(place: str, when: str = "") -> None:
    """Die here when the environment names this place: one of STEPS, or one of PLACES with "committing" or "committed".
    A place without a name is passed by."""
    if not place or "COREHOURS_FAILPOINT" not in os.environ:
        return
    name = f"{place}.{when}" if when else place
    assert name in _KNOWN, name
    wanted, _, how = os.environ.get("COREHOURS_FAILPOINT", "").partition(":")
    if wanted != name or os.environ.get("COREHOURS_ENV", "development") != "development":
        return
    if how == "raise":
        raise Failpoint(name)
    os.kill(os.getpid(), signal.SIGKILL)
