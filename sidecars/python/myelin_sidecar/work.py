"""Who computes when: the threads that read and compute, and deadlines of calls that wait."""
from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
import weakref
from typing import Any, Callable, List, Optional, Tuple

from .call import Call
from .errors import DeadlineExceeded

log = logging.getLogger("myelin_sidecar")


class _Slot:
    __slots__ = ("wake", "function", "argument")

    def __init__(self, function: Callable[[Any], None], argument: Any):
        self.wake = threading.Lock()
        self.wake.acquire()
        self.function, self.argument = function, argument


class Crew:
    """Threads without fixed roles. Who has read a call computes it, and another one goes on reading: the way from the socket
    to the model needs no switch of threads. Their number is bounded by connections and turns, which bound the tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parked: List[_Slot] = []
        self._numbers = itertools.count(1)

    def go(self, function: Callable[[Any], None], argument: Any) -> None:
        """Runs it on a thread that is free, or on a new one."""
        with self._lock:
            slot = self._parked.pop() if self._parked else None
        if slot is not None:
            slot.function, slot.argument = function, argument
            slot.wake.release()
            return
        slot = _Slot(function, argument)
        threading.Thread(target=self._work, args=(slot,), name=f"crew-{next(self._numbers)}", daemon=True).start()

    def _work(self, slot: _Slot) -> None:
        while True:
            try:
                slot.function(slot.argument)
            except BaseException:
                log.exception("a thread's task failed; this is a fault of the sidecar, not of the model")
            slot.function = slot.argument = None  # type: ignore[assignment]
            with self._lock:
                self._parked.append(slot)
            slot.wake.acquire()


class Work:
    """Shared by all transports of a process: the crew, each model's turns and counters, and the clock."""

    def __init__(self) -> None:
        self.crew = Crew()
        self.clock = Clock()

    def enter(self, call: Call) -> bool:
        if call.model.turns.enter(call):
            return True
        if call.deadline is not None:
            self.clock.watch(call)
        return False

    def run(self, call: Optional[Call]) -> None:
        """Computes a call that has its turn, and those that waited behind it."""
        while call is not None:
            call.run()
            call = None if call._left else call.model.turns.leave()

    def pass_on(self, call: Call) -> None:
        """The model's turn goes to the next call now; ``call`` has computed and is only being sent."""
        if not call._left:
            call._left = True
            following = call.model.turns.leave()
            if following is not None:
                self.crew.go(self.run, following)


class Clock:
    """Answers calls whose deadline comes while they wait. A thread of its own, from the first one that waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: List[Tuple[float, int, "weakref.ref[Call]"]] = []
        self._numbers = itertools.count()
        self._started = False

    def watch(self, call: Call) -> None:
        assert call.deadline is not None
        with self._changed:
            heapq.heappush(self._heap, (call.deadline, next(self._numbers), weakref.ref(call)))
            if not self._started:
                self._started = True
                threading.Thread(target=self._tick, name="deadlines", daemon=True).start()
            self._changed.notify()

    def _tick(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    self._changed.wait(max(0.001, self._heap[0][0] - time.monotonic()) if self._heap else None)
                call = heapq.heappop(self._heap)[2]()
            if call is not None and call.model.turns.withdraw(call):
                call.end(DeadlineExceeded("the time that the caller waits was over before its turn came"))
