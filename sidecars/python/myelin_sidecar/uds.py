"""The sidecar protocol on a Unix socket (docs/sidecar-protocol.md).

A connection has no thread of its own. One thread of the crew at a time has its *reading turn*: it decodes frames, answers pings
and cancels, and when a call is whole and may be computed it gives the reading turn to another thread and computes the call
itself. What the reading turn owns is marked so below; the rest is guarded by ``_state``. ``_sending`` is held for one frame.
"""
from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import __version__, tensors, wire
from .call import Call, Output
from .errors import BadInput, Cancelled, Draining, OutOfMemory, Overloaded, SidecarError, TooLarge, UnknownModel
from .model import Served
from .ring import Ring, read_places
from .sockets import close, listen, send_all, set_timeouts
from .tensors import Tensor
from .wire import BadFrame, Head, HeadTensor
from .work import Work

log = logging.getLogger("myelin_sidecar")

BUFFER = 128 * 1024  # holds the largest head; DATA goes past it
READ = 16 * 1024  # asked for at once, so that little of a following DATA has to be moved
SMALL_OUTPUT = 4096  # bytes up to which an output goes inline: cheaper than the ring and its RELEASE
RING_WAIT = 0.02  # seconds, then inline
LARGE_ANSWER = 64 * 1024  # bytes from which the next call starts before the answer is sent
SEND_TIMEOUT = 60  # seconds that a worker may leave the socket full


class Limits(NamedTuple):
    calls: int = 1024
    call_bytes: int = 1 << 30


class UdsCall(Call):
    """A call with its way back."""

    def __init__(self, connection: "Connection", number: int, model: Served, head: Head):
        deadline = time.monotonic() + head.time / 1000 if head.time and head.time < 1 << 50 else None
        super().__init__(model, {}, head.parameters, deadline)
        self.connection = connection
        self.number = number
        self.head: Optional[Head] = head
        self.inline: Optional[memoryview] = None
        self.missing = head.inline  # bytes of DATA; reading turn
        self._blocks: Dict[int, memoryview] = {}  # of the ring, reserved for outputs, by offset

    def whole(self) -> None:
        """Makes the tensors once all bytes are there. :class:`BadInput` where they do not fit the model."""
        head, self.head = self.head, None
        assert head is not None
        ring = self.connection.ring
        for name, kind, shape, in_ring, offset, size in head.tensors:
            memory = ring.readable if in_ring and ring is not None else self.inline
            data = memory[offset:offset + size] if size and memory is not None else memoryview(b"")
            if not kind.size:
                tensors.check_bytes(data, tensors.elements(shape), name)
            self._inputs[name] = Tensor(name, kind, shape, data)
        if self.model.inputs:
            self.model.check_inputs([(t.name, t.kind, t.shape) for t in self._inputs.values()])

    def _send_progress(self, step: int, steps: int, preview: bytes) -> None:
        self.connection.progress(self.number, step, steps, preview)

    def _reserve(self, size: int) -> memoryview:
        ring = self.connection.ring
        if ring is not None and size > SMALL_OUTPUT:
            offset = ring.free_outputs.take(size, RING_WAIT)
            if offset is not None:
                self._blocks[offset] = ring.memory[offset:offset + size]
                return self._blocks[offset]
        return super()._reserve(size)

    def _answer(self, outputs: List[Output], elapsed: int) -> None:
        connection = self.connection
        total = sum(output.size for output in outputs)
        if total > connection.limits.call_bytes:
            raise TooLarge(f"the outputs have {total} bytes, but {connection.limits.call_bytes} are agreed")
        if total > LARGE_ANSWER:
            connection.work.pass_on(self)
        placed: List[HeadTensor] = []
        inline: List[Tuple[int, memoryview]] = []
        used: List[int] = []
        filled = 0
        for name, kind, shape, source, size in outputs:
            offset = self._place(source, size) if size > SMALL_OUTPUT and connection.ring is not None else None
            if offset is not None and offset not in used:
                used.append(offset)
                placed.append(HeadTensor(name, kind, shape, True, offset, size))
            elif not size:
                placed.append(HeadTensor(name, kind, shape, False, 0, 0))
            else:
                filled += -filled % wire.ALIGNMENT
                placed.append(HeadTensor(name, kind, shape, False, filled, size))
                inline.append((filled, self._own(source, size)))
                filled += size
        for offset in [offset for offset in self._blocks if offset not in used]:
            self._release(offset)  # reserved, but not returned
        head = wire.write_head(0, elapsed, filled, placed)
        connection.answer(self, used, head, inline, filled)

    def _place(self, source: Any, size: int) -> Optional[int]:
        """Where in the ring an output lies: where the model has put it, or a copy; None where the ring is full."""
        ring = self.connection.ring
        assert ring is not None
        offset = ring.offset_of(source, self._blocks) if self._blocks else None
        if offset is not None:
            return offset
        offset = ring.free_outputs.take(size, RING_WAIT)
        if offset is not None:
            self._blocks[offset] = ring.memory[offset:offset + size]
            tensors.copy_into(self._blocks[offset], source)
        return offset

    def _own(self, source: Any, size: int) -> memoryview:
        """Bytes that stay as they are while they are sent: the ring's may be written anew by then."""
        ring = self.connection.ring
        data = tensors.flat_bytes(source)
        return memoryview(bytes(data)) if ring is not None and (size <= SMALL_OUTPUT or ring.holds(data)) else data

    def _release(self, offset: int) -> None:
        del self._blocks[offset]
        ring = self.connection.ring
        assert ring is not None
        ring.free_outputs.free(offset)

    def _fail(self, error: SidecarError) -> None:
        for offset in list(self._blocks):
            self._release(offset)
        self.connection.fail(self.number, error)


class Connection:
    """One worker."""

    def __init__(self, server: "UdsServer", sock: socket.socket):
        self.server = server
        self.work: Work = server.work
        self.limits: Limits = server.limits
        self.ring: Optional[Ring] = None
        self._socket = sock
        # Of the reading turn.
        self._buffer = memoryview(bytearray(BUFFER))
        self._begin = self._end = 0
        self._greeted = False
        self._last = 0  # highest call number so far
        self._worker_drains = False
        # Guarded by _state.
        self._state = threading.Lock()
        self._ready = False
        self._closed = False
        self._draining = False
        self._calls: Dict[int, UdsCall] = {}  # without an answer
        self._held: Dict[int, List[int]] = {}  # answered; places in the ring until RELEASE
        self._sending = threading.Lock()

    # ------------------------------------------------------------ reading turn

    def read(self) -> Optional[UdsCall]:
        """The next call that has its turn; None once the connection is over."""
        try:
            while True:
                if self._end - self._begin < wire.HEADER.size:
                    self._fill(wire.HEADER.size)
                length, kind, flags, zero, number = wire.HEADER.unpack_from(self._buffer, self._begin)
                wire.check_header(length, kind, flags, zero)
                if not self._greeted and kind != wire.HELLO:
                    raise BadFrame(f"the first frame is HELLO, not type {kind}")
                self._begin += wire.HEADER.size
                if kind == wire.DATA:
                    call = self._data(number, length)
                elif kind >= wire.FIRST_EXTENSION:
                    self._skip(length)
                    continue
                else:
                    if self._end - self._begin < length:
                        self._fill(length)
                    payload = self._buffer[self._begin:self._begin + length]
                    self._begin += length
                    call = self._frame(kind, number, payload)
                if call is not None:
                    return call
        except BadFrame as fault:
            log.warning("the worker's stream is broken: %s", fault)
            self._fail_connection("bad-frame", str(fault), True)
        except (EOFError, OSError):
            pass
        except Exception as fault:
            log.exception("a frame could not be handled; this is a fault of the sidecar")
            self._fail_connection("failed", f"{type(fault).__name__}: {fault}", True)
        return None

    def _fill(self, size: int) -> None:
        """Reads until the buffer has ``size`` bytes from ``_begin`` on."""
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._begin + size > BUFFER or self._end + READ > BUFFER:
            count = self._end - self._begin
            self._buffer[:count] = bytes(self._buffer[self._begin:self._end])
            self._begin, self._end = 0, count
        while self._end - self._begin < size:
            got = self._socket.recv_into(self._buffer[self._end:max(self._begin + size, min(self._end + READ, BUFFER))])
            if not got:
                raise EOFError
            self._end += got

    def _skip(self, length: int) -> None:
        while length:
            if self._begin == self._end:
                self._fill(1)
            step = min(length, self._end - self._begin)
            self._begin += step
            length -= step

    def _data(self, number: int, length: int) -> Optional[UdsCall]:
        call = self._calls.get(number)
        if call is None:
            if not 0 < number <= self._last:
                raise BadFrame(f"DATA of call {number}, which never began")
            self._skip(length)  # crossed the answer
            return None
        if length > call.missing:
            raise BadFrame(f"call {number} has announced {call.missing} more bytes, and got {length}")
        assert call.inline is not None
        at = len(call.inline) - call.missing
        target = call.inline[at:at + length]
        have = min(length, self._end - self._begin)
        target[:have] = self._buffer[self._begin:self._begin + have]
        self._begin += have
        while have < length:  # past the buffer, and the next header with the same system call
            got = self._socket.recvmsg_into([target[have:], self._buffer[:READ]])[0]
            if not got:
                raise EOFError
            have += got
            self._begin, self._end = 0, max(0, have - length)
        call.missing -= length
        return None if call.missing else self._whole(call)

    def _frame(self, kind: int, number: int, payload: memoryview) -> Optional[UdsCall]:
        if kind == wire.INFER:
            return self._infer(number, payload)
        if kind == wire.CANCEL:
            self._cancel(number)
        elif kind == wire.RELEASE:
            self._released(number)
        elif number:
            raise BadFrame(f"type {kind} with call {number}")
        elif kind == wire.PING:
            self._send([wire.frame(wire.PONG, 0, bytes(payload))])
        elif kind == wire.HELLO:
            self._hello(payload)
        elif kind == wire.DRAIN:
            self._worker_drains = True
            self._close_when_idle()
        elif kind == wire.ERROR:
            error = wire.read_object(payload, "ERROR")
            if not isinstance(error.get("code"), str):
                raise BadFrame("ERROR without a code")
            log.warning("the worker ends the connection: %s: %s", error["code"], error.get("message"))
            raise EOFError
        elif kind != wire.PONG:
            raise BadFrame(f"type {kind} is not sent by a worker")
        return None

    def _hello(self, payload: memoryview) -> None:
        if self._greeted:
            raise BadFrame("a second HELLO")
        if payload[:4] != wire.MAGIC:
            raise BadFrame("HELLO does not begin with MYLN")
        low, high = wire.RANGE.unpack_from(payload, 4)
        if low > high:
            raise BadFrame(f"HELLO speaks versions {low} to {high}")
        hello = wire.read_object(payload[8:], "HELLO")
        calls, call_bytes = (hello.get(key, limit) for key, limit in zip(("maxCalls", "maxCallBytes"), self.limits))
        if type(calls) is not int or type(call_bytes) is not int or calls < 1 or call_bytes < 1:
            raise BadFrame("the limits of HELLO are positive numbers")
        places = None if hello.get("ring") is None else read_places(hello["ring"])
        if not low <= wire.VERSION <= high:
            self._fail_connection("version-mismatch", f"this sidecar speaks version {wire.VERSION}, the worker {low} to {high}", False)
            raise EOFError
        if places is not None:
            try:
                self.ring = Ring(*places)
            except (OSError, ValueError) as fault:
                log.warning("tensors go inline, since the ring cannot be mapped: %s", fault)
        own = {"product": f"myelin-python/{__version__}", "ring": self.ring is not None, "maxCalls": self.limits.calls, "maxCallBytes": self.limits.call_bytes}
        self.limits = Limits(min(calls, self.limits.calls), min(call_bytes, self.limits.call_bytes))
        self._send([wire.frame(wire.HELLO, 0, wire.MAGIC + wire.RANGE.pack(wire.VERSION, wire.VERSION) + wire.write_object(own))])
        self._greeted = True
        self.server.greeted(self)

    def _infer(self, number: int, payload: memoryview) -> Optional[UdsCall]:
        if not self._ready or self._worker_drains or number <= self._last:
            raise BadFrame(f"INFER {number} before READY, after DRAIN, or not above {self._last}")
        head = wire.read_head(payload, self.ring.inputs if self.ring is not None else None)
        self._last = number
        try:
            call = self._begin_call(number, head)
        except SidecarError as error:
            self.fail(number, error)
            return None
        return None if call.missing else self._whole(call)

    def _begin_call(self, number: int, head: Head) -> UdsCall:
        models, limits = self.server.models, self.limits
        if self._draining:
            raise Draining("this sidecar was told to end; nothing was done")
        if head.model >= len(models):
            raise UnknownModel(f"there is no model {head.model}; there are {len(models)}")
        size = head.inline
        for tensor in head.tensors:
            if tensor.ring:
                size += tensor.size
        if size > limits.call_bytes:
            raise TooLarge(f"the call has {size} bytes, but {limits.call_bytes} are agreed")
        call = UdsCall(self, number, models[head.model], head)
        if head.inline:
            try:
                call.inline = tensors.buffer(head.inline)
            except MemoryError:
                raise OutOfMemory(f"no memory for {head.inline} bytes of inputs") from None
        with self._state:
            if len(self._calls) >= limits.calls:
                raise Overloaded(f"{limits.calls} calls are open, which is as many as agreed")
            self._calls[number] = call
        return call

    def _whole(self, call: UdsCall) -> Optional[UdsCall]:
        try:
            call.whole()
        except BadInput as error:
            call.end(error)
            return None
        return call if self.work.enter(call) else None

    def _cancel(self, number: int) -> None:
        if not 0 < number <= self._last:
            raise BadFrame(f"CANCEL of call {number}, which never began")
        call = self._calls.get(number)
        if call is None:
            return  # crossed the answer
        call.interrupt("cancelled by the caller")
        if call.missing or call.model.turns.withdraw(call):
            call.end(Cancelled("cancelled by the caller"))

    def _released(self, number: int) -> None:
        with self._state:
            held = self._held.pop(number, None)
        if held is None or self.ring is None:
            raise BadFrame(f"RELEASE of call {number}, which holds nothing")
        for offset in held:
            self.ring.free_outputs.free(offset)
        if self._worker_drains:
            self._close_when_idle()

    # ------------------------------------------------------------ any thread

    def announce(self, payload: bytes) -> None:
        """READY, once the models are loaded."""
        with self._state:
            if self._ready:
                return
            self._ready = True  # first, since an INFER may come before this returns
        self._send([wire.frame(wire.READY, 0, payload)])

    def load_failed(self, message: str) -> None:
        self._fail_connection("load-failed", message, False)

    def loading(self, step: int, steps: int) -> None:
        if not self._ready:
            self._send([wire.frame(wire.PROGRESS, 0, wire.STEPS.pack(step, steps))])

    def drain(self) -> None:
        with self._state:
            self._draining = True
        self._send([wire.frame(wire.DRAIN, 0)])

    @property
    def idle(self) -> bool:
        """Nothing to answer, nothing to release."""
        with self._state:
            return not self._calls and not self._held

    def progress(self, number: int, step: int, steps: int, preview: bytes) -> None:
        self._send([wire.frame(wire.PROGRESS, number, wire.STEPS.pack(step, steps) + preview)], number)

    def answer(self, call: UdsCall, used: List[int], head: bytes, inline: List[Tuple[int, memoryview]], filled: int) -> None:
        """RESULT with its DATA, frame by frame so that others get between."""
        number = call.number
        with self._state:
            if self._calls.pop(number, None) is None:
                return  # the connection is over
            if used:
                self._held[number] = used
            call._blocks = {}
        frames = [wire.HEADER.pack(len(head), wire.RESULT, 0, 0, number), head]
        at = 0
        for chunk_begin in range(0, filled, wire.MAX_FRAME):
            chunk_end = min(chunk_begin + wire.MAX_FRAME, filled)
            frames.append(wire.HEADER.pack(chunk_end - chunk_begin, wire.DATA, 0, 0, number))
            position = chunk_begin
            while position < chunk_end:
                offset, source = inline[at]
                if position < offset:
                    frames.append(bytes(offset - position))
                    position = offset
                part = source[position - offset:chunk_end - offset]
                frames.append(part)
                position += len(part)
                if position == offset + len(source):
                    at += 1
            self._send(frames)
            frames = []
        if frames:
            self._send(frames)
        if self._worker_drains:
            self._close_when_idle()

    def fail(self, number: int, error: SidecarError) -> None:
        """ERROR of a call."""
        with self._state:
            self._calls.pop(number, None)
        self._send([wire.frame(wire.ERROR, number, wire.error_payload(error.code, str(error), error.retryable))])
        if self._worker_drains:
            self._close_when_idle()

    def close(self) -> None:
        """Ends the reading turn, which ends the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def end(self) -> None:
        """By the last reading turn: what is open has failed, and nothing can be sent."""
        with self._state:
            self._closed = True
            open_calls = list(self._calls.values())
            self._calls.clear()
            self._held.clear()
        for call in open_calls:
            call.interrupt("the connection to the worker is lost")
            if call.model.turns.withdraw(call):
                call.model.counters.cancelled()
        self.close()
        with self._sending:
            self._socket.close()

    def _close_when_idle(self) -> None:
        if self.idle:
            self.close()

    def _fail_connection(self, code: str, message: str, retryable: bool) -> None:
        self._send([wire.frame(wire.ERROR, 0, wire.error_payload(code, message, retryable))])
        self.close()

    def _send(self, parts: Sequence[Any], only_while_open: int = 0) -> None:
        """One or more whole frames. A worker that is gone, or does not read for a minute, ends the connection."""
        with self._sending:
            if self._closed or (only_while_open and only_while_open not in self._calls):
                return
            try:
                send_all(self._socket, parts)
            except OSError:
                self._closed = True
                self.close()


class UdsServer:
    """Listens on a Unix socket and has any number of connections, usually one."""

    def __init__(self, path: str, work: Work, limits: Limits):
        """``OSError`` where it cannot listen there."""
        self.work = work
        self.limits = limits
        self.models: List[Served] = []
        self._ready: Optional[bytes] = None
        self._failure: Optional[str] = None
        self._draining = False
        self._lock = threading.Lock()
        self._connections: List[Connection] = []
        self.told = threading.Event()  # somebody has heard of a failed load
        self._listener = listen(path)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def ready(self, models: List[Served]) -> None:
        self.models = models
        with self._lock:
            self._ready = wire.write_object({"models": [model.describe() for model in models]})
            connections = list(self._connections)
        for connection in connections:
            connection.announce(self._ready)

    def failed(self, message: str) -> None:
        with self._lock:
            self._failure = message
            connections = list(self._connections)
        for connection in connections:
            connection.load_failed(message)
            self.told.set()

    def loading(self, step: int, steps: int) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.loading(step, steps)

    def greeted(self, connection: Connection) -> None:
        """Both HELLO went; on the connection's reading turn."""
        with self._lock:
            self._connections.append(connection)
            ready, failure, draining = self._ready, self._failure, self._draining
        if failure is not None:
            connection.load_failed(failure)
            self.told.set()
        elif ready is not None:
            connection.announce(ready)
        if draining:
            connection.drain()

    def drain(self, patience: float) -> None:
        """Lets the workers have their answers; returns when they have closed, or have had their time."""
        close(self._listener)
        with self._lock:
            self._draining = True
            connections = list(self._connections)
        for connection in connections:
            connection.drain()
        end = time.monotonic() + patience
        idle_since: Optional[float] = None
        while self._connections and time.monotonic() < end:
            idle = all(connection.idle for connection in list(self._connections))
            idle_since = (idle_since or time.monotonic()) if idle else None
            if idle_since is not None and time.monotonic() - idle_since > 2:  # it is theirs to close, but they do not
                break
            time.sleep(0.01)
        for connection in list(self._connections):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            set_timeouts(sock, send=SEND_TIMEOUT)
            self.work.crew.go(self._read, Connection(self, sock))

    def _read(self, connection: Connection) -> None:
        while (call := connection.read()) is not None:
            try:
                self.work.crew.go(self._read, connection)
            except RuntimeError:  # no more threads: compute here, then read on
                log.exception("pings are not answered meanwhile")
                self.work.run(call)
            else:
                self.work.run(call)
                return
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        connection.end()
