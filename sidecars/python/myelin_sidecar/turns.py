"""A model's turns and counters."""
from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Deque, Optional

if TYPE_CHECKING:
    from .call import Call


class Counters:
    """Of one model since the start, in nanoseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.success = self.failure = self.cancel = 0
        self.queue_ns = self.compute_ns = self.failure_ns = 0
        self.last_ms = 0

    def succeeded(self, queue: int, compute: int) -> None:
        with self._lock:
            self.success += 1
            self.queue_ns += queue
            self.compute_ns += compute
            self.last_ms = int(time.time() * 1000)

    def failed(self, elapsed: int) -> None:
        with self._lock:
            self.failure += 1
            self.failure_ns += elapsed

    def cancelled(self) -> None:
        with self._lock:
            self.cancel += 1


class Turns:
    """The model's concurrency: who enters computes, who cannot waits in order. A turn is passed on, not given back."""

    def __init__(self, concurrency: int):
        self._lock = threading.Lock()
        self._free = concurrency
        self._waiting: Deque[Call] = deque()

    def enter(self, call: Call) -> bool:
        """True: run it now. False: it runs when :meth:`leave` returns it."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(call)
            return False

    def leave(self) -> Optional[Call]:
        """The next call, whose turn it is now; None where nobody waits."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free += 1
            return None

    def withdraw(self, call: Call) -> bool:
        """Takes a call out of the queue; False where it does not wait (any more): it has its turn or had it."""
        with self._lock:
            try:
                self._waiting.remove(call)
            except ValueError:
                return False
            return True
