"""A provider's side of the webhook benchmark: some keep-alive connections that each send the next event once the last was answered.

`python -m bench.webhook_client PORT PATH EVENTS SECRET CLIENTS REPEATS`: EVENTS is a file of bodies, one a line; every one in
REPEATS is sent twice. Everything is signed and laid out in bytes before the clock starts, and the loop does as little as it can:
it shares two cores with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

from webhooks.providers import signing

MOST_SECONDS = 600

class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: list[bytes], answers: list[tuple[float, bytes]], ended: asyncio.Future[None]) -> None:
        self.requests, self.answers, self.ended = requests, answers, ended
        self.heard = b""

    def connection_made(self, transport: asyncio.Transport) -> None:    # type: ignore[override]
        self.transport = transport
        self._next()

    def _next(self) -> None:
        if not self.requests:
            self.ended.set_result(None)
            return
        self.begun = time.perf_counter()
        self.transport.write(self.requests.pop())

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, found, body = self.heard.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self.answers.append((time.perf_counter() - self.begun, self.heard[9:12] + b" " + body))
            self.heard = b""
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("closed before its time"))


def laid_out(port: int, path: str, bodies: list[bytes], secret: str) -> list[bytes]:
    """Requests, last first."""
    now = int(time.time())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return [f"{head}Dummy-Signature: {signing.header(secret, now, body)}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            for body in reversed(bodies)]


async def deliver(port: int, requests: list[bytes], clients: int) -> dict[str, object]:
    """Send them all; times in seconds and milliseconds."""
    loop, answers = asyncio.get_running_loop(), list[tuple[float, bytes]]()
    ends = [loop.create_future() for _ in range(clients)]
    begun, cpu = time.perf_counter(), time.process_time()
    for end in ends:
        await loop.create_connection(lambda end=end: Line(requests, answers, end), "127.0.0.1", port)  # type: ignore[misc]
    async with asyncio.timeout(MOST_SECONDS):
        await asyncio.gather(*ends)
    seconds = time.perf_counter() - begun
    ordered = sorted(each * 1000 for each, _ in answers)
    return {"seconds": seconds, "client_cpu_seconds": time.process_time() - cpu, "deliveries": len(answers),
            **{f"p{share}_ms": ordered[len(ordered) * share // 100] for share in (50, 95, 99)},
            "answers": Counter(what.decode() for _, what in answers)}


def main(port: int, path: str, events: Path, secret: str, clients: int, repeats: int) -> str:
    """Deliver and tell."""
    bodies = events.read_bytes().splitlines()
    twice = [body for number, body in enumerate(bodies) for _ in range(1 + (number % repeats == 0))]
    return json.dumps(uvloop.run(deliver(port, laid_out(port, path, twice, secret), clients)))


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6])))
