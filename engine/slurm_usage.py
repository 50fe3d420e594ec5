"""From raw Slurm rows to usage records: types, run keys, steps onto their jobs, and what is rejected with its reason.

A raw frame has one String column for each name of `slurm_columns.READ` that the source knows, and `line` (Int64).
Knows neither text nor JSON, nor where the rows come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from engine import slurm_values as values
from engine.slurm_columns import READ
from engine.usage import ENDED_STATES, USAGE_SCHEMA, Rejection, empty_usage

MOST_REJECTIONS = 10_000
Texts = Callable[[list[int]], dict[int, str]]

_JOB = {
    "line": pl.Int64(), "sluid": pl.String(), "job_id_raw": pl.Int64(), "job_id": pl.String(),
    "job_name": pl.String(), "user_name": pl.String(), "account_name": pl.String(), "partition_name": pl.String(),
    "qos": pl.String(), "cluster": pl.String(), "node_list": pl.String(), "state": pl.String(), "submit_at": pl.Int64(),
    "start_at": pl.Int64(), "end_at": pl.Int64(), "elapsed_seconds": pl.Int64(), "alloc_tres": pl.String(),
    "alloc_cpus": pl.Int64(), "alloc_gpus": pl.Int64(), "alloc_mem_mib": pl.Int64(), "cpu_ms": pl.Int64(), "bad": pl.Boolean(),
}
_STEP = {"line": pl.Int64(), "key": pl.String(), "cpu_ms": pl.Int64(), "rss_kib": pl.Int64(), "elapsed": pl.Int64(),
         "bad": pl.Boolean()}
_SUMS = {"step_ms": pl.Int64(), "step_kib_s": pl.Int64(), "bad_step": pl.Int64(), "steps": pl.UInt32()}


@dataclass(slots=True)
class UsageBuilder:
    """Takes raw frames in the order of their lines and gives a usage frame for each.

    Rows of one job number stand together: its runs, and steps after the run they are of. The last number of a frame waits
    for the next frame, so that frames may be cut anywhere.
    """

    cluster: str = ""                                    # for rows that name none
    lines: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)    # line → reason, text not fetched yet
    bad_count: int = 0
    _broken: list[tuple[int, str]] = field(default_factory=list)
    _waiting: pl.DataFrame | None = None
    _has_steps: bool = False
    _hidden: int = 0

    def add(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Usage of the jobs whose last row has surely been seen; what cannot be read goes to `bad`."""
        self.lines += len(raw)
        raw = _whole_rows(raw)
        if self._waiting is not None:
            raw = pl.concat([self._waiting, raw])
        numbers = _job_numbers(raw)
        others = (numbers != numbers[-1]).arg_true() if len(raw) else []
        cut = others[-1] + 1 if len(others) else 0
        self._waiting = raw.slice(cut)
        return self._usage(raw.slice(0, cut))

    def broken(self, line: int, raw_id: str) -> None:
        """A job row that could not even be taken apart: the steps after it are not those of an earlier run."""
        self._broken.append((line, raw_id))

    def finish(self, texts: Texts) -> pl.DataFrame:
        """Usage of the jobs that waited. `texts` gives the text of lines, for the rejections."""
        last = self._usage(self._waiting) if self._waiting is not None else empty_usage()
        if self._hidden and not self._has_steps:
            self.notes.append(f"{_count(self._hidden, 'run')} without steps and with TotalCPU 0: sacct -X hides it; "
                              "ask without -X to bill CPU by use.")
        self._explain(texts)
        return last

    def _usage(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The frame of USAGE_SCHEMA of rows that need no others."""
        if raw.is_empty():
            return empty_usage()
        is_step = raw["_step"]
        rows = raw.filter(~is_step) if is_step.any() else raw
        jobs = self._typed(rows)
        if len(rows) < len(raw):
            self._has_steps = True
            group = _job_numbers(raw).rle_id().alias("group")
            steps = self._typed_steps(raw.filter(is_step)).with_columns(group.filter(is_step))
            jobs = self._with_steps(jobs.with_columns(group.filter(~is_step)), steps).drop("group")
        else:
            jobs = jobs.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _SUMS.items())
        jobs = self._good(jobs)
        if (jobs["cpu_ms"] == 0).any():
            self._hidden += jobs.select(_no_cpu_seen().sum()).item()
        return _usage(jobs)

    def _typed(self, raw: pl.DataFrame) -> pl.DataFrame:
        raw = _with_old_columns(raw)
        jobs = _jobs(raw, self.cluster)
        if jobs["bad"].any():
            doubtful = raw.filter(jobs["bad"])
            self._set_aside((row["line"], _job_reason(row, self.cluster)) for row in doubtful.iter_rows(named=True))
        return jobs

    def _typed_steps(self, raw: pl.DataFrame) -> pl.DataFrame:
        steps = _steps(raw)
        doubtful = raw.filter(steps["bad"])
        if len(doubtful):
            self._set_aside((row["line"], _step_reason(row)) for row in doubtful.iter_rows(named=True))
        return steps

    def _set_aside(self, reasons: Iterable[tuple[int, str]]) -> None:
        for line, reason in reasons:
            self.bad_count += 1
            if len(self.bad) < MOST_REJECTIONS:
                self.bad.setdefault(line, reason)

    def _with_steps(self, jobs: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
        """Jobs with the sums of their steps (_SUMS; null without steps); steps without a job are set aside."""
        broken = pl.DataFrame(self._broken, schema={"run": pl.Int64(), "key": pl.String()}, orient="row")
        key = pl.coalesce("sluid", pl.col("job_id_raw").cast(pl.String))
        known = jobs.select(pl.col("line").alias("run"), "group", key=key)
        runs = pl.concat([known, broken], how="diagonal").sort("run")
        owned = steps.sort("line").join_asof(runs, left_on="line", right_on="run", by="key", strategy="backward", suffix="_job",
                                             check_sortedness=False)
        far = pl.col("run").is_null() | (pl.col("group") != pl.col("group_job")).fill_null(False)
        lost = owned.filter(far & ~pl.col("bad"))
        self._set_aside((line, "its job does not stand before it") for line in lost["line"])
        sums = _sums(owned.filter(~far))
        return jobs.join(sums, left_on="line", right_on="run", how="left", maintain_order="left")

    def _good(self, jobs: pl.DataFrame) -> pl.DataFrame:
        """The jobs that can be read, steps included."""
        if jobs["bad"].any():
            jobs = jobs.filter(~pl.col("bad"))
        doubtful = jobs.filter(pl.col("bad_step").is_not_null() | _no_cpu_figure())
        if doubtful.is_empty():
            return jobs
        self._set_aside((line, "TotalCPU: is empty although the job ran" if step is None else f"its step at line {step} cannot be read")
                        for line, step in doubtful.select("line", "bad_step").iter_rows())
        return jobs.filter(pl.col("bad_step").is_null() & ~_no_cpu_figure())

    def _explain(self, texts: Texts) -> None:
        if self.bad_count > len(self.bad):
            self.notes.append(f"{self.bad_count} rows were rejected; the first {len(self.bad)} are kept.")
        found = texts(sorted(self.bad)) if self.bad else {}
        self.rejected += [Rejection(line, why, found.get(line, "")[:2000]) for line, why in self.bad.items()]
        self.rejected.sort(key=lambda one: one.line)


def _job_numbers(raw: pl.DataFrame) -> pl.Series:
    """The job each row is of: its id without the step."""
    return raw["_id"].str.split(".").list.first() if raw["_step"].any() else raw["_id"]


def _whole_rows(raw: pl.DataFrame) -> pl.DataFrame:
    """Every column of READ, none null, and `_id` and `_step`: which job or step a row is of."""
    absent = [pl.lit("").alias(name) for name in READ if name not in raw.columns]
    holes = [pl.col(name).fill_null("") for name in READ if name in raw.columns and raw[name].null_count()]
    raw = raw.with_columns(*absent, *holes).select("line", *READ)
    return raw.with_columns(_id=pl.when(pl.col("JobIDRaw") != "").then("JobIDRaw").otherwise("JobID")).with_columns(
        _step=pl.col("_id").str.contains(".", literal=True))


def _with_old_columns(raw: pl.DataFrame) -> pl.DataFrame:
    """Where AllocTRES is empty though the job ran: the same made of the older columns, when they tell all of it."""
    empty = raw["AllocTRES"] == ""
    if not empty.any():
        return raw
    elapsed = pl.when(pl.col("ElapsedRaw") != "").then("ElapsedRaw").otherwise("Elapsed")
    old = raw.filter(empty & ~raw.select(elapsed.is_in(["", "0", "00:00:00", "00:00.000"])).to_series())
    if old.is_empty():
        return raw
    fields = ("AllocCPUS", "NCPUS", "NNodes", "ReqMem", "ReqTRES", "AllocGRES", "ReqGRES")
    made = {key: _made_tres(*key) for key in old.select(fields).unique().iter_rows()}
    texts = pl.Series([made[key] for key in old.select(fields).iter_rows()], dtype=pl.String)
    known = old.select("line").with_columns(_made=texts)
    return raw.join(known, on="line", how="left", maintain_order="left").with_columns(
        AllocTRES=pl.coalesce("_made", "AllocTRES")).drop("_made")


def _made_tres(alloc_cpus: str, ncpus: str, nnodes: str, req_mem: str, req_tres: str, *gres: str) -> str:
    """`cpu=4,mem=16G` of the older columns; empty when they do not tell it, or when GPUs may have been there too."""
    try:
        cpus = values.whole(alloc_cpus or ncpus)
        nodes = values.whole(nnodes or "1")
        if "gpu" in req_tres or any("gpu" in text for text in gres):
            return ""
        return f"cpu={cpus},mem={values.memory_text(values.requested_memory_mib(req_mem, nodes, cpus))}"
    except ValueError:
        return ""


def _elapsed_column(raw: pl.DataFrame) -> pl.Series:
    """Seconds: ElapsedRaw where it is given, else Elapsed with its fraction cut."""
    if (raw["ElapsedRaw"] == "").all():
        return values.duration_column(raw["Elapsed"]) // 1000
    seconds = values.whole_column(raw["ElapsedRaw"])
    if seconds.null_count() == 0:
        return seconds
    spelled = pl.select(pl.when(raw["ElapsedRaw"] == "").then(raw["Elapsed"])).to_series().rename("Elapsed")
    return seconds.fill_null(values.duration_column(spelled) // 1000)


def _jobs(raw: pl.DataFrame, cluster: str) -> pl.DataFrame:
    """Typed job rows; `bad` where something cannot be read (then `_job_reason` says what)."""
    tres = values.tres_column(raw["AllocTRES"])
    if tres["cpus"].null_count() > tres["text"].null_count():                               # GPUs alone are named
        counted = values.whole_column(raw["AllocCPUS"]).fill_null(values.whole_column(raw["NCPUS"]))
        tres = tres.with_columns(pl.col("cpus").fill_null(counted))
    typed = raw.select(
        "line", "AllocTRES", "Start", "End", "TotalCPU", sluid=pl.when(pl.col("SLUID") != "").then("SLUID"),
        job_id_raw=values.whole_column(raw["_id"]), job_id=pl.when(pl.col("JobID") != "").then("JobID").otherwise("JobIDRaw"),
        job_name="JobName", user_name="User", account_name="Account", partition_name="Partition", qos="QOS",
        cluster=pl.when(pl.col("Cluster") != "").then("Cluster").otherwise(pl.lit(cluster)), node_list="NodeList",
        state=values.state_column(raw["State"]), submit_at=values.instant_column(raw["Submit"]),
        start_at=values.instant_column(raw["Start"]), end_at=values.instant_column(raw["End"]),
        elapsed_seconds=_elapsed_column(raw), alloc_tres=tres["text"].fill_null(""),
        alloc_cpus=tres["cpus"].fill_null(0), alloc_gpus=tres["gpus"].fill_null(0), alloc_mem_mib=tres["mem_mib"].fill_null(0),
        cpu_ms=values.duration_column(raw["TotalCPU"]),
    )
    return typed.with_columns(
        bad=pl.lit(value=False) if _all_readable(typed) else _is_bad(),
    ).select(*_JOB)


def _all_readable(typed: pl.DataFrame) -> bool:
    """Whether nothing at all speaks against any row; where this is false, each row must be looked at."""
    c, names = pl.col, ("cluster", "user_name", "account_name")
    numbers = ("job_id_raw", "state", "submit_at", "start_at", "end_at", "elapsed_seconds", "cpu_ms")
    lengths = typed.select(c(*names, "alloc_tres").str.len_bytes().min().name.prefix("least_"),
                           c("cluster", "user_name", "sluid").str.len_bytes().max().name.prefix("most_")).row(0, named=True)
    return (not any(typed[name].null_count() for name in numbers)
            and all((lengths[f"least_{name}"] or 0) > 0 for name in (*names, "alloc_tres"))
            and all((lengths[f"most_{name}"] or 0) <= LONGEST_NAME for name in ("cluster", "user_name", "sluid")))


def _is_bad() -> pl.Expr:
    return (_unreadable("Start", "start_at") | _unreadable("End", "end_at") | _unreadable("TotalCPU", "cpu_ms")
            | pl.any_horizontal(pl.col("job_id_raw", "state", "submit_at", "elapsed_seconds").is_null())
            | pl.any_horizontal(pl.col("cluster", "user_name", "account_name") == "")
            | pl.any_horizontal(pl.col("cluster", "user_name", "sluid").str.len_chars() > LONGEST_NAME).fill_null(False)
            | ((pl.col("alloc_tres") == "") & ((pl.col("AllocTRES") != "") | (pl.col("elapsed_seconds") > 0)))
            | (pl.col("state").is_in(_ENDED) & pl.col("end_at").is_null()))


LONGEST_NAME = 256              # letters of what names a run or a payer; job names may be as long as they like
_ENDED = [str(state) for state in sorted(ENDED_STATES)]


def _unreadable(text: str, value: str) -> pl.Expr:
    return pl.col(value).is_null() & ~pl.col(text).is_in(values.NOTHING)


def _steps(raw: pl.DataFrame) -> pl.DataFrame:
    """Typed step rows: whose (SLUID, else the raw id before the dot), CPU ms, AveRSS KiB, elapsed seconds."""
    typed = raw.select(
        "line", "TotalCPU", "AveRSS", key=pl.when(pl.col("SLUID") != "").then("SLUID").otherwise(
            pl.col("_id").str.split(".").list.first()),
        cpu_ms=values.duration_column(raw["TotalCPU"]), rss_kib=values.rss_column(raw["AveRSS"]), elapsed=_elapsed_column(raw))
    return typed.with_columns(bad=_unreadable("TotalCPU", "cpu_ms") | _unreadable("AveRSS", "rss_kib")
                              | pl.col("elapsed").is_null()).select(*_STEP)


def _sums(owned: pl.DataFrame) -> pl.DataFrame:
    """Per run (the line of its job): CPU ms and KiB-seconds of its steps, null where no step knows them."""
    c = pl.col
    rss = (c("rss_kib") * c("elapsed")).drop_nulls()
    return owned.group_by("run").agg(
        step_ms=pl.when(c("cpu_ms").count() > 0).then(c("cpu_ms").sum()),
        step_kib_s=pl.when(rss.len() > 0).then(rss.sum()),
        bad_step=c("line").filter(c("bad")).first(),
        steps=pl.len(),
    )


def _no_cpu_figure() -> pl.Expr:
    return pl.col("step_ms").is_null() & pl.col("cpu_ms").is_null() & (pl.col("elapsed_seconds") > 0)


def _no_cpu_seen() -> pl.Expr:
    return (pl.col("cpu_ms") == 0) & (pl.col("elapsed_seconds") > 0) & pl.col("state").is_in(_ENDED)


def _usage(jobs: pl.DataFrame) -> pl.DataFrame:
    """The frame of USAGE_SCHEMA."""
    c = pl.col
    jobs = _spans(jobs)
    own = pl.coalesce(c("sluid"), pl.concat_str("job_id_raw", "submit_at", separator="/"))
    with_steps = jobs["steps"].null_count() < len(jobs)
    made = (_of_steps if with_steps else _without_steps)()
    return jobs.with_columns(**made, run_key=pl.concat_str("cluster", own, separator="/")).select(
        c(name).cast(dtype) for name, dtype in USAGE_SCHEMA.items())


def _spans(jobs: pl.DataFrame) -> pl.DataFrame:
    """With start, end and elapsed time as they count; a resized run began before its row, but counts from there."""
    c = pl.col
    ended = c("state").is_in(_ENDED)
    if jobs["start_at"].null_count() or (jobs["start_at"] < jobs["submit_at"]).any():
        late = pl.max_horizontal(c("submit_at") - c("start_at"), pl.lit(0)).fill_null(0)
        jobs = jobs.with_columns(elapsed_seconds=pl.max_horizontal(c("elapsed_seconds") - late, pl.lit(0)), start_at=c("start_at") + late)
    jobs = jobs.with_columns(ended=ended)
    if jobs["ended"].all():
        return jobs
    return jobs.with_columns(start_at=pl.when(c("state") != "PENDING").then("start_at"), end_at=pl.when("ended").then("end_at"))


JOB_CPU, STEPS_CPU = pl.lit("job TotalCPU"), pl.lit("steps TotalCPU")
SET_ASIDE, STEPS_RSS = pl.lit("AllocTRES mem × ElapsedRaw"), pl.lit("steps AveRSS × Elapsed")


def _of_steps() -> dict[str, pl.Expr]:
    """What was used as the steps say, where they do."""
    c, alone = pl.col, _without_steps()
    return {"cpu_used_core_seconds": pl.coalesce("step_ms", "cpu_ms", 0) // 1000,
            "cpu_used_from": pl.when(c("step_ms").is_not_null()).then(STEPS_CPU).otherwise(JOB_CPU),
            "mem_used_mib_seconds": pl.coalesce(c("step_kib_s") // 1024, alone["mem_used_mib_seconds"]),
            "mem_used_from": pl.when(c("step_kib_s").is_not_null()).then(STEPS_RSS).otherwise(SET_ASIDE),
            "detail": c("steps").is_not_null().cast(pl.Int16)}


def _without_steps() -> dict[str, pl.Expr]:
    """What was used as the job says, of jobs without steps."""
    c = pl.col
    return {"cpu_used_core_seconds": c("cpu_ms").fill_null(0) // 1000, "cpu_used_from": JOB_CPU,
            "mem_used_mib_seconds": c("alloc_mem_mib") * c("elapsed_seconds"), "mem_used_from": SET_ASIDE,
            "detail": pl.lit(0, pl.Int16)}


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _job_reason(row: dict[str, Any], cluster: str) -> str:
    """What about this job row cannot be read: the column, its text, and why."""
    for name in ("User", "Account"):
        if row[name] == "":
            return f"{name}: is empty"
    if not row["Cluster"] and not cluster:
        return "Cluster: is empty"
    for name in ("User", "Cluster", "SLUID"):
        if len(row[name] or "") > LONGEST_NAME:
            return f"{name}: has {len(row[name]):,} letters, {LONGEST_NAME} are the most"
    if not row["_id"].isdigit():
        remedy = "" if row["JobIDRaw"] else "; add JobIDRaw to the list after sacct -o"
        return f"JobIDRaw: {row['_id']!r} is no job number{remedy}"
    readers: list[tuple[str, Callable[[str], object], bool]] = [
        ("JobIDRaw", values.whole, False), ("State", values.state, True), ("Submit", values.instant, True),
        ("Start", values.instant, False), ("End", values.instant, False), ("ElapsedRaw", values.whole, False),
        ("Elapsed", values.duration_ms, row["ElapsedRaw"] == ""), ("TotalCPU", values.duration_ms, False),
        ("AllocTRES", values.tres, False)]
    return _first_refusal(row, readers) or _contradiction(row)


def _step_reason(row: dict[str, Any]) -> str:
    """What about this step row cannot be read."""
    return _first_refusal(row, [
        ("ElapsedRaw", values.whole, False), ("Elapsed", values.duration_ms, row["ElapsedRaw"] == ""),
        ("TotalCPU", values.duration_ms, False), ("AveRSS", values.size_kib, False)]) or "it cannot be read"


def _first_refusal(row: dict[str, Any], readers: list[tuple[str, Callable[[str], object], bool]]) -> str:
    for name, read, needed in readers:
        if name == "Elapsed" and row["ElapsedRaw"] != "":
            continue
        if row[name] == "" and needed:
            return f"{name}: is empty"
        if row[name] in values.NOTHING and not needed:
            continue
        try:
            read(row[name])
        except ValueError as error:
            return f"{name}: {error}"
    return ""


def _contradiction(row: dict[str, Any]) -> str:
    if row["AllocTRES"] == "":
        return "AllocTRES: is empty although the job ran"
    if row["End"] in values.NOTHING:
        return f"End: {row['End']!r} does not fit State {row['State']!r}"
    return "it cannot be read"
