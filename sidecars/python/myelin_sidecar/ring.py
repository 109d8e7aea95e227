"""The ring: a file that the worker made and both sides map, and the map of our own part of it, the outputs."""
from __future__ import annotations

import bisect
import mmap
import os
import stat
import threading
from typing import Any, Dict, List, Optional, Tuple

from .tensors import numpy
from .wire import ALIGNMENT, BadFrame, Place

POPULATE_LIMIT = 256 << 20  # larger files are paged in as they are used


class Allocator:
    """First fit over sorted free stretches, which grow together again when freed. Safe for threads."""

    def __init__(self, offset: int, size: int):
        begin = offset + (-offset % ALIGNMENT)
        end = (offset + size) // ALIGNMENT * ALIGNMENT
        self._free: List[Tuple[int, int]] = [(begin, end)] if end > begin else []  # begin, end
        self._taken: Dict[int, int] = {}
        self._changed = threading.Condition(threading.Lock())

    def take(self, size: int, timeout: float = 0.0) -> Optional[int]:
        """The offset of ``size`` bytes; None where nothing has come free after ``timeout`` seconds."""
        size += -size % ALIGNMENT
        with self._changed:
            offset = self._first(size)
            if offset is None and timeout:
                self._changed.wait_for(lambda: self._fits(size), timeout)
                offset = self._first(size)
            return offset

    def free(self, offset: int) -> None:
        """Gives back what :meth:`take` gave; ``KeyError`` for anything else."""
        with self._changed:
            begin, end = offset, offset + self._taken.pop(offset)
            at = bisect.bisect_left(self._free, (begin, end))
            if at < len(self._free) and self._free[at][0] == end:
                end = self._free.pop(at)[1]
            if at and self._free[at - 1][1] == begin:
                at -= 1
                begin = self._free.pop(at)[0]
            self._free.insert(at, (begin, end))
            self._changed.notify_all()

    @property
    def used(self) -> int:
        with self._changed:
            return sum(self._taken.values())

    def _fits(self, size: int) -> bool:
        return any(end - begin >= size for begin, end in self._free)

    def _first(self, size: int) -> Optional[int]:
        for at, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                if end - begin == size:
                    del self._free[at]
                else:
                    self._free[at] = (begin + size, end)
                self._taken[begin] = size
                return begin
        return None


class Ring:
    """A mapped file. It stays mapped until nobody holds a view of it; the worker's unlinking does not matter."""

    def __init__(self, path: str, size: int, inputs: Place, outputs: Place):
        """``OSError`` where it cannot be mapped."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size < size:
                raise OSError(f"'{path}' is no file of {size} bytes")
            flags = mmap.MAP_SHARED | (getattr(mmap, "MAP_POPULATE", 0) if size <= POPULATE_LIMIT else 0)
            self._map = mmap.mmap(descriptor, size, flags=flags)
        finally:
            os.close(descriptor)
        self.inputs = inputs
        self.outputs = outputs
        self.memory = memoryview(self._map)
        self.readable = self.memory.toreadonly()  # inputs are lent: a model that wrote into them would spoil a repeat
        self.free_outputs = Allocator(outputs.offset, outputs.end - outputs.offset)
        self._base = 0 if numpy is None else _address(self.memory)

    def holds(self, source: Any) -> bool:
        """Whether an array or memoryview lies in the ring."""
        if numpy is None:
            return source.obj is self._map
        return 0 <= _address(source) - self._base < len(self.memory)

    def offset_of(self, source: Any, reserved: Dict[int, memoryview]) -> Optional[int]:
        """The reserved place that a dense array or memoryview fills exactly; None where it fills none."""
        if numpy is None:
            return next((offset for offset, view in reserved.items() if view is source), None)
        if not isinstance(source, memoryview) and not source.flags.c_contiguous:
            return None
        offset = _address(source) - self._base
        view = reserved.get(offset)
        return offset if view is not None and len(view) == source.nbytes else None


def _address(source: Any) -> int:
    array = numpy.frombuffer(source, numpy.uint8) if isinstance(source, memoryview) else source
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def read_places(value: Any) -> Tuple[str, int, Place, Place]:
    """The ``ring`` of a HELLO: path, bytes, inputs, outputs. :class:`BadFrame` where it contradicts itself."""
    try:
        path, size = value["path"], value["bytes"]
        places = [(value[part]["offset"], value[part]["bytes"]) for part in ("inputs", "outputs")]
    except (TypeError, KeyError) as fault:
        raise BadFrame(f"the ring of HELLO lacks {fault}") from None
    if not isinstance(path, str) or "\0" in path or not all(type(n) is int and n >= 0 for n in [size, *places[0], *places[1]]):
        raise BadFrame("the ring of HELLO has a path and numbers")
    inputs, outputs = (Place(offset, offset + length) for offset, length in places)
    if inputs.end > size or outputs.end > size or (inputs.offset < outputs.end and outputs.offset < inputs.end):
        raise BadFrame("the parts of the ring lie in the file and do not overlap")
    return path, size, inputs, outputs
