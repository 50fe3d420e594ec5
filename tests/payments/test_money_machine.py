"""Ten thousand steps of money, in any order: after each the books say what plain integers say (money_model), and every promise
of the database holds.

The steps are the product's own services on a real Postgres: bill, void, pay by provider, wallet or cash, top up, refund, dispute,
adjust, take back, and any word of the provider again at any moment. Nothing is set aside in a wallet yet but by a dispute, which
freezes, and by a refund on its way: those are what is held here.

An example is two payers of their own in a database that examples share. COREHOURS_TEST_MONEY asks for another number of examples
of 50 steps. What fails is printed as the steps that lead there, and as @reproduce_failure(…): put that above `class Machine`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from data.postgres.invariants import INVARIANTS
from data.postgres.store import PostgresTransaction, Store
from data.settings import Settings
from engine.documents import DocumentKind
from engine.errors import DomainError
from engine.ids import new_id
from engine.money import Money
from engine.payments import EventKind, ProviderEvent
from engine.refunds import RefundAnswer, RefundStatus
from engine.services.adjustments import confirm_adjustment, reject_adjustment, request_adjustment, withdraw_adjustment
from engine.services.documents import issue_document
from engine.services.events import apply_event
from engine.services.payments import expire_payments, start_payment
from engine.services.receipts import create_receipt, mark_paid, revert_paid, void_receipt
from engine.services.refunds import about_to_ask, answer_refund, request_refund
from engine.services.wallets import assign_unapplied, pay_from_wallet, start_topup
from engine.users import Person, Role
from tests.conftest import AUDIT_KEY
from tests.payments.money_model import SATANG, Adjustment, Back, Bill, Job, Model, Pay, Refused, Word

EXAMPLES, STEPS, PARTS = int(os.environ.get("COREHOURS_TEST_MONEY", "240")), 50, 2
LONG_AGO, BEFORE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
SHARED = ("", "cpu", "mem", "dummy", "wallet", "manual", "refunds", "disputes")        # owners of accounts that all examples post to
WORDS = {"payment": ("succeeded", "succeeded", "succeeded", "processing", "failed"), "refund": ("submitted", "succeeded", "failed"),
         "dispute": ("opened", "withdrawn", "reinstated", "won", "lost")}
WHAT = ("account", "sum", "under its floor", "bill", "pay", "back", "quarrel", "frozen")

T = TypeVar("T")
Row = tuple[str, str, str, int, str, str]
_numbers = count(1)

# What the books say, in one question: accounts, whatever does not sum to zero, and where each thing of this example stands.
_BOOKS = """
select 'account', kind || ':' || owner || ':' || currency, '', side * balance_micro, '', '' from ledger_account
  where owner = any(%(owners)s)
union all select 'under its floor', kind || ':' || owner, '', balance_micro, '', '' from ledger_account
  where side * balance_micro < floor_micro
union all select 'sum', currency, '', sum(balance_micro)::bigint, '', '' from ledger_account group by currency
  having sum(balance_micro) <> 0
union all select 'bill', id, status, total_micro, '', '' from receipt where id > 'rcpt_' || %(since)s
union all select 'pay', id, status, received_micro, reference, coalesce(money_ref, '') from payment where id > 'pay_' || %(since)s
union all select 'back', id, status, amount_micro, payment_id, coalesce(provider_ref, '') from refund where id > 'rfnd_' || %(since)s
union all select 'quarrel', provider_ref, status, amount_micro, payment_id, '' from dispute where id > 'dspt_' || %(since)s
union all select 'frozen', owner || ':' || currency, '', sum(amount_micro)::bigint, '', '' from wallet_freeze
  where lifted_at is null and owner = any(%(owners)s) group by owner, currency
"""
_PROMISES = " union all ".join(
    f"select {number}, cast(v.what as text) from ({promise.sql}) v(what)" for number, promise in enumerate(INVARIANTS))

some = st.integers(0, 11)               # which one of those there are
baht = st.integers(1, 400).map(lambda half: half * 50)          # an amount in satang: 0.50 to 200.00


class World:
    """A database that examples share, and the product's store on it."""

    def __init__(self, url: str, home: Path) -> None:
        kept = Settings(env="development", home=home, database_url=url, audit_key=AUDIT_KEY, tax_ppm=70_000)
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        self.store = Store(engine, kept)
        self.hasty = Store(engine, kept.model_copy(update={"payment_minutes": 0}))      # its payments are over at once
        self.reading = psycopg.connect(url, autocommit=True)
        self.steps = 0

    def close(self) -> None:
        """Leave."""
        self.reading.close()
        self.store.engine.dispose()


class Machine(RuleBasedStateMachine):
    """One example: two payers, what the books say of them, and what the model says."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"m{next(_numbers)}"
        self.payers = (f"{self.name}.alice", f"{self.name}.bob")
        self.finance = Person(0, f"{self.name}.finn", Role.FINANCE, "")
        self.people = [Person(0, f"{self.name}.{name}", Role.ADMIN, "") for name in ("ada", "axel")]
        self.owners = [*SHARED, *self.payers]
        self.since = self.now_ms()
        self.said: list[Word] = []
        self.backs: list[Back] = []
        self.forms: dict[str, Back] = {}
        self.world.store.run(lambda tx: tx.payers.ensure(list(self.payers), "mu"))
        self.model = Model({name: micro for what, name, _, micro, _, _ in self.read() if what == "account"})

    def now_ms(self) -> str:
        """The time as ids begin with it, in a millisecond in which nothing was made yet."""
        began = int(time.time() * 1000)
        while int(time.time() * 1000) == began:
            pass
        return new_id("x", began)[2:12] + "Z" * 16

    def read(self) -> list[Row]:
        return self.world.reading.execute(_BOOKS, {"owners": self.owners, "since": self.since}).fetchall()  # type: ignore[return-value]

    def run(self, work: Callable[[PostgresTransaction], T], hasty: bool = False) -> T:
        return (self.world.hasty if hasty else self.world.store).run(work, actor=self.finance.name)

    def both(self, model: Callable[[], Any], books: Callable[[PostgresTransaction], T], hasty: bool = False) -> T | None:
        """Take the same step in both; None when both say no."""
        try:
            model()
        except Refused:
            with pytest.raises(DomainError):
                self.run(books, hasty)
            return None
        return self.run(books, hasty)

    @initialize()
    def begin(self) -> None:
        """Something is owed, and being paid; something is being filled."""
        self.job(0, 360_000, 7_200, True)
        self.start_payment(0, False)
        self.top_up(0, 10_000, False)

    # Receipts

    @rule(who=some, core_seconds=st.integers(1, 400_000), gib_seconds=st.integers(0, 100_000), bill=st.booleans())
    def job(self, who: int, core_seconds: int, gib_seconds: int, bill: bool) -> None:
        """One ends, and is billed with what waits."""
        job = Job(self.pick(self.payers, who), core_seconds, gib_seconds)
        self.model.jobs.append(job)
        self.run(lambda tx: _add_job(tx, job))
        if bill:
            self.create_receipt(job.payer)

    @rule(who=some)
    @precondition(lambda self: self.model.jobs)
    def bill(self, who: int) -> None:
        self.create_receipt(self.pick(self.payers, who))

    def create_receipt(self, payer: str) -> None:
        made: list[Bill] = []
        receipt = self.both(lambda: made.append(self.model.bill(payer)), lambda tx: create_receipt(tx, payer, BEFORE, self.finance))
        if receipt:
            made[0].id = receipt.id

    @rule(which=some)
    @precondition(lambda self: self.model.bills)
    def void(self, which: int) -> None:
        bill = self.pick(self.model.bills, which)
        self.both(lambda: self.model.void(bill), lambda tx: void_receipt(tx, bill.id, "a mistake", self.finance))

    @rule(which=some)
    @precondition(lambda self: self.model.bills)
    def pay_in_cash(self, which: int) -> None:
        bill = self.pick(self.model.bills, which)
        self.both(lambda: self.model.mark_paid(bill), lambda tx: mark_paid(tx, bill.id, "cash at the desk", self.finance))

    @rule(which=some)
    @precondition(lambda self: self.model.bills)
    def take_cash_back(self, which: int) -> None:
        bill = self.pick(self.model.bills, which)
        self.both(lambda: self.model.revert_paid(bill), lambda tx: revert_paid(tx, bill.id, "it was not hers", self.finance))

    @rule(which=some)
    @precondition(lambda self: self.model.bills)
    def pay_from_wallet(self, which: int) -> None:
        bill = self.pick(self.model.bills, which)
        self.both(lambda: self.model.pay_from_wallet(bill), lambda tx: pay_from_wallet(tx, bill.id, bill.payer, self.finance))

    # Payments

    @rule(which=some, hasty=st.booleans())
    @precondition(lambda self: self.model.bills)
    def start_payment(self, which: int, hasty: bool) -> None:
        bill = self.pick(self.model.bills, which)
        known: list[Pay | None] = []
        started = self.both(lambda: known.append(self.model.start(bill)), lambda tx: start_payment(tx, bill.id, self.finance), hasty)
        if started:
            self.started(known[0], Pay(started.payment.id, started.payment.reference, "dummy", bill, bill.payer, bill.total, lapsed=hasty))

    @rule(who=some, amount=st.sampled_from([1_999, 2_000, 10_000, 50_050]), hasty=st.booleans())
    def top_up(self, who: int, amount: int, hasty: bool) -> None:
        owner, micro = self.pick(self.payers, who), amount * SATANG
        known: list[Pay | None] = []
        started = self.both(lambda: known.append(self.model.start_topup(owner, micro)),
                            lambda tx: start_topup(tx, owner, Money(micro, "THB"), self.finance), hasty)
        if started:
            self.started(known[0], Pay(started.payment.id, started.payment.reference, "dummy", None, owner, micro, lapsed=hasty))

    def started(self, known: Pay | None, made: Pay) -> None:
        """The one that was open, or a new one."""
        if known:
            assert (known.id, known.reference) == (made.id, made.reference)
        else:
            self.model.pays.append(made)

    @rule()
    @precondition(lambda self: any(pay.lapsed and pay.status == "pending" for pay in self.model.pays))
    def sweep(self) -> None:
        self.both(self.model.sweep, expire_payments)

    @rule(which=some, word=st.sampled_from(WORDS["payment"]), amount=st.sampled_from(["as asked"] * 4 + ["less", "more"]),
          currency=st.sampled_from(["THB"] * 9 + ["USD"]), another=st.booleans())
    @precondition(lambda self: any(pay.reference and pay.provider == "dummy" for pay in self.model.pays))
    def provider_says(self, which: int, word: str, amount: str, currency: str, another: bool) -> None:
        """Of a payment that was started; `another` charge of it has a name of its own."""
        pay = self.pick([pay for pay in self.model.pays if pay.reference and pay.provider == "dummy"], which)
        minor = max(1, pay.asked // SATANG + {"as asked": 0, "less": -1, "more": 1_000}[amount])
        money = f"ch_{pay.reference}" + (f"_{next(_numbers)}" if another else "")
        self.hear(Word(f"payment.{word}", pay.reference, money, minor, currency))

    @rule(amount=baht, currency=st.sampled_from(["THB", "THB", "USD"]))
    def strangers_money(self, amount: int, currency: str) -> None:
        """Nobody asked for it."""
        self.hear(Word("payment.succeeded", "", f"ch_{self.name}_{next(_numbers)}", amount, currency))

    @rule(which=some, whose=some)
    @precondition(lambda self: any(pay.status == "unapplied" for pay in self.model.pays))
    def turns_out_to_be(self, which: int, whose: int) -> None:
        """The provider says whose the stranger's money was, a reference at last."""
        kept = self.pick([pay for pay in self.model.pays if pay.status == "unapplied"], which)
        asked = [pay for pay in self.model.pays if pay.reference and pay.provider == "dummy" and pay.bill]
        if asked:
            self.hear(Word("payment.succeeded", self.pick(asked, whose).reference, kept.money, kept.received // SATANG, kept.currency))

    @rule(which=some, who=some)
    @precondition(lambda self: any(not pay.bill and pay.money for pay in self.model.pays))
    def assign(self, which: int, who: int) -> None:
        pay, owner = self.pick([pay for pay in self.model.pays if not pay.bill and pay.money], which), self.pick(self.payers, who)
        self.both(lambda: self.model.assign(pay, owner),
                  lambda tx: assign_unapplied(tx, pay.reference, owner, "she showed the slip", self.finance))

    @rule(which=st.integers(0, 1000))
    @precondition(lambda self: self.said)
    def provider_repeats(self, which: int) -> None:
        """Any word again, however old."""
        self.hear(self.pick(self.said, which))

    def hear(self, word: Word) -> None:
        """Apply it as the inbox does; what must come of it the model says."""
        event = ProviderEvent("dummy", f"evt_{self.name}_{next(_numbers)}", EventKind(word.kind), False, word.reference, word.money,
                              word.amount, word.currency, word.object, word.refund)
        self.said.append(word)
        expected = self.model.hear(word)
        assert str(self.run(lambda tx: apply_event(tx, event, LONG_AGO)).step) == expected, f"{word} must be {expected}"

    # Refunds

    @rule(which=some, amount=st.none() | baht)
    @precondition(lambda self: any(pay.reference for pay in self.model.pays))
    def refund(self, which: int, amount: int | None) -> None:
        """Finance gives some or all of a payment back."""
        pay, form = self.pick([pay for pay in self.model.pays if pay.reference], which), f"{self.name}_{next(_numbers)}"
        money = None if amount is None else Money(amount * SATANG, pay.currency)
        made: list[Back] = []
        refund = self.both(lambda: made.append(self.model.request_refund(pay, money.micro if money else None)),
                           lambda tx: request_refund(tx, pay.reference, money, "asked at the desk", self.finance, form))
        if refund:
            made[0].id = refund.id
            self.backs.append(made[0])
            self.forms[form] = made[0]

    @rule(which=some, amount=st.none() | baht)
    @precondition(lambda self: self.forms)
    def the_same_form_again(self, which: int, amount: int | None) -> None:
        """One pressing of a button is one refund, and stands for no other."""
        form = self.pick(list(self.forms), which)
        known = self.forms[form]
        money = Money(known.amount if amount is None else amount * SATANG, known.pay.currency)
        made = self.both(lambda: self.model.repeat_refund(known, money.micro),
                         lambda tx: request_refund(tx, known.pay.reference, money, "asked at the desk", self.finance, form))
        assert made is None or made.id == known.id

    @rule(which=some, answer=st.sampled_from(["submitted", "submitted", "succeeded", "refused", "lost"]))
    @precondition(lambda self: any(back.pay.provider == "dummy" for back in self.backs))
    def ask_provider(self, which: int, answer: str) -> None:
        """The outbox asks for a refund of ours: perhaps twice, perhaps the answer is lost."""
        back = self.pick([back for back in self.backs if back.pay.provider == "dummy"], which)
        self.run(lambda tx: about_to_ask(tx, back.id))
        back.asked = back.asked or back.status == "requested"
        if back.status != "requested" or answer == "lost":
            return
        theirs, to = ("", "failed") if answer == "refused" else (f"re_{back.id}", answer)
        self.model.answer(back, to, theirs)
        self.run(lambda tx: answer_refund(tx, back.id, RefundAnswer(theirs, RefundStatus(to))))

    @rule(which=some, word=st.sampled_from(WORDS["refund"]), named=st.booleans())
    @precondition(lambda self: any(back.asked for back in self.backs))
    def provider_says_of_our_refund(self, which: int, word: str, named: bool) -> None:
        """Before its answer or after it, with our name for it or without."""
        back = self.pick([back for back in self.backs if back.asked], which)
        self.hear(Word(f"refund.{word}", "", back.pay.money, back.amount // SATANG, back.pay.currency, f"re_{back.id}",
                       back.id if named else ""))

    @rule(which=some, word=st.sampled_from(WORDS["refund"]), amount=baht, whole=st.booleans(), right=st.integers(0, 9))
    @precondition(lambda self: any(pay.money for pay in self.model.pays))
    def refund_made_at_provider(self, which: int, word: str, amount: int, whole: bool, right: int) -> None:
        """Some or all of it, once in a while in a currency that it was not paid in."""
        pay = self.pick([pay for pay in self.model.pays if pay.money], which)
        minor, currency = pay.received // SATANG if whole else amount, pay.currency if right else "EUR"
        self.hear(Word(f"refund.{word}", "", pay.money, minor, currency, f"re_{self.name}_{next(_numbers)}"))

    # Disputes

    @rule(which=some, word=st.sampled_from(WORDS["dispute"]), amount=baht, whole=st.booleans())
    @precondition(lambda self: any(pay.money for pay in self.model.pays))
    def dispute(self, which: int, word: str, amount: int, whole: bool) -> None:
        """A first word; it may be any."""
        pay = self.pick([pay for pay in self.model.pays if pay.money], which)
        minor = pay.received // SATANG if whole else amount
        self.hear(Word(f"dispute.{word}", "", pay.money, minor, pay.currency, f"dp_{self.name}_{next(_numbers)}"))

    @rule(which=some, word=st.sampled_from(WORDS["dispute"]))
    @precondition(lambda self: any(pay.quarrels for pay in self.model.pays))
    def dispute_goes_on(self, which: int, word: str) -> None:
        quarrel = self.pick([one for pay in self.model.pays for one in pay.quarrels], which)
        self.hear(Word(f"dispute.{word}", "", quarrel.pay.money, quarrel.amount // SATANG, quarrel.pay.currency, quarrel.name))

    # Changes by hand

    @rule(who=some, by=some, amount=st.integers(-100_000, 150_000).filter(bool), again=st.booleans())
    def adjust(self, who: int, by: int, amount: int, again: bool) -> None:
        """Up to 1,000.00 a day at once; the same form again is the same change."""
        known = list(self.model.adjustments.values())
        new = Adjustment(f"adj_{self.name}_{next(_numbers)}", self.pick(self.payers, who), amount * SATANG, self.pick(self.people, by).name)
        form = known[-1] if again and known else new
        person = next(person for person in self.people if person.name == form.by)
        made = self.both(lambda: self.model.adjust(form.id, form.wallet, form.amount, form.by), lambda tx: request_adjustment(
            tx, form.wallet, Money(form.amount, "THB"), "a change by hand", person, form.id.removeprefix("adj_")))
        assert made is None or made.status == self.model.adjustments[form.id].status

    @rule(which=some, by=some, what=st.sampled_from(["confirmed", "confirmed", "rejected", "withdrawn"]))
    @precondition(lambda self: self.model.adjustments)
    def decide(self, which: int, by: int, what: str) -> None:
        asked, person = self.pick(list(self.model.adjustments.values()), which), self.pick(self.people, by)
        steps = {"confirmed": lambda tx: confirm_adjustment(tx, asked.id, person),
                 "withdrawn": lambda tx: withdraw_adjustment(tx, asked.id, person),
                 "rejected": lambda tx: reject_adjustment(tx, asked.id, "not in this case", person)}
        self.both(lambda: self.model.decide(asked, what, person.name), steps[what])

    # Documents

    @rule(which=some, kind=st.sampled_from(["payment_receipt", "credit_note", "debit_note"]))
    @precondition(lambda self: self.model.pays)
    def hand_out(self, which: int, kind: str) -> None:
        """The queue issues a document, perhaps late, perhaps twice."""
        backs = [back for pay in self.model.pays for back in pay.backs]
        if about := self.model.pays if kind == "payment_receipt" else backs:
            one = self.pick(about, which)
            self.both(lambda: self.model.hand_out(kind, one), lambda tx: issue_document(tx, DocumentKind(kind), one.id))

    # After every step

    @invariant()
    def the_books_say_what_the_model_says(self) -> None:
        self.world.steps += 1
        rows = self.read()
        self.learn(rows)
        model, found = self.model, {what: {row[1]: row[2:] for row in rows if row[0] == what} for what in WHAT}
        assert not found["sum"] and not found["under its floor"], found
        assert _amounts(found["account"]) == {name: micro for name, micro in model.balances.items() if micro}
        assert found["bill"] == {bill.id: (bill.status, bill.total, "", "") for bill in model.bills}
        assert found["pay"] == {pay.id: (pay.status, pay.received, pay.reference, pay.money) for pay in model.pays}
        assert found["back"] == {back.id: (back.status, back.amount, pay.id, back.theirs) for pay in model.pays for back in pay.backs}
        assert found["quarrel"] == {one.name: (one.status, one.amount, pay.id, "") for pay in model.pays for one in pay.quarrels}
        frozen = {f"{pay.wallet}:{pay.currency}": model.frozen(pay.wallet, pay.currency) for pay in model.pays if pay.wallet}
        assert _amounts(found["frozen"]) == {name: micro for name, micro in frozen.items() if micro}

    def learn(self, rows: list[Row]) -> None:
        """The names that the books gave to what came by itself."""
        known = {pay.id for pay in self.model.pays} | {back.id for pay in self.model.pays for back in pay.backs}
        for what, id, status, micro, other, theirs in rows:
            if what == "pay" and id not in known:
                new = [pay for pay in self.model.pays if not pay.id]
                pay = next(pay for pay in new if (pay.status, pay.received, pay.money) == (status, micro, theirs))
                pay.id, pay.reference = id, other
            if what == "back" and id not in known:
                backs = [back for pay in self.model.pays if pay.id == other for back in pay.backs]
                next(back for back in backs if not back.id and back.theirs == theirs).id = id

    def teardown(self) -> None:
        """Every promise that `check` knows, over all examples so far; the next example's sweep finds its own."""
        self.run(expire_payments)
        broken = self.world.reading.execute(_PROMISES).fetchall()
        assert not broken, [(INVARIANTS[number].name, where) for number, where in broken]

    @staticmethod
    def pick(among: Any, which: int) -> Any:
        return among[which % len(among)]


def _amounts(rows: dict[str, tuple[str, int, str, str]]) -> dict[str, int]:
    """Those that are not zero, by name."""
    return {name: micro for name, (_, micro, _, _) in rows.items() if micro}


def _add_job(tx: PostgresTransaction, job: Job) -> None:
    """A job as ingest keeps it, priced by the default card."""
    number, parts = next(_numbers), job.parts()
    tx.payers.execute("""
        insert into usage_record (run_key, cluster, job_id, job_id_raw, job_name, user_name, account_name, partition_name,
          state, submit_at, start_at, end_at, elapsed_seconds, alloc_tres, alloc_cpus, alloc_gpus, alloc_mem_mib,
          cpu_used_core_seconds, cpu_used_from, mem_used_mib_seconds, mem_used_from, ended, run_id, payer, tier, rate_card,
          policy, currency, cpu_core_seconds, gpu_seconds, mem_mib_seconds, cpu_micro, gpu_micro, mem_micro, rounding_micro, cost_micro)
        values (:key, 'hpc', cast(:number as text), :number, 'job', :payer, 'lab', 'cpu', 'COMPLETED', '2026-10-03 10:00Z',
          '2026-10-03 11:00Z', '2026-10-03 12:00Z', 3600, 'cpu=1', 1, 0, 1024, :cores, 'steps TotalCPU', :mibs,
          'steps AveRSS × Elapsed', true, 0, :payer, 'mu', 'mu-v1', 'used', 'THB', :cores, 0, :mibs,
          :cpu, 0, :mem, :rounding, :cost)""", key=f"hpc/{number}/0", number=number, payer=job.payer,
        cores=job.core_seconds, mibs=job.gib_seconds * 1024, cpu=parts["income:cpu"], mem=parts["income:mem"],
        rounding=parts["rounding:"], cost=sum(parts.values()))


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A database that examples share."""
    made = World(database_url, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_the_books_say_what_integers_say(world: World, part: int) -> None:
    """A part of the 10,000 steps; each worker has its own. Where examples are the same each time, they are not the other part's."""
    Machine.world = world
    same_each_time = settings.default is not None and settings.default.derandomize         # where CI is set
    if same_each_time:
        seed(part)(Machine)
    run_state_machine_as_test(Machine, settings=settings(
        max_examples=EXAMPLES // PARTS, stateful_step_count=STEPS, deadline=None, print_blob=True, database=None,
        suppress_health_check=list(HealthCheck)))
    print(f"{world.steps} steps")
    assert not same_each_time or "COREHOURS_TEST_MONEY" in os.environ or world.steps >= 10_000 // PARTS, "an example ends when it likes"
