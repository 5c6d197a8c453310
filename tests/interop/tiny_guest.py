"""A Linux guest for QEMU that needs no disk: Debian's kernel image, and an initramfs of busybox made here."""

from __future__ import annotations

import glob
import lzma
import os
import re
import shutil
from pathlib import Path

from tests.interop.netns import cannot

WANTED = ("virtio_pci", "virtio_net")
INIT = """#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t devtmpfs none /dev
"""


def kernel_image() -> tuple[Path, list[Path]]:
    """The newest kernel image of a Debian package (linux-image-cloud-amd64), and the modules of a virtio card.

    UINET_GUEST names a folder into which such a package was unpacked, instead of the root.
    """
    root = os.environ.get("UINET_GUEST", "/")
    for kernel in sorted(glob.glob(os.path.join(root, "boot/vmlinuz-*")), reverse=True):
        version = Path(kernel).name.removeprefix("vmlinuz-")
        found = {path.name.split(".ko")[0]: path for path in Path(root, "lib/modules", version).rglob("*.ko*")}
        if all(name in found for name in WANTED):
            return Path(kernel), in_order(found)
    return cannot("needs a kernel for the guest: the package linux-image-cloud-amd64, or UINET_GUEST=FOLDER")


def in_order(found: dict[str, Path]) -> list[Path]:
    """The modules that are WANTED, each behind those that it needs, as its own description names them."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order:
            return
        needed = re.search(rb"\0depends=([^\0]*)\0", contents(found[name]))
        for other in needed[1].decode().split(",") if needed is not None and needed[1] else ():
            add(other.replace("-", "_"))
        order.append(name)

    for name in WANTED:
        add(name)
    return [found[name] for name in order]


def contents(module: Path) -> bytes:
    """The bytes of a module, which may be compressed."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def initramfs(modules: list[Path], script: str, files: dict[str, bytes]) -> bytes:
    """An archive with busybox, the modules, `files`, and an init that loads them and then runs `script`."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    archive = _Archive()
    for folder in ("bin", "dev", "proc", "modules", *{str(Path(name).parent) for name in files}):
        archive.add(folder, b"", 0o40755)
    archive.add("bin/busybox", Path(busybox).read_bytes(), 0o100755)
    archive.add("bin/sh", b"busybox", 0o120777)  # a link
    for module in modules:
        archive.add(f"modules/{module.name}", contents(module), 0o100644)
    for name, data in files.items():
        archive.add(name, data, 0o100644)
    load = "".join(f"insmod /modules/{module.name}\n" for module in modules)
    archive.add("init", (INIT + load + script).encode(), 0o100755)
    return archive.finished()


class _Archive:
    """cpio's format "newc": a header of 8-digit hexadecimal numbers, the name, the data, each padded to 4 bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.count = 0

    def add(self, name: str, data: bytes, mode: int) -> None:
        self.count += 1
        path = os.fsencode(name) + b"\0"
        numbers = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        self.data += b"070701" + b"".join(b"%08X" % number for number in numbers) + path
        self.data += bytes(-len(self.data) % 4) + data
        self.data += bytes(-len(self.data) % 4)

    def finished(self) -> bytes:
        self.add("TRAILER!!!", b"", 0)
        return bytes(self.data)
