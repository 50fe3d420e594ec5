"""Tables of jobs: the same columns and the same words on every page that lists them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import tables, words

SHOWN_LETTERS = 80
BILLING_STATES = ("billed", "unbilled", "corrected", "running", "pending")
JOB_STATES = ("completed", "running", "pending", "failed", "timeout", "cancelled", "out_of_memory", "node_fail", "preempted")


def rows(jobs: pl.DataFrame) -> pl.DataFrame:
    """`jobs` (RUNS_SCHEMA) as table cells: local times, hours, shares of 0 to 100, money in major units, pills."""
    seconds = pl.col("alloc_cpus") * pl.col("elapsed_seconds")
    used = pl.when((seconds > 0) & pl.col("end_at").is_not_null()).then(100 * pl.col("cpu_used_core_seconds") / seconds)
    return jobs.select(
        "run_key", pl.col("end_at").dt.convert_time_zone(str(words.zone())).dt.replace_time_zone(None).alias("ended"),
        pl.col("job_id").alias("job"), pl.col("job_name").map_elements(shown, return_dtype=pl.String).alias("name"),
        pl.col("account_name").alias("account"), pl.col("user_name").alias("user"), pl.col("partition_name").alias("partition"),
        pl.concat_list(pl.col("state").str.to_lowercase()).alias("state"),
        (pl.col("elapsed_seconds") / 3600).alias("hours"), pl.col("alloc_cpus").alias("cores"),
        pl.col("alloc_gpus").alias("gpus"),
        used.clip(0, 100).alias("cpu_share"),
        pl.when(pl.col("end_at").is_not_null()).then(pl.col("cost_micro") / 1e6).alias("cost"),
        pl.concat_list("billing").alias("billing"))


def columns(names: Sequence[str], currency: str, widths: dict[str, int] | None = None, years: bool = False) -> dict[str, Any]:
    """The configuration of the columns `names`, money and state where the caller puts them."""
    width = {"ended": 112 if years else 96, "job": 74, "name": 150, "account": 84, "user": 96, "partition": 76, "state": 100,
             "hours": 62, "cores": 58, "gpus": 56, "cpu_share": 112, "cost": 88, "billing": 88} | (widths or {})
    moment = "D MMM YYYY HH:mm" if years else "D MMM HH:mm"
    makers = {
        "ended": lambda w: st.column_config.DatetimeColumn("Ended", width=w, format=moment),
        "job": lambda w: tables.text_column("Job", w), "name": lambda w: tables.text_column("Name", w),
        "account": lambda w: tables.text_column("Account", w), "user": lambda w: tables.text_column("User", w),
        "partition": lambda w: tables.text_column("Partition", w), "state": lambda w: tables.state_column("State", w, JOB_STATES),
        "hours": lambda w: tables.number_column("Hours", w, 2), "cores": lambda w: tables.number_column("Cores", w),
        "gpus": lambda w: tables.number_column("GPUs", w),
        "cpu_share": lambda w: tables.share_column("CPU used", w, "Core time used of the core time set aside"),
        "cost": lambda w: tables.money_column(currency, w),
        "billing": lambda w: tables.state_column("Billing", w, BILLING_STATES),
    }
    return {name: makers[name](width[name]) for name in names}


def line_rows(lines: pl.DataFrame) -> pl.DataFrame:
    """A receipt's lines (RECEIPT_JOBS_SCHEMA) as table cells; quantities in the meters' units; a month's minimum has no job."""
    return lines.select(
        pl.col("end_at").dt.convert_time_zone(str(words.zone())).dt.replace_time_zone(None).alias("ended"),
        pl.col("job_id").alias("job"),
        pl.coalesce(pl.col("job_name").map_elements(shown, return_dtype=pl.String),
                    pl.format("minimum of {}", pl.col("month").dt.strftime("%B %Y"))).alias("name"),
        pl.col("account_name").alias("account"), "kind", "rate_card",
        *((pl.col(f"{name}_seconds") / words.UNIT_SIZE[meter]).alias(meter)
          for meter, name in (("cpu", "cpu_core"), ("gpu", "gpu"), ("mem", "mem_mib"))),
        (pl.col("cost_micro") / 1e6).alias("cost"))


def line_columns(currency: str) -> dict[str, Any]:
    """Their columns."""
    return {
        "ended": st.column_config.DatetimeColumn("Ended", width=128, format="D MMM YYYY HH:mm"),
        "job": tables.text_column("Job", 76), "name": tables.text_column("Name", 150),
        "account": tables.text_column("Account", 90), "kind": tables.text_column("Kind", 88),
        "rate_card": tables.text_column("Card", 84), "cpu": tables.number_column("Core-h", 78, 2),
        "gpu": tables.number_column("GPU-h", 74, 2), "mem": tables.number_column("GiB-h", 84, 2),
        "cost": tables.money_column(currency, 92)}


def shown(name: str) -> str:
    """A foreign name for one line of a page: control and direction marks made visible, cut at SHOWN_LETTERS."""
    text = re.sub(r"\s+", " ", name.replace("\n", " ⏎ ").replace("\t", " ⇥ ")).strip()
    clean = "".join("�" if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs") else letter for letter in text)
    return clean if len(clean) <= SHOWN_LETTERS else clean[:SHOWN_LETTERS - 1] + "…"
