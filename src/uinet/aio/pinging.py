"""ICMP echo as a coroutine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uinet.ping import Ping

if TYPE_CHECKING:
    from uinet.endpoints import IPAddress
    from uinet.stack import Stack


async def ping(
    stack: Stack,
    loop: asyncio.AbstractEventLoop,
    destination: IPAddress,
    count: int,
    timeout: float,
    interval: float,
    payload: bytes,
) -> list[float | None]:
    """The round trip of each of `count` requests in seconds; None for each that was not answered in time.

    NetworkUnreachable and AddressNotAvailable where a request can't even be sent.
    """
    answered: dict[int, asyncio.Future[float | None]] = {}

    def on_reply(pinger: Ping, sequence: int, rtt: int) -> None:
        settle(sequence, rtt / 1e9)

    def settle(sequence: int, outcome: float | None) -> None:
        future = answered.get(sequence)
        if future is not None and not future.done():
            future.set_result(outcome)

    pinger = stack.ping(destination, payload=payload, on_reply=on_reply)
    pinger.on_error = lambda pinger, sequence, error: settle(sequence, None)
    times: list[float | None] = []
    try:
        for number in range(count):
            began = loop.time()
            sequence = pinger.send()
            answered[sequence] = loop.create_future()
            try:
                times.append(await asyncio.wait_for(answered[sequence], timeout))
            except TimeoutError:
                times.append(None)
            del answered[sequence]
            if number + 1 < count:
                await asyncio.sleep(max(0.0, interval - (loop.time() - began)))
    finally:
        pinger.close()
    return times
