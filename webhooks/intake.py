"""Stores what came at the door, many events in one commit: whoever waits at the same time shares it.

While one batch is written the next one gathers. So an event that comes alone is stored at once, and in a crowd a commit
carries many; each is answered after the commit that carried it, never before. Decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.postgres.health import OUTAGE, TROUBLE
from data.postgres.inbox_line import InboxLine
from data.postgres.shelves.inbox import NewEvent
from webhooks.log import say

MOST = 200                      # events in one commit
STORE_SECONDS = 8               # longer than this, nobody waits
CROWD = 3                       # requests that wait at once
CROWD_SECONDS = 0.1             # it is crowded for so long after there were so many


def nobody() -> None:
    """Nobody is woken."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event, and where its request waits."""

    event: NewEvent
    answer: asyncio.Future[bool]

    def tell(self, answer: bool | Exception) -> None:
        """Wake the request, unless it has given up."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Intake:
    """Any number of requests that wait, and a task a line that writes while there are some. `wake` is called once for each commit,
    before its requests are answered."""

    def __init__(self, lines: Sequence[InboxLine], wake: Callable[[], None] = nobody) -> None:
        self._lines, self._free, self._wake = lines, list(lines), wake
        self._queue: list[Waiting] = []
        self._writing: set[asyncio.Task[None]] = set()
        self._inside, self._crowded_at = 0, 0.0

    async def keep(self, event: NewEvent, seconds: float = STORE_SECONDS) -> bool:
        """Store it; True once it is durable, False when it was before. Raises what the database raises, and TimeoutError where that
        takes longer than `seconds`: it may be stored all the same."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(event, loop.create_future())
        self._queue.append(waiting)
        if self._free:
            task = asyncio.create_task(self._write(self._free.pop()))
            self._writing.add(task)             # a task that nobody holds may be collected
            task.add_done_callback(self._writing.discard)
        self._inside += 1
        if self._inside >= CROWD:
            self._crowded_at = time.monotonic()
        late = loop.call_later(seconds, waiting.tell, TimeoutError())
        try:
            return await waiting.answer
        finally:
            late.cancel()
            self._inside -= 1

    def crowded(self) -> bool:
        """True while several requests wait, one group after another: what can be done later should be."""
        return time.monotonic() - self._crowded_at < CROWD_SECONDS

    async def close(self) -> None:
        """Once nobody waits."""
        for line in self._lines:
            await line.close()

    async def _write(self, line: InboxLine) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:MOST], self._queue[MOST:]
                if batch := [one for one in batch if not one.answer.done()]:
                    await self._store(line, batch)
        finally:
            self._free.append(line)

    async def _store(self, line: InboxLine, batch: Sequence[Waiting]) -> None:
        """All of them at once; where the database refuses one of them, the others are stored all the same."""
        try:
            answers: Sequence[bool | Exception] = await line.store([one.event for one in batch])
        except TROUBLE as error:
            if len(batch) > 1 and not isinstance(error, OUTAGE):
                say("intake.trouble", error=type(error).__name__, events=len(batch))
                for one in batch:
                    await self._store(line, [one])
                return
            answers = [error] * len(batch)
        else:
            self._wake()
        for one, answer in zip(batch, answers, strict=True):
            one.tell(answer)
