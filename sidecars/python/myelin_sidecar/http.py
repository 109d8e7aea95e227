"""The Open Inference Protocol v2 over HTTP/1.1, on a TCP port or a Unix socket.

A thread of the crew per connection, which also computes where the model has a turn. One thread for the whole server watches for
clients that hang up, and interrupts their calls.
"""
from __future__ import annotations

import base64
import json
import logging
import select
import socket
import threading
import time
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple
from urllib.parse import unquote, urlsplit

from . import __version__, oip, tensors
from .call import Call, Output
from .errors import BadInput, Cancelled, DeadlineExceeded, Draining, OutOfMemory, Overloaded, SidecarError, TooLarge, UnknownModel
from .model import Served
from .oip import Request, Unsupported
from .sockets import close, listen, send_all, set_timeouts
from .uds import Limits
from .work import Work

log = logging.getLogger("myelin_sidecar")

MAX_HEAD = 32 * 1024
MAX_JSON = 64 << 20
MAX_CONNECTIONS = 1024
MAX_FOLLOWED = 4096
IDLE_SECONDS = 130
SEND_SECONDS = 60
FOLLOW_WAIT_SECONDS = 10.0
EXTENSIONS = ["binary_tensor_data", "model_repository", "statistics", "myelin_progress", "myelin_cancel"]
REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
           413: "Content Too Large", 417: "Expectation Failed", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
           501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported"}
STATUS = {BadInput: 400, UnknownModel: 404, TooLarge: 413, Unsupported: 501, Draining: 503, Overloaded: 503, OutOfMemory: 503, DeadlineExceeded: 503, Cancelled: 503}


class Refused(Exception):
    """A request that gets an error; ``close`` where the stream cannot be read on."""

    def __init__(self, status: int, message: str, code: Optional[str] = None, close: bool = False):
        super().__init__(message)
        self.status, self.code, self.close = status, code, close


def refusal(error: SidecarError) -> Refused:
    return Refused(STATUS.get(type(error), 503 if error.retryable else 500), str(error), error.code)


class Followed:
    """Progress of a call on its way to who follows it; the oldest is dropped where that one is slow."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: Deque[Tuple[int, int, bytes]] = deque(maxlen=64)
        self.begun = self.ended = self.followed = False

    def report(self, step: int, steps: int, preview: bytes) -> None:
        with self.changed:
            self.waiting.append((step, steps, preview))
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class HttpCall(Call):
    """Its outcome is written by the connection's own thread."""

    def __init__(self, model: Served, request: Request, followed: Optional[Followed]):
        super().__init__(model, request.inputs, request.parameters, time.monotonic() + request.timeout if request.timeout else None)
        self.done = threading.Event()
        self.outputs: List[Output] = []
        self.elapsed = 0
        self.error: Optional[SidecarError] = None
        self._followed = followed

    def _send_progress(self, step: int, steps: int, preview: bytes) -> None:
        if self._followed is not None:
            self._followed.report(step, steps, preview)

    def _answer(self, outputs: List[Output], elapsed: int) -> None:
        self.outputs, self.elapsed = outputs, elapsed
        self.done.set()

    def _fail(self, error: SidecarError) -> None:
        self.error = error
        self.done.set()


class HttpServer:
    """One address."""

    def __init__(self, address: str, work: Work, limits: Limits):
        """``http://HOST:PORT`` or ``http+unix:/path``. ``OSError`` where it cannot listen, ``ValueError`` where it is no address."""
        self.work = work
        self.limits = limits
        self.told = threading.Event()
        self.models: Dict[str, Served] = {}
        self.phase = "loading"  # ready, failed, draining
        self.failure = ""
        self._lock = threading.Lock()
        self._open: Dict[int, Connection] = {}  # by descriptor
        self._calls = 0
        self._followed: Dict[str, Followed] = {}
        self._hang_ups = select.epoll()
        self._listener = listen(address[10:]) if address.startswith("http+unix:") else _listen_tcp(address)
        for function in (self._accept, self._watch):
            threading.Thread(target=function, name=function.__name__, daemon=True).start()

    @property
    def port(self) -> int:
        """The bound TCP port, where 0 was asked for."""
        return int(self._listener.getsockname()[1])

    # ------------------------------------------------------------ the life of the sidecar

    def loading(self, step: int, steps: int) -> None:
        pass  # HTTP has no place for it

    def ready(self, models: List[Served]) -> None:
        self.models = {model.name: model for model in models}
        self.phase = "ready"

    def failed(self, message: str) -> None:
        self.failure, self.phase = message, "failed"

    def drain(self, patience: float) -> None:
        self.phase = "draining"
        close(self._listener)
        end = time.monotonic() + patience
        while self._calls and time.monotonic() < end:
            time.sleep(0.01)
        with self._lock:
            connections = list(self._open.values())
        for connection in connections:
            connection.hang_up()

    # ------------------------------------------------------------ calls

    def begin(self) -> None:
        """A call may be computed; :meth:`end` follows. Raises why not."""
        with self._lock:
            if self.phase == "draining":
                raise Draining("this sidecar was told to end; nothing was done")
            if self._calls >= self.limits.calls:
                raise Overloaded(f"{self.limits.calls} calls are open, which is as many as allowed")
            self._calls += 1

    def end(self) -> None:
        with self._lock:
            self._calls -= 1

    def follow(self, name: str, begin: bool) -> Followed:
        """The call of that name, whichever side comes first."""
        with self._lock:
            followed = self._followed.get(name)
            if followed is None:
                if len(self._followed) >= MAX_FOLLOWED:
                    raise Overloaded("too many calls are followed")
                followed = self._followed[name] = Followed()
            if followed.begun if begin else followed.followed:
                raise BadInput(f"'{name}' is the name of a call that runs" if begin else f"call '{name}' is followed already")
            if begin:
                followed.begun = True
            else:
                followed.followed = True
            return followed

    def unfollow(self, name: str, followed: Followed, only_if_not_begun: bool = False) -> None:
        with self._lock:
            if only_if_not_begun and followed.begun:
                return
            if self._followed.get(name) is followed:
                del self._followed[name]
        followed.end()

    # ------------------------------------------------------------ connections

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            set_timeouts(sock, SEND_SECONDS, IDLE_SECONDS)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            with self._lock:
                full = len(self._open) >= MAX_CONNECTIONS
                if not full:
                    self._open[sock.fileno()] = connection
            if full:
                sock.close()
                continue
            try:
                self._hang_ups.register(sock.fileno(), select.EPOLLRDHUP | select.EPOLLET)
                self.work.crew.go(self._serve, connection)
            except RuntimeError:
                log.exception("no thread for a connection")
                self._forget(connection)

    def _serve(self, connection: "Connection") -> None:
        try:
            connection.serve()
        except (OSError, EOFError):
            pass
        except Exception:
            log.exception("a request could not be handled; this is a fault of the sidecar")
        finally:
            self._forget(connection)

    def _forget(self, connection: "Connection") -> None:
        with self._lock:  # so that the descriptor is not another's while it is looked at
            self._open.pop(connection.socket.fileno(), None)
            connection.socket.close()

    def _watch(self) -> None:
        while True:
            for descriptor, _ in self._hang_ups.poll():
                with self._lock:
                    connection = self._open.get(descriptor)
                    probe = select.poll()
                    probe.register(descriptor, select.POLLRDHUP)
                    gone = connection is not None and bool(probe.poll(0))
                if gone and connection is not None:
                    connection.client_gone()


class Connection:
    """One client; its thread reads a request, computes, and answers."""

    def __init__(self, server: HttpServer, sock: socket.socket):
        self.server = server
        self.socket = sock
        self._buffer = bytearray()
        self._lock = threading.Lock()
        self._call: Optional[HttpCall] = None
        self._gone = False
        self._keep = True

    def client_gone(self) -> None:
        with self._lock:
            self._gone = True
            call = self._call
        if call is not None:
            call.interrupt("the caller has hung up")
            if call.model.turns.withdraw(call):
                call.end(Cancelled("the caller has hung up"))

    def hang_up(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # ------------------------------------------------------------ a request

    def serve(self) -> None:
        while self._keep and not self._gone:
            unread = Unread()
            try:
                head = self._read_head()
                if head is None:
                    return
                method, path, headers, version = head
                self._keep = (headers.get("connection", "").lower() != "close") if version == "HTTP/1.1" else False
                unread = self._body_of(headers)
                self._route(method, path, headers, unread)
                unread.refuse_rest(self)
            except Refused as refused:
                if refused.close or not unread.skippable:
                    self._keep = False
                else:
                    unread.refuse_rest(self)
                error: Dict[str, Any] = {"error": str(refused)}
                if refused.code:
                    error["code"] = refused.code
                self._send_json(refused.status, error)
                if not self._keep:
                    self._linger()

    def _read_head(self) -> Optional[Tuple[str, str, Dict[str, str], str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Refused(431, f"the head of a request has at most {MAX_HEAD} bytes", close=True)
            if not self._more():
                return None
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[:end + 4]
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/"):
            raise Refused(400, "this is no HTTP request", close=True)
        if parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Refused(505, "HTTP/1.1 is spoken here", close=True)
        headers: Dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if not colon or not name or name != name.strip():
                raise Refused(400, "a header line is not 'name: value'", close=True)
            if name in headers and name in ("content-length", "transfer-encoding", "inference-header-content-length") and headers[name] != value:
                raise Refused(400, f"{name} stands twice", close=True)
            headers[name] = value
        return parts[0], parts[1], headers, parts[2]

    def _more(self) -> bool:
        data = self.socket.recv(16384)
        self._buffer += data
        return bool(data)

    def _body_of(self, headers: Dict[str, str]) -> "Unread":
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise Refused(400, "Transfer-Encoding is chunked, without Content-Length", close=True)
            unread = Unread(None)
        elif length is None:
            unread = Unread(0)
        elif not (length.isascii() and length.isdigit()):
            raise Refused(400, "Content-Length is a number", close=True)
        else:
            unread = Unread(int(length))
        expected = headers.get("expect")
        if expected is not None and expected.lower() != "100-continue":
            raise Refused(417, "only 100-continue can be expected", close=True)
        unread.announced = expected is not None
        return unread

    def read_body(self, unread: "Unread", json_bytes: int) -> memoryview:
        """All of it, in memory whose byte ``json_bytes`` is aligned; :class:`Refused` where it is too large."""
        limit = self.server.limits.call_bytes + MAX_JSON
        if unread.left is not None and unread.left > limit:
            raise Refused(413, f"the body has {unread.left} bytes; at most {limit} are taken", "too-large")
        self.go_on(unread)
        if unread.left is None:
            return unread.read_chunked(self, limit)
        size = unread.left
        lead = -json_bytes % 64
        try:
            body = tensors.buffer(lead + size)[lead:]
        except MemoryError:
            raise refusal(OutOfMemory(f"no memory for {size} bytes of body")) from None
        have = min(size, len(self._buffer))
        body[:have] = self._buffer[:have]
        del self._buffer[:have]
        while have < size:
            got = self.socket.recv_into(body[have:])
            if not got:
                raise EOFError
            have += got
        unread.left = 0
        return body

    def go_on(self, unread: "Unread") -> None:
        if unread.announced:
            unread.announced = False
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise EOFError
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > 8192 or not self._more():
                raise EOFError
        data = bytes(self._buffer[:end])
        del self._buffer[:end + 2]
        return data

    # ------------------------------------------------------------ routes

    def _route(self, method: str, target: str, headers: Dict[str, str], body: "Unread") -> None:
        server = self.server
        if "origin" in headers:  # a page in a browser of this machine reaches 127.0.0.1 as well
            raise Refused(403, "browsers are not served")
        path = [unquote(part) for part in target.partition("?")[0].split("/") if part]
        if path[:1] != ["v2"]:
            raise Refused(404, f"there is no {target}")
        path = path[1:]
        if path == []:
            self._only(method, "GET")
            self._send_json(200, {"name": "myelin-python", "version": __version__, "extensions": EXTENSIONS})
        elif path == ["health", "live"]:
            self._only(method, "GET")
            self._send(200, b"", "application/json")
        elif path == ["health", "ready"]:
            self._only(method, "GET")
            self._ready()
        elif path == ["models", "stats"]:
            self._only(method, "GET")
            self._send_json(200, {"model_stats": [oip.statistics(model) for model in server.models.values()]})
        elif path == ["repository", "index"]:
            self._only(method, "POST")
            self._send_json(200, [{"name": m.name, "version": m.version, "state": "READY", "reason": ""} for m in server.models.values()])
        elif path[:1] == ["repository"]:
            raise Refused(501, "a sidecar's models are loaded for as long as it lives")
        elif len(path) == 3 and path[:2] == ["myelin", "calls"]:
            self._only(method, "GET")
            self._follow(path[2])
        elif len(path) >= 2 and path[0] == "models":
            self._model(method, path[1], path[2:], headers, body)
        else:
            raise Refused(404, f"there is no {target}")

    def _only(self, method: str, right: str) -> None:
        if method != right:
            raise Refused(405, f"{right} is the method here, not {method}")

    def _model(self, method: str, name: str, rest: List[str], headers: Dict[str, str], body: "Unread") -> None:
        server = self.server
        if server.phase == "loading":
            raise Refused(503, "the models are still loading")
        if server.phase == "failed":
            raise Refused(503, f"loading failed: {server.failure}")
        model = server.models.get(name)
        version = None
        if rest[:1] == ["versions"] and len(rest) >= 2:
            version, rest = rest[1], rest[2:]
        if model is None or (version is not None and version != model.version):
            raise Refused(404, f"there is no model '{name}'{'' if version is None else f' of version {version}'}; there are {', '.join(server.models)}", "unknown-model")
        if rest == ["infer"]:
            self._only(method, "POST")
            self._infer(model, headers, body)
            return
        if rest in ([], ["ready"], ["stats"]):
            self._only(method, "GET")
            if rest == ["ready"]:
                self._ready()
            else:
                self._send_json(200, {"model_stats": [oip.statistics(model)]} if rest else oip.describe(model))
            return
        raise Refused(404, f"a model has no '{'/'.join(rest)}'")

    def _ready(self) -> None:
        server = self.server
        if server.phase == "failed":
            server.told.set()
            raise Refused(500, server.failure, "load-failed")
        if server.phase != "ready":
            raise Refused(503, "the models are still loading" if server.phase == "loading" else "this sidecar was told to end")
        self._send(200, b"", "application/json")

    def _infer(self, model: Served, headers: Dict[str, str], unread: "Unread") -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(501, f"the content encoding '{headers['content-encoding']}' is not offered; send the body as it is")
        if unread.left is not None and unread.left > self.server.limits.call_bytes + MAX_JSON:
            raise refusal(TooLarge(f"the body has {unread.left} bytes"))
        length = headers.get("inference-header-content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Refused(400, "Inference-Header-Content-Length is a number")
        try:
            self.server.begin()
        except SidecarError as error:
            raise refusal(error) from None
        try:
            request = self._read_request(model, unread, None if length is None else int(length))
            call, answer = self._compute(model, request)
            self._send_parts(200, *answer)
        except SidecarError as error:
            raise refusal(error) from None
        finally:
            self.server.end()

    def _read_request(self, model: Served, unread: "Unread", length: Optional[int]) -> Request:
        body = self.read_body(unread, length or 0)
        if length == 0:
            request = oip.raw_request(body, model)
        else:
            json_bytes = len(body) if length is None else length
            if json_bytes > len(body):
                raise BadInput(f"Inference-Header-Content-Length is {json_bytes}, but the body has {len(body)} bytes")
            if json_bytes > MAX_JSON:
                raise TooLarge(f"the JSON has {json_bytes} bytes; at most {MAX_JSON} are read: send binary tensors")
            request = oip.read_request(body[:json_bytes], body[json_bytes:])
        size = sum(len(tensor.data) for tensor in request.inputs.values())
        if size > self.server.limits.call_bytes:
            raise TooLarge(f"the inputs have {size} bytes, but at most {self.server.limits.call_bytes} are taken")
        model.check_inputs([(t.name, t.kind, t.shape) for t in request.inputs.values()])
        return request

    def _compute(self, model: Served, request: Request) -> Tuple[HttpCall, Tuple[bytes, List[memoryview]]]:
        followed = None if request.call is None else self.server.follow(request.call, begin=True)
        work = self.server.work
        call = HttpCall(model, request, followed)
        try:
            with self._lock:
                self._call = call
                if self._gone:
                    call.interrupt("the caller has hung up")
            if work.enter(call):
                call.run()
                work.pass_on(call)
            else:
                call.done.wait()
        finally:
            with self._lock:
                self._call = None
            if followed is not None and request.call is not None:
                self.server.unfollow(request.call, followed)  # before the answer: who has that has heard everything
        if call.error is not None:
            raise call.error
        return call, oip.write_answer(model, request, oip.choose(request, call.outputs), call.elapsed)

    def _follow(self, name: str) -> None:
        try:
            followed = self.server.follow(name, begin=False)
        except SidecarError as error:
            raise refusal(error) from None
        try:
            self.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n")
            patience = time.monotonic() + FOLLOW_WAIT_SECONDS  # the call may come after its follower
            while True:
                with followed.changed:
                    while not followed.waiting and not followed.ended and not self._gone and (followed.begun or time.monotonic() < patience):
                        followed.changed.wait(0.5)
                    reports = list(followed.waiting)
                    followed.waiting.clear()
                    over = not reports and (followed.ended or self._gone or not followed.begun)
                if over:
                    break
                for step, steps, preview in reports:
                    text = json.dumps({"step": step, "steps": steps, "preview": base64.b64encode(preview).decode() if preview else None})
                    event = f"event: progress\ndata: {text}\n\n".encode()
                    send_all(self.socket, [b"%x\r\n" % len(event), event, b"\r\n"])
            self.socket.sendall(b"0\r\n\r\n")
        finally:
            self.server.unfollow(name, followed, only_if_not_begun=True)

    # ------------------------------------------------------------ answers

    def _send_json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str, more: str = "") -> None:
        head = (f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}"
                f"{'' if self._keep else 'Connection: close' + chr(13) + chr(10)}\r\n")
        send_all(self.socket, [head.encode("latin-1"), body])

    def _send_parts(self, status: int, head: bytes, binary: List[memoryview]) -> None:
        if not binary:
            self._send(status, head, "application/json")
            return
        total = len(head) + sum(map(len, binary))
        start = (f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/octet-stream\r\nContent-Length: {total}\r\n"
                 f"Inference-Header-Content-Length: {len(head)}\r\n{'' if self._keep else 'Connection: close' + chr(13) + chr(10)}\r\n")
        send_all(self.socket, [start.encode("latin-1"), head, *binary])

    def _linger(self) -> None:
        """Lets the client read the answer: closing with unread bytes would throw it away."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            set_timeouts(self.socket, 1, 1)
            for _ in range(512):
                if not self.socket.recv(65536):
                    return
        except OSError:
            pass


class Unread:
    """What of a request's body is still on the socket; ``left`` is None for a chunked one."""

    SKIP = 1 << 20

    def __init__(self, left: Optional[int] = 0):
        self.left = left
        self.announced = False  # the client waits for 100 Continue

    @property
    def skippable(self) -> bool:
        return not self.announced and self.left is not None and self.left <= self.SKIP

    def refuse_rest(self, connection: Connection) -> None:
        """Reads past what nobody wanted, or gives the connection up."""
        if self.left == 0:
            return
        if not self.skippable or self.left is None:
            connection._keep = False
            return
        connection.exactly(self.left)
        self.left = 0

    def read_chunked(self, connection: Connection, limit: int) -> memoryview:
        body = bytearray()
        while True:
            digits = connection.line().partition(b";")[0].strip()
            try:
                size = int(digits, 16) if digits and len(digits) <= 16 and digits.isalnum() else -1
            except ValueError:
                size = -1
            if size < 0:
                raise Refused(400, "a chunk begins with its size", close=True)
            if size == 0:
                break
            if len(body) + size > limit:
                raise Refused(413, f"the body has more than {limit} bytes", "too-large", close=True)
            body += connection.exactly(size)
            if connection.exactly(2) != b"\r\n":
                raise Refused(400, "a chunk ends with an empty line", close=True)
        for _ in range(100):
            if not connection.line():  # trailers are ignored
                self.left = 0
                return memoryview(body)
        raise Refused(400, "too many trailers", close=True)


def _listen_tcp(address: str) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname or parts.port is None or parts.path not in ("", "/"):
        raise ValueError(f"'{address}' is no address; write http://127.0.0.1:9000")
    family, _, _, _, where = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(where)
    listener.listen(1024)
    return listener
