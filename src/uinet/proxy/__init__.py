"""The transparent proxy: TCP between any two endpoints, as either of them."""

from uinet.proxy.api import bridge
from uinet.proxy.connection import OUTCOMES, Connection
from uinet.proxy.engine import COUNTERS, Proxy
from uinet.proxy.match import Flow, MatchError, parse_match
from uinet.proxy.policy import Policy, PolicyError

__all__ = [
    "COUNTERS",
    "OUTCOMES",
    "Connection",
    "Flow",
    "MatchError",
    "Policy",
    "PolicyError",
    "Proxy",
    "bridge",
    "parse_match",
]
