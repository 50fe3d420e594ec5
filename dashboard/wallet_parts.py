"""Parts of the wallet pages: the statement, topping up, and what became of a top-up. The page that waits looks at the books
every two seconds and changes nothing.
"""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import actions, exports, navigation, reads, reads_wallets, tables, words
from dashboard.access import me
from engine.bank import NAME as BANK
from engine.errors import DomainError
from engine.money import Money, parse_micro
from engine.payments import Payment, PaymentStatus
from engine.services import project_wallets
from engine.services.wallets import start_topup
from engine.users import Person
from engine.wallets import ProjectWallet, charged_allocation, project_of

LOOK_EVERY = "2s"
OWN_AMOUNT = "other"
PROVIDER_WORDS = {"dummy": "Test provider", "stripe": "Card (Stripe)", "paystack": "Paystack", "omise": "PromptPay (Omise)",
                  "bank_qr": "Bank transfer by QR"}


def whose(owner: str) -> str:
    """A wallet in words: `alice`, or `project ai-lab`."""
    project = project_of(owner)
    return owner if project is None else f"project {project}"


def provider_word(provider: str) -> str:
    """A provider as payers know it."""
    return PROVIDER_WORDS.get(provider, provider)


def counts_once(what: str, provider: str) -> str:
    """When money counts: a provider tells us by itself, a bank's statement has to be brought and read by a person."""
    if provider == BANK:
        return f"{what} once our bank has it on its statement and somebody here has found it there: that may take days."
    return f"{what} once the provider confirms it to us, usually within a minute."


def waited_for(provider: str) -> str:
    """What a payment that was started waits for."""
    return "Waiting for the transfer" if provider == BANK else "Waiting for the provider"


def choose_provider(providers: tuple[str, ...], key: str) -> str:
    """The provider the payer wants; nobody is asked where there is one only."""
    if len(providers) < 2:
        return providers[0] if providers else ""
    return str(st.segmented_control("Pay through", list(providers), required=True, default=providers[0], format_func=provider_word,
                                    key=key))


def statement(page: reads_wallets.WalletPage) -> None:
    """Movements with the running balance, filters and a file."""
    everything = page.statement
    with st.container(horizontal=True, vertical_alignment="center"):
        kinds = st.pills("Kind", sorted(everything["what"].unique()), selection_mode="multi", key="kind", bind="query-params",
                         label_visibility="collapsed")
        text = st.text_input("Search", placeholder="Part of why, or a reference", icon=":material/search:", width=260, key="q",
                             bind="query-params", label_visibility="collapsed")
    found = everything.filter(pl.col("what").is_in(kinds or everything["what"].unique().to_list()), _holds(text))
    if found.is_empty():
        tables.nothing_here("filter_alt_off", "No movement here", "Nothing is called that, or nothing of that kind.")
        return
    moved = int(found["moved_micro"].sum())
    tables.sums(words.count(len(found), "movement"), words.money(moved, page.wallet.currency), "the newest first")
    tables.table(
        found.select("what", "actor", link=_links(found), at=pl.Series([words.moment(at, page.now) for at in found["at"]], dtype=pl.String),
                     why=pl.col("memo"), moved=pl.col("moved_micro") / 1e6, balance=pl.col("balance_micro") / 1e6),
        {"at": tables.text_column("When", 120), "what": tables.text_column("What", 110), "why": tables.text_column("Why", 348),
         "actor": tables.text_column("By", 100), "moved": tables.money_column(f"Amount, {page.wallet.currency}", 120),
         "balance": tables.money_column(f"Balance, {page.wallet.currency}", 124), "link": tables.link_column("", 52, "open")},
        key="statement", alt="Movements of the wallet with the balance after each")
    st.download_button("Statement as CSV", lambda: exports.csv(_file(found)), f"wallet-{page.wallet.owner.replace(':', '-')}.csv",
                       "text/csv", on_click="ignore", icon=":material/download:", key="statement_csv")


def _links(found: pl.DataFrame) -> pl.Series:
    """Where a node's charges are told in full."""
    ids = [charged_allocation(key) for key in found["key"]]
    return pl.Series([f"{navigation.address('allocation')}?id={id}" if id else None for id in ids], dtype=pl.String)


def _holds(text: str) -> pl.Expr:
    part = text.strip().lower()
    return pl.any_horizontal(pl.col(name).str.to_lowercase().str.contains(part, literal=True) for name in ("memo", "key", "actor"))


def _file(found: pl.DataFrame) -> pl.DataFrame:
    return found.select("at", "what", "key", "memo", "actor", exports.exact("moved_micro").alias("amount"),
                        exports.exact("balance_micro").alias("balance"), "currency")


def top_up(person: Person, owner: str) -> None:
    """Choose an amount and start; on success the page is that of the payment."""
    offer = reads_wallets.offer(person, owner)
    if not offer.providers:
        st.markdown("No payment provider is set up here: ask for another way to pay, such as a bank transfer.")
        return
    amounts = [words.money(micro, decimals=0 if micro % 1_000_000 == 0 else None) for micro in offer.amounts_micro]
    chosen = st.segmented_control(f"Amount, {offer.currency}", [*amounts, OWN_AMOUNT], required=True, default=[*amounts, OWN_AMOUNT][0],
                                  format_func=lambda word: "Another amount" if word == OWN_AMOUNT else word, key="topup_amount")
    typed = chosen
    if chosen == OWN_AMOUNT:
        typed = st.text_input(f"Another amount, {offer.currency}", key="topup_own", placeholder=str(offer.least).split(" ")[0], width=200,
                              help=f"{offer.least} at least, {offer.most} at most.")
    provider = choose_provider(offer.providers, "topup_provider")
    if st.button("Add funds", type="primary", icon=":material/add_card:", key="topup_start"):
        begin(person, owner, str(typed), offer.currency, provider)
    st.markdown(tables.small(counts_once("Money is in the wallet", provider)))


def begin(person: Person, owner: str, amount: str, currency: str, provider: str) -> None:
    """Start the top-up and go to its page."""
    try:
        money = Money(parse_micro(amount), currency)
    except DomainError as refusal:
        st.error(f"{words.plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    started = actions.act(lambda tx: start_topup(tx, owner, money, person, provider), "topup")
    if started.value is not None:
        st.query_params.clear()
        st.query_params["payment"] = started.value.payment.reference
        st.rerun()


@st.fragment(run_every=LOOK_EVERY)
def standing(reference: str) -> None:
    """Where a top-up stands, told anew by itself until it has ended. Never credits: only the provider's signed word does."""
    payment, wallet, now = reads_wallets.topup(me(), reference)
    with tables.card("Top-up", words.money(payment.amount_micro, payment.currency), key="topup_card", height="content"):
        if payment.status is PaymentStatus.PENDING and payment.open(now):
            waiting(payment, words.clock(payment.expires_at - now))
        else:
            ended(payment)
        rows = [("Reference", payment.reference), ("Through", provider_word(payment.provider)), ("Wallet", whose(payment.wallet))]
        came = payment.received_micro
        if came:
            rows += [("Came", words.money(came, payment.currency)), ("Balance now", words.money(wallet.balance_micro, wallet.currency))]
        tables.rows_of(rows)


def waiting(payment: Payment, left: str) -> None:
    """The way to the provider, and the wait."""
    st.link_button("Open the checkout", reads.checkout_url(payment), type="primary", icon=":material/open_in_new:", key="checkout")
    st.badge(waited_for(payment.provider), icon=":material/schedule:", color="orange")
    st.markdown(tables.small(f"{left} left. {counts_once('It is in the wallet', payment.provider)} This page follows by itself."))


def ended(payment: Payment) -> None:
    """The true state in a badge and a sentence."""
    badge, icon, colour, sentence = {
        PaymentStatus.PROCESSING: ("On its way", "hourglass_top", "blue", "The provider waits for the money; then it is credited."),
        PaymentStatus.SUCCEEDED: ("In the wallet", "check_circle", "green", ""),
        PaymentStatus.CREDITED: ("In the wallet", "check_circle", "green", ""),
        PaymentStatus.FAILED: ("Declined", "error", "red", "No money was taken. You can try again."),
        PaymentStatus.EXPIRED: ("Expired", "timer_off", "gray", "Nobody paid in time. Money that still comes is credited."),
        PaymentStatus.PENDING: ("Expired", "timer_off", "gray", "Nobody paid in time. Money that still comes is credited."),
    }.get(payment.status, (str(payment.status).capitalize(), "info", "gray", ""))
    st.badge(badge, icon=f":material/{icon}:", color=colour)        # type: ignore[arg-type]
    if sentence:
        st.markdown(sentence)
    elif payment.received_micro != payment.amount_micro:
        st.markdown(words.plain(payment.note))


def sharing(person: Person, project: ProjectWallet, manages: bool) -> None:
    """Who shares a project's wallet; its owner, and those who manage wallets, change that."""
    st.markdown(", ".join(f"{words.plain(name)}{' :gray[(owner)]' if name == project.owner else ''}" for name in project.members))
    if person.name != project.owner and not manages:
        return
    with st.form("share", border=False, clear_on_submit=True), st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of a person", max_chars=128, width=200, key="share_name")
        added = st.form_submit_button("Let them share it")
        removed = st.form_submit_button("Not any more")
    change = project_wallets.share_project_wallet if added else project_wallets.unshare_project_wallet
    if (added or removed) and actions.act(lambda tx: change(tx, project.project, name.strip(), person), "share").ok:
        st.rerun()


def to_wallet() -> None:
    """Back to the wallet."""
    st.page_link(navigation.page_of("wallet"), label="Wallet", icon=":material/arrow_back:")
