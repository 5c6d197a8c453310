"""Beginnings of scripts that tests go on from, and ways to run them."""

from __future__ import annotations

from typing import Any

from uinet.sim.packetdrill import FAIL, PASS, Result, run

SERVER = """
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+0  < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0  > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
+.1 < . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
"""
CLIENT = """
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0  connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0  > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
+.1 < S. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>
+0  > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
"""


def passes(text: str, **options: Any) -> Result:
    """The script passes."""
    result = run(text, **options)
    assert result.verdict == PASS, "\n".join([*result.record, str(result), result.expected, result.found])
    return result


def fails(text: str, reason: str, **options: Any) -> Result:
    """The script fails, and `reason` is part of why."""
    result = run(text, **options)
    assert result.verdict == FAIL, "\n".join([*result.record, str(result)])
    assert reason in result.reason, str(result)
    return result
