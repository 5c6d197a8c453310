"""What capture A's sender sends: bytes that anyone can compute again, no two blocks alike.

Run as a program it is one end of the connection: ``content.py send ADDRESS PORT BYTES`` or ``content.py receive ...``;
the receiver prints how many bytes it got and their SHA-256.
"""

from __future__ import annotations

import hashlib
import random
import socket
import sys
from collections.abc import Iterator

BLOCK = 1 << 20


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes in blocks: each a serial number, then the same noise."""
    noise = random.Random(3).randbytes(BLOCK)
    for serial in range(-(-size // BLOCK)):
        block = serial.to_bytes(8, "big") + noise[8:]
        yield block[: size - serial * BLOCK]


def digest(size: int) -> str:
    """SHA-256 of the whole."""
    found = hashlib.sha256()
    for block in blocks(size):
        found.update(block)
    return found.hexdigest()


def send(address: tuple[str, int], size: int) -> None:
    with socket.create_connection(address, timeout=60) as sock:
        for block in blocks(size):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):  # the other end closes when it has everything
            pass


def receive(address: tuple[str, int], size: int) -> None:
    with socket.create_server(address) as listener:
        listener.settimeout(60)
        print("listening", flush=True)
        sock, _ = listener.accept()
    with sock:
        sock.settimeout(60)
        found, got = hashlib.sha256(), 0
        while data := sock.recv(1 << 18):
            found.update(data)
            got += len(data)
    print(got, found.hexdigest(), flush=True)
    if got != size:
        sys.exit(f"{got} bytes came, not {size}")


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]]((sys.argv[2], int(sys.argv[3])), int(sys.argv[4]))
