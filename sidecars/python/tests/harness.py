"""A connection of the SDK on one end of a socket pair, at any point of its life, driven on the test's thread."""
import json
import os
import socket
import struct
import tempfile
import threading
from pathlib import Path

import worker  # noqa: F401  (puts the SDK on the path)
from worker import shown, wire_name

from myelin_sidecar import wire
from myelin_sidecar.model import Context, Model, Served
from myelin_sidecar.ring import Ring
from myelin_sidecar.uds import Connection, Limits, UdsCall
from myelin_sidecar.wire import Head, Place

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors" / "sidecar"


def load_vectors():
    """All vectors, each with `bytes` and its whole `context`."""
    document = json.loads((VECTORS / "vectors.json").read_text("utf-8"))
    for vector in document["vectors"]:
        vector["bytes"] = bytes.fromhex(vector["hex"]) if "hex" in vector else (VECTORS / vector["file"]).read_bytes()
        vector["context"] = {**document["context"], **vector.get("context", {})}
    return document["vectors"]


class Any(Model):
    def infer(self, call):
        return {name: call.tensor(name) for name in call}


def make_ring(places):
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="myelin-testring-") as file:
        os.posix_fallocate(file.fileno(), 0, places["bytes"])
        parts = [Place(places[p]["offset"], places[p]["offset"] + places[p]["bytes"]) for p in ("inputs", "outputs")]
        return Ring(file.name, places["bytes"], *parts)


class Waiting:
    """Work that lets no call have its turn, and keeps the messages that became whole."""

    def __init__(self):
        self.messages = []

    def enter(self, call):
        self.messages.append({"call": call.number, "tensors": {name: bytes(call.tensor(name).data).hex() for name in call}})
        return False


class Harness(Connection):
    """Records what it decodes; stands for the server as well."""

    def __init__(self, vector, work=None, ring=None):
        self.there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.there.settimeout(10)
        self.out = bytearray()
        self.work = work or Waiting()
        self.models = [Served(Any(), i, Context.from_environment()) for i in range(len(vector["context"]["models"]))]
        context = vector["context"]
        self._shared = Limits(context["maxCalls"], context["maxCallBytes"])
        super().__init__(_Server(self), here)
        self.frames = []
        phase = vector["phase"]
        self._greeted = phase != "new"
        self._ready = phase in ("ready", "draining")
        self._draining = phase == "draining"
        if self._greeted and context["ring"]:
            self.ring = ring or make_ring(context["ring"])
        open_calls, answered, held = (vector.get(key, []) for key in ("open", "answered", "held"))
        self._last = max([0, *open_calls, *answered, *held])
        for number in open_calls:
            self._calls[number] = UdsCall(self, number, self.models[0], Head(0, 0, 0, {}, []))
        for number in held:
            self._held[number] = [self.ring.free_outputs.take(64)]

    def feed(self, data):
        """What a worker sends, and the end of its stream; the decoded frames."""
        writer = None
        if len(data) > 100_000:
            writer = threading.Thread(target=self._write, args=(data,))
            writer.start()
        else:
            self._write(data)
        while (call := self.read()) is not None:
            self.work.run(call)
        if writer:
            writer.join()
        return self.frames

    def _write(self, data):
        try:
            self.there.sendall(data)
            self.there.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed

    def sent(self):
        """All frames that the sidecar has sent, as (type, call, payload)."""
        self.end()
        self.there.close()
        data, frames = memoryview(self.out), []
        while data:
            length, kind, flags, zero, number = wire.HEADER.unpack_from(data)
            wire.check_header(length, kind, flags, zero)
            frames.append((kind, number, bytes(data[16:16 + length])))
            data = data[16 + length:]
        return frames

    def _send(self, parts, only_while_open=0):
        if not self._closed:  # kept, since nobody reads while the test's thread computes
            for part in parts:
                self.out += part

    def _frame(self, kind, number, payload):
        seen = {"type": wire_name(kind), "call": number}
        if kind in (wire.PING, wire.PONG):
            seen["payload"] = bytes(payload).hex()
        try:
            call = super()._frame(kind, number, payload)
        except EOFError:
            self._note(kind, seen, payload)
            raise
        self._note(kind, seen, payload)
        return call

    def _note(self, kind, seen, payload):
        if kind == wire.INFER:
            seen.update(shown(wire.read_head(payload, self.ring.inputs if self.ring else None)))
        elif kind == wire.HELLO:
            low, high = struct.unpack_from("<HH", payload, 4)
            seen.update(min=low, max=high, json=json.loads(bytes(payload[8:])))
        elif kind == wire.ERROR:
            value = json.loads(bytes(payload))
            seen.update({key: value.get(key) for key in ("code", "message", "retryable")})
        self.frames.append(seen)

    def _data(self, number, length):
        call = super()._data(number, length)
        self.frames.append({"type": "DATA", "call": number, "bytes": length})
        return call


class _Server:
    """What a connection asks of its server."""

    def __init__(self, harness):
        self.work, self.limits, self.models = harness.work, harness._shared, harness.models

    def greeted(self, connection):
        pass
