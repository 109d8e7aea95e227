"""Sidecars for tests: in this process, or a real one."""
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import worker  # noqa: F401  (puts the SDK on the path)

from myelin_sidecar.serve import Sidecar
from myelin_sidecar.uds import Limits

TESTS = Path(__file__).resolve().parent


@contextlib.contextmanager
def running(*models, transport="unix", limits=Limits(), load=True):
    """A sidecar in this process; yields it with `address` (and `port` for TCP)."""
    with tempfile.TemporaryDirectory(prefix="myelin-test-") as folder:
        path = f"{folder}/s.sock"
        address = {"unix": f"unix:{path}", "http+unix": f"http+unix:{path}", "http": "http://127.0.0.1:0"}[transport]
        sidecar = Sidecar(models, [address], limits)
        sidecar.path = path
        sidecar.port = sidecar.listeners[0].port if transport == "http" else None
        if load:
            assert sidecar.load()
        try:
            yield sidecar
        finally:
            sidecar.drain(5)


class Process:
    """A real sidecar process."""

    def __init__(self, *script, listen=None, environment=None, folder=None):
        self.folder = tempfile.TemporaryDirectory(prefix="myelin-test-")
        self.path = f"{self.folder.name}/s.sock"
        self.log = open(f"{self.folder.name}/log", "w+")
        command = [sys.executable, *(script or [str(TESTS / "conformance_sidecar.py")])]
        for address in listen if listen is not None else [f"unix:{self.path}"]:
            command += ["--listen", address]
        clean = {key: value for key, value in os.environ.items() if key != "MYELIN_SIDECAR_LISTEN"}
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, env={**clean, **(environment or {})}, cwd=folder)

    def output(self):
        self.log.flush()
        return Path(self.log.name).read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


def in_background(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread
