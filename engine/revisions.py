"""Which telling of a run stands when it is told more than once, and what a correction changes in the sums.

A run is told again by another source, with or without its steps, while it runs and after it ended. The rules here are
the same for two rows of one batch and for a row against what is stored, so that any order ends in the same state.
Refuses to know where rows are stored.
"""

from __future__ import annotations

import polars as pl

from engine.digests import digest
from engine.rating import CHARGE_SCHEMA
from engine.usage import USAGE_SCHEMA

ALIAS = ("cluster", "job_id_raw", "submit_at")     # names a run where a source tells no SLUID
BILLING = ("user_name", "account_name", "partition_name", "state", "start_at", "end_at", "elapsed_seconds", "alloc_cpus",
           "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds", "mem_used_mib_seconds")

# A stored run as it is read back: what was used, what it costs, and whether it is billed.
STORED_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(), **USAGE_SCHEMA, "revision": pl.Int32(), "payer": pl.String(), "tier": pl.String(), **CHARGE_SCHEMA,
    "billed_micro": pl.Int64(),
}
# A told row and a stored run it may tell again: `exact` by its run key; `same` when nothing that is compared differs.
MATCH_SCHEMA: dict[str, pl.DataType] = {"row": pl.UInt32(), "id": pl.Int64(), "exact": pl.Boolean(), "same": pl.Boolean()}
COMPARED = (*BILLING, "ended", "detail", "sluid")
DIGESTED = tuple(name for name in COMPARED if name != "sluid")      # with its run key, which names the SLUID where one is told

# What the analytics copy holds of an ended run; a correction is a row that takes the old one back and a row that adds the new.
FACT_KEYS = ("run_key", "cluster", "job_id", "user_name", "account_name", "payer", "partition_name", "state", "tier", "rate_card",
             "currency", "end_at")
FACT_SUMS = ("elapsed_seconds", "cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "extra_seconds", "cpu_micro", "gpu_micro",
             "mem_micro", "extra_micro", "rounding_micro", "cost_micro")
# What rating reads of a run, as it was measured: never signed, so that the row that takes it back can be priced again too.
FACT_MEASURES = ("submit_at", "start_at", "alloc_tres", "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds",
                 "mem_used_mib_seconds")
FACT_SCHEMA: dict[str, pl.DataType] = {
    **{name: STORED_SCHEMA[name] for name in (*FACT_KEYS, *FACT_MEASURES)}, "jobs": pl.Int64(),
    **{name: pl.Int64() for name in FACT_SUMS}}


def rank(prefix: str = "") -> pl.Expr:
    """How much a row knows: ended beats running; of ended ones steps decide; of running ones first started, then elapsed."""
    c = {name: pl.col(prefix + name) for name in ("ended", "detail", "start_at", "elapsed_seconds")}
    detail = c["detail"].cast(pl.Int64)
    running = c["start_at"].is_not_null().cast(pl.Int64) * 2**60 + c["elapsed_seconds"].clip(0, 2**50) * 2 + detail
    return pl.when(c["ended"]).then(2**62 + detail).otherwise(running)


def one_row_a_run(usage: pl.DataFrame) -> pl.DataFrame:
    """`usage` with each run once: its highest rank, the later line among equals; a SLUID told by either is kept."""
    if usage["sluid"].null_count() == len(usage) and usage["job_id_raw"].n_unique() == len(usage):
        return usage
    named = _with_sluids(usage.with_row_index("_line"))
    best = named.with_columns(_rank=rank()).sort("run_key", "_rank", "_line").group_by("run_key", maintain_order=True).last()
    return best.sort("_line").select(usage.columns)


def _with_sluids(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows without a SLUID take that of the row with the same alias, nearest by start."""
    told = lines.filter(pl.col("sluid").is_not_null()).select(*ALIAS, "start_at", sluid_="sluid", key_="run_key")
    if told.is_empty() or len(told) == len(lines):
        return lines
    pairs = lines.filter(pl.col("sluid").is_null()).select("_line", *ALIAS, "start_at").join(told, on=ALIAS, suffix="_told")
    near = pairs.with_columns(far=pl.col("start_at").ne_missing(pl.col("start_at_told"))).sort("_line", "far", "sluid_")
    found = near.unique("_line", keep="first", maintain_order=True).select("_line", "sluid_", "key_")
    return lines.join(found, on="_line", how="left", maintain_order="left").with_columns(
        sluid=pl.coalesce("sluid", "sluid_"), run_key=pl.coalesce("key_", "run_key")).drop("sluid_", "key_")


def one_to_one(matches: pl.DataFrame) -> pl.DataFrame:
    """MATCH rows reduced so that a told row meets one stored run and a stored run one told row; the run key decides first."""
    if matches["row"].n_unique() == matches["id"].n_unique() == len(matches):
        return matches
    ordered = matches.sort(pl.col("exact").not_(), pl.col("same").not_(), "id", "row")
    return ordered.unique("row", keep="first", maintain_order=True).unique("id", keep="first", maintain_order=True)


def told_digest(usage: pl.DataFrame) -> pl.Series:
    """What each row says of its run, in eight bytes: a stored run with its run key and digest has nothing to learn from it."""
    return digest(usage, DIGESTED)


def decide(told: pl.DataFrame, matches: pl.DataFrame, stored: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What `told` (USAGE_SCHEMA, each run once) brings: runs nobody knew, and runs that say more than what is stored.

    `matches` (MATCH_SCHEMA) pairs row numbers of `told` with stored runs; `stored` (STORED_SCHEMA) has those that are
    not `same`. The second frame has besides the `id` it tells again and a `verdict`: `changed` (billing differs, and it
    knows as much or more), `refreshed` (knows more, bills the same) or `adopts` (brings only the SLUID).
    """
    pairs = one_to_one(matches)
    known = pl.Series(range(0)).cast(pl.UInt32) if pairs.is_empty() else pairs["row"]
    new = told.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(known.implode()))
    other = pairs.filter(~pl.col("same")).select("row", "id")
    again = told[other["row"]].hstack([other["id"]]).join(_as_was(stored), on="id", how="left", maintain_order="left")
    better = again.with_columns(verdict=_verdict()).filter(pl.col("verdict") != "unchanged")
    return new, better.select(*told.columns, "id", "verdict")


def _as_was(stored: pl.DataFrame) -> pl.DataFrame:
    return stored.select("id", pl.col(*COMPARED).name.prefix("was_"))


def _verdict() -> pl.Expr:
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"was_{name}")) for name in BILLING)
    ranks, was = rank(), rank("was_")
    return (pl.when((ranks >= was) & differs).then(pl.lit("changed"))
            .when(ranks > was).then(pl.lit("refreshed"))
            .when(pl.col("sluid").is_not_null() & pl.col("was_sluid").is_null()).then(pl.lit("adopts"))
            .otherwise(pl.lit("unchanged")))


def facts(rows: pl.DataFrame, sign: int = 1) -> pl.DataFrame:
    """Ended, priced rows as facts (FACT_SCHEMA); `sign` -1 takes them back."""
    ended = rows if rows["ended"].all() else rows.filter("ended")      # a filter copies: only where it must
    sums = FACT_SUMS if sign == 1 else [pl.col(name) * sign for name in FACT_SUMS]
    return ended.select(*FACT_KEYS, *FACT_MEASURES, pl.lit(sign, pl.Int64).alias("jobs"), *sums)
