"""Frames of docs/sidecar-protocol.md: constants, limits, and pure functions from and to bytes. No I/O, no state."""
from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from .tensors import BY_CODE, MAX_DIMENSION, Datatype

VERSION = 1
MAGIC = b"MYLN"
HELLO, READY, INFER, DATA, RESULT, ERROR, PROGRESS, CANCEL, RELEASE, PING, PONG, DRAIN = range(1, 13)
FIRST_EXTENSION = 128

HEADER = struct.Struct("<IBBHQ")
HEAD = struct.Struct("<HHIQQ")
TENSOR = struct.Struct("<BBBBIQQ")
DIMENSIONS = [struct.Struct(f"<{rank}Q") for rank in range(9)]
STEPS = struct.Struct("<II")
RANGE = struct.Struct("<HH")

MAX_FRAME = 1 << 20
MAX_JSON = 65_536
MAX_TENSORS = 64
MAX_HEAD = HEAD.size + MAX_TENSORS * (TENSOR.size + 8 * 8 + 256) + MAX_JSON
MAX_CALLS = 65_536
ALIGNMENT = 64

# Fewest and most bytes of a payload by type: refused by the header alone. Index 0 is no type.
PAYLOAD = [(1, 0), (8, 8 + MAX_JSON), (1, MAX_FRAME), (HEAD.size, MAX_HEAD), (1, MAX_FRAME), (HEAD.size, MAX_HEAD), (1, MAX_JSON),
           (8, 8 + MAX_JSON), (0, 0), (0, 0), (8, 8), (8, 8), (0, 0)]


class BadFrame(Exception):
    """The stream broke the protocol; it cannot be trusted any more."""


class Place(NamedTuple):
    """One part of the ring."""

    offset: int
    end: int


class HeadTensor(NamedTuple):
    name: str
    kind: Datatype
    shape: Tuple[int, ...]
    ring: bool
    offset: int
    size: int


class Head(NamedTuple):
    model: int
    time: int
    inline: int
    parameters: Dict[str, Any]
    tensors: List[HeadTensor]


def check_header(length: int, kind: int, flags: int, zero: int) -> None:
    if flags or zero:
        raise BadFrame(f"flags {flags} and zero {zero} must be 0")
    if kind >= FIRST_EXTENSION:
        fewest, most = 0, MAX_FRAME
    elif 1 <= kind <= DRAIN:
        fewest, most = PAYLOAD[kind]
    else:
        raise BadFrame(f"there is no frame type {kind}")
    if not fewest <= length <= most:
        raise BadFrame(f"a frame of type {kind} has {length} bytes, but {fewest} to {most} are allowed")


def frame(kind: int, call: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(len(payload), kind, 0, 0, call) + payload


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_object(data: Any, what: str) -> Dict[str, Any]:
    """A JSON object from bytes."""
    try:
        value = json.loads(str(data, "utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:  # UnicodeDecodeError is a ValueError
        raise BadFrame(f"{what} is no JSON: {fault}") from None
    if not isinstance(value, dict):
        raise BadFrame(f"{what} is no JSON object")
    return value


def write_object(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def read_head(data: memoryview, part: Optional[Place]) -> Head:
    """The head of INFER or RESULT; ``part`` is the sender's part of the ring, None where there is no ring."""
    length = len(data)
    model, count, parameter_bytes, time, inline = HEAD.unpack_from(data)
    if count > MAX_TENSORS:
        raise BadFrame(f"{count} tensors; at most {MAX_TENSORS}")
    if parameter_bytes > MAX_JSON:
        raise BadFrame(f"{parameter_bytes} bytes of parameters; at most {MAX_JSON}")
    tensors: List[HeadTensor] = []
    names = set()
    at, filled = HEAD.size, 0
    for _ in range(count):
        if length - at < TENSOR.size:
            raise BadFrame("the head ends inside a tensor")
        name_length, code, rank, place, zero, offset, size = TENSOR.unpack_from(data, at)
        if not name_length or not 1 <= code <= 13 or rank > 8 or place > 1 or zero:
            raise BadFrame(f"a tensor with name length {name_length}, type {code}, rank {rank}, place {place}, zero {zero}")
        name_at = at + TENSOR.size + 8 * rank
        name_end = name_at + name_length
        following = name_end + (-name_end % 8)  # heads begin aligned, so tensors do
        if following > length:
            raise BadFrame("the head ends inside a tensor")
        shape = DIMENSIONS[rank].unpack_from(data, at + TENSOR.size)
        try:
            name = str(data[name_at:name_end], "utf-8")
        except UnicodeDecodeError:
            raise BadFrame("a tensor's name is no UTF-8") from None
        if following != name_end and any(data[name_end:following]):
            raise BadFrame(f"tensor '{name}' is not padded with zeros")
        if name in names:
            raise BadFrame(f"two tensors are named '{name}'")
        names.add(name)
        kind = BY_CODE[code]
        assert kind is not None
        elements = 1
        for dimension in shape:
            elements *= dimension
            if elements > MAX_DIMENSION or dimension > MAX_DIMENSION:
                raise BadFrame(f"tensor '{name}' has more elements than can be counted")
        if (elements * kind.size != size) if kind.size else (size < 4 * elements or (not elements and size)):
            raise BadFrame(f"tensor '{name}' says {size} bytes, which {kind.name} {list(shape)} does not have")
        if not size:
            if place or offset:
                raise BadFrame(f"tensor '{name}' has 0 bytes, and is not inline at 0")
        elif offset % ALIGNMENT:
            raise BadFrame(f"tensor '{name}' is at {offset}, no multiple of {ALIGNMENT}")
        elif place:
            if part is None or offset < part.offset or offset + size > part.end:
                raise BadFrame(f"tensor '{name}' is not in the sender's part of the ring")
        else:
            if offset < filled or offset + size > inline:
                raise BadFrame(f"tensor '{name}' is not within the inline bytes, after the one before it")
            filled = offset + size
        tensors.append(HeadTensor(name, kind, shape, place == 1, offset, size))
        at = following
    if at + parameter_bytes != length:
        raise BadFrame(f"the head is {length} bytes; tensors and parameters take {at + parameter_bytes}")
    parameters = read_object(data[at:], "parameters") if parameter_bytes else {}
    return Head(model, time, inline, parameters, tensors)


def write_head(model: int, time: int, inline: int, tensors: Sequence[HeadTensor], parameters: bytes = b"") -> bytes:
    parts = [HEAD.pack(model, len(tensors), len(parameters), time, inline)]
    for name, kind, shape, ring, offset, size in tensors:
        label = name.encode()
        parts.append(TENSOR.pack(len(label), kind.code, len(shape), ring, 0, offset, size))
        parts.append(DIMENSIONS[len(shape)].pack(*shape))
        parts.append(label)
        parts.append(bytes(-len(label) % 8))
    parts.append(parameters)
    return b"".join(parts)


def error_payload(code: str, message: str, retryable: bool) -> bytes:
    """The JSON of ERROR, cut so that it is within its limit whatever the message holds."""
    message = message.encode("utf-8", "replace").decode()  # lone surrogates would not be JSON for everybody
    data = write_object({"code": code, "message": message, "retryable": retryable})
    while len(data) > MAX_JSON:
        message = message[:len(message) // 2] + "…"
        data = write_object({"code": code, "message": message, "retryable": retryable})
    return data
