"""Many connections at once through the proxy, over links that lose, reorder and duplicate."""

from __future__ import annotations

import pytest

from uinet.proxy.demo import Demo


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_reordered_over_bad_links(seed: int) -> None:
    demo = Demo(40, 30_000, seed)
    for link in demo.network.links:
        link.set(loss=0.03, reorder=0.03, duplicate=0.02, jitter=0.001)
    demo.run()
    found = [line for line in demo.differences() if "bridged" not in line]  # ARP is not repaired by anybody
    assert found == []
    assert sum(link.statistics()[way]["lost"] for link in demo.network.links for way in ("ab", "ba")) > 100


def test_a_thousand_handshakes_at_once() -> None:
    demo = Demo(1000, 10)
    demo.run()
    assert demo.differences() == []
    assert demo.proxy.outcomes == {"closed": 960, "refused": 40}
    assert demo.proxy.active == {}
