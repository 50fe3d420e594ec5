"""Payers: who is billed. By default the Slurm user who ran the job; the tier stands with the payer and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payer:
    """Somebody who is billed, at the prices of `tier`."""

    name: str
    tier: str
