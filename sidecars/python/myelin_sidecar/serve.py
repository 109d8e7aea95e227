"""``serve``: listens, loads, serves until told to end, drains, leaves."""
from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import sys
import threading
import time
from typing import Any, Callable, List, NoReturn, Optional, Protocol, Sequence

from .http import HttpServer
from .model import Context, Served
from .uds import Limits, UdsServer
from .work import Work

log = logging.getLogger("myelin_sidecar")

LISTEN = "MYELIN_SIDECAR_LISTEN"
DRAIN_SECONDS = 30.0
FAILURE_LINGER_SECONDS = 2.0  # so that a worker that is about to connect hears why loading failed


class Listener(Protocol):
    """A transport."""

    told: threading.Event

    def loading(self, step: int, steps: int) -> None: ...
    def ready(self, models: List[Served]) -> None: ...
    def failed(self, message: str) -> None: ...
    def drain(self, patience: float) -> None: ...


class Sidecar:
    """What :func:`serve` runs; for tests and for programs that have their own end."""

    def __init__(self, models: Sequence[Any], addresses: Sequence[str], limits: Limits = Limits()):
        """Listens at once; ``ValueError`` or ``OSError`` where it cannot."""
        if not 1 <= len(models) <= 256:
            raise ValueError("a sidecar serves 1 to 256 models")
        self._authors = list(models)
        self._work = Work()
        self.listeners: List[Listener] = [_listen(address, self._work, limits) for address in addresses]

    def load(self) -> bool:
        """Loads every model and becomes ready; False where one failed, of which the workers are told."""
        context = Context.from_environment(self._loading)
        try:
            served = []
            for index, author in enumerate(self._authors):
                if callable(getattr(author, "load", None)):
                    author.load(context)
                served.append(Served(author, index, context))
            if len({(m.name, m.version) for m in served}) != len(served):
                raise ValueError("two models have the same name and version")
        except BaseException as fault:
            log.error("loading failed", exc_info=fault)
            for listener in self.listeners:
                listener.failed(f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__)
            return False
        for listener in self.listeners:
            listener.ready(served)
        return True

    def heard(self, seconds: float) -> None:
        """Waits until some worker knows that loading failed."""
        for listener in self.listeners:
            listener.told.wait(seconds)
            time.sleep(0.1)

    def drain(self, patience: float = DRAIN_SECONDS) -> None:
        """Refuses new calls and returns when the open ones are answered."""
        threads = [threading.Thread(target=listener.drain, args=(patience,), daemon=True) for listener in self.listeners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(patience + 1)

    def _loading(self, step: int, steps: int) -> None:
        for listener in self.listeners:
            listener.loading(step, steps)


def serve(*models: Any, argv: Optional[Sequence[str]] = None) -> NoReturn:
    """Serves models (objects with ``infer``, see :class:`Model`) until SIGTERM, and leaves the process.

    Exit codes: 0 after a clean end, 1 where loading failed, 2 for a wrong address.
    """
    arguments = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    arguments.add_argument("--listen", action="append", default=[])
    arguments.add_argument("--max-calls", type=int, default=Limits().calls)
    arguments.add_argument("--max-call-bytes", type=int, default=Limits().call_bytes)
    given = arguments.parse_known_args(argv)[0]
    if not logging.getLogger().handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    addresses = given.listen or os.environ.get(LISTEN, "").split()
    if not addresses:
        _leave(2, f"Where to listen? Give --listen unix:/path.sock or --listen http://127.0.0.1:9000, or set {LISTEN}.")
    if not 1 <= given.max_calls <= 65_536 or given.max_call_bytes < 1:
        _leave(2, "--max-calls is 1 to 65536, and --max-call-bytes at least 1")

    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(waker)
    try:
        sidecar = Sidecar(models, addresses, Limits(given.max_calls, given.max_call_bytes))
    except (OSError, ValueError) as fault:
        _leave(2, str(fault))
    if os.environ.get(LISTEN):  # a supervisor has started us
        watch_parent(lambda: os.write(waker, b"\0"))

    failed = threading.Event()

    def load() -> None:
        if sidecar.load():
            log.info("ready on %s", " ".join(addresses))
        else:
            failed.set()
            os.write(waker, b"\0")

    threading.Thread(target=load, name="load", daemon=True).start()  # the main thread stays free for signals
    os.read(wake, 1)
    if failed.is_set():
        sidecar.heard(FAILURE_LINGER_SECONDS)
        _leave(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # the second one ends at once
    log.info("draining")
    sidecar.drain()
    _leave(0)


def watch_parent(gone: Callable[[], Any]) -> None:
    """Calls ``gone`` on a thread of its own when the parent process has ended.

    Not prctl(PR_SET_PDEATHSIG): that signal comes when the *thread* that started us ends, which a supervisor with a pool
    of threads does all the time.
    """
    parent = os.getppid()

    def watch() -> None:
        try:
            descriptor = os.pidfd_open(parent)
        except (AttributeError, OSError):
            while os.getppid() == parent:
                time.sleep(0.5)
        else:
            if os.getppid() == parent:
                select.select([descriptor], [], [])
        log.warning("the process that started this sidecar is gone")
        gone()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _listen(address: str, work: Work, limits: Limits) -> Listener:
    if address.startswith("unix:/"):
        return UdsServer(address[5:], work, limits)
    if address.startswith(("http://", "http+unix:/")):
        return HttpServer(address, work, limits)
    raise ValueError(f"'{address}' is no address; write unix:/path.sock, http+unix:/path.sock or http://127.0.0.1:9000")


def _leave(code: int, message: str = "") -> NoReturn:
    """Without waiting for threads of models that never return."""
    if message:
        print(message, file=sys.stderr)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
