"""Devices: everything that carries frames between a stack and the world. See device.py for the contract."""

from __future__ import annotations

from uinet.link.capture import Capture
from uinet.link.device import Device
from uinet.link.faults import Faults
from uinet.link.flow_files import FlowFiles
from uinet.link.loan import Loan
from uinet.link.memory import MemoryDevice, MemoryRegistry
from uinet.link.netmap import NetmapDevice
from uinet.link.options import Common, Options
from uinet.link.packet import PacketDevice
from uinet.link.pcap_file import PcapDevice
from uinet.link.pipe import Pipe, Sender
from uinet.link.sharing import open_shares
from uinet.link.tap import TapDevice
from uinet.link.unix import UnixDatagramDevice, UnixStreamDevice
from uinet.link.url import open_device
from uinet.link.utun import UtunDevice
from uinet.link.vde import VdeDevice, VdeSwitchDevice
from uinet.link.writing import WritingDevice
from uinet.link.xdp import XdpDevice
from uinet.wire.frame import Frame

__all__ = [
    "Capture",
    "Common",
    "Device",
    "Faults",
    "FlowFiles",
    "Frame",
    "Loan",
    "MemoryDevice",
    "MemoryRegistry",
    "NetmapDevice",
    "Options",
    "PacketDevice",
    "PcapDevice",
    "Pipe",
    "Sender",
    "TapDevice",
    "UnixDatagramDevice",
    "UnixStreamDevice",
    "UtunDevice",
    "VdeDevice",
    "VdeSwitchDevice",
    "WritingDevice",
    "XdpDevice",
    "open_device",
    "open_shares",
]
