"""Threads that empty a queue of the database: woken by NOTIFY and by their own process, and looking by themselves now and then.

What is queued, how it is claimed and what is done about it, the worker of each queue knows (worker.py, outbox.py). One piece
of work that breaks does not stop the others, an outage is waited for, and a worker never ends in silence.
"""

from __future__ import annotations

import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from data.postgres.health import OUTAGE
from data.postgres.notices import notices
from data.postgres.store import Store
from webhooks.log import say

T = TypeVar("T")
OUTAGE_SECONDS = 2.0            # before the database is asked again
DRAIN_SECONDS = 5.0             # for what is due, once it is told to stop
GIVE_WAY_SECONDS = 1.0          # before each piece of work, at most
LOOK_SECONDS = 0.1              # whether it may go on: as long as a crowd is remembered
HEARD_SECONDS = 0.02            # what is announced so soon after is heard with it


def nobody() -> bool:
    """Nobody is to be let pass."""
    return False


class QueueWorker(ABC, Generic[T]):
    """A few threads that empty the queue `name`, and one that hears on `channel` when there is something in it; without being
    told they look every `poll_seconds`, for pauses that ended and leases that ran out. While it is `crowded` elsewhere in this
    process they give way, for GIVE_WAY_SECONDS at a time: a provider waits for its answer, what it told can wait a moment."""

    def __init__(self, name: str, store: Store, channel: str, threads: int, poll_seconds: float,
                 crowded: Callable[[], bool] = nobody) -> None:
        self.name, self.store, self.channel, self.poll_seconds = name, store, channel, poll_seconds
        self._crowded = crowded
        self._stopping = threading.Event()
        self._woken = [threading.Event() for _ in range(threads)]
        self._threads = [threading.Thread(target=self._run, args=(woken,), name=name, daemon=True) for woken in self._woken]
        self._ear = threading.Thread(target=self._listen, name=f"{name} ear", daemon=True)

    @abstractmethod
    def claim(self) -> Sequence[T]:
        """What is due, ours under a lease from now on; empty when nothing is."""

    @abstractmethod
    def do(self, one: T) -> None:
        """Do it, and mark it. What is raised goes to `failed`."""

    @abstractmethod
    def failed(self, one: T, error: Exception) -> None:
        """It went wrong: put it off, or leave it for a person."""

    def together(self, claimed: Sequence[T]) -> Sequence[T]:
        """Do at once what can be done at once; what is left is done one by one."""
        return claimed

    def start(self) -> None:
        """Begin."""
        for thread in (*self._threads, self._ear):
            thread.start()

    def wake(self) -> None:
        """There is something to do."""
        for woken in self._woken:
            if not woken.is_set():
                woken.set()

    def stop(self) -> None:
        """Finish what is due, for DRAIN_SECONDS at most, then end. The ear ends by itself: nobody waits for what it hears."""
        self._stopping.set()
        self.wake()
        end = time.monotonic() + DRAIN_SECONDS + 1
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def alive(self) -> bool:
        """True while it works; without its ear it is slower, not dead."""
        return all(thread.is_alive() for thread in self._threads)

    def step(self) -> bool:
        """Claim what is due and do it; False when nothing is."""
        claimed = self.claim()
        for one in self.together(claimed) if claimed else ():
            if error := attempt(lambda one=one: self.do(one)):      # type: ignore[misc]
                self.failed(one, error)
        return bool(claimed)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                for told in notices(self.store.engine, self.channel):
                    if told:
                        self.wake()
                        self._stopping.wait(HEARD_SECONDS)
                    if self._stopping.is_set():
                        return
            except OUTAGE as error:
                say(f"{self.name}.deaf", error=type(error).__name__)
                self._stopping.wait(OUTAGE_SECONDS)

    def _run(self, woken: threading.Event) -> None:
        while not self._stopping.is_set():
            self._drain(None)
            woken.wait(self.poll_seconds)
            woken.clear()
            self._give_way()
        self._drain(time.monotonic() + DRAIN_SECONDS)

    def _give_way(self) -> None:
        end = time.monotonic() + GIVE_WAY_SECONDS
        while self._crowded() and time.monotonic() < end and not self._stopping.is_set():
            self._stopping.wait(LOOK_SECONDS)

    def _drain(self, deadline: float | None) -> None:
        """Do whatever is due, until nothing is or the deadline came."""
        try:
            while (deadline is None or time.monotonic() < deadline) and self.step():
                self._give_way()
        except OUTAGE as error:
            say(f"{self.name}.outage", error=type(error).__name__)
            self._stopping.wait(OUTAGE_SECONDS)
        except Exception as error:      # a worker that ends in silence is worse than one that says it is in trouble
            say(f"{self.name}.trouble", error=type(error).__name__, trace=traceback.format_exc(limit=-5))
            self._stopping.wait(OUTAGE_SECONDS)


def attempt(work: Callable[[], object]) -> Exception | None:
    """Do one piece of work; what it broke on, if it broke. An outage is nobody's failure and passes."""
    try:
        work()
    except OUTAGE:
        raise
    except Exception as error:          # whatever one piece of work breaks, the others go on; it ends in sight
        return error
    return None


def words_of(error: Exception) -> str:
    """What went wrong on one line, for its row."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"


def trace_of(error: Exception) -> str:
    """Where it went wrong, for the log."""
    return "".join(traceback.format_exception(error, limit=-10))
