"""``uinet.bridge``: two interfaces of a stack bridged, flow by flow as a function decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uinet.errors import InvalidArgument
from uinet.ip.interface import Interface
from uinet.proxy.engine import Proxy
from uinet.proxy.policy import Policy

if TYPE_CHECKING:
    from uinet.proxy.connection import Connection


def bridge(
    a: Interface, b: Interface, *, classify: Callable[[Any], Any] | None = None,
    tracked: Callable[[bytes, bool, Connection], None] | None = None,
    on_event: Callable[[str, Connection], None] | None = None, **options: Any,
) -> Proxy:
    """Bridges two promiscuous interfaces of one stack; what `classify` answers for the SYN of a flow is done with it.

    `classify(syn)`: "pass" (bridged untouched), "track" (bridged and read passively), "hold" (its SYN is kept until
    somebody decides), "intercept" (proxied), or what else a policy may answer; None: "pass". Without a function every
    flow is passed. `tracked(data, from_client, connection)`: is given the bytes of tracked streams, in order.
    `on_event(what, connection)`: see :class:`uinet.proxy.Proxy`, which is what you get, with `options` of it:
    `connections`, `Connection.state`, and `Connection.change` to bring one to another state, at any time.
    InvalidArgument.
    """
    for side in (a, b):
        if not isinstance(side, Interface):
            raise InvalidArgument(f"{side!r} is no interface: bridge takes two promiscuous ones of a stack")
    stack = a.network.owner() if a.network.owner is not None else None
    if a is b or a.network is not b.network or stack is None:
        raise InvalidArgument("a bridge has two different interfaces of one stack")

    def decide(syn: Any) -> Any:
        decision = classify(syn) if classify is not None else None
        return "pass" if decision is None else decision

    return Proxy(stack, a, b, policy=Policy(decide=decide, tracked=tracked), on_event=on_event, **options)
