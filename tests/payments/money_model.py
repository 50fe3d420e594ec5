"""What the books must say, in plain integers: every wallet, receipt, payment, refund and dispute of a few payers, and the
balance of every account they touch.

Written from docs/ (payments, wallets, refunds), not from the code: it imports nothing of the house. Each method takes one step
and answers what must come of it, or raises Refused where the books must say no and stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SATANG = 10_000                         # micro-units in the smallest coin
PER_HOUR = {"cpu": 1_000_000, "mem": 500_000}       # the default card: a core-hour, a GiB-hour
TAX_PPM = 70_000
LIMIT = 1_000_000_000                   # what one person may change in a wallet in a day
LEAST, MOST = 20_000_000, 50_000_000_000            # of a top-up
SAYS = {"refund.submitted": "submitted", "refund.succeeded": "succeeded", "refund.failed": "failed"}
REFUND_MOVES = {"requested": {"submitted", "succeeded", "failed"}, "submitted": {"succeeded", "failed"}, "succeeded": {"failed"},
                "failed": set()}
AT_ONCE = ("wallet", "manual")


class Refused(Exception):
    """The books must say no."""


@dataclass(eq=False)
class Job:
    """One that ended and is not billed: so many seconds of a core and of a GiB."""

    payer: str
    core_seconds: int
    gib_seconds: int

    def parts(self) -> dict[str, int]:
        """What it earns: each meter cut to micro-units, the whole rounded to the coin, halves up."""
        exact = self.core_seconds * PER_HOUR["cpu"] + self.gib_seconds * PER_HOUR["mem"]
        cost = (2 * exact + 3600 * SATANG) // (2 * 3600 * SATANG) * SATANG
        cpu, mem = self.core_seconds * PER_HOUR["cpu"] // 3600, self.gib_seconds * PER_HOUR["mem"] // 3600
        return {"income:cpu": cpu, "income:mem": mem, "rounding:": cost - cpu - mem}


@dataclass(eq=False)
class Bill:
    """A receipt, and what each account earned by it, tax and rounding included."""

    id: str
    payer: str
    jobs: list[Job]
    parts: dict[str, int]
    status: str = "pending"

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Taken:
    """Where money on its way back is taken from."""

    bill: int = 0
    wallet: int = 0
    unapplied: int = 0
    lost: int = 0


@dataclass(eq=False)
class Back:
    """A refund. `theirs` is the provider's name for it once our books know it, `debits` what it takes from each account of its bill."""

    id: str
    pay: Pay
    amount: int
    status: str
    taken: Taken
    debits: dict[str, int]
    theirs: str = ""
    asked: bool = False

    @property
    def live(self) -> bool:
        return self.status != "failed"

    @property
    def in_flight(self) -> bool:
        return self.status == "requested" and self.asked and not self.theirs


@dataclass(eq=False)
class Quarrel:
    """A dispute."""

    name: str
    pay: Pay
    amount: int
    status: str = "open"
    withdrawn: bool = False
    reinstated: bool = False
    frozen: int = 0
    taken: Taken = Taken()


@dataclass(eq=False)
class Pay:
    """A payment; money that nobody asked for has one of its own, which the books name (`id`, `reference`)."""

    id: str
    reference: str
    provider: str
    bill: Bill | None
    wallet: str
    asked: int
    currency: str = "THB"
    status: str = "pending"
    lapsed: bool = False                # its time was over at once
    money: str = ""
    received: int = 0
    backs: list[Back] = field(default_factory=list)
    quarrels: list[Quarrel] = field(default_factory=list)

    @property
    def settled(self) -> int:
        return self.asked if self.status == "succeeded" and self.bill else 0

    @property
    def credited(self) -> int:
        return self.received - self.settled if self.status in ("succeeded", "credited") and self.provider != "wallet" else 0

    @property
    def disputed(self) -> bool:
        return any(quarrel.status != "won" for quarrel in self.quarrels)

    def left(self) -> Taken:
        """What of its money is neither given back nor lost; what was written off is nowhere, first of all not in the wallet."""
        taken = [back.taken for back in self.backs if back.live] + [one.taken for one in self.quarrels if one.status == "lost"]
        off, left = sum(one.lost for one in taken), []
        for brought, gone in ((self.credited, sum(one.wallet for one in taken)),
                              (self.received if self.status == "unapplied" else 0, sum(one.unapplied for one in taken)),
                              (self.settled, sum(one.bill for one in taken))):
            left.append(max(0, brought - gone - off))
            off = max(0, off - (brought - gone))
        return Taken(wallet=left[0], unapplied=left[1], bill=left[2])


@dataclass(frozen=True)
class Word:
    """What the provider says. `amount` in satang or cents."""

    kind: str
    reference: str
    money: str
    amount: int
    currency: str = "THB"
    object: str = ""
    refund: str = ""

    @property
    def micro(self) -> int:
        return self.amount * SATANG


@dataclass(eq=False)
class Adjustment:
    """A large change of a wallet that waits for a second person."""

    id: str
    wallet: str
    amount: int
    by: str
    status: str = "requested"


@dataclass
class Model:
    """The books. Balances are seen from each account's own side: what it holds, is owed or has earned."""

    balances: dict[str, int]
    jobs: list[Job] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    pays: list[Pay] = field(default_factory=list)
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    alone: dict[tuple[str, str], int] = field(default_factory=dict)       # changed by one person in a wallet, without a second
    papers: set[tuple[str, Pay | Back]] = field(default_factory=set)

    def add(self, micro: int, *accounts: str, currency: str = "THB") -> None:
        """Each of the accounts grows by that."""
        for name in accounts:
            self.balances[f"{name}:{currency}"] = self.balances.get(f"{name}:{currency}", 0) + micro

    def holds(self, name: str, currency: str = "THB") -> int:
        """What an account says."""
        return self.balances.get(f"{name}:{currency}", 0)

    def came(self, money: str) -> Pay | None:
        """The payment that holds the provider's money object."""
        return next((pay for pay in self.pays if pay.money == money and pay.provider == "dummy"), None) if money else None

    def frozen(self, owner: str, currency: str = "THB") -> int:
        """What open disputes keep from being spent."""
        mine = [pay for pay in self.pays if (pay.wallet, pay.currency) == (owner, currency)]
        return sum(one.frozen for pay in mine for one in pay.quarrels if one.status == "open")

    def spendable(self, pay: Pay) -> int:
        """What of its wallet a refund may take."""
        return max(0, self.holds(f"wallet:{pay.wallet}", pay.currency) - self.frozen(pay.wallet, pay.currency)) if pay.credited else 0

    # Receipts

    def bill(self, payer: str) -> Bill:
        """Every unbilled job of the payer on one receipt; tax on top, rounded to the coin."""
        jobs = [job for job in self.jobs if job.payer == payer]
        if not jobs:
            raise Refused
        parts: dict[str, int] = {}
        for job in jobs:
            for account, micro in job.parts().items():
                parts[account] = parts.get(account, 0) + micro
        parts["tax:"] = (2 * sum(parts.values()) * TAX_PPM + SATANG * 1_000_000) // (2 * SATANG * 1_000_000) * SATANG
        bill = Bill("", payer, jobs, parts)
        bill.status = "pending" if bill.total else "paid"           # there is nothing to pay
        self.bills.append(bill)
        self.jobs = [job for job in self.jobs if job.payer != payer]
        self.earn(bill, 1)
        return bill

    def earn(self, bill: Bill, sign: int) -> None:
        """A receipt is issued, or taken back."""
        self.add(sign * bill.total, f"receivable:{bill.payer}")
        for account, micro in bill.parts.items():
            self.add(sign * micro, account)

    def void(self, bill: Bill) -> None:
        """Taken back: its jobs are free to be billed again."""
        if bill.status != "pending":
            raise Refused
        bill.status = "void"
        self.jobs += bill.jobs
        self.earn(bill, -1)

    def settle(self, bill: Bill, pay: Pay) -> None:
        """It is paid."""
        bill.status = "paid"
        self.add(-bill.total, f"receivable:{bill.payer}")
        if pay not in self.pays:
            self.pays.append(pay)

    def mark_paid(self, bill: Bill) -> None:
        """Cash at the desk."""
        if bill.status != "pending":
            raise Refused
        self.settle(bill, Pay("", "", "manual", bill, bill.payer, bill.total, status="succeeded", received=bill.total))
        self.add(bill.total, "clearing:manual")

    def by_hand(self, bill: Bill) -> Pay | None:
        """The settlement by hand that counts."""
        return next((pay for pay in self.pays if pay.bill is bill and pay.provider == "manual" and pay.status == "succeeded"), None)

    def revert_paid(self, bill: Bill) -> None:
        """It was a mistake: no money had come."""
        by_hand, paid = self.by_hand(bill), [pay for pay in self.pays if pay.bill is bill]
        if bill.status != "paid" or by_hand is None or any(back.live for pay in paid for back in pay.backs):
            raise Refused
        by_hand.status, bill.status = "reverted", "pending"
        self.add(bill.total, f"receivable:{bill.payer}")
        self.add(-bill.total, "clearing:manual")

    def pay_from_wallet(self, bill: Bill) -> None:
        """All of it or nothing, out of what is not frozen."""
        if bill.status != "pending" or self.holds(f"wallet:{bill.payer}") - self.frozen(bill.payer) < bill.total:
            raise Refused
        self.settle(bill, Pay("", "", "wallet", bill, bill.payer, bill.total, status="succeeded", received=bill.total))
        self.add(-bill.total, f"wallet:{bill.payer}")

    # Payments

    def start(self, bill: Bill) -> Pay | None:
        """The payment that is open for it; None where a new one has to be made. Those whose time is over are closed."""
        if bill.status != "pending":
            raise Refused
        mine = sorted((pay for pay in self.pays if pay.bill is bill and pay.status in ("pending", "processing")), key=lambda pay: pay.id)
        return self.still_open(mine)

    def start_topup(self, owner: str, micro: int) -> Pay | None:
        """The same for a top-up of the same amount."""
        if not LEAST <= micro <= MOST:
            raise Refused
        mine = [pay for pay in self.pays if pay.bill is None and (pay.wallet, pay.asked, pay.status) == (owner, micro, "pending")]
        return self.still_open([pay for pay in mine if pay.reference])

    def still_open(self, pays: list[Pay]) -> Pay | None:
        """The first that may still be used, when the others are closed."""
        for pay in pays:
            if pay.lapsed and pay.status == "pending":
                pay.status = "expired"
        return next((pay for pay in pays if pay.status != "expired"), None)

    def sweep(self) -> None:
        """Close what nobody paid in time."""
        self.still_open(self.pays)

    def hear(self, word: Word) -> str:
        """The provider says something: what must come of it."""
        if word.kind in SAYS:
            return self.hear_refund(word)
        return self.hear_dispute(word) if word.kind.startswith("dispute.") else self.hear_payment(word)

    def hear_payment(self, word: Word) -> str:
        """Of money that came, is on its way, or was declined."""
        asked = next((pay for pay in self.pays if word.reference and pay.reference == word.reference), None)
        if word.kind == "payment.succeeded":
            return self.hear_money(word, asked)
        if asked is None:
            return "ignored"
        moves = {"payment.processing": ("pending", "expired"), "payment.failed": ("pending", "processing")}
        if asked.status not in moves[word.kind]:
            return "duplicate"
        asked.status = word.kind.removeprefix("payment.")
        return asked.status

    def hear_money(self, word: Word, asked: Pay | None) -> str:
        """Each money once: for what it was asked, else into the wallet, else kept until somebody knows whose it is."""
        holder = self.came(word.money)
        if holder and (holder.received, holder.currency) != (word.micro, word.currency):
            return "contradicted"
        if holder and (holder.status != "unapplied" or asked in (None, holder) or holder.disputed or any(one.live for one in holder.backs)):
            return "duplicate"
        if asked is None or word.currency != asked.currency or not asked.wallet:
            return "duplicate" if holder else self.keep(word)
        if holder:
            self.add(-word.micro, "unapplied:dummy", currency=word.currency)
        else:
            self.add(word.micro, "clearing:dummy", currency=word.currency)
        return self.use(word, asked, holder)

    def keep(self, word: Word) -> str:
        """Nobody's money."""
        self.pays.append(Pay("", "", "dummy", None, "", word.micro, word.currency, "unapplied", money=word.money, received=word.micro))
        self.add(word.micro, "clearing:dummy", "unapplied:dummy", currency=word.currency)
        return "unapplied"

    def use(self, word: Word, asked: Pay, holder: Pay | None) -> str:
        """It is somebody's: the payment that asked takes it, or one of its own where that has its money already."""
        needed = asked.bill is None or asked.bill.status == "pending"
        enough = asked.bill is None or word.micro >= asked.asked
        taker = holder or asked
        if holder is None and asked.received:
            taker = Pay("", "", "dummy", asked.bill, asked.wallet, asked.asked, asked.currency)
            self.pays.append(taker)
        taker.bill, taker.wallet, taker.asked = asked.bill, asked.wallet, asked.asked
        taker.money, taker.received = word.money, word.micro
        taker.status = "succeeded" if needed and enough else "credited"
        self.add(taker.credited, f"wallet:{taker.wallet}", currency=taker.currency)
        if taker.settled and taker.bill:
            self.settle(taker.bill, taker)
        return taker.status

    def assign(self, pay: Pay, owner: str) -> None:
        """Somebody found out whose it is."""
        if pay.status != "unapplied" or pay.disputed or any(back.live for back in pay.backs):
            raise Refused
        self.add(-pay.received, "unapplied:dummy", currency=pay.currency)
        self.add(pay.received, f"wallet:{owner}", currency=pay.currency)
        pay.status, pay.wallet = "credited", owner

    # Refunds

    def divided(self, pay: Pay, amount: int, spendable: int) -> Taken:
        """The wallet first, then unapplied money, then the receipt; what is nowhere any more is lost."""
        left = pay.left()
        wallet = min(amount, left.wallet, spendable)
        unapplied = min(amount - wallet, left.unapplied)
        bill = min(amount - wallet - unapplied, left.bill)
        return Taken(bill, wallet, unapplied, amount - wallet - unapplied - bill)

    def repeat_refund(self, known: Back, amount: int) -> None:
        """The form that made it once more."""
        if amount != known.amount or known.pay.status == "reverted":
            raise Refused

    def request_refund(self, pay: Pay, amount: int | None) -> Back:
        """Finance gives money back, as far as it is there."""
        left = pay.left()
        whole = left.bill + left.wallet + left.unapplied
        amount = whole if amount is None else amount
        taken = self.divided(pay, amount, self.spendable(pay))
        if not pay.received or pay.status == "reverted" or pay.disputed or not 0 < amount <= whole or taken.lost:
            raise Refused
        back = self.book(pay, amount, taken, "requested")
        if pay.provider in AT_ONCE:
            self.finish(back, "succeeded")
        return back

    def book(self, pay: Pay, amount: int, taken: Taken, status: str) -> Back:
        """Taken from where the money went, owed to the payer."""
        back = Back("", pay, amount, status, taken, self.credit_note(pay, taken.bill))
        pay.backs.append(back)
        self.post(back, 1)
        return back

    def credit_note(self, pay: Pay, amount: int) -> dict[str, int]:
        """`amount` of a bill from what is left of each of its accounts, in proportion; the odd micro-units to the largest
        remainders."""
        if not amount or pay.bill is None:
            return {}
        backs = [back for other in self.pays if other.bill is pay.bill for back in other.backs if back.live]
        left = {account: micro - sum(back.debits.get(account, 0) for back in backs) for account, micro in sorted(pay.bill.parts.items())}
        whole = sum(left.values())
        shares = {account: amount * micro // whole for account, micro in left.items()}
        odd = sorted(left, key=lambda account: -(amount * left[account] % whole))[:amount - sum(shares.values())]
        return {account: share + (account in odd) for account, share in shares.items()}

    def post(self, back: Back, sign: int) -> None:
        """It is decided, or undone."""
        pay, taken, currency = back.pay, back.taken, back.pay.currency
        for account, micro in back.debits.items():
            self.add(-sign * micro, account, currency=currency)
        self.add(-sign * taken.wallet, f"wallet:{pay.wallet}", currency=currency)
        self.add(-sign * taken.unapplied, f"unapplied:{pay.provider}", currency=currency)
        self.add(sign * taken.lost, "write_off:refunds", currency=currency)
        self.add(sign * back.amount, f"refund_pending:{pay.provider}", currency=currency)

    def finish(self, back: Back, to: str) -> None:
        """Where it stands changes, and the money with it."""
        pay, was = back.pay, back.status
        back.status = to
        if to == "succeeded":
            self.arrive(back, 1)
        elif to == "failed":
            if was == "succeeded":
                self.arrive(back, -1)
            self.post(back, -1)
        if pay.bill and pay.bill.status in ("paid", "refunded"):
            backs = [one for other in self.pays if other.bill is pay.bill for one in other.backs]
            given = sum(one.taken.bill for one in backs if one.status == "succeeded")
            pay.bill.status = "refunded" if given == pay.bill.total else "paid"

    def arrive(self, back: Back, sign: int) -> None:
        """The money is back: out of the provider's hands, or in the wallet that had paid."""
        pay = back.pay
        self.add(-sign * back.amount, f"refund_pending:{pay.provider}", currency=pay.currency)
        if pay.provider == "wallet":
            self.add(sign * back.amount, f"wallet:{pay.wallet}", currency=pay.currency)
        else:
            self.add(-sign * back.amount, f"clearing:{pay.provider}", currency=pay.currency)

    def answer(self, back: Back, to: str, theirs: str) -> None:
        """The provider answered when it was asked."""
        if back.status == "requested":
            back.theirs = back.theirs or theirs
            self.finish(back, to)

    def hear_refund(self, word: Word) -> str:
        """A word about a refund, ours or made in the provider's own dashboard."""
        pay = self.came(word.money)
        if pay is None:
            return "unmatched"
        ours = [back for back in pay.backs if word.refund and back.id == word.refund and (back.live or back.theirs)]
        known = next(iter(ours + [back for back in pay.backs if back.theirs == word.object]), None)
        return self.known_refund(known, word) if known else self.foreign_refund(pay, word)

    def known_refund(self, back: Back, word: Word) -> str:
        if (word.micro, word.currency) != (back.amount, back.pay.currency) or back.theirs not in ("", word.object):
            return "contradicted"
        if SAYS[word.kind] not in REFUND_MOVES[back.status]:
            return "duplicate"
        back.theirs = word.object
        self.finish(back, SAYS[word.kind])
        return "booked"

    def foreign_refund(self, pay: Pay, word: Word) -> str:
        """It stands, whatever is left to take it from, up to what the payment brought."""
        if word.currency != pay.currency:
            return "contradicted"
        if any(back.in_flight for back in pay.backs):
            return "waiting"
        left = pay.left()
        whole = left.bill + left.wallet + left.unapplied
        if word.kind == "refund.failed":
            taken = self.divided(pay, word.micro, self.spendable(pay))
            pay.backs.append(Back("", pay, word.micro, "failed", taken, {}, theirs=word.object))
            return "booked"
        if word.micro > whole and any(back.status in ("requested", "submitted") for back in pay.backs):
            return "waiting"
        if word.micro > whole:
            return "contradicted"
        back = self.book(pay, word.micro, self.divided(pay, word.micro, self.spendable(pay)), "submitted")
        back.theirs = word.object
        if word.kind == "refund.succeeded":
            self.finish(back, "succeeded")
        return "booked"

    # Documents

    def hand_out(self, kind: str, about: Pay | Back) -> None:
        """A payment receipt, a credit note, or the debit note that takes that back; once, and then for good."""
        may = {"payment_receipt": isinstance(about, Pay) and about.status in ("succeeded", "credited"),
               "credit_note": about.status == "succeeded",
               "debit_note": about.status == "failed" and ("credit_note", about) in self.papers}[kind]
        if (kind, about) not in self.papers and not may:
            raise Refused
        self.papers.add((kind, about))

    # Disputes

    def hear_dispute(self, word: Word) -> str:
        """Opened, withdrawn, reinstated, won, lost: in any order, each once."""
        pay = self.came(word.money)
        if pay is None:
            return "unmatched"
        quarrel = next((one for one in pay.quarrels if one.name == word.object), None)
        others = sum(one.amount for one in pay.quarrels if one is not quarrel and one.status != "won")
        if word.currency != pay.currency or word.micro > pay.received or (quarrel is None and others + word.micro > pay.received):
            return "contradicted"
        if quarrel is None:
            quarrel = Quarrel(word.object, pay, word.micro, frozen=min(word.micro, pay.credited))
            pay.quarrels.append(quarrel)
        elif word.micro != quarrel.amount:
            return "contradicted"
        elif self.said_before(quarrel, word.kind):
            return "duplicate"
        self.proceed(quarrel, word.kind.removeprefix("dispute."))
        return "booked"

    def said_before(self, quarrel: Quarrel, kind: str) -> bool:
        return {"dispute.opened": True, "dispute.withdrawn": quarrel.withdrawn, "dispute.reinstated": quarrel.reinstated,
                "dispute.won": quarrel.status == "won", "dispute.lost": quarrel.status != "open"}[kind]

    def proceed(self, quarrel: Quarrel, what: str) -> None:
        """The money follows the words."""
        provider, currency = quarrel.pay.provider, quarrel.pay.currency
        if what == "withdrawn" or (what == "lost" and not quarrel.withdrawn):
            quarrel.withdrawn = True
            self.add(quarrel.amount, f"dispute:{provider}", currency=currency)
            self.add(-quarrel.amount, f"clearing:{provider}", currency=currency)
        if what == "reinstated":
            quarrel.reinstated = True
            self.add(-quarrel.amount, f"dispute:{provider}", currency=currency)
            self.add(quarrel.amount, f"clearing:{provider}", currency=currency)
        if what == "lost":
            balance = self.holds(f"wallet:{quarrel.pay.wallet}", currency) if quarrel.pay.credited else 0
            quarrel.taken = self.divided(quarrel.pay, quarrel.amount, balance)
            self.lose(quarrel, 1)
        if what == "won" and quarrel.status == "lost":
            self.lose(quarrel, -1)
        quarrel.status = what if what in ("won", "lost") else quarrel.status

    def lose(self, quarrel: Quarrel, sign: int) -> None:
        """The wallet pays as far as it goes, the rest is written off; backwards when it is won after all."""
        pay, taken, currency = quarrel.pay, quarrel.taken, quarrel.pay.currency
        self.add(-sign * taken.wallet, f"wallet:{pay.wallet}", currency=currency)
        self.add(-sign * taken.unapplied, f"unapplied:{pay.provider}", currency=currency)
        self.add(sign * (taken.bill + taken.lost), "write_off:disputes", currency=currency)
        self.add(-sign * quarrel.amount, f"dispute:{pay.provider}", currency=currency)

    # Changes by hand

    def adjust(self, id: str, owner: str, amount: int, by: str) -> str:
        """Up to the limit at once, above it with a second person. The same form again is the same change."""
        if known := self.adjustments.get(id):
            return known.status
        alone = self.alone.get((owner, by), 0)
        asked = Adjustment(id, owner, amount, by)
        if abs(amount) + alone <= LIMIT:
            self.move_by_hand(asked)
            self.alone[owner, by] = alone + abs(amount)
        self.adjustments[id] = asked
        return asked.status

    def move_by_hand(self, asked: Adjustment) -> None:
        """Never below nothing."""
        if self.holds(f"wallet:{asked.wallet}") + asked.amount < 0:
            raise Refused
        asked.status = "confirmed"
        self.add(asked.amount, f"wallet:{asked.wallet}", "adjustment:")

    def decide(self, asked: Adjustment, what: str, by: str) -> None:
        """A second person says yes or no; who asked may take it back."""
        if asked.status != "requested" or (by == asked.by) != (what == "withdrawn"):
            raise Refused
        if what == "confirmed":
            self.move_by_hand(asked)
        else:
            asked.status = what
