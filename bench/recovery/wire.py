"""The emulated link, in a process of its own: ``python -m bench.recovery.wire LEFT... RIGHT`` (names of TAPs).

Orders: ``{"left": NAME, "seed": N, "seconds": S, "capture": PATH or null, **conditions}`` starts an emulation between
that TAP and the right one, which lasts until the next order or its seconds are over; its statistics are the answer.
``{"end": true}`` ends it early.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

from bench.recovery.control import realtime, say
from uinet.link.device import Device
from uinet.link.tap import TapDevice
from uinet.sim.capture import CaptureFile
from uinet.sim.emulator import Emulator

PRIORITY = 20


class Orders:
    """Standard input, line by line, without blocking."""

    def __init__(self) -> None:
        self._rest = b""

    def waiting(self) -> bool:
        return b"\n" in self._rest or bool(select.select([0], (), (), 0)[0])

    def next(self) -> bytes:
        while b"\n" not in self._rest:
            data = os.read(0, 65536)
            if not data:
                raise SystemExit
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def drain(device: Device) -> None:
    while device.recv():
        pass


def record(link: Emulator, path: str, left: Device) -> CaptureFile:
    """Captures what passes the left end of the link: `path` gets it with the times of this machine's clock."""
    capture = CaptureFile(path, left.layer, left.name)
    link.sides[0].on_frame = lambda frame, out: capture.write(frame.data, link.now(), not out)
    return capture


def emulate(order: dict[str, Any], lefts: dict[str, TapDevice], right: TapDevice, commands: Orders) -> dict[str, Any]:
    left = lefts[order.pop("left")]
    path, seconds = order.pop("capture"), order.pop("seconds")
    drain(left)
    drain(right)
    conditions = {name: tuple(value) if isinstance(value, list) else value for name, value in order.items()}
    link = Emulator(left, right, **conditions)
    capture = record(link, path, left) if path else None
    cpu = time.process_time()
    say(ready=True)
    try:
        link.run(until=commands.waiting, timeout=seconds)
    finally:
        if capture is not None:
            capture.close()
    return {**link.statistics(), "cpu": time.process_time() - cpu}


def main() -> None:
    *names, last = sys.argv[1:]
    lefts = {name: TapDevice(name, offload=False, up=False) for name in names}
    right = TapDevice(last, offload=False, up=False)
    commands = Orders()
    say(ready=True)
    realtime(PRIORITY)
    while True:
        order = json.loads(commands.next())
        if "end" not in order:
            say(**emulate(order, lefts, right, commands))


if __name__ == "__main__":
    main()
