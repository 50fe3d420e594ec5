"""The billing loop beside its limit: one turn that charges every active allocation, at three sizes.

The product: BillingLoop.turn on the product's tables, constraints, triggers and audit, with wallets that run dry (their
allocations end, the release of their nodes is queued) and wallets that come under a warning level (their holders are told). The limit:
one bare set-based SQL statement that moves the same money on tables like them (charges, ledger transactions, entries with the
balance after each, balances, how far each is charged) with their keys and nothing else. Four allocations a wallet; one wallet in a
thousand runs dry and one is warned each turn.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import psycopg
import sqlalchemy as sa

from bench.children import Figures, child, exponent, row
from bench.sites import Served, served
from data.postgres.schema import migrate
from data.postgres.store import connect

WARM_UP = 11                    # turns before those that are measured: it takes ten until the server keeps its plans
MEASURED = ("seconds", "cpu_seconds", "peak_mib")


def bench_billing_loop(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` (each of some turns) at a hundredth, a tenth and all of `size` allocations, in turns."""
    sizes = [max(1, size // 100), max(1, size // 10), size]
    told: dict[tuple[str, int], list[Figures]] = {}
    with served() as its:
        for number in range(1, runs + 1):
            for many in sizes:
                progress(f"run {number} of {runs}: {many:,} allocations")
                told.setdefault(("product", many), []).append(_measured(its, "bench.product_billing", many))
                told.setdefault(("limit", many), []).append(_measured(its, "bench.limit_billing", many))
    figures = {key: {name: median(one[name] for one in each) for name in MEASURED} for key, each in told.items()}
    rows = [row(what, role, figures[(role, many)], many) for many in sizes for what, role in (
        ("a turn: charge, post, enforce, warn, audit (CPU with the server's)", "product"),
        ("one bare statement that moves the same money", "limit"))]
    return {"bench": "billing-loop", "size": size, "rows": rows, "ratios": _ratios(sizes, figures)}


def _ratios(sizes: list[int], figures: dict[tuple[str, int], Figures]) -> dict[str, float]:
    """Product to limit at each size, and how a turn grows from the smallest to the largest."""
    ratios = {f"seconds_at_{many}": round(figures[("product", many)]["seconds"] / figures[("limit", many)]["seconds"], 2) for many in sizes}
    times = sizes[-1] / sizes[0]
    ratios |= {f"{name}_exponent": exponent(figures[("product", sizes[0])][name], figures[("product", sizes[-1])][name], times)
               for name in ("seconds", "cpu_seconds")}
    return ratios


def turns(many: int) -> int:
    """How many turns are measured: of small ones more, for what else the machine does lasts longer than one of them."""
    return min(25, max(5, 100_000 // many))


def _measured(its: Served, module: str, many: int) -> Figures:
    """What a program measures on a new database with the product's tables and `many` active allocations."""
    with psycopg.connect(its.url, autocommit=True) as connection:
        connection.execute("create database billing")
        try:
            url = sa.make_url(its.url).set(database="billing").render_as_string(hide_password=False)
            engine = connect(url)
            migrate(engine)
            engine.dispose()
            fill(url, many)
            return child(module, url, its.postmaster, str(WARM_UP), str(turns(many)), DATABASE_URL=url,
                         COREHOURS_HOME=str(its.home / "billing"), COREHOURS_AUDIT_KEY="audit key of the benchmark")
        finally:
            connection.execute("drop database billing with (force)")
            connection.execute("checkpoint")


def fill(url: str, many: int) -> None:
    """`many` active allocations, each on its node, four a wallet; money for weeks but where it is about to run out."""
    with psycopg.connect(url) as connection:
        for statement in _FILL:
            connection.execute(statement, {"many": many, "wallets": -(-many // 4), "turns": WARM_UP + turns(many)})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


START = "timestamptz '2026-11-01 00:00:00Z'"
_FILL = (
    # the site's clock is what each process sets it to
    "create or replace function site_now() returns timestamptz language sql stable parallel safe as"
    " $$ select current_setting('bench.now')::timestamptz $$",
    f"select set_config('bench.now', ({START})::text, false)",
    "insert into app_user (name, role, payer, password_hash) values ('bench', 'researcher', 'bench', 'none')",
    "insert into node (id, site, name, host, port, host_key, gpu_model, gpu_count, rate_model, state, created_by)"
    " select 'nod_' || lpad(n::text, 26, '0'), 'main', 'n' || n, 'n' || n, 22, 'ssh-ed25519 AAAA', 'A100', 4, 'a100', 'available', 'bench'"
    " from generate_series(1, %(many)s) n",
    "insert into allocation (id, request_key, node_id, user_id, wallet, currency, tenant, public_key, rate_card, price_micro_per_hour,"
    " interval_seconds, state, requested_at, active_at, charged_to)"
    " select 'alc_' || lpad(n::text, 26, '0'), n, 'nod_' || lpad(n::text, 26, '0'), (select id from app_user), 'payer' || (n + 3) / 4,"
    f" 'THB', 'bench', 'ssh-ed25519 AAAA', 'mu-v1', 20000000 + n %% 7 * 1000, 60, 'active', {START}, {START}, {START}"
    " from generate_series(1, %(many)s) n",
    f"insert into node_watch (node_id, looked_at, answered_at) select id, {START}, {START} + interval '1 day' from node",
    "insert into allocation_event (allocation_id, from_state, to_state, actor, reason) select id, was, become, 'bench', '' from allocation"
    " cross join (values (1, null, 'requested'), (2, 'requested', 'provisioning'), (3, 'provisioning', 'active')) e(step, was, become)"
    " order by id, step",
    "insert into ledger_account (kind, owner, currency, side, floor_micro)"
    " select 'wallet', 'payer' || n, 'THB', -1, 0 from generate_series(1, %(wallets)s) n",
    "insert into ledger_account (kind, owner, currency, side) values ('adjustment', '', 'THB', 1)",
    "insert into ledger_transaction (key, actor) select 'adjust:' || n, 'bench' from generate_series(1, %(wallets)s) n",
    # a minute of a wallet's four nodes costs 1.33 THB: one wallet in a thousand pays one turn, or two, or three; one comes under a day
    "insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)"
    " with amount as (select t.id, a.id as account, n, case when dry <= %(turns)s then 1340000 * dry"
    "   when low <= %(turns)s then 80024000::bigint * 24 + 1333000 * low else 100000000000 end as micro"
    "   from generate_series(1, %(wallets)s) n cross join lateral (select ceil(n * 1000.0 / %(wallets)s)::bigint as dry,"
    "     ceil((%(wallets)s - n + 1) * 1000.0 / %(wallets)s)::bigint as low) turn join ledger_transaction t on t.key = 'adjust:' || n"
    "   join ledger_account a on a.kind = 'wallet' and a.owner = 'payer' || n)"
    " select id, account, 'THB', -micro, -micro, 1 from amount union all"
    " select id, (select id from ledger_account where kind = 'adjustment'), 'THB', micro, sum(micro) over (order by n), n from amount",
)
