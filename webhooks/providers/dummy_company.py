"""What happens at the dummy company: payers pay, staff give back, banks dispute, and its API breaks as somebody chose.

Each act changes its books and then tells us by a webhook. Nothing of ours is known here but the address it sends to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from secrets import token_hex
from typing import Any

from engine.payments import EventKind, Outcome, ProviderTrouble
from webhooks.providers import calling
from webhooks.providers.dummy_books import DummyBooks, Record, new_id

Send = Callable[[bytes], None]
NAME = "dummy"


class Fault(StrEnum):
    """How the next call of its API goes wrong; before: nothing was done, after: it was, and the answer is lost."""

    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after"
    ERROR_BEFORE = "500 before"
    ERROR_AFTER = "500 after"
    TOO_MANY = "429"
    KEY_REFUSED = "401"
    NO = "400"
    GONE = "not there"


REFUNDS_END = ("arrive", "fail", "arrive, then fail", "stay under way")
AFTER = {Fault.TIMEOUT_AFTER, Fault.ERROR_AFTER}
STATUS = {Fault.ERROR_BEFORE: 500, Fault.ERROR_AFTER: 500, Fault.TOO_MANY: 429, Fault.KEY_REFUSED: 401, Fault.NO: 400}


class DummyCompany:
    """See the module. `send` delivers a webhook's body."""

    def __init__(self, books: DummyBooks, send: Send) -> None:
        self.books, self.send = books, send

    def breaks(self, fault: Fault | None, calls: int = 1, effects_only: bool = False) -> None:
        """The next `calls` calls of its API go wrong; `effects_only`: questions are answered."""
        with self.books.open() as held:
            held["fault"] = {"fault": fault, "calls": calls, "effects_only": effects_only} if fault else {}

    def trouble(self, effect: bool) -> tuple[ProviderTrouble | None, bool]:
        """What this call is hit by, and whether it does its work before."""
        with self.books.open() as held:
            found = held["fault"]
            if not found or found["calls"] <= 0 or (found["effects_only"] and not effect):
                return None, True
            found["calls"] -= 1
        fault = Fault(found["fault"])
        return _trouble(fault, effect), fault in AFTER

    def pay(self, reference: str, amount_minor: int, currency: str, money: str = "", told: EventKind = EventKind.SUCCEEDED) -> bytes:
        """A payer pays: written down, and told. The same money told again is one; returns the webhook."""
        money = money or reference
        with self.books.open() as held:
            charge = {"reference": reference, "money": money, "amount_minor": amount_minor, "currency": currency, "status": told}
            if held["charges"].get(money, {}).get("status") != EventKind.SUCCEEDED:      # money that came stays
                held["charges"][money] = charge
                if told is EventKind.SUCCEEDED:
                    _line(held, charge, money, amount_minor)
        return hook(told, charge)

    def arrive(self, money: str) -> None:
        """Money that was on its way is there."""
        charge = self.books.read()["charges"][money]
        self.send(self.pay(charge["reference"], charge["amount_minor"], charge["currency"], money))

    def refund(self, money: str, amount_minor: int, key: str = "", refund: str = "") -> Record:
        """Give back, by the API (with its key and our refund's id) or at the company's own desk; under way until `settle`."""
        with self.books.open() as held:
            if key and key in held["refunds"]:
                kept: Record = held["refunds"][key]
                return kept
            charge = held["charges"].get(money)
            if charge is None or charge["status"] != EventKind.SUCCEEDED:
                raise calling.refused(NAME, 404, f"nothing was paid as {money}", None, effect=True)
            given = sum(one["amount_minor"] for one in held["refunds"].values() if one["money"] == money and one["state"] != "failed")
            if given + amount_minor > charge["amount_minor"]:
                raise calling.refused(NAME, 400, "it is more than is left", None, effect=True)
            name = new_id(held, "re")
            made = {"reference": charge["reference"], "money": money, "amount_minor": amount_minor, "currency": charge["currency"],
                    "object": name, "refund": refund, "state": "submitted", "why": ""}
            held["refunds"][key or name] = made
        self.send(hook(EventKind.REFUND_SUBMITTED, made))
        return made

    def end(self, name: str) -> None:
        """The refund of that name ends as the desk has chosen: it arrives, fails, arrives and then fails, or stays under way."""
        ends = self.books.read()["refunds_end"]
        if ends.startswith("arrive"):
            self.settle(name)
        if ends.endswith("fail"):
            self.fail(name)

    def settle(self, name: str = "") -> None:
        """Refunds that are under way arrive: all, or the one of that name."""
        self._move("submitted", "succeeded", EventKind.REFUND_SUCCEEDED, -1, name)

    def fail(self, name: str = "", why: str = "the card was closed") -> None:
        """Refunds do not arrive, even after they did."""
        self._move("submitted", "failed", EventKind.REFUND_FAILED, 0, name, why)
        self._move("succeeded", "failed", EventKind.REFUND_FAILED, 1, name, why)

    def _move(self, was: str, to: str, kind: EventKind, sign: int, name: str, why: str = "") -> None:
        with self.books.open() as held:
            moved = [one for one in held["refunds"].values() if one["state"] == was and name in ("", one["object"])]
            for refund in moved:
                refund |= {"state": to, "why": why}
                if sign:
                    _line(held, refund, refund["object"], sign * refund["amount_minor"])
        for refund in moved:
            self.send(hook(kind, refund))

    def dispute(self, money: str) -> Record:
        """A payer's bank asks for the money back, and gets it for now."""
        with self.books.open() as held:
            charge = held["charges"][money]
            made = {name: charge[name] for name in ("reference", "money", "amount_minor", "currency")} | {
                "object": new_id(held, "dp"), "why": "fraudulent", "state": "open"}
            held["disputes"][made["object"]] = made
            _line(held, made, made["object"], -made["amount_minor"])
        self.send(hook(EventKind.DISPUTE_OPENED, made))
        self.send(hook(EventKind.DISPUTE_WITHDRAWN, made))
        return made

    def close(self, name: str, won: bool) -> None:
        """The bank decides."""
        with self.books.open() as held:
            dispute = held["disputes"][name]
            if dispute["state"] != "open":
                return
            dispute["state"] = "won" if won else "lost"
            if won:
                _line(held, dispute, name, dispute["amount_minor"])
        if won:
            self.send(hook(EventKind.DISPUTE_REINSTATED, dispute))
        self.send(hook(EventKind.DISPUTE_WON if won else EventKind.DISPUTE_LOST, dispute))


def _trouble(fault: Fault, effect: bool) -> ProviderTrouble:
    """The same words and outcomes as a real line gives."""
    if fault is Fault.GONE:
        return ProviderTrouble(f"{NAME} cannot be reached.", Outcome.NOT_DONE)
    if fault in STATUS:
        return calling.refused(NAME, STATUS[fault], f"as chosen: {fault}.", "7" if fault is Fault.TOO_MANY else None, effect)
    return ProviderTrouble(f"{NAME} did not answer in time.", Outcome.UNKNOWN if effect else Outcome.NOT_DONE)


def _line(held: Record, about: Record, name: str, amount_minor: int) -> None:
    held["lines"].append({"object": name, "money": about["money"], "reference": about["reference"], "currency": about["currency"],
                          "amount_minor": amount_minor, "at": datetime.now(UTC).isoformat()})


def hook(kind: EventKind, about: Record) -> bytes:
    """A webhook's body, as it is signed."""
    told = ("reference", "money", "amount_minor", "currency", "object", "refund", "why")
    data: dict[str, Any] = {name: about[name] for name in told if about.get(name)}
    return json.dumps({"id": f"evt_{token_hex(12)}", "type": str(kind), "livemode": False, "created": int(datetime.now(UTC).timestamp()),
                       "data": data}).encode()
