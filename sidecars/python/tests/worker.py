"""The worker's side of the sidecar protocol, for tests: strict, slow and simple."""
import fcntl
import itertools
import json
import logging
import mmap
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

logging.getLogger("myelin_sidecar").setLevel(logging.CRITICAL)  # what tests provoke is not for people

from myelin_sidecar import wire  # noqa: E402
from myelin_sidecar.ring import Allocator  # noqa: E402
from myelin_sidecar.tensors import BY_NAME, Tensor  # noqa: E402
from myelin_sidecar.wire import BadFrame, HeadTensor, Place  # noqa: E402


class Answer:
    """What came of a call."""

    def __init__(self):
        self.head = None
        self.inline = bytearray()
        self.error = None
        self.progress = []

    @property
    def whole(self):
        return self.error is not None or (self.head is not None and len(self.inline) == self.head.inline)


class Reader:
    """Decodes what a sidecar sends; ``BadFrame`` for what it may not send."""

    def __init__(self, phase="new", outputs=None, open_calls=()):
        self.phase, self.outputs = phase, outputs
        self.calls = {number: Answer() for number in open_calls}
        self.done = {}
        self.hello = self.ready = self.error = None
        self.loading = []
        self.pongs = []
        self.draining = False

    def frame(self, kind, number, payload):
        """One frame after its header was checked; what it says, or None for an extension."""
        if kind >= wire.FIRST_EXTENSION:
            return None
        if self.phase == "new" and kind not in (wire.HELLO, wire.ERROR):
            raise BadFrame("the first frame is HELLO")
        seen = {"type": wire_name(kind), "call": number}
        if kind in (wire.HELLO, wire.READY, wire.PING, wire.PONG, wire.DRAIN) and number:
            raise BadFrame("a frame of the connection with a call")
        if kind == wire.HELLO:
            if self.phase != "new" or payload[:4] != wire.MAGIC:
                raise BadFrame("HELLO")
            low, high = struct.unpack_from("<HH", payload, 4)
            if low != high:
                raise BadFrame("the answer names one version")
            self.hello = wire.read_object(payload[8:], "HELLO")
            self.phase = "loading"
            return {**seen, "min": low, "max": high, "json": self.hello}
        if kind == wire.READY:
            self.ready = wire.read_object(payload, "READY")
            models = self.ready.get("models")
            if self.phase != "loading" or not isinstance(models, list) or not 1 <= len(models) <= 256:
                raise BadFrame("READY")
            self.phase = "ready"
            return {**seen, "json": self.ready}
        if kind in (wire.PING, wire.PONG):
            if kind == wire.PONG:
                self.pongs.append(bytes(payload))
            return {**seen, "payload": bytes(payload).hex()}
        if kind == wire.DRAIN:
            self.draining = True
            return seen
        if kind == wire.ERROR:
            value = wire.read_object(payload, "ERROR")
            error = {key: value.get(key) for key in ("code", "message", "retryable")}
            if not isinstance(error["code"], str):
                raise BadFrame("ERROR without a code")
            if number:
                self._open(number).error = error
                self.done[number] = self.calls.pop(number)
            else:
                self.error = error
            return {**seen, **error}
        if kind == wire.PROGRESS:
            step, steps = struct.unpack_from("<II", payload)
            preview = bytes(payload[8:])
            if number == 0:
                if self.phase != "loading":
                    raise BadFrame("PROGRESS(0) when ready")
                self.loading.append((step, steps))
            else:
                self._open(number).progress.append((step, steps, preview))
            return {**seen, "step": step, "steps": steps, "preview": preview.hex()}
        if kind == wire.RESULT:
            answer = self._open(number)
            head = wire.read_head(memoryview(payload), self.outputs)
            if answer.head is not None or head.model:
                raise BadFrame("RESULT")
            answer.head = head
            self._finish(number, answer)
            return {**seen, **shown(head)}
        if kind == wire.DATA:
            answer = self._open(number)
            if answer.head is None or len(answer.inline) + len(payload) > answer.head.inline:
                raise BadFrame("DATA")
            answer.inline += payload
            self._finish(number, answer)
            return {**seen, "bytes": len(payload)}
        raise BadFrame(f"type {kind} is not sent by a sidecar")

    def _open(self, number):
        if number not in self.calls:
            raise BadFrame(f"call {number} is not open")
        return self.calls[number]

    def _finish(self, number, answer):
        if answer.whole:
            self.done[number] = self.calls.pop(number)


def wire_name(kind):
    return ["", "HELLO", "READY", "INFER", "DATA", "RESULT", "ERROR", "PROGRESS", "CANCEL", "RELEASE", "PING", "PONG", "DRAIN"][kind]


def shown(head):
    return {"model": head.model, "time": head.time, "inline": head.inline, "parameters": head.parameters,
            "tensors": [{"name": t.name, "datatype": t.kind.name, "shape": list(t.shape), "place": "ring" if t.ring else "inline",
                         "offset": t.offset, "bytes": t.size} for t in head.tensors]}


class Worker:
    """One connection. Everything happens on the test's thread; waits are bounded."""

    def __init__(self, path, ring=0, max_calls=64, max_call_bytes=1 << 30, versions=(1, 1), greet=True, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connect(self.socket, path, timeout)
        self.socket.settimeout(timeout)
        self.numbers = itertools.count(1)
        self.map = self.file = self.inputs = None
        self.reader = Reader()
        hello = {"product": "tests/1", "maxCalls": max_calls, "maxCallBytes": max_call_bytes}
        if ring:
            self.file, name = tempfile.mkstemp(prefix="myelin-testring-", dir="/dev/shm")
            fcntl.flock(self.file, fcntl.LOCK_EX)
            os.posix_fallocate(self.file, 0, 2 * ring)
            self.map = mmap.mmap(self.file, 2 * ring)
            hello["ring"] = {"path": name, "bytes": 2 * ring, "inputs": {"offset": 0, "bytes": ring}, "outputs": {"offset": ring, "bytes": ring}}
            self.inputs = Allocator(0, ring)
            self.reader.outputs = Place(ring, 2 * ring)
        self.ring_path = hello.get("ring", {}).get("path")
        self.places = {}
        if greet:
            self.send(wire.HELLO, 0, b"MYLN" + struct.pack("<HH", *versions) + json.dumps(hello).encode())
            self.until(lambda: self.reader.hello or self.reader.error)
            if self.ring_path:
                os.unlink(self.ring_path)

    def close(self):
        self.socket.close()
        if self.ring_path and os.path.exists(self.ring_path):
            os.unlink(self.ring_path)
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ready(self):
        self.until(lambda: self.reader.ready or self.reader.error)
        return self

    def send(self, kind, number=0, payload=b""):
        self.socket.sendall(wire.frame(kind, number, payload))

    def read(self):
        """One frame; EOFError at the end of the stream."""
        length, kind, flags, zero, number = wire.HEADER.unpack(self._exactly(wire.HEADER.size))
        wire.check_header(length, kind, flags, zero)
        return self.reader.frame(kind, number, self._exactly(length))

    def until(self, condition):
        while not condition():
            self.read()

    def _exactly(self, size):
        data = bytearray(size)
        view = memoryview(data)
        while size:
            got = self.socket.recv_into(view[len(data) - size:])
            if not got:
                raise EOFError
            size -= got
        return bytes(data)

    def begin(self, model, tensors=None, time=0, parameters=b"", in_ring=(), data=True):
        """Sends INFER and, unless told otherwise, its DATA; the call's number. `tensors`: name → Tensor."""
        number = next(self.numbers)
        placed, inline = [], bytearray()
        for name, tensor in (tensors or {}).items():
            size = len(tensor.data)
            if name in in_ring:
                offset = self.inputs.take(size)
                self.places.setdefault(number, []).append(offset)
                self.map[offset:offset + size] = bytes(tensor.data)
                placed.append(HeadTensor(name, tensor.kind, tensor.shape, True, offset, size))
            elif not size:
                placed.append(HeadTensor(name, tensor.kind, tensor.shape, False, 0, 0))
            else:
                inline += bytes(-len(inline) % 64)
                placed.append(HeadTensor(name, tensor.kind, tensor.shape, False, len(inline), size))
                inline += tensor.data
        self.reader.calls[number] = Answer()
        self.send(wire.INFER, number, wire.write_head(model, time, len(inline), placed, parameters))
        if data:
            for at in range(0, len(inline), wire.MAX_FRAME):
                self.send(wire.DATA, number, inline[at:at + wire.MAX_FRAME])
        return number

    def wait(self, number):
        """The call's answer; ring tensors are copied out and released."""
        self.until(lambda: number in self.reader.done)
        answer = self.reader.done.pop(number)
        for offset in self.places.pop(number, []):
            self.inputs.free(offset)
        if answer.error is None:
            answer.ring = [t.name for t in answer.head.tensors if t.ring]
            memory = memoryview(answer.inline)
            answer.tensors = {
                t.name: Tensor(t.name, t.kind, t.shape, memoryview(self.map[t.offset:t.offset + t.size]) if t.ring else memory[t.offset:t.offset + t.size])
                for t in answer.head.tensors}
            if answer.ring:
                self.send(wire.RELEASE, number)
        return answer

    def infer(self, model, tensors=None, **more):
        return self.wait(self.begin(model, tensors, **more))


def connect(sock, path, timeout=20):
    """Waits until somebody listens."""
    end = time.monotonic() + timeout
    while True:
        try:
            return sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def fp32(*values):
    return Tensor.of("FP32", [len(values)], list(values))


def int64(value):
    return Tensor.of("INT64", [1], [value])


def raw(datatype, shape, data):
    return Tensor("", BY_NAME[datatype], shape, memoryview(data))
