#!/usr/bin/env python3
"""Writes vectors.json and the .bin files beside it: docs/sidecar-protocol.md as bytes.

Uses `struct` alone and imports no implementation on purpose: it is an independent reading of the text. Every vector is
written twice by hand, as the bytes and as what a reader must make of them; nothing here decodes.

    python3 tests/vectors/sidecar/make.py           # writes the files anew
    python3 tests/vectors/sidecar/make.py --check   # ends with 1 where the committed files differ
"""
import json
import struct
import sys
from pathlib import Path

HELLO, READY, INFER, DATA, RESULT, ERROR, PROGRESS, CANCEL, RELEASE, PING, PONG, DRAIN = range(1, 13)
NAMES = ["", "HELLO", "READY", "INFER", "DATA", "RESULT", "ERROR", "PROGRESS", "CANCEL", "RELEASE", "PING", "PONG", "DRAIN"]
TYPES = {"BOOL": 1, "UINT8": 2, "UINT16": 3, "UINT32": 4, "UINT64": 5, "INT8": 6, "INT16": 7, "INT32": 8, "INT64": 9,
         "FP16": 10, "FP32": 11, "FP64": 12, "BYTES": 13}
SIZES = {"BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
         "FP16": 2, "FP32": 4, "FP64": 8}
MIB = 1 << 20
HALF = 1 << 19
INLINE_TEXT_LIMIT = 8192  # longer streams become a file of their own

WORKER, SIDECAR = "worker-to-sidecar", "sidecar-to-worker"
CONTEXT = {
    "maxCalls": 64,
    "maxCallBytes": 16 * MIB,
    "ring": {"bytes": MIB, "inputs": {"offset": 0, "bytes": HALF}, "outputs": {"offset": HALF, "bytes": HALF}},
    "models": [{"name": "first", "inputs": [], "outputs": []}, {"name": "second", "inputs": [], "outputs": []}],
}
WORKER_JSON = {"product": "vectors/1", "maxCalls": 64, "maxCallBytes": 16 * MIB,
               "ring": {"path": "/dev/shm/myelin-ring-vectors", **CONTEXT["ring"]}}
SIDECAR_JSON = {"product": "vectors/1", "ring": True, "maxCalls": 64, "maxCallBytes": 16 * MIB}
MODEL = {"name": "first", "version": "1", "task": None, "concurrency": 1, "progress": True, "cancel": True, "inputs": [], "outputs": []}

vectors = []


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frame(kind, call=0, payload=b"", flags=0, zero=0, length=None):
    return struct.pack("<IBBHQ", len(payload) if length is None else length, kind, flags, zero, call) + payload


def tensor(name, datatype, shape, offset=0, size=None, place=0, zero=0, padding=b"\0", rank=None, name_length=None, code=None):
    """One tensor of a head; the keywords break one field at a time."""
    label = name if isinstance(name, bytes) else name.encode()
    if size is None:
        size = SIZES[datatype]
        for dimension in shape:
            size *= dimension
    data = struct.pack("<BBBBIQQ", len(label) if name_length is None else name_length,
                       TYPES[datatype] if code is None else code, len(shape) if rank is None else rank, place, zero, offset, size)
    data += b"".join(struct.pack("<Q", dimension) for dimension in shape) + label
    return data + padding * (-len(data) % 8)


def head(tensors=(), parameters=b"", model=0, time=0, inline=0, count=None, parameter_bytes=None):
    return struct.pack("<HHIQQ", model, len(tensors) if count is None else count,
                       len(parameters) if parameter_bytes is None else parameter_bytes, time, inline) + b"".join(tensors) + parameters


def seen(name, datatype, shape, offset=0, size=None, place="inline"):
    """What a reader says of a tensor."""
    if size is None:
        size = SIZES[datatype]
        for dimension in shape:
            size *= dimension
    return {"name": name, "datatype": datatype, "shape": shape, "place": place, "offset": offset, "bytes": size}


def read(kind, call=0, **fields):
    return {"type": NAMES[kind], "call": call, **fields}


def headed(kind, call, tensors=(), parameters=None, model=0, time=0, inline=0):
    return read(kind, call, model=model, time=time, inline=inline, parameters=parameters or {}, tensors=list(tensors))


def hello(low=1, high=1, value=None, magic=b"MYLN"):
    return magic + struct.pack("<HH", low, high) + (value if isinstance(value, bytes) else text(WORKER_JSON if value is None else value))


def strings(*values):
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


def add(name, direction, data, frames, phase="ready", messages=None, error=None, note=None, **state):
    vector = {"name": name, "direction": direction, "phase": phase, **state, "valid": error is None}
    if note:
        vector["note"] = note
    data = b"".join(data) if isinstance(data, list) else data
    if len(data) * 2 > INLINE_TEXT_LIMIT:
        vector["file"] = name + ".bin"
    else:
        vector["hex"] = data.hex()
    vector["frames"] = frames
    if messages:
        vector["messages"] = messages
    if error:
        vector["error"] = error
    vectors.append((vector, data))


def bad(name, direction, data, before=(), code="bad-frame", call=0, **rest):
    """A stream that is refused: `before` are the frames that were still sound."""
    add(name, direction, data, list(before), error={"code": code, "call": call}, **rest)


def one(name, tensors, direction=WORKER, kind=INFER, inline=0, parameters=b"", **rest):
    """A refused head: one frame and nothing before it."""
    rest.setdefault("open", [1] if kind == RESULT else [])
    bad(name, direction, frame(kind, 1, head(tensors, parameters, inline=inline)), **rest)


# ---------------------------------------------------------------- the connection

add("hello-worker", WORKER, frame(HELLO, 0, hello()), [read(HELLO, min=1, max=1, json=WORKER_JSON)], phase="new")
plain = {"product": "vectors/1", "maxCalls": 1, "maxCallBytes": 1024}
add("hello-worker-without-ring", WORKER, frame(HELLO, 0, hello(1, 7, plain)), [read(HELLO, min=1, max=7, json=plain)], phase="new",
    note="The sidecar answers with min 1 and max 1.")
strange = {**plain, "ring": None, "future": {"key": [1, "ü"]}}
add("hello-unknown-keys", WORKER, frame(HELLO, 0, hello(0, 65535, strange)), [read(HELLO, min=0, max=65535, json=strange)], phase="new")
add("hello-sidecar", SIDECAR, frame(HELLO, 0, hello(1, 1, SIDECAR_JSON)), [read(HELLO, min=1, max=1, json=SIDECAR_JSON)], phase="new")
longest = {**plain, "product": ""}
longest["product"] = "p" * (65536 - len(text(longest)))
add("hello-longest", WORKER, frame(HELLO, 0, hello(1, 1, longest)), [read(HELLO, min=1, max=1, json=longest)], phase="new")
ready = {"models": [{**MODEL, "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 640, 640]}],
                     "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 8400, 85]}]}, {**MODEL, "name": "second", "task": "text-to-image"}]}
add("ready", SIDECAR, frame(READY, 0, text(ready)), [read(READY, json=ready)], phase="loading")
many = {"models": [{**MODEL, "name": f"m{i}"} for i in range(256)]}
add("ready-256-models", SIDECAR, frame(READY, 0, text(many)), [read(READY, json=many)], phase="loading")
add("loading-with-progress-and-pings", SIDECAR,
    [frame(PROGRESS, 0, struct.pack("<II", 1, 3)), frame(PING, 0, b"\1\2\3\4\5\6\7\x08"), frame(PONG, 0, b"abcdefgh"),
     frame(PROGRESS, 0, struct.pack("<II", 3, 3)), frame(READY, 0, text(ready))],
    [read(PROGRESS, step=1, steps=3, preview=""), read(PING, payload="0102030405060708"), read(PONG, payload="6162636465666768"),
     read(PROGRESS, step=3, steps=3, preview=""), read(READY, json=ready)], phase="loading")
add("ping", WORKER, frame(PING, 0, bytes(8)), [read(PING, payload="00" * 8)])
add("ping-while-loading", WORKER, frame(PING, 0, b"\xff" * 8), [read(PING, payload="ff" * 8)], phase="loading")
add("pong", WORKER, frame(PONG, 0, bytes(range(8))), [read(PONG, payload="0001020304050607")],
    note="Nobody asked for it: ignored.")
add("drain-worker", WORKER, frame(DRAIN), [read(DRAIN)])
add("drain-sidecar", SIDECAR, frame(DRAIN), [read(DRAIN)], open=[4])
failed = {"code": "load-failed", "message": "no file model.pt", "retryable": False}
add("error-load-failed", SIDECAR, frame(ERROR, 0, text(failed)), [read(ERROR, **failed)], phase="loading")
ended = {"code": "bad-frame", "message": "length 2000000 is over 1048576", "retryable": True}
add("error-of-the-worker", WORKER, frame(ERROR, 0, text(ended)), [read(ERROR, **ended)])
odd = {"code": "from-the-future", "message": "ünknown", "retryable": True, "more": [1]}
add("error-unknown-code", SIDECAR, frame(ERROR, 9, text(odd)), [read(ERROR, 9, code="from-the-future", message="ünknown", retryable=True)],
    open=[9], note="Treated as failed; keys that are not known are ignored.")
big_error = {"code": "failed", "message": "", "retryable": False}
big_error["message"] = "e" * (65536 - len(text(big_error)))
add("error-longest", SIDECAR, frame(ERROR, 9, text(big_error)), [read(ERROR, 9, **big_error)], open=[9])
add("extension-skipped", WORKER, [frame(200, 77, b"whatever"), frame(128), frame(255, 0, b"\0"), frame(PING, 0, bytes(8))],
    [read(PING, payload="00" * 8)], note="Types 128, 200 and 255 are skipped, whatever their call and payload.")
add("extension-skipped-by-worker", SIDECAR, [frame(200, 77, b"whatever"), frame(PONG, 0, bytes(8))], [read(PONG, payload="00" * 8)])

# ---------------------------------------------------------------- calls

add("infer-without-tensors", WORKER, frame(INFER, 1, head()), [headed(INFER, 1)], messages=[{"call": 1, "tensors": {}}])
add("infer-largest-call-number", WORKER, frame(INFER, 2**64 - 1, head(time=2**64 - 1, model=1)),
    [headed(INFER, 2**64 - 1, model=1, time=2**64 - 1)], messages=[{"call": 2**64 - 1, "tensors": {}}])
add("infer-parameters", WORKER, frame(INFER, 1, head(parameters=text({"a": [1, 2.5, "ü", None], "b": {"c": True}}), time=1500)),
    [headed(INFER, 1, parameters={"a": [1, 2.5, "ü", None], "b": {"c": True}}, time=1500)], messages=[{"call": 1, "tensors": {}}])
pi = struct.pack("<f", 3.140625)
add("infer-scalar", WORKER, [frame(INFER, 1, head([tensor("x", "FP32", [])], inline=4)), frame(DATA, 1, pi)],
    [headed(INFER, 1, [seen("x", "FP32", [])], inline=4), read(DATA, 1, bytes=4)], messages=[{"call": 1, "tensors": {"x": pi.hex()}}])
add("infer-empty", WORKER, frame(INFER, 1, head([tensor("none", "FP64", [0]), tensor("rows", "INT8", [3, 0, 7]), tensor("text", "BYTES", [0], size=0)])),
    [headed(INFER, 1, [seen("none", "FP64", [0]), seen("rows", "INT8", [3, 0, 7]), seen("text", "BYTES", [0], size=0)])],
    messages=[{"call": 1, "tensors": {"none": "", "rows": "", "text": ""}}])
add("infer-empty-largest-dimension", WORKER, frame(INFER, 1, head([tensor("x", "UINT8", [0, 2**63 - 1])])),
    [headed(INFER, 1, [seen("x", "UINT8", [0, 2**63 - 1])])], messages=[{"call": 1, "tensors": {"x": ""}}])
eight = bytes(range(1 * 2 * 1 * 3 * 1 * 2 * 1 * 2))
add("infer-rank-8", WORKER, [frame(INFER, 1, head([tensor("x", "UINT8", [1, 2, 1, 3, 1, 2, 1, 2])], inline=len(eight))), frame(DATA, 1, eight)],
    [headed(INFER, 1, [seen("x", "UINT8", [1, 2, 1, 3, 1, 2, 1, 2])], inline=24), read(DATA, 1, bytes=24)],
    messages=[{"call": 1, "tensors": {"x": eight.hex()}}])
words = strings(b"", "Grüße".encode(), b"\0\xff")
add("infer-bytes", WORKER, [frame(INFER, 1, head([tensor("text", "BYTES", [3], size=len(words))], inline=len(words))), frame(DATA, 1, words)],
    [headed(INFER, 1, [seen("text", "BYTES", [3], size=len(words))], inline=len(words)), read(DATA, 1, bytes=len(words))],
    messages=[{"call": 1, "tensors": {"text": words.hex()}}])
every, listed, shown, wire, at = [], [], {}, b"", 0
for number, datatype in enumerate(SIZES):
    wire += b"\xee" * (at - len(wire))
    content = bytes((number * 16 + i) % 2 if datatype == "BOOL" else (number * 16 + i) % 256 for i in range(2 * SIZES[datatype]))
    every.append(tensor(datatype.lower(), datatype, [2], offset=at))
    listed.append(seen(datatype.lower(), datatype, [2], offset=at))
    shown[datatype.lower()] = content.hex()
    wire += content
    at += 64
add("infer-every-type", WORKER, [frame(INFER, 1, head(every, inline=len(wire))), frame(DATA, 1, wire)],
    [headed(INFER, 1, listed, inline=len(wire)), read(DATA, 1, bytes=len(wire))], messages=[{"call": 1, "tensors": shown}])
gaps = b"A" * 3 + b"\xaa" * 125 + b"B" * 5 + b"\xbb" * 59 + b"C" * 64 + b"\xcc" * 10
add("infer-inline-with-gaps", WORKER,
    [frame(INFER, 1, head([tensor("a", "UINT8", [3]), tensor("b", "UINT8", [5], offset=128), tensor("none", "UINT8", [0]),
                           tensor("c", "UINT8", [64], offset=192)], inline=len(gaps))),
     frame(DATA, 1, gaps[:1]), frame(DATA, 1, gaps[1:130]), frame(DATA, 1, gaps[130:])],
    [headed(INFER, 1, [seen("a", "UINT8", [3]), seen("b", "UINT8", [5], offset=128), seen("none", "UINT8", [0]),
                       seen("c", "UINT8", [64], offset=192)], inline=266),
     read(DATA, 1, bytes=1), read(DATA, 1, bytes=129), read(DATA, 1, bytes=136)],
    messages=[{"call": 1, "tensors": {"a": "41" * 3, "b": "42" * 5, "none": "", "c": "43" * 64}}],
    note="Gaps hold any bytes, also after the last tensor; a tensor of 0 bytes takes no part in the order.")
add("infer-ring", WORKER,
    frame(INFER, 3, head([tensor("a", "FP32", [16], offset=0, place=1), tensor("b", "UINT8", [HALF - 64], offset=64, place=1),
                          tensor("text", "BYTES", [2], size=8, offset=128, place=1)], model=1)),
    [headed(INFER, 3, [seen("a", "FP32", [16], place="ring"), seen("b", "UINT8", [HALF - 64], offset=64, place="ring"),
                       seen("text", "BYTES", [2], size=8, offset=128, place="ring")], model=1)],
    note="`b` ends exactly where the part of the inputs ends. Places of one message may overlap: only the sender's map knows. The ring holds zeros (two empty elements in `text`).")
add("infer-ring-and-inline", WORKER,
    [frame(INFER, 3, head([tensor("a", "INT16", [2, 2], offset=4096, place=1), tensor("b", "INT16", [2])], inline=4)), frame(DATA, 3, b"\1\0\2\0")],
    [headed(INFER, 3, [seen("a", "INT16", [2, 2], offset=4096, place="ring"), seen("b", "INT16", [2])], inline=4), read(DATA, 3, bytes=4)])
left, right = bytes(range(100)), bytes(range(200, 250))
add("infer-two-interleaved", WORKER,
    [frame(INFER, 7, head([tensor("x", "UINT8", [100])], inline=100)), frame(DATA, 7, left[:40]),
     frame(INFER, 9, head([tensor("y", "UINT8", [50])], inline=50)), frame(DATA, 9, right[:1]), frame(DATA, 7, left[40:99]),
     frame(PING, 0, bytes(8)), frame(DATA, 9, right[1:]), frame(DATA, 7, left[99:])],
    [headed(INFER, 7, [seen("x", "UINT8", [100])], inline=100), read(DATA, 7, bytes=40), headed(INFER, 9, [seen("y", "UINT8", [50])], inline=50),
     read(DATA, 9, bytes=1), read(DATA, 7, bytes=59), read(PING, payload="00" * 8), read(DATA, 9, bytes=49), read(DATA, 7, bytes=1)],
    messages=[{"call": 9, "tensors": {"y": right.hex()}}, {"call": 7, "tensors": {"x": left.hex()}}], note="Messages in the order in which they become whole.")
largest_parameters = {"p": ""}
largest_parameters["p"] = "q" * (65536 - len(text(largest_parameters)))
names = [f"{i:03d}" + "n" * 252 for i in range(64)]
largest = head([tensor(n, "FP64", [1, 1, 1, 1, 1, 1, 1, 0]) for n in names], text(largest_parameters))
add("infer-largest-head", WORKER, frame(INFER, 1, largest),
    [headed(INFER, 1, [seen(n, "FP64", [1, 1, 1, 1, 1, 1, 1, 0]) for n in names], parameters=largest_parameters)],
    messages=[{"call": 1, "tensors": {n: "" for n in names}}])
assert len(largest) == 87576, len(largest)
pattern = bytes(i % 251 for i in range(MIB))
add("data-largest", WORKER, [frame(INFER, 1, head([tensor("x", "UINT8", [MIB])], inline=MIB)), frame(DATA, 1, pattern)],
    [headed(INFER, 1, [seen("x", "UINT8", [MIB])], inline=MIB), read(DATA, 1, bytes=MIB)],
    note="One DATA frame of 1 MiB; element i is i mod 251.")
add("cancel", WORKER, frame(CANCEL, 5), [read(CANCEL, 5)], open=[5])
add("cancel-crossed-the-answer", WORKER, frame(CANCEL, 5), [read(CANCEL, 5)], answered=[5], note="Ignored.")
add("cancel-in-the-middle-of-data", WORKER,
    [frame(INFER, 6, head([tensor("x", "UINT8", [100])], inline=100)), frame(DATA, 6, left[:10]), frame(CANCEL, 6), frame(PING, 0, bytes(8))],
    [headed(INFER, 6, [seen("x", "UINT8", [100])], inline=100), read(DATA, 6, bytes=10), read(CANCEL, 6), read(PING, payload="00" * 8)],
    note="The message ends and is never whole.")
add("data-crossed-the-answer", WORKER, frame(DATA, 5, b"late"), [read(DATA, 5, bytes=4)], answered=[5],
    note="The sidecar answered before the message was whole (unknown-model, too-large, overloaded, draining …): skipped.")
add("release", WORKER, frame(RELEASE, 5), [read(RELEASE, 5)], held=[5])
add("result-inline", SIDECAR, [frame(RESULT, 5, head([tensor("y", "FP32", [1])], time=123456789, inline=4)), frame(DATA, 5, pi)],
    [headed(RESULT, 5, [seen("y", "FP32", [1])], time=123456789, inline=4), read(DATA, 5, bytes=4)], open=[5],
    messages=[{"call": 5, "tensors": {"y": pi.hex()}}])
add("result-ring", SIDECAR, frame(RESULT, 5, head([tensor("y", "FP32", [HALF // 4], offset=HALF, place=1)], text({"seed": 7}))),
    [headed(RESULT, 5, [seen("y", "FP32", [HALF // 4], offset=HALF, place="ring")], parameters={"seed": 7})], open=[5],
    note="The whole part of the outputs.")
add("results-interleaved-out-of-order", SIDECAR,
    [frame(RESULT, 8, head([tensor("y", "UINT8", [3])], inline=3)), frame(DATA, 8, b"ab"), frame(RESULT, 7, head()), frame(PROGRESS, 9, struct.pack("<II", 1, 2)),
     frame(DATA, 8, b"c")],
    [headed(RESULT, 8, [seen("y", "UINT8", [3])], inline=3), read(DATA, 8, bytes=2), headed(RESULT, 7), read(PROGRESS, 9, step=1, steps=2, preview=""),
     read(DATA, 8, bytes=1)], open=[7, 8, 9], messages=[{"call": 7, "tensors": {}}, {"call": 8, "tensors": {"y": "616263"}}])
jpeg = b"\xff\xd8\xff\xe0" + bytes(12) + b"\xff\xd9"
add("progress-with-preview", SIDECAR, frame(PROGRESS, 5, struct.pack("<II", 3, 30) + jpeg), [read(PROGRESS, 5, step=3, steps=30, preview=jpeg.hex())], open=[5])
add("progress-unknown-end", SIDECAR, frame(PROGRESS, 5, struct.pack("<II", 2**32 - 1, 0)), [read(PROGRESS, 5, step=2**32 - 1, steps=0, preview="")], open=[5])
add("progress-longest-preview", SIDECAR, frame(PROGRESS, 5, struct.pack("<II", 1, 1) + b"\x07" * 65536),
    [read(PROGRESS, 5, step=1, steps=1, preview="07" * 65536)], open=[5])
cancelled = {"code": "cancelled", "message": "cancelled", "retryable": False}
add("error-of-a-call", SIDECAR, frame(ERROR, 5, text(cancelled)), [read(ERROR, 5, **cancelled)], open=[5])
broke = {"code": "failed", "message": "the disk is gone", "retryable": True}
add("error-replaces-result", SIDECAR,
    [frame(RESULT, 5, head([tensor("y", "UINT8", [3]), tensor("z", "UINT8", [64], offset=HALF, place=1)], inline=3)), frame(DATA, 5, b"ab"), frame(ERROR, 5, text(broke))],
    [headed(RESULT, 5, [seen("y", "UINT8", [3]), seen("z", "UINT8", [64], offset=HALF, place="ring")], inline=3), read(DATA, 5, bytes=2), read(ERROR, 5, **broke)],
    open=[5], note="The call failed; no RELEASE is owed for `z`.")

# ---------------------------------------------------------------- answers to one call: the connection goes on

bad("unknown-model", WORKER, [frame(INFER, 1, head(model=2)), frame(PING, 0, bytes(8))], [headed(INFER, 1, model=2), read(PING, payload="00" * 8)],
    code="unknown-model", call=1)
bad("too-large-inline", WORKER, frame(INFER, 1, head([tensor("x", "UINT8", [16 * MIB + 1])], inline=16 * MIB + 1)),
    [headed(INFER, 1, [seen("x", "UINT8", [16 * MIB + 1])], inline=16 * MIB + 1)], code="too-large", call=1)
bad("too-large-inline-and-ring", WORKER,
    frame(INFER, 1, head([tensor("a", "UINT8", [16 * MIB]), tensor("b", "UINT8", [1], place=1)], inline=16 * MIB)),
    [headed(INFER, 1, [seen("a", "UINT8", [16 * MIB]), seen("b", "UINT8", [1], place="ring")], inline=16 * MIB)], code="too-large", call=1)
bad("overloaded", WORKER, frame(INFER, 3, head()), [headed(INFER, 3)], code="overloaded", call=3, open=[1, 2], context={"maxCalls": 2})
bad("draining", WORKER, frame(INFER, 3, head()), [headed(INFER, 3)], code="draining", call=3, phase="draining")
for label, content, count in [("too-long", struct.pack("<I", 5) + b"abcd", 1), ("too-few", strings(b"abcd"), 2), ("left-over", strings(b"", b"") + b"\0", 2)]:
    bad(f"bytes-elements-{label}", WORKER, [frame(INFER, 1, head([tensor("text", "BYTES", [count], size=len(content))], inline=len(content))), frame(DATA, 1, content)],
        [headed(INFER, 1, [seen("text", "BYTES", [count], size=len(content))], inline=len(content)), read(DATA, 1, bytes=len(content))], code="bad-input", call=1)

# ---------------------------------------------------------------- bad frames: the connection is closed

bad("version-mismatch", WORKER, frame(HELLO, 0, hello(2, 3)), [read(HELLO, min=2, max=3, json=WORKER_JSON)], code="version-mismatch", phase="new")
bad("hello-magic", WORKER, frame(HELLO, 0, hello(magic=b"MYLM")), phase="new")
bad("hello-http", WORKER, b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n", phase="new", note="The length is over the limit.")
bad("hello-range-reversed", WORKER, frame(HELLO, 0, hello(2, 1)), phase="new")
bad("hello-short", WORKER, frame(HELLO, 0, b"MYLN\1\0\1"), phase="new")
bad("hello-no-json", WORKER, frame(HELLO, 0, b"MYLN\1\0\1\0"), phase="new")
bad("hello-json-array", WORKER, frame(HELLO, 0, hello(value=b"[]")), phase="new")
bad("hello-json-utf8", WORKER, frame(HELLO, 0, hello(value=b'{"product":"\xff\xfe"}')), phase="new")
bad("hello-json-too-long", WORKER, frame(HELLO, 0, hello(value=text(longest) + b" ")), phase="new")
bad("hello-ring-outside-file", WORKER, frame(HELLO, 0, hello(value={**WORKER_JSON, "ring": {
    "path": "/dev/shm/x", "bytes": MIB, "inputs": {"offset": 0, "bytes": HALF}, "outputs": {"offset": HALF, "bytes": HALF + 1}}})), phase="new")
bad("hello-ring-parts-overlap", WORKER, frame(HELLO, 0, hello(value={**WORKER_JSON, "ring": {
    "path": "/dev/shm/x", "bytes": MIB, "inputs": {"offset": 0, "bytes": HALF + 64}, "outputs": {"offset": HALF, "bytes": HALF}}})), phase="new")
bad("hello-limits-negative", WORKER, frame(HELLO, 0, hello(value={**WORKER_JSON, "maxCalls": -1})), phase="new")
bad("hello-with-call", WORKER, frame(HELLO, 1, hello()), phase="new")
bad("hello-sidecar-range", SIDECAR, frame(HELLO, 0, hello(1, 2, SIDECAR_JSON)), phase="new", note="The answer names one version.")
bad("hello-twice", WORKER, frame(HELLO, 0, hello()), phase="loading")
bad("first-frame-ping", WORKER, frame(PING, 0, bytes(8)), phase="new")
bad("infer-before-ready", WORKER, frame(INFER, 1, head()), phase="loading")
bad("ready-no-models", SIDECAR, frame(READY, 0, text({"models": []})), phase="loading")
bad("ready-257-models", SIDECAR, frame(READY, 0, text({"models": [{**MODEL, "name": f"m{i}"} for i in range(257)]})), phase="loading")
bad("ready-no-list", SIDECAR, frame(READY, 0, text({"models": {}})), phase="loading")
bad("ready-no-json", SIDECAR, frame(READY, 0, b"{"), phase="loading")
bad("ready-twice", SIDECAR, frame(READY, 0, text({"models": [MODEL]})))
bad("ready-from-worker", WORKER, frame(READY, 0, text({"models": [MODEL]})))

bad("length-over-limit", WORKER, frame(DATA, 1, length=MIB + 1), open=[1], note="Refused by the header alone.")
bad("length-largest", WORKER, frame(200, 0, length=2**32 - 1), note="Extensions have the limit as well.")
bad("flags", WORKER, frame(PING, 0, bytes(8), flags=1))
bad("zero", WORKER, frame(PING, 0, bytes(8), zero=256))
bad("type-0", WORKER, frame(0))
bad("type-13", WORKER, frame(13))
bad("type-127", WORKER, frame(127, 0, b"abc"))
bad("ping-7-bytes", WORKER, frame(PING, 0, bytes(7)))
bad("ping-with-call", WORKER, frame(PING, 1, bytes(8)))
bad("pong-9-bytes", SIDECAR, frame(PONG, 0, bytes(9)))
bad("drain-with-payload", WORKER, frame(DRAIN, 0, b"\0"))
bad("infer-after-drain", WORKER, [frame(DRAIN), frame(INFER, 2, head())], [read(DRAIN)], open=[1])
bad("error-no-object", SIDECAR, frame(ERROR, 5, b'"failed"'), open=[5])
bad("error-without-code", SIDECAR, frame(ERROR, 5, b'{"message":"?"}'), open=[5])
bad("error-too-long", SIDECAR, frame(ERROR, 5, text(big_error) + b" "), open=[5])
bad("error-of-the-worker-for-a-call", WORKER, frame(ERROR, 5, text(broke)), open=[5], note="A worker cancels a call; ERROR from it is for the connection.")
bad("error-of-unknown-call", SIDECAR, frame(ERROR, 6, text(broke)), open=[5])

bad("infer-call-0", WORKER, frame(INFER, 0, head()))
bad("infer-call-used-twice", WORKER, [frame(INFER, 4, head()), frame(INFER, 4, head())], [headed(INFER, 4)])
bad("infer-call-smaller", WORKER, [frame(INFER, 4, head()), frame(INFER, 3, head())], [headed(INFER, 4)])
bad("infer-from-sidecar", SIDECAR, frame(INFER, 5, head()), open=[5])
bad("result-from-worker", WORKER, frame(RESULT, 5, head()), open=[5])
bad("result-of-unknown-call", SIDECAR, frame(RESULT, 6, head()), open=[5])
bad("result-twice", SIDECAR, [frame(RESULT, 5, head()), frame(RESULT, 5, head())], [headed(RESULT, 5)], open=[5])
bad("result-with-model", SIDECAR, frame(RESULT, 5, head(model=1)), open=[5])
bad("error-after-whole-result", SIDECAR, [frame(RESULT, 5, head()), frame(ERROR, 5, text(broke))], [headed(RESULT, 5)], open=[5])
bad("progress-short", SIDECAR, frame(PROGRESS, 5, bytes(7)), open=[5])
bad("progress-preview-too-long", SIDECAR, frame(PROGRESS, 5, bytes(8 + 65537)), open=[5])
bad("progress-of-unknown-call", SIDECAR, frame(PROGRESS, 6, bytes(8)), open=[5])
bad("progress-call-0-when-ready", SIDECAR, frame(PROGRESS, 0, bytes(8)))
bad("progress-from-worker", WORKER, frame(PROGRESS, 5, bytes(8)), open=[5])
bad("cancel-with-payload", WORKER, frame(CANCEL, 5, b"\0"), open=[5])
bad("cancel-call-0", WORKER, frame(CANCEL))
bad("cancel-never-begun", WORKER, frame(CANCEL, 6), open=[5])
bad("release-nothing-held", WORKER, frame(RELEASE, 5), open=[5])
bad("release-twice", WORKER, [frame(RELEASE, 5), frame(RELEASE, 5)], [read(RELEASE, 5)], held=[5])
bad("data-empty", WORKER, [frame(INFER, 1, head([tensor("x", "UINT8", [2])], inline=2)), frame(DATA, 1)],
    [headed(INFER, 1, [seen("x", "UINT8", [2])], inline=2)])
bad("data-too-much", WORKER, [frame(INFER, 1, head([tensor("x", "UINT8", [2])], inline=2)), frame(DATA, 1, b"abc")],
    [headed(INFER, 1, [seen("x", "UINT8", [2])], inline=2)])
bad("data-after-whole", WORKER, [frame(INFER, 1, head([tensor("x", "UINT8", [2])], inline=2)), frame(DATA, 1, b"ab"), frame(DATA, 1, b"c")],
    [headed(INFER, 1, [seen("x", "UINT8", [2])], inline=2), read(DATA, 1, bytes=2)])
bad("data-none-announced", WORKER, [frame(INFER, 1, head()), frame(DATA, 1, b"a")], [headed(INFER, 1)])
bad("data-never-begun", WORKER, frame(DATA, 6, b"a"), open=[5])
bad("data-before-result", SIDECAR, frame(DATA, 5, b"a"), open=[5])
bad("data-after-error", SIDECAR, [frame(RESULT, 5, head([tensor("y", "UINT8", [3])], inline=3)), frame(ERROR, 5, text(broke)), frame(DATA, 5, b"abc")],
    [headed(RESULT, 5, [seen("y", "UINT8", [3])], inline=3), read(ERROR, 5, **broke)], open=[5])

# ---------------------------------------------------------------- bad heads

x = tensor("x", "UINT8", [2])
bad("head-short", WORKER, frame(INFER, 1, head()[:23]))
bad("head-65-tensors", WORKER, frame(INFER, 1, head([tensor(f"t{i}", "UINT8", [0]) for i in range(65)])))
bad("head-more-tensors-than-bytes", WORKER, frame(INFER, 1, head([x], count=2, inline=2)))
bad("head-cut-in-tensor", WORKER, frame(INFER, 1, head([x], inline=2)[:-8]))
bad("head-cut-in-dims", WORKER, frame(INFER, 1, head([tensor("x", "UINT8", [1, 1])], inline=1)[:24 + 24 + 12]))
bad("head-cut-in-padding", WORKER, frame(INFER, 1, head([x], inline=2)[:-1]))
bad("head-trailing-bytes", WORKER, frame(INFER, 1, head([x], inline=2) + bytes(8)))
bad("head-parameters-cut", WORKER, frame(INFER, 1, head(parameters=b'{"a":1}', parameter_bytes=8)))
bad("head-parameters-too-long", WORKER, frame(INFER, 1, head(parameters=text(largest_parameters) + b" ")))
bad("head-parameters-no-json", WORKER, frame(INFER, 1, head(parameters=b"{a:1}")))
bad("head-parameters-no-object", WORKER, frame(INFER, 1, head(parameters=b"[1,2]")))
bad("head-parameters-utf8", WORKER, frame(INFER, 1, head(parameters=b'{"a":"\xc3("}')))
one("tensor-name-empty", [tensor("", "UINT8", [2])], inline=2)
one("tensor-name-utf8", [tensor(b"\xc3\x28", "UINT8", [2])], inline=2)
one("tensor-name-twice", [tensor("x", "UINT8", [0]), tensor("x", "UINT8", [0])])
one("tensor-name-longer-than-head", [tensor("x", "UINT8", [2], name_length=255)], inline=2)
one("tensor-padding", [tensor("x", "UINT8", [2], padding=b"\1")], inline=2)
one("tensor-zero", [tensor("x", "UINT8", [2], zero=1)], inline=2)
one("tensor-type-0", [tensor("x", "UINT8", [2], code=0)], inline=2)
one("tensor-type-14", [tensor("x", "UINT8", [2], code=14)], inline=2)
one("tensor-rank-9", [tensor("x", "UINT8", [1] * 9)], inline=1)
one("tensor-rank-255", [tensor("x", "UINT8", [], rank=255)], inline=1)
one("tensor-place-2", [tensor("x", "UINT8", [2], place=2)], inline=2)
one("tensor-dimension-2-63", [tensor("x", "UINT8", [2**63], size=0)])
one("tensor-dims-overflow", [tensor("x", "UINT8", [2**63 - 1, 2**63 - 1, 4], size=4)], inline=4, note="(2⁶³−1)² · 4 is 4 modulo 2⁶⁴.")
one("tensor-dims-overflow-to-0", [tensor("x", "UINT8", [2**32, 2**32], size=0)])
one("tensor-size-overflow-to-0", [tensor("x", "FP32", [2**62], size=0)])
one("tensor-bytes-too-few", [tensor("x", "FP32", [2], size=7)], inline=7)
one("tensor-bytes-too-many", [tensor("x", "FP32", [2], size=9)], inline=9)
one("tensor-scalar-0-bytes", [tensor("x", "FP32", [], size=0)])
one("tensor-BYTES-too-few", [tensor("x", "BYTES", [3], size=11)], inline=11, note="Each element takes at least its length's 4 bytes.")
one("tensor-BYTES-without-elements", [tensor("x", "BYTES", [0], size=4)], inline=4)
one("inline-misaligned", [tensor("x", "UINT8", [2], offset=8)], inline=10)
one("inline-overlap", [tensor("a", "UINT8", [65]), tensor("b", "UINT8", [2], offset=64)], inline=66)
one("inline-out-of-order", [tensor("a", "UINT8", [2], offset=64), tensor("b", "UINT8", [2])], inline=66)
one("inline-beyond", [tensor("x", "UINT8", [3])], inline=2)
one("inline-offset-beyond", [tensor("x", "UINT8", [2], offset=2**64 - 64)], inline=2)
one("inline-0-bytes-with-offset", [tensor("x", "UINT8", [0], offset=64)], inline=64)
one("ring-0-bytes", [tensor("x", "UINT8", [0], place=1)])
one("ring-misaligned", [tensor("x", "UINT8", [2], offset=32, place=1)])
one("ring-beyond-part", [tensor("x", "UINT8", [65], offset=HALF - 64, place=1)])
one("ring-inputs-in-outputs-part", [tensor("x", "UINT8", [64], offset=HALF, place=1)])
one("ring-outputs-in-inputs-part", [tensor("y", "UINT8", [64], offset=0, place=1)], direction=SIDECAR, kind=RESULT)
one("ring-beyond-file", [tensor("y", "UINT8", [65], offset=MIB - 64, place=1)], direction=SIDECAR, kind=RESULT)
one("ring-offset-overflow", [tensor("x", "UINT8", [128], offset=2**64 - 64, place=1)])
one("ring-without-ring", [tensor("x", "UINT8", [64], place=1)], context={"ring": None})


def main():
    folder = Path(__file__).resolve().parent
    assert len({vector["name"] for vector, _ in vectors}) == len(vectors), "a name is used twice"
    lines = ",\n".join("  " + json.dumps(vector, ensure_ascii=False) for vector, _ in vectors)
    files = {"vectors.json": ('{"version": 1,\n "context": %s,\n "vectors": [\n%s\n]}\n' % (json.dumps(CONTEXT), lines)).encode()}
    files.update({vector["file"]: data for vector, data in vectors if "file" in vector})
    if "--check" in sys.argv:
        there = {p.name for p in folder.glob("*.bin")} | {"vectors.json"}
        wrong = sorted(n for n in there | set(files) if n not in files or not (folder / n).exists() or (folder / n).read_bytes() != files[n])
        print("\n".join(f"{n} differs" for n in wrong))
        return 1 if wrong else 0
    for name, data in files.items():
        (folder / name).write_bytes(data)
    print(f"{len(vectors)} vectors, {sum(not v['valid'] for v, _ in vectors)} of them refused, {len(files) - 1} files of bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
