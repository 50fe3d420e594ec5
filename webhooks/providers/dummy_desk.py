"""The dummy company's desk: its charges, refunds and disputes, what its staff do, and how its API breaks.

A page for developers, where the dummy provider is loaded. It acts on the company's books and reaches ours only by webhooks.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.errors import NotFound
from engine.money import from_minor
from engine.payments import EventKind, ProviderTrouble
from webhooks.html import no_store, page
from webhooks.providers.dummy import DummyProvider
from webhooks.providers.dummy_books import Record
from webhooks.providers.dummy_checkout import MOST_FORM_BYTES
from webhooks.providers.dummy_company import REFUNDS_END, DummyCompany, Fault

MOST_SHOWN = 20
FAULTS = {Fault.TIMEOUT_BEFORE: "No answer, not done", Fault.TIMEOUT_AFTER: "No answer, but done", Fault.ERROR_BEFORE: "500, not done",
          Fault.ERROR_AFTER: "500, but done", Fault.TOO_MANY: "Asked too often", Fault.KEY_REFUSED: "Key refused", Fault.NO: "Says no",
          Fault.GONE: "Not reachable"}
WORDS = {EventKind.SUCCEEDED: "paid", EventKind.FAILED: "declined", EventKind.PROCESSING: "on its way"}


def _refund_half(company: DummyCompany, money: str) -> None:
    _give_back(company, money, 2)


def _refund_all(company: DummyCompany, money: str) -> None:
    _give_back(company, money, 1)


def _give_back(company: DummyCompany, money: str, parts: int) -> None:
    """A refund that somebody makes at the company itself."""
    charge = company.books.read()["charges"][money]
    made = company.refund(money, max(1, charge["amount_minor"] // parts))
    company.end(made["object"])


def _break(company: DummyCompany, fault: str) -> None:
    company.breaks(Fault(fault) if fault else None)


def _refunds_end(company: DummyCompany, how: str) -> None:
    with company.books.open() as held:
        held["refunds_end"] = how if how in REFUNDS_END else REFUNDS_END[0]


# What the form may ask for: word → (label, what it does with the name that goes with it).
ACTIONS: dict[str, tuple[str, Callable[[DummyCompany, str], object]]] = {
    "arrive": ("Money arrives", lambda company, money: company.arrive(money)),
    "refund_half": ("Refund half", _refund_half),
    "refund_all": ("Refund all", _refund_all),
    "dispute": ("Open a dispute", lambda company, money: company.dispute(money)),
    "settle": ("Refund arrives", lambda company, name: company.settle(name)),
    "fail": ("Refund fails", lambda company, name: company.fail(name)),
    "win": ("We win", lambda company, name: company.close(name, won=True)),
    "lose": ("We lose", lambda company, name: company.close(name, won=False)),
    "break": ("The next call breaks", _break),
    "refunds_end": ("Refunds end so", _refunds_end),
}


class DummyDesk:
    """The page and its form."""

    def __init__(self, provider: DummyProvider) -> None:
        self.provider = provider

    def routes(self) -> list[Route]:
        """GET shows, POST acts."""
        return [Route("/dummy/desk", self.show, methods=["GET"]), Route("/dummy/desk", self.act, methods=["POST"])]

    async def show(self, _request: Request) -> Response:
        """The newest charges with what belongs to them, and the switches."""
        held = await to_thread.run_sync(self.provider.company.books.read)
        return page("The dummy company's desk", _main(held, self.provider.desk_token()))

    async def act(self, request: Request) -> Response:
        """Do what a button says. The token keeps other sites' forms out."""
        async with request.form(max_files=0, max_fields=4, max_part_size=MOST_FORM_BYTES) as form:
            action, name, token = (str(form.get(field, "")) for field in ("action", "name", "token"))
        word, _, of = action.partition(" ")
        if word not in ACTIONS or token != self.provider.desk_token():
            raise NotFound("No such button: open the desk again.")
        try:
            await to_thread.run_sync(ACTIONS[word][1], self.provider.company, of or name)
        except ProviderTrouble as trouble:
            raise NotFound(trouble.detail) from trouble
        except (KeyError, ValueError):
            raise NotFound("It is not there any more.") from None
        return RedirectResponse("/dummy/desk", status_code=303, headers=no_store())


def _main(held: Record, token: str) -> str:
    charges = list(held["charges"].values())[:-MOST_SHOWN - 1:-1]
    cards = "".join(_card(charge, held) for charge in charges)
    return f"""
<form method="post" action="/dummy/desk">
<input type="hidden" name="token" value="{escape(token)}">
<section class="card">
<span class="badge">Test provider: no money moves</span>
<h1>The dummy company's desk</h1>
<p class="note">What its staff, its payers' banks and its computers do. We hear of it by webhooks only.</p>
</section>
{cards or '<section class="card"><p class="note">Nobody has paid yet: pay a receipt through the dummy provider first.</p></section>'}
{_switches(held)}
</form>"""


def _card(charge: Record, held: Record) -> str:
    money, paid = charge["money"], charge["status"] == EventKind.SUCCEEDED
    buttons = ("refund_half", "refund_all", "dispute") if paid else ("arrive",) if charge["status"] == EventKind.PROCESSING else ()
    refunds = [one for one in held["refunds"].values() if one["money"] == money]
    disputes = [one for one in held["disputes"].values() if one["money"] == money]
    return f"""
<section class="card"><h1>{escape(_amount(charge))}</h1>
<dl><dt>Reference</dt><dd>{escape(charge["reference"])}</dd><dt>Money</dt><dd>{escape(money)}</dd>
<dt>State</dt><dd>{escape(WORDS[EventKind(charge["status"])])}</dd></dl>
<div class="faults">{"".join(_button(word, money) for word in buttons)}</div>
{"".join(_part("Refund", one, {"submitted": ("settle", "fail"), "succeeded": ("fail",)}) for one in refunds)}
{"".join(_part("Dispute", one, {"open": ("win", "lose")}) for one in disputes)}
</section>"""


def _part(what: str, one: Record, buttons: dict[str, tuple[str, ...]]) -> str:
    """A refund or dispute of a charge, and what may still become of it."""
    made = "".join(_button(word, one["object"]) for word in buttons.get(one["state"], ()))
    return f"""<dl><dt>{what} {escape(one["object"])}</dt><dd>{escape(_amount(one))}, {escape(one["state"])}</dd></dl>
<div class="faults">{made}</div>"""


def _switches(held: Record) -> str:
    fault = held["fault"].get("fault", "") if held["fault"].get("calls") else ""
    breaks = "".join(_button("break", word, label) for word, label in FAULTS.items())
    ends = "".join(_button("refunds_end", how, f"{how.capitalize()}{' ✓' * (how == held['refunds_end'])}") for how in REFUNDS_END)
    return f"""
<section class="card"><h1>The next call of its API</h1>
<p class="note">{escape(f"It will go wrong: {FAULTS[Fault(fault)]}." if fault else "It will be answered.")}</p>
<div class="faults">{breaks}{_button("break", "", "Is answered")}</div></section>
<section class="card"><h1>Refunds that we ask for</h1><div class="faults">{ends}</div></section>"""


def _button(action: str, name: str, label: str = "") -> str:
    return f'<button name="action" value="{escape(f"{action} {name}".strip())}">{escape(label or ACTIONS[action][0])}</button>'


def _amount(about: Record) -> str:
    return str(from_minor(about["amount_minor"], about["currency"]))
