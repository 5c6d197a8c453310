"""What the kernel tells of one of its interfaces: up and down, its carrier, its MTU, its addresses (rtnetlink(7)).

A message is a header, then what it is about, then attributes, each padded to 4 bytes, all in this machine's order::

    nlmsghdr:   length, type (2), flags (2), sequence, port
    ifinfomsg:  family (1), 1 unused, type (2), index, flags, change
    ifaddrmsg:  family (1), prefix length (1), flags (1), scope (1), index
    rtattr:     length (2), type (2), value
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_ROUTE = 0
RTMGRP_LINK = 1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV6_IFADDR = 0x100

NLMSG_ERROR = 2
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
NLM_F_REQUEST = 1

IFLA_MTU = 4
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFF_UP = 1
IFF_LOWER_UP = 1 << 16

_MESSAGE = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")
BUFFER = 64 * 1024
MOST = 64  # datagrams of one `read`; more are read when the descriptor is looked at again

UP = "link-up"
DOWN = "link-down"
CARRIER_UP = "carrier-up"
CARRIER_DOWN = "carrier-down"
MTU = "mtu-changed"
REMOVED = "link-removed"
ADDRESS_ADDED = "kernel-address-added"
ADDRESS_REMOVED = "kernel-address-removed"


class Change(NamedTuple):
    """Something has changed: `kind` is one of the words above; `mtu` the new one; `address` packed, with its
    `prefix_length`."""

    kind: str
    mtu: int = 0
    address: bytes = b""
    prefix_length: int = 0


class LinkWatch:
    """Listens to the kernel about the interface `index`, in the network namespace in which this is made. OSError where
    that can't be.

    `up`, `carrier`, `mtu`: as they are known. Its descriptor is readable when `read` has something to tell.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.up = False
        self.carrier = False
        self.mtu = 0
        self._known = False
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_ROUTE
        )
        try:
            self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
            self._ask()
            self.read()
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor to poll; -1 once it is closed."""
        return self._socket.fileno()

    def read(self) -> list[Change]:
        """What has changed since the last call, oldest first. What is read is not believed further than its lengths."""
        changes: list[Change] = []
        for _ in range(MOST):
            try:
                data, address = self._socket.recvfrom(BUFFER)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    break
                self._ask()  # more has happened than there was room for: how is it now?
                continue
            if address[0] == 0:  # from the kernel: others may write here too
                for kind, body in messages(data):
                    self._take(kind, body, changes)
        return changes

    def close(self) -> None:
        """Listens no more; a second call does nothing."""
        self._socket.close()

    def _ask(self) -> None:
        """Asks how the interface is: the answer is read as any other message."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, self.index, 0, 0)
        self._socket.send(_MESSAGE.pack(_MESSAGE.size + len(body), RTM_GETLINK, NLM_F_REQUEST, 0, 0) + body)

    def _take(self, kind: int, body: bytes, changes: list[Change]) -> None:
        if kind in (RTM_NEWLINK, RTM_DELLINK) and len(body) >= _LINK.size:
            family, _, index, flags, _ = _LINK.unpack_from(body)
            if index == self.index and family == socket.AF_UNSPEC:  # bridges tell of their ports in the same words
                if kind == RTM_DELLINK:
                    changes.append(Change(REMOVED))
                else:
                    self._link(flags, dict(attributes(body, _LINK.size)), changes)
        elif kind in (RTM_NEWADDR, RTM_DELADDR) and len(body) >= _ADDRESS.size:
            family, length, _, _, index = _ADDRESS.unpack_from(body)
            if index == self.index:
                found = dict(attributes(body, _ADDRESS.size))
                packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS) or b""
                if len(packed) == {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family, -1):
                    word = ADDRESS_ADDED if kind == RTM_NEWADDR else ADDRESS_REMOVED
                    changes.append(Change(word, 0, packed, length))

    def _link(self, flags: int, found: dict[int, bytes], changes: list[Change]) -> None:
        up, carrier = bool(flags & IFF_UP), bool(flags & IFF_LOWER_UP)
        told = found.get(IFLA_MTU, b"")
        mtu = int(struct.unpack("=I", told)[0]) if len(told) == 4 else self.mtu
        if self._known:
            if up != self.up:
                changes.append(Change(UP if up else DOWN))
            if carrier != self.carrier:
                changes.append(Change(CARRIER_UP if carrier else CARRIER_DOWN))
            if mtu != self.mtu:
                changes.append(Change(MTU, mtu))
        self._known = True
        self.up, self.carrier, self.mtu = up, carrier, mtu


def watch_link(index: int) -> LinkWatch | None:
    """A watch of the interface `index` of this namespace; None where the kernel tells nothing."""
    if sys.platform != "linux":
        return None
    try:
        return LinkWatch(index)
    except OSError:
        return None


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message of a datagram, up to the first that is damaged."""
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, _, _, _ = _MESSAGE.unpack_from(data, at)
        if length < _MESSAGE.size or at + length > len(data):
            return
        yield kind, data[at + _MESSAGE.size : at + length]
        at += length + -length % 4


def attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute from `at` on, up to the first that is damaged."""
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size or at + length > len(body):
            return
        yield kind & 0x3FFF, body[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
