"""The processes of `bench packet`: one sends the same frames for a while, one counts what comes. Both print JSON."""

from __future__ import annotations

import json
import select
import sys
import time

from uinet.link import open_device
from uinet.wire import build
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

GSO = 1448
BATCH = 64


def frames(size: int) -> list[Frame]:
    """64 frames of `size` bytes; those that are larger than a packet stand for segments of 1448 bytes."""
    made = []
    for n in range(BATCH):
        data = build.tcp("10.0.0.1", "10.0.0.2", 1024 + n, 80, "A", 1, 1, payload=bytes(max(0, size - 54)))
        made.append(Frame(data, CHECKSUM_NEEDED, GSO) if size > 1514 else Frame(data))
    return made


def say(**record: float) -> None:
    print(json.dumps(record), flush=True)


def send(url: str, size: int, seconds: float) -> None:
    batch = frames(size)
    with open_device(url) as device:
        poll = select.poll()
        poll.register(device.fileno(), select.POLLOUT)
        say(ready=1)
        start, cpu = time.perf_counter(), time.process_time()
        count = 0
        while time.perf_counter() - start < seconds:
            taken = device.send(batch)
            count += taken
            if taken < BATCH:
                poll.poll(10)
        say(frames=count, wall=time.perf_counter() - start, cpu=time.process_time() - cpu)


def receive(url: str, seconds: float) -> None:
    """Counts from the first frame on, for `seconds`."""
    with open_device(url) as device:
        poll = select.poll()
        poll.register(device.fileno(), select.POLLIN)
        say(ready=1)
        while not device.recv(BATCH):
            poll.poll(1000)
        count = octets = 0
        start, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            got = device.recv(BATCH)
            if got:
                count += len(got)
                octets += len(got) * len(got[0].data)
            elif not device.busy_poll:
                poll.poll(10)
        wall = time.perf_counter() - start
        missed = device.statistics().get("rx_missed", 0)
        say(frames=count, octets=octets, wall=wall, cpu=time.process_time() - cpu, missed=missed)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        receive(sys.argv[2], float(sys.argv[3]))
