#!/usr/bin/env python3
"""The models that every conformance suite drives, in index order; see docs/internals/sidecar-python.md.

    python3 sidecars/python/tests/conformance_sidecar.py --listen unix:/tmp/x.sock --listen http://127.0.0.1:9000
"""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from myelin_sidecar import Failed, Tensor, model, serve  # noqa: E402

PREVIEW = bytes(range(16))
CYCLE = bytes(i % 251 for i in range(251))


def number(call, name):
    """The only element of an INT64 tensor, with NumPy or without."""
    return int(call.tensor(name).values()[0])


def int64(value):
    return Tensor.of("INT64", [1], [value])


@model(name="identity", concurrency=16)
def identity(call):
    return {name: call.tensor(name) for name in call}


@model(name="double", concurrency=16, inputs=[("x", "FP32", [-1])], outputs=[("y", "FP32", [-1])])
def double(call):
    x = call["x"]
    if isinstance(x, Tensor):  # no NumPy
        return {"y": Tensor.of("FP32", x.shape, [2 * value for value in x.values()])}
    y = call.output("y", "FP32", x.shape)
    y[...] = x
    y *= 2
    return {"y": y}


@model(name="sleep", concurrency=16)
def sleep(call):
    """With a gate, a path: makes path.begun and waits for the path in place of the time."""
    milliseconds = number(call, "ms")
    if "gate" in list(call):
        gate = Path(call.tensor("gate").values()[0].decode())
        Path(f"{gate}.begun").touch()
        while not gate.exists():
            call.check()
            time.sleep(0.005)
        return {"ms": int64(milliseconds)}
    end = time.monotonic() + milliseconds / 1000
    while (left := end - time.monotonic()) > 0:
        call.check()
        time.sleep(min(left, 0.005))
    return {"ms": int64(milliseconds)}


@model(name="fail", concurrency=16)
def fail(call):
    raise Failed(call.tensor("message").values()[0].decode())


@model(name="progress", concurrency=16)
def progress(call):
    steps = number(call, "steps")
    for step in range(1, steps + 1):
        call.check()
        call.progress(step, steps, PREVIEW)
    return {"steps": int64(steps)}


@model(name="crash", concurrency=16)
def crash(call):
    os._exit(7)


@model(name="hang", concurrency=16, cancel=False)
def hang(call):
    while True:
        time.sleep(3600)


@model(name="big", concurrency=16)
def big(call):
    size = number(call, "bytes")
    y = call.output("y", "UINT8", [size])
    target = y.data if isinstance(y, Tensor) else memoryview(y)
    block = CYCLE * 4096  # a multiple of 251: repeated, the pattern goes on
    for at in range(0, size, len(block)):
        call.check()
        target[at:at + len(block)] = block[:size - at]
    return {"y": y}


if __name__ == "__main__":
    serve(identity, double, sleep, fail, progress, crash, hang, big)
