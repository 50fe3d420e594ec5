"""Slurm's JSON, from `sacct --json` or slurmrestd v0.0.38 to v0.0.46: to the same raw rows as its text.

Releases write the same things differently: a number bare or as {set, infinite, number}, the state as a word or a
list of flags. All of it ends here. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from engine.errors import BatchRefused
from engine.slurm_columns import READ
from engine.slurm_values import memory_text, state_of_flags
from engine.usage import Rejection

NOTHING_FOUND = 9003


def document(text: str, where: str) -> dict[str, Any]:
    """The JSON object in `text` (an HTTP header before it is skipped), refused when it is none or reports errors."""
    if text.startswith("HTTP/"):
        head, _, text = text.replace("\r\n", "\n").partition("\n\n")
        if not text.lstrip().startswith("{"):
            raise BatchRefused(f"{where} is an answer {head.splitlines()[0].partition(' ')[2]}: {text.strip()[:200]}.")
    try:
        found = json.loads(text)
    except ValueError as error:
        at = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "line 1"
        raise BatchRefused(f"{where} is no complete JSON: it breaks off at {at}.") from None
    if not isinstance(found, dict):
        raise BatchRefused(f"{where} is JSON, but no answer of Slurm.")
    _refuse_errors(found, where)
    if not isinstance(found.get("jobs"), list):
        raise BatchRefused(f"{where} is JSON without jobs.")
    return found


def _refuse_errors(found: dict[str, Any], where: str) -> None:
    errors = [one for one in _list(found.get("errors")) if _dict(one).get("error_number") != NOTHING_FOUND]
    if errors:
        first = _dict(errors[0])
        number = first.get("error_number", "")
        words = first.get("description") or first.get("error") or "no words"
        raise BatchRefused(f"{where} reports error {number}: {words}.")
    for one in _list(found.get("warnings")):
        words = str(_dict(one).get("description", ""))
        if "Ignoring unknown" in words:
            raise BatchRefused(f"{where} did not understand the question: {words}.")


def raw_rows(jobs: list[Any], first: int = 1) -> tuple[pl.DataFrame, list[Rejection]]:
    """A raw frame (`line` is the job's number, `first` for the first) with each job and its steps, and what is no job."""
    rows: list[dict[str, Any]] = []
    rejected = []
    for line, job in enumerate(jobs, first):
        try:
            found = _job_and_steps(job)
            "".join(text for row in found for text in row.values()).encode()      # half a character is no text
            rows += [{"line": line, **row} for row in found]
        except UnicodeEncodeError:
            rejected.append(Rejection(line, "it holds half a character", job_text(job)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            rejected.append(Rejection(line, f"it is no job as Slurm writes it ({type(error).__name__}: {error})",
                                      job_text(job)))
    return pl.DataFrame(rows, schema={"line": pl.Int64(), **dict.fromkeys(READ, pl.String())}), rejected


def job_text(job: object) -> str:
    """The job as the source wrote it, cut at 2,000 characters."""
    return json.dumps(job, ensure_ascii=False)[:2000].encode("utf-8", "replace").decode()


def _job_and_steps(job: dict[str, Any]) -> list[dict[str, str]]:
    time, owner = job["time"], _dict(job.get("association"))
    raw_id, sluid = _number(job["job_id"]), _text(job.get("sluid"))
    row = {
        "JobIDRaw": raw_id, "JobID": _job_id(job, raw_id), "SLUID": sluid, "JobName": _text(job.get("name")),
        "User": _text(job.get("user")) or _text(owner.get("user")),
        "Account": _text(job.get("account")) or _text(owner.get("account")),
        "Partition": _text(job.get("partition")), "QOS": _text(job.get("qos")),
        "Cluster": _text(job.get("cluster")) or _text(owner.get("cluster")), "State": _state(job["state"]["current"]),
        "Submit": _number(time["submission"]), "Start": _moment(time["start"]), "End": _moment(time["end"]),
        "ElapsedRaw": _number(time["elapsed"]), "TotalCPU": _cpu(time), "AllocTRES": _tres(job["tres"]["allocated"]),
        "NodeList": _text(job.get("nodes")),
    }
    return [row, *(_step(step, raw_id, sluid) for step in _list(job.get("steps")))]


def _step(step: dict[str, Any], raw_id: str, sluid: str) -> dict[str, str]:
    sizes = [one["count"] for one in step["tres"]["requested"]["average"] if one["type"] == "mem"]
    return {"JobIDRaw": f"{raw_id}.{_text(step['step'].get('id')).rpartition('.')[2] or 'step'}", "SLUID": sluid,
            "ElapsedRaw": _number(step["time"]["elapsed"]), "TotalCPU": _cpu(step["time"]),
            "AveRSS": _number(sizes[0]) if sizes else ""}


def _job_id(job: dict[str, Any], raw_id: str) -> str:
    """As people write it: `12_3`, `6_[3-19:2%1]` while pending, `22+1`."""
    array, het = _dict(job.get("array")), _dict(job.get("het"))
    if _number(array.get("job_id")) not in ("", "0"):
        task, waiting = _number(array.get("task_id")), _text(array.get("task"))
        return f"{_number(array['job_id'])}_{task or (f'[{waiting}]' if waiting else '')}"
    if _number(het.get("job_id")) not in ("", "0"):
        return f"{_number(het['job_id'])}+{_number(het.get('job_offset'))}"
    return raw_id


def _state(current: object) -> str:
    return state_of_flags([str(word) for word in current]) if isinstance(current, list) else _text(current)


def _tres(allocated: list[dict[str, Any]]) -> str:
    """`billing=1,cpu=1,mem=1G,node=1` as sacct writes it; counts that are not known (null or negative energy) are left out."""
    parts = []
    for one in allocated:
        name = f"{one['type']}/{one['name']}" if one.get("name") else str(one["type"])
        count = one["count"]
        if name == "energy":
            continue
        parts.append(f"{name}={memory_text(count) if name == 'mem' and type(count) is int and count >= 0 else _number(count)}")
    return ",".join(sorted(parts))


def _cpu(time: dict[str, Any]) -> str:
    """The total CPU time as sacct writes it; microseconds are cut."""
    seconds, micro = int(_number(time["total"]["seconds"])), int(_number(time["total"]["microseconds"]))
    if seconds < 0 or micro < 0:
        return f"{seconds}.{micro}"
    seconds, micro = seconds + micro // 1_000_000, micro % 1_000_000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micro // 1000:03}"


def _number(value: object) -> str:
    """A number, bare or as {set, infinite, number}, as text; empty when it is not set."""
    if isinstance(value, dict):
        return str(value["number"]) if value.get("set") and not value.get("infinite") else ""
    return "" if value is None else str(value)


def _moment(value: object) -> str:
    text = _number(value)
    return "Unknown" if text in ("", "0") else text


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
