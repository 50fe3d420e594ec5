"""Bank transfer by QR: the payer's bank moves the money, and our own people read it off the statement.

A bank sends no webhooks, answers no questions and gives nothing back when asked: each of those methods says so. The money
comes in through engine/services/bank.py, when a person has said whose a line of the statement is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from data.settings import Settings
from engine.bank import NAME
from engine.documents import WayToPay, ways_to_pay
from engine.payments import BadEvent, BadSignature, Checkout, Movement, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.refunds import RefundAnswer, RefundOrder


class BankQrProvider:
    """See the module."""

    name = NAME
    signature_is_enough = False

    def __init__(self, settings: Settings) -> None:
        if not (settings.promptpay_id or settings.bank_iban):
            raise ValueError("bank_qr needs an account: set COREHOURS_PROMPTPAY_ID, or COREHOURS_BANK_IBAN")
        self._settings = settings

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """Our own page with the QR code; refused for a currency that no account of the site takes."""
        if self.way(payment) is None:
            raise ProviderTrouble(f"No bank account of this site takes {payment.money}: PromptPay takes THB, an IBAN EUR.", Outcome.REFUSED)
        return Checkout(f"{self._settings.sidecar_url.rstrip('/')}/bank/{payment.reference}", f"bank_{payment.reference}")

    def way(self, payment: Payment) -> WayToPay | None:
        """The QR code that pays it."""
        site = self._settings
        found = ways_to_pay(payment.money, payment.reference, site.promptpay_id, site.bank_iban, site.bank_bic,
                            site.bank_account_name or site.site_name)
        return found[0] if found else None

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Nobody can sign for a bank."""
        raise BadSignature("A bank sends no webhooks.")

    def parse_event(self, body: bytes) -> ProviderEvent:
        """There is nothing to read."""
        raise BadEvent("A bank sends no webhooks.")

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """A bank cannot be asked."""
        raise BadEvent("A bank answers no questions: its statement does.")

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        """Nothing is known before somebody brings the statement."""
        return None

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Only a person can transfer money back."""
        self._by_hand()

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """None was ever asked for."""
        return None

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        """A bank tells nothing by itself: its statement is compared line by line where it is brought."""
        raise ProviderTrouble("A bank tells nothing by itself: bring its statement instead.", Outcome.REFUSED)

    def _by_hand(self) -> NoReturn:
        raise ProviderTrouble("A bank gives nothing back when asked: put the money in the payer's wallet, or transfer it by hand.",
                              Outcome.REFUSED)
