"""Usage and receipts by hand: a job with a price, a receipt over what is unbilled, each in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

from data.postgres.shelves.runs import Counts
from data.postgres.store import PostgresTransaction, Store
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services.receipts import create_receipt, mark_paid
from engine.usage import Rejection

THB = 1_000_000
_numbers = count(1)


def at(text: str) -> datetime:
    """`"2026-10-03 12:00"`, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def job(store: Store, payer: str, end: datetime, cpu: int, gpu: int = 0, mem: int = 0, *, account: str = "ai-lab",
        partition: str = "cpu", tier: str = "mu", ended: bool = True, cluster: str = "hpc") -> str:
    """One ended run that cost `cpu + gpu + mem` whole THB; an hour on one core. Returns its run key."""
    number = next(_numbers)
    key = f"{cluster}/{number}/0"

    def write(tx: PostgresTransaction) -> str:
        tx.payers.ensure([payer], tier)
        tx.finance_reads.execute("""
            insert into usage_record (run_key, cluster, job_id, job_id_raw, job_name, user_name, account_name, partition_name,
              state, submit_at, start_at, end_at, elapsed_seconds, alloc_tres, alloc_cpus, alloc_gpus, alloc_mem_mib,
              cpu_used_core_seconds, cpu_used_from, mem_used_mib_seconds, mem_used_from, ended, run_id, payer, tier, rate_card,
              policy, currency, cpu_core_seconds, gpu_seconds, mem_mib_seconds, cpu_micro, gpu_micro, mem_micro, rounding_micro,
              cost_micro)
            values (:key, :cluster, cast(:number as text), :number, 'job', :payer, :account, :partition, 'COMPLETED',
              :end - interval '2 hours', :end - interval '1 hour', :end, 3600, 'cpu=1', 1, 0, 1024, 3600, 'steps TotalCPU',
              3686400, 'steps AveRSS × Elapsed', :ended, 0, :payer, :tier, :tier || '-v1', 'used', 'THB', 3600, 0, 3686400,
              :cpu, :gpu, :mem, 0, :cost)""",
            key=key, cluster=cluster, number=number, payer=payer, account=account, partition=partition, end=end, ended=ended,
            tier=tier, cpu=cpu * THB, gpu=gpu * THB, mem=mem * THB, cost=(cpu + gpu + mem) * THB)
        return key
    return store.run(write)


def correct(store: Store, key: str, cost: int) -> None:
    """A later record says the run cost `cost` THB of CPU."""
    store.run(lambda tx: tx.finance_reads.execute(
        "update usage_record set cpu_micro = :cost, gpu_micro = 0, mem_micro = 0, cost_micro = :cost, revision = revision + 1"
        " where run_key = :key", key=key, cost=cost * THB))


def receipt(store: Store, payer: str, before: datetime, paid: bool = False) -> Receipt:
    """A receipt over everything unbilled of `payer` before `before`; settled by hand when `paid`."""
    made = store.run(lambda tx: create_receipt(tx, payer, before, OPERATOR), actor="operator")
    return store.run(lambda tx: mark_paid(tx, made.id, "bank transfer", OPERATOR), actor="operator") if paid else made


def run(store: Store, end: datetime, rejected: tuple[Rejection, ...] = (), skipped: tuple[str, ...] = (),
        cluster: str = "hpc") -> int:
    """A batch that was taken up to `end`, with lines that could not be read; its run's id."""
    def write(tx: PostgresTransaction) -> int:
        since = int(end.timestamp()) - 3600
        number = tx.runs.begin("sacct", "sacct -D", (since, since + 3600))
        tx.runs.reject(number, rejected)
        tx.runs.taken(number, [cluster], Counts(10, 5, 4, 1, 0, len(rejected)), ["1 row put together again."], skipped)
        tx.runs.move_watermark(number, "sacct", {cluster: since + 3600}, since)
        return number
    return store.run(write)
