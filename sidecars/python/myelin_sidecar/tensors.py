"""Datatypes, tensors, and the bridge to NumPy where it is installed.

Everything is little-endian, row-major and dense. A :class:`Tensor` is a typed view of bytes that somebody else owns (the
ring, a receive buffer, an array); nothing here copies unless the docstring says so.
"""
from __future__ import annotations

import array
import os
import struct
import sys
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from .errors import BadInput

try:
    if os.environ.get("MYELIN_SIDECAR_NUMPY") == "0":
        raise ImportError
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

if sys.byteorder != "little":
    raise ImportError("myelin_sidecar needs a little-endian machine: tensors are shared as they lie in memory")


class Datatype(NamedTuple):
    name: str
    code: int
    size: int  # bytes of one element; 0 for BYTES
    typecode: str  # of memoryview, array and struct


_ALL = [
    Datatype("BOOL", 1, 1, "?"), Datatype("UINT8", 2, 1, "B"), Datatype("UINT16", 3, 2, "H"), Datatype("UINT32", 4, 4, "I"),
    Datatype("UINT64", 5, 8, "Q"), Datatype("INT8", 6, 1, "b"), Datatype("INT16", 7, 2, "h"), Datatype("INT32", 8, 4, "i"),
    Datatype("INT64", 9, 8, "q"), Datatype("FP16", 10, 2, "e"), Datatype("FP32", 11, 4, "f"), Datatype("FP64", 12, 8, "d"),
    Datatype("BYTES", 13, 0, ""),
]
BY_NAME: Dict[str, Datatype] = {d.name: d for d in _ALL}
BY_CODE: List[Optional[Datatype]] = [None] + list(_ALL)
# What memoryview.format and numpy.dtype.str say, as datatypes. `l` is 8 bytes on 64-bit Linux and 4 elsewhere.
_BY_FORMAT: Dict[str, Datatype] = {d.typecode: d for d in _ALL if d.typecode}
_BY_FORMAT["l"] = BY_NAME["INT64" if struct.calcsize("l") == 8 else "INT32"]
_BY_FORMAT["L"] = BY_NAME["UINT64" if struct.calcsize("L") == 8 else "UINT32"]
_BY_FORMAT["c"] = BY_NAME["UINT8"]

if numpy is not None:
    NUMPY_BY_CODE = [None] + [numpy.dtype("<" + t) for t in ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")]
    _BY_NUMPY = {(t.kind, t.itemsize): d for t, d in zip(NUMPY_BY_CODE[1:], _ALL)}

MAX_DIMENSION = 2**63 - 1


def datatype(name: str) -> Datatype:
    """By its name in the Open Inference Protocol, such as ``FP32``."""
    found = BY_NAME.get(name)
    if found is None:
        raise ValueError(f"there is no datatype '{name}'; there are {', '.join(BY_NAME)}")
    return found


def elements(shape: Sequence[int]) -> int:
    """The product of the dimensions; -1 where a step passes 2**63 - 1."""
    count = 1
    for dimension in shape:
        count *= dimension
        if count > MAX_DIMENSION:
            return -1
    return count


class Tensor:
    """A tensor without NumPy: ``datatype`` (its name), ``shape`` and ``data`` (a memoryview of its bytes)."""

    __slots__ = ("name", "kind", "shape", "data")

    def __init__(self, name: str, kind: Datatype, shape: Sequence[int], data: memoryview):
        self.name = name
        self.kind = kind
        self.shape = tuple(shape)
        self.data = data

    @property
    def datatype(self) -> str:
        return self.kind.name

    @classmethod
    def of(cls, datatype_name: str, shape: Sequence[int], values: Iterable[Any]) -> "Tensor":
        """From values in row-major order; numbers out of the type's range are refused. Copies."""
        kind = datatype(datatype_name)
        flat = values if isinstance(values, list) else list(values)
        if elements(shape) != len(flat):
            raise ValueError(f"the shape {list(shape)} has {elements(shape)} elements, but there are {len(flat)} values")
        return cls("", kind, shape, pack(kind, flat))

    def values(self) -> Union[memoryview, List[Any]]:
        """The elements in row-major order: a typed memoryview (no copy), or a list for BYTES and FP16."""
        if self.kind.name == "BYTES":
            return unpack_bytes(self.data, elements(self.shape), self.name)
        if self.kind.name == "FP16":
            return list(struct.unpack(f"<{len(self.data) // 2}e", self.data))
        return self.data.cast(self.kind.typecode)  # type: ignore[call-overload,no-any-return]

    def tolist(self) -> Any:
        """Nested lists in the tensor's shape. Copies."""
        values = self.values()
        flat = values if isinstance(values, list) else values.tolist()
        if not self.shape:
            return flat[0]
        for dimension in reversed(self.shape[1:]):
            flat = [flat[i:i + dimension] for i in range(0, len(flat), dimension)] if dimension else []
        return flat

    def numpy(self) -> Any:
        """As an array over the same memory; BYTES become an array of ``bytes`` objects (a copy)."""
        if self.kind.name == "BYTES":
            flat = numpy.empty(elements(self.shape), object)
            flat[:] = self.values()
            return flat.reshape(self.shape)
        dtype = NUMPY_BY_CODE[self.kind.code]
        if not len(self.data):
            return numpy.empty(self.shape, dtype)
        return numpy.frombuffer(self.data, dtype).reshape(self.shape)

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.kind.name}, {list(self.shape)})"


def pack(kind: Datatype, flat: Sequence[Any]) -> memoryview:
    """Values as the bytes of a tensor. ``OverflowError``, ``TypeError`` or ``struct.error`` say which do not fit."""
    if kind.name == "BYTES":
        parts = bytearray()
        for value in flat:
            raw = value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None
            if raw is None:
                raise TypeError(f"a BYTES element is str or bytes, not {type(value).__name__}")
            parts += struct.pack("<I", len(raw)) + raw
        return memoryview(parts)
    if kind.name == "BOOL":
        if not all(value is True or value is False or value == 0 or value == 1 for value in flat):
            raise TypeError("a BOOL element is true or false")
        return memoryview(bytes(bool(value) for value in flat))
    if kind.name == "FP16":
        return memoryview(struct.pack(f"<{len(flat)}e", *flat))
    return memoryview(array.array(kind.typecode, flat)).cast("B")


def unpack_bytes(data: memoryview, count: int, name: str) -> List[bytes]:
    """The elements of a BYTES tensor. Copies."""
    values, at, end = [], 0, len(data)
    for _ in range(count):
        if end - at < 4:
            raise BadInput(f"tensor '{name}' ends before its {count} elements do; each is a 32-bit length and that many bytes")
        length = int.from_bytes(data[at:at + 4], "little")
        at += 4
        if length > end - at:
            raise BadInput(f"tensor '{name}' has an element of {length} bytes, but {end - at} are left")
        values.append(bytes(data[at:at + length]))
        at += length
    if at != end:
        raise BadInput(f"tensor '{name}' has {end - at} bytes after its {count} elements")
    return values


def check_bytes(data: memoryview, count: int, name: str) -> None:
    """:func:`unpack_bytes` without the copy."""
    at, end = 0, len(data)
    for _ in range(count):
        length = int.from_bytes(data[at:at + 4], "little") if end - at >= 4 else end
        at += 4 + length
        if at > end:
            raise BadInput(f"tensor '{name}' ends before its {count} elements do; each is a 32-bit length and that many bytes")
    if at != end:
        raise BadInput(f"tensor '{name}' has {end - at} bytes after its {count} elements")


def describe(value: Any, name: str, declared: Optional[str]) -> Tuple[Datatype, Tuple[int, ...], Any]:
    """What a model returned, as datatype, shape and a source for :func:`copy_into` or :func:`flat_bytes`.

    Takes NumPy arrays and what converts to them (``__array__``), :class:`Tensor`, ``bytes`` and other buffers, and lists or numbers
    where the output's datatype is declared. ``TypeError`` names the output and the cure for anything else.
    """
    if isinstance(value, Tensor):
        return value.kind, value.shape, value.data
    if numpy is not None and not isinstance(value, numpy.ndarray) and hasattr(value, "__array__"):
        value = numpy.asarray(value)  # torch (on the CPU) and most others, without a copy
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.kind in "OSU":
            return BY_NAME["BYTES"], value.shape, pack(BY_NAME["BYTES"], value.ravel().tolist())
        kind = _BY_NUMPY.get((value.dtype.kind, value.dtype.itemsize))
        if kind is None:
            raise TypeError(f"output '{name}' is an array of {value.dtype}, which has no datatype; convert it with .astype()")
        return kind, value.shape, value
    if isinstance(value, (bytes, bytearray)):
        return BY_NAME["UINT8"], (len(value),), memoryview(value)
    if isinstance(value, (memoryview, array.array)):
        view = memoryview(value)
        kind = _BY_FORMAT.get(view.format.lstrip("<=@"))
        if kind is None or not view.c_contiguous:
            raise TypeError(f"output '{name}' is a buffer of format '{view.format}' that is not dense; return an array")
        return kind, tuple(view.shape or ()), view.cast("B") if view.nbytes else memoryview(b"")
    if isinstance(value, (list, tuple, int, float, bool, str)):
        if declared is None:
            raise TypeError(f"output '{name}' is a {type(value).__name__} and its datatype is not declared; return Tensor.of('FP32', shape, values)")
        flat, shape = flatten(value)
        try:
            return BY_NAME[declared], shape, pack(BY_NAME[declared], flat)
        except (TypeError, OverflowError, struct.error) as fault:
            raise TypeError(f"output '{name}' has values that are no {declared}: {fault}") from None
    raise TypeError(f"output '{name}' is a {type(value).__name__}; return a NumPy array, a Tensor, bytes or a list")


def flatten(value: Any) -> Tuple[List[Any], Tuple[int, ...]]:
    """Nested lists as their elements and shape. ``TypeError`` where rows differ in length."""
    shape: List[int] = []
    probe = value
    while isinstance(probe, (list, tuple)):
        shape.append(len(probe))
        probe = probe[0] if probe else None
    flat: List[Any] = [value]
    for dimension in shape:
        if not all(isinstance(row, (list, tuple)) and len(row) == dimension for row in flat):
            raise TypeError("its rows differ in length")
        flat = [element for row in flat for element in row]
    if any(isinstance(element, (list, tuple)) for element in flat):
        raise TypeError("its rows differ in depth")
    return flat, tuple(shape)


def nbytes(source: Any) -> int:
    return source.nbytes if not isinstance(source, memoryview) else len(source)


def flat_bytes(source: Any) -> memoryview:
    """The bytes of a described value; copies only what is not dense or not little-endian."""
    if isinstance(source, memoryview):
        return source
    if not source.nbytes:
        return memoryview(b"")
    dense = numpy.ascontiguousarray(source, source.dtype.newbyteorder("<"))
    return dense.reshape(-1).view(numpy.uint8).data  # type: ignore[no-any-return]


def copy_into(target: memoryview, source: Any) -> None:
    """Copies a described value once into ``target``, which has its size; strided arrays as well."""
    if isinstance(source, memoryview):
        if numpy is not None and len(source) > 65536:  # NumPy lets other threads run meanwhile
            numpy.copyto(numpy.frombuffer(target, numpy.uint8), numpy.frombuffer(source, numpy.uint8))
        else:
            target[:] = source
        return
    numpy.copyto(numpy.frombuffer(target, source.dtype.newbyteorder("<")).reshape(source.shape), source)


def buffer(size: int) -> memoryview:
    """Writable memory of ``size`` bytes, cleared only where NumPy is missing, aligned to 64 bytes with NumPy."""
    if numpy is None:
        return memoryview(bytearray(size))
    room = numpy.empty(size + 63, numpy.uint8)
    skip = -room.ctypes.data % 64 if size >= 65536 else -room.__array_interface__["data"][0] % 64
    return room[skip:skip + size].data  # type: ignore[no-any-return]
