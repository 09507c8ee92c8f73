"""Measurements of several calls of an evaluator at a time: begun at once, taken in as they arrive, read in order.

    call = Call(keys, genotypes, proxies)
    arrivals.send(call, positions, requests, take)        cut into tiles and submitted, a window of them at a time
    arrivals.receive(call)                                waits for any tile of any call, hands its results to `take`

A slow candidate holds up neither other tiles of its call nor other calls, because results are taken in whichever call waits.
Only the thread that calls `receive` takes them, so caches need no lock.
"""

from __future__ import annotations

import math
import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Genotype
from rbflex_evo.spaces.isolation.stops import check_stop

from .measurer import Measured
from .workers import Request, Workers

# Largest number of tiles of a call, for each worker, that are submitted and not read yet: it bounds the memory of results.
WINDOW = 8
SECONDS_BETWEEN_CHECKS = 0.5

Take = Callable[["Call", Sequence[int], Sequence[Measured]], None]


@dataclass
class Tile:
    """Candidates of a call that one worker takes together.

    Attributes:
        positions: Positions of the candidates in the call.
        requests: What the worker measures.
        take: Called with the results.
    """

    positions: list[int]
    requests: list[Request]
    take: Take


@dataclass
class Call:
    """The results of one call, each ready or not.

    Attributes:
        keys: Keys of the candidates.
        genotypes: Genotypes that are built for the keys.
        proxies: Scores to measure by name.
        digests: Keys of each candidate's statistics in the cache, by score.
        measured: Results so far; None if nothing was found yet.
        ready: Whether each result is complete.
        errors: Error of a candidate that could not be measured, by position.
        read: Number of results that were read.
        unsent: Tiles that are not submitted yet, the next first.
        sent: Tiles that were submitted and not read.
    """

    keys: Sequence[str]
    genotypes: Sequence[Genotype]
    proxies: Mapping[str, Proxy]
    digests: list[dict[str, str]] = field(init=False)
    measured: list[Measured | None] = field(init=False)
    ready: list[bool] = field(init=False)
    errors: dict[int, BaseException] = field(default_factory=dict)
    read: int = 0
    unsent: deque[Tile] = field(default_factory=deque)
    sent: deque[Tile] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.digests = [{} for _ in self.keys]
        self.measured = [None] * len(self.keys)
        self.ready = [False] * len(self.keys)

    def next_ready(self) -> list[Measured]:
        """Returns the results that can be read now, in order; none if the next one is not ready.

        Raises:
            Exception: The error of the next one.
        """
        if self.read in self.errors:
            raise self.errors[self.read]
        block: list[Measured] = []
        while self.read < len(self.keys) and self.ready[self.read]:
            measured = self.measured[self.read]
            assert measured is not None
            block.append(measured)
            self.measured[self.read] = None
            self.read += 1
        while self.sent and self.sent[0].positions[-1] < self.read:
            self.sent.popleft()
        return block


class Arrivals:
    """Submits the tiles of calls to workers and takes in their results.

    Args:
        workers: The workers.
        micro_batch: Largest number of candidates in a tile.
        share: Number of tiles of a call for each of several workers, if there are enough candidates. With four, processors finish
            at about the same time; an accelerator takes all of its candidates together.
    """

    def __init__(self, workers: Workers, micro_batch: int, share: int = 4) -> None:
        self._workers, self._micro_batch, self._share = workers, micro_batch, share
        self._arrived: queue.SimpleQueue[tuple[Call, Tile, Future[list[Measured]]]] = queue.SimpleQueue()

    def send(self, call: Call, positions: Sequence[int], requests: Sequence[Request], take: Take) -> None:
        """Adds requests to a call and submits as many as the window allows; none of them if this process measures them itself."""
        if requests:
            # From now on the number of workers is known.
            self._workers.begin()
        count = self._workers.count
        share = len(requests) if count == 1 else math.ceil(len(requests) / (self._share * count))
        size = max(1, min(self._micro_batch, share))
        for i in range(0, len(requests), size):
            call.unsent.append(Tile(list(positions[i : i + size]), list(requests[i : i + size]), take))
        self._fill(call)

    def send_next(self, call: Call, positions: Sequence[int], requests: Sequence[Request], take: Take) -> None:
        """Submits more of candidates that have just arrived, before anything that is not submitted yet."""
        if not requests:
            return
        tile = Tile(list(positions), list(requests), take)
        if self._workers.in_process:
            call.unsent.appendleft(tile)
        else:
            self._submit(call, tile)

    def receive(self, call: Call) -> None:
        """Waits until something has arrived and takes it; if this process measures itself, measures the next tile of the call."""
        if self._workers.in_process:
            tile = call.unsent.popleft()
            tile.take(call, tile.positions, self._workers.submit(tile.requests).result())
            return
        self._fill(call)
        self._take(*self._next())

    def _next(self) -> tuple[Call, Tile, Future[list[Measured]]]:
        while True:
            try:
                return self._arrived.get(timeout=SECONDS_BETWEEN_CHECKS)
            except queue.Empty:
                # A stop signal waits for candidates that are being measured, not for workers that may never come.
                if not self._workers.able:
                    check_stop()

    def take_rest(self, take: Take) -> None:
        """Takes what has arrived for `take`, without waiting and without submitting more, so that it is not lost."""
        while not self._arrived.empty():
            call, tile, future = self._arrived.get()
            if tile.take == take and not future.cancelled() and future.exception() is None:
                take(call, tile.positions, future.result())

    def _take(self, call: Call, tile: Tile, future: Future[list[Measured]]) -> None:
        error = future.exception()
        if error is not None:
            call.errors |= dict.fromkeys(tile.positions, error)
        else:
            tile.take(call, tile.positions, future.result())
        self._fill(call)

    def _fill(self, call: Call) -> None:
        while call.unsent and not self._workers.in_process and len(call.sent) < WINDOW * self._workers.count:
            call.sent.append(call.unsent.popleft())
            self._submit(call, call.sent[-1])

    def _submit(self, call: Call, tile: Tile) -> None:
        future = self._workers.submit(tile.requests)
        future.add_done_callback(lambda done: self._arrived.put((call, tile, done)))
