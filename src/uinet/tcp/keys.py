"""Keys for signed segments: TCP MD5 signatures (RFC 2385) and TCP-AO's master key tuples (RFC 5925, 3.1).

What a user sets on a socket (`Md5Key`, `AoKey`), and the set of them that a socket has (`Keys`), which answers what
signs the segments of a peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, NamedTuple

from uinet.errors import InvalidArgument
from uinet.tcp.ao import ALGORITHMS, Ao, Mkt
from uinet.tcp.md5 import Md5
from uinet.tcp.state import CLOSED
from uinet.tcp.tcb import Tcb

Peer = str | bytes | IPv4Address | IPv6Address | IPv4Network | IPv6Network

LONGEST_KEY = 80  # as on other systems (RFC 2385, 4.5 asks for 80 to be taken)
MOST_KEYS = 256  # of a socket


@dataclass(frozen=True)
class Md5Key:
    """The key for peers of one address or prefix (RFC 2385), 1 to 80 bytes; an empty one takes it away again."""

    peer: Peer
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class AoKey:
    """A master key tuple of TCP-AO (RFC 5925, 3.1) for peers of one address or prefix.

    `send_id` and `receive_id`, 0 to 255, are what the segments name the key by; the peer has them the other way
    round. `algorithm`: "hmac-sha-1-96" or "aes-128-cmac-96" (RFC 5926). `cover_options`: whether the MAC covers the
    other TCP options. `port`: of the peer, 0 for any. `accept_icmp`: whether ICMP errors count that RFC 5925, 7.8 has
    ignored.
    """

    peer: Peer
    key: bytes = field(repr=False)
    send_id: int
    receive_id: int
    algorithm: str = "hmac-sha-1-96"
    cover_options: bool = True
    port: int = 0
    accept_icmp: bool = False


class AoInfo(NamedTuple):
    """TCP_AO_INFO. `current`: the send_id of the key that signs what is sent; `rnext`: the receive_id of the one that
    the peer is asked to sign with. Setting one to None leaves it. Read: counts of segments as well."""

    current: int | None = None
    rnext: int | None = None
    good: int = 0
    bad: int = 0
    unknown_key: int = 0
    unsigned: int = 0


class Prefix(NamedTuple):
    """An address prefix: the top `length` bits of `value`; IPv4 as IPv4-mapped."""

    value: int
    length: int

    def covers(self, address: int) -> bool:
        """Whether a 128-bit address lies in it."""
        return (self.value ^ address) >> (128 - self.length) == 0

    def meets(self, other: Prefix) -> bool:
        """Whether an address lies in both."""
        return (self.value ^ other.value) >> (128 - min(self.length, other.length)) == 0


def prefix_of(peer: Any) -> Prefix:
    """The prefix that a key's `peer` names; InvalidArgument."""
    try:
        network = ip_network(peer, strict=False)
    except (ValueError, TypeError):
        raise InvalidArgument(f"a key's peer is an address or a prefix, not {peer!r}") from None
    value = int(network.network_address)
    if network.version == 4:
        return Prefix(0xFFFF << 32 | value, 96 + network.prefixlen)
    return Prefix(value, network.prefixlen)


class Keys:
    """The keys of one socket; never changed, but made anew with more or fewer."""

    def __init__(
        self, md5: tuple[tuple[Prefix, Md5Key], ...] = (), ao: tuple[tuple[Prefix, AoKey, Mkt], ...] = ()
    ) -> None:
        self.md5 = md5
        self.ao = ao
        self.signers = {prefix: Md5(key.key) for prefix, key in md5}  # they keep nothing of a connection

    def with_md5(self, key: Any) -> Keys:
        """With an MD5 key more, instead of the one with the same prefix, or without that. InvalidArgument."""
        if not isinstance(key, Md5Key) or not isinstance(key.key, bytes) or len(key.key) > LONGEST_KEY:
            raise InvalidArgument(f"TCP_MD5SIG wants an Md5Key with a key of at most {LONGEST_KEY} bytes, not {key!r}")
        prefix = prefix_of(key.peer)
        if key.key and any(prefix.meets(other) for other, _, _ in self.ao):
            raise InvalidArgument(f"{key.peer!r} has a TCP-AO key: no connection has both")  # RFC 5925, 1
        rest = tuple(pair for pair in self.md5 if pair[0] != prefix)
        return self._checked(Keys((*rest, (prefix, key)) if key.key else rest, self.ao))

    def with_ao(self, key: Any) -> Keys:
        """With a master key tuple more. InvalidArgument; also if it has an ID that another one of its peers has."""
        check_ao(key)
        prefix = prefix_of(key.peer)
        if any(prefix.meets(other) for other, _ in self.md5):
            raise InvalidArgument(f"{key.peer!r} has an MD5 key: no connection has both")
        for other, there, _ in self.ao:
            both_ports = there.port == 0 or key.port == 0 or there.port == key.port
            if prefix.meets(other) and both_ports and (
                there.send_id == key.send_id or there.receive_id == key.receive_id
            ):
                raise InvalidArgument(f"{key.peer!r} has a TCP-AO key with this send_id or receive_id")  # RFC 5925, 3.1
        mkt = Mkt(
            bytes(key.key), key.send_id, key.receive_id, ALGORITHMS[key.algorithm], key.cover_options, key.accept_icmp
        )
        return self._checked(Keys(self.md5, (*self.ao, (prefix, key, mkt))))

    def without_ao(self, key: Any) -> Keys:
        """Without the tuple that has this peer and these IDs (an AoKey, whose `key` does not matter).
        InvalidArgument."""
        if not isinstance(key, AoKey):
            raise InvalidArgument(f"TCP_AO_DEL_KEY wants an AoKey, not {key!r}")
        prefix = prefix_of(key.peer)
        rest = tuple(
            item for item in self.ao
            if (item[0], item[1].send_id, item[1].receive_id) != (prefix, key.send_id, key.receive_id)
        )
        if len(rest) == len(self.ao):
            raise InvalidArgument(f"{key.peer!r} has no such TCP-AO key")
        return Keys(self.md5, rest)

    @staticmethod
    def _checked(keys: Keys) -> Keys:
        if len(keys.md5) + len(keys.ao) > MOST_KEYS:
            raise InvalidArgument(f"a socket has at most {MOST_KEYS} keys")
        return keys

    def tuples_for(self, high: int, low: int, port: int) -> list[Mkt]:
        """The master key tuples of a peer: those of the longest prefix that has any, oldest first."""
        address = high << 64 | low
        found = [
            (prefix.length, mkt) for prefix, key, mkt in self.ao if key.port in (0, port) and prefix.covers(address)
        ]
        longest = max((length for length, _ in found), default=0)
        return [mkt for length, mkt in found if length == longest]

    def signer(self, high: int, low: int, port: int) -> Any:
        """What signs the segments of a connection with that peer; None if there is no key for it."""
        address = high << 64 | low
        best = max((prefix for prefix in self.signers if prefix.covers(address)), key=lambda p: p.length, default=None)
        if best is not None:
            return self.signers[best]
        tuples = self.tuples_for(high, low, port) if self.ao else []
        return Ao(tuples) if tuples else None


def check_ao(key: Any) -> None:
    """InvalidArgument for what is no sound AoKey."""
    if not isinstance(key, AoKey):
        raise InvalidArgument(f"TCP_AO_ADD_KEY wants an AoKey, not {key!r}")
    if not isinstance(key.key, (bytes, bytearray)) or not 0 < len(key.key) <= LONGEST_KEY:
        raise InvalidArgument(f"a TCP-AO key has 1 to {LONGEST_KEY} bytes")
    if key.algorithm not in ALGORITHMS:
        raise InvalidArgument(f"{key.algorithm!r} is no algorithm of TCP-AO: {', '.join(ALGORITHMS)}")
    for value, most in ((key.send_id, 255), (key.receive_id, 255), (key.port, 65535)):
        if not isinstance(value, int) or not 0 <= value <= most:
            raise InvalidArgument(f"{key!r}: an ID is 0 to 255, a port 0 to 65535")


NO_KEYS = Keys()


# the keys of a connection that there is


def changed(tcb: Tcb, keys: Keys) -> None:
    """The keys of the connection's socket have changed. InvalidArgument: it began without signatures, or those in use
    would go (RFC 5925, 3.2: they stay for as long as the connection may need them)."""
    if tcb.state == CLOSED:
        return
    signer = keys.signer(tcb.raddr_hi, tcb.raddr_lo, tcb.rport)
    if signer is None and tcb.auth is None:
        return
    if isinstance(tcb.auth, Md5) and isinstance(signer, Md5):
        tcb.auth = signer
    elif not isinstance(tcb.auth, Ao) or not isinstance(signer, Ao) or not tcb.auth.replace(signer.tuples):
        raise InvalidArgument("a connection keeps the kind of signature that it began with, and the keys in use")


def ao_of(tcb: Tcb | None) -> Ao:
    """TCP-AO of a connection; InvalidArgument if it has none."""
    if tcb is None or not isinstance(tcb.auth, Ao):
        raise InvalidArgument("the socket has no connection with TCP-AO")
    return tcb.auth


def info(tcb: Tcb | None) -> AoInfo:
    """TCP_AO_INFO of a connection; InvalidArgument if it has no TCP-AO."""
    ao = ao_of(tcb)
    return AoInfo(ao.current.send_id, ao.rnext.receive_id, ao.good, ao.bad, ao.unknown, ao.unsigned)


def choose(tcb: Tcb | None, value: Any) -> None:
    """Sets TCP_AO_INFO: which key signs from now on, and which one the peer is asked for. InvalidArgument."""
    if not isinstance(value, AoInfo) or not ao_of(tcb).choose(value.current, value.rnext):
        raise InvalidArgument(f"TCP_AO_INFO wants an AoInfo with IDs of keys that the connection has, not {value!r}")
