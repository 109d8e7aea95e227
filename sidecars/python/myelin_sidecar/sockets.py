"""Small things about sockets that both transports need."""
from __future__ import annotations

import os
import socket
import stat
import struct
from typing import Any, Sequence


def send_all(sock: socket.socket, parts: Sequence[Any]) -> None:
    """Gathers the parts into as few system calls as it takes; ``OSError`` where the other side is gone or does not read."""
    sent = sock.sendmsg(parts)
    if sent == sum(map(len, parts)):
        return
    rest = [memoryview(part) for part in parts]
    while True:
        while rest and sent >= len(rest[0]):
            sent -= len(rest.pop(0))
        if not rest:
            return
        rest[0] = rest[0][sent:]
        sent = sock.sendmsg(rest)


def set_timeouts(sock: socket.socket, send: int, receive: int = 0) -> None:
    """In seconds, kept by the kernel: Python's own cost a system call each time. 0 is none."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", send, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", receive, 0))


def listen(path: str) -> socket.socket:
    """A listening Unix socket; removes the file of one that nobody listens on any more."""
    if len(path.encode()) > 107:
        raise OSError(f"the path of a Unix socket has at most 107 bytes: '{path}'")
    if _abandoned(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(128)
    except OSError as fault:
        listener.close()
        raise OSError(f"cannot listen on '{path}': {fault}") from None
    return listener


def _abandoned(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def close(listener: socket.socket) -> None:
    """Ends a thread's accept, which plain closing does not, and removes the socket's file."""
    try:
        if listener.family == socket.AF_UNIX:
            os.unlink(listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()
