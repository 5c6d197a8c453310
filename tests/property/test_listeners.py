"""The index of listeners against a search through all of them in the order of precedence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from uinet import ANY, AddressInUse, Socket, Stack
from uinet.wire.addresses import pack_address, parse_vlans, split, vids

ADDRESSES = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"]
PORTS = [80, 443]
STACKS: list[tuple[int, ...]] = [(), (1,), (1, 2), (2, 1)]


@dataclass
class Pattern:
    """One listener, as a test would look for it."""

    ip: Any
    port: Any
    vlans: Any
    cdom: int
    sock: Socket
    age: int

    def rank(self, ip: str, port: int, vlans: tuple[int, ...], cdom: int) -> tuple[int, ...] | None:
        """Its place in the order of precedence for a SYN, the smallest first; None if it does not match."""
        family = "::" if ":" in ip else "0.0.0.0"
        if self.cdom != cdom or self.vlans not in (ANY, vlans) or self.port not in (ANY, port):
            return None
        if self.ip not in (ip, family, ANY):
            return None
        return (self.vlans is ANY, self.port is ANY, (ip, family, ANY).index(self.ip), -self.age)


listeners = st.tuples(
    st.sampled_from([*ADDRESSES, "0.0.0.0", "::", ANY]), st.sampled_from([*PORTS, ANY]),
    st.sampled_from([*STACKS, ANY]), st.integers(1, 2), st.booleans(),
)
steps = st.lists(st.one_of(listeners, st.integers(0, 30)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_index_finds_what_a_search_finds(steps: list[Any]) -> None:
    stack = Stack(b"listeners")
    for cdom in (1, 2):
        stack.add_interface(f"p{cdom}", cdom=cdom)
    patterns: list[Pattern] = []
    for age, step in enumerate(steps):
        if isinstance(step, int):
            if patterns:
                patterns.pop(step % len(patterns)).sock.close()
            continue
        ip, port, vlans, cdom, reuse = step
        same = [each for each in patterns if (each.ip, each.port, each.vlans, each.cdom) == (ip, port, vlans, cdom)]
        newest = max(same, key=lambda each: each.age, default=None)
        try:
            sock = stack.listen((ip, port), vlans=vlans, cdom=cdom, promiscuous=True, reuse_port=reuse)
        except AddressInUse:
            assert newest is not None
            assert not (reuse and newest.sock.config.reuse_port)
            continue
        assert newest is None or (reuse and newest.sock.config.reuse_port)
        patterns.append(Pattern(ip, port, vlans, cdom, sock, age))
    index = stack.tcp.listeners
    assert index.count == len(patterns)
    for ip in ADDRESSES:
        for port in (*PORTS, 7):
            for tags in (*STACKS, (3,)):
                for cdom in (1, 2):
                    ranked = [(each.rank(ip, port, tags, cdom), each.sock) for each in patterns]
                    matching = [(rank, sock) for rank, sock in ranked if rank is not None]
                    high, low = split(pack_address(ip))
                    found = index.find(cdom, vids(parse_vlans(tags)), high, low, port)
                    if matching:
                        assert found is not None
                        assert found.owner is min(matching, key=lambda pair: pair[0])[1]
                    else:
                        assert found is None
    for each in patterns:
        each.sock.close()
    assert index.count == 0
    assert len(index.table) == 0
