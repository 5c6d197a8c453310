"""VLAN tags for kernels without 802.1Q devices: BPF programs on a veth push them on egress and pop them on ingress."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.interop.netns import Namespace, require

# one word of the map below would do, but a constant program needs neither map nor loader
SOURCE = """
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

static long (*vlan_push)(void *skb, unsigned short proto, unsigned short tci) = (void *)BPF_FUNC_skb_vlan_push;
static long (*vlan_pop)(void *skb) = (void *)BPF_FUNC_skb_vlan_pop;

#define SECTION(name) __attribute__((section(name), used))
#define SWAP(x) ((unsigned short)(((x) >> 8 & 0xff) | ((x) & 0xff) << 8))

SECTION("tc_push") int push_tags(struct __sk_buff *skb)
{
PUSH
    return TC_ACT_OK;
}

SECTION("tc_pop") int pop_tags(struct __sk_buff *skb)
{
POP
    return TC_ACT_OK;
}

SECTION("license") char uinet_test_license[] = "Dual BSD/GPL";
"""


def tag(namespace: Namespace, device: str, vids: tuple[int, ...], directory: Path) -> None:
    """From now on what leaves `namespace` by `device` carries `vids` (outermost first); what comes in loses them."""
    require("clang", "tc")
    tpids = [0x8100] * len(vids)
    if len(vids) > 1:
        tpids[-1] = 0x88A8
    push = "\n".join(
        f"    if (vlan_push(skb, SWAP({tpid:#x}), {vid})) return TC_ACT_SHOT;"
        for tpid, vid in zip(tpids, reversed(vids), strict=True)
    )
    pop = "\n".join("    if (vlan_pop(skb)) return TC_ACT_SHOT;" for _ in vids)
    source = directory / f"{device}.c"
    source.write_text(SOURCE.replace("PUSH", push).replace("POP", pop))
    include = subprocess.run(
        ["gcc", "-print-multiarch"], capture_output=True, text=True, timeout=20, check=True
    ).stdout.strip()
    built = subprocess.run(
        ["clang", "-O2", "-target", "bpf", f"-I/usr/include/{include}", "-c", str(source), "-o", f"{source}.o"],
        capture_output=True, text=True, timeout=60,
    )
    if built.returncode:
        pytest.fail(f"clang: {built.stderr}")
    namespace.run(f"tc qdisc add dev {device} clsact")
    namespace.run(f"tc filter add dev {device} egress bpf da obj {source}.o sec tc_push")
    namespace.run(f"tc filter add dev {device} ingress bpf da obj {source}.o sec tc_pop")
