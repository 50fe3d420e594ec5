"""The chain: sources in the order of trust; the first that answers is taken, and the batch says why the others were not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.settings import Settings
from engine.errors import BatchRefused
from engine.ports import Progress, UsageSource
from engine.usage import UsageBatch
from ingest.sources.file import FileSource
from ingest.sources.sacct import SacctSource
from ingest.sources.slurmrestd import SlurmrestdSource


@dataclass(frozen=True, slots=True)
class Chain:
    """Several sources as one."""

    sources: Sequence[UsageSource]
    name: str = "chain"

    @property
    def origin(self) -> str:
        """The names of its sources."""
        return ", ".join(source.name for source in self.sources)

    def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
        """The batch of the first source that answers; refused with every reason when none does."""
        skipped: list[str] = []
        for source in self.sources:
            try:
                batch = source.read(window, progress)
            except BatchRefused as refusal:
                skipped.append(f"{source.name}: {refusal.detail}")
                continue
            return replace(batch, skipped=tuple(skipped))
        raise BatchRefused(" ".join(skipped) or "No source of usage is set.")


def configured(settings: Settings) -> Chain:
    """slurmrestd where an address is set, then sacct, then the file where one is set."""
    sources: list[UsageSource] = []
    if settings.slurmrestd_url:
        sources.append(SlurmrestdSource(settings.slurmrestd_url, settings.slurmrestd_token, settings.slurmrestd_user,
                                        settings.slurm_cluster))
    if settings.sacct:
        sources.append(SacctSource(settings.sacct, settings.slurm_cluster))
    if settings.usage_file:
        sources.append(FileSource(Path(settings.usage_file), settings.slurm_cluster))
    return Chain(tuple(sources))
