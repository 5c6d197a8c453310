"""The shell commands of scripts that mean something to our stack: sysctl, ip, and the usual scripts of defaults."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from uinet.sim.packetdrill.errors import Mismatch, Unsupported
from uinet.sim.packetdrill.sysctls import IRRELEVANT, SYSCTLS
from uinet.stack import Stack
from uinet.tcp.state import NAMES
from uinet.tcp.tcb import Tcb

DEFAULTS = re.compile(r"(?:.*/)?defaults\.sh$")
RESTORE = re.compile(r"(?:.*/)?sysctl_restore_\S*\.sh$")
PRODUCTION = [  # what that script sets, as far as it is not our default
    "net.ipv4.tcp_rmem=4096 540000 15728640", "net.ipv4.tcp_wmem=4096 262144 4194304", "net.ipv4.tcp_ecn=0",
    "net.ipv4.tcp_slow_start_after_idle=0", "net.ipv4.tcp_fastopen=0x70403",
]
SOCKSTAT = re.compile(r"sockstat\b.*?\|\s*grep (?:-c )?'?(?P<state>[A-Z_0-9]+)'?\s*\|\s*grep (?P<count>\d+)$")
BSD_STATES = {
    "SYN_RCVD": "SYN-RECEIVED", "SYN_SENT": "SYN-SENT", "ESTABLISHED": "ESTABLISHED", "TIME_WAIT": "TIME-WAIT",
    "CLOSE_WAIT": "CLOSE-WAIT", "LAST_ACK": "LAST-ACK", "FIN_WAIT_1": "FIN-WAIT-1", "FIN_WAIT_2": "FIN-WAIT-2",
    "CLOSING": "CLOSING", "CLOSED": "CLOSED",
}
HYSTART = re.compile(r"echo [0-3] > /sys/module/tcp_cubic/parameters/hystart_detect$")
SETKEY = re.compile(r"\bsetkey\s+-[cF]\s*$")


class Commands:
    """Commands for one stack. `fast_open`: told whether clients, servers and servers unasked use Fast Open."""

    def __init__(self, stack: Stack, fast_open: Callable[[bool, bool, bool], None]) -> None:
        self.stack = stack
        self.fast_open = fast_open

    def run(self, text: str) -> None:
        """Does what a command says. Unsupported; Mismatch for one that only checks something."""
        if SETKEY.search(text):
            return  # the key is that of --tcp_md5_secret, and TCP_MD5SIG switches it on
        joined = re.sub(r"\\\n", " ", text)
        for line in re.split(r"\n|;|&&", joined):
            line = re.sub(r"\s*(?:[12]?>(?:&\d|\s*/dev/null))+", "", line).strip()
            if line and not line.startswith("#"):
                self._one(line)

    def _one(self, line: str) -> None:
        counted = SOCKSTAT.match(line)
        if counted is not None:
            self._count(counted["state"], int(counted["count"]))
            return
        if "|" in line:
            raise Unsupported(f"the command {line!r}")
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            raise Unsupported(f"the command {line!r}") from None
        if not words:
            return
        if DEFAULTS.match(words[0]):
            self._sysctls(PRODUCTION)
        elif RESTORE.match(words[0]):
            pass
        elif words[0] == "sysctl":
            self._sysctls([word for word in words[1:] if not word.startswith("-")])
        elif words[0].endswith("set_sysctls.py"):
            self._sysctls([word.removeprefix("/proc/sys/").replace("/", ".") for word in words[1:]])
        elif words[:3] == ["ip", "tcp_metrics", "flush"] or words[0] == "true":
            pass
        elif words[0] == "tc" and words[-1] == "pfifo":
            pass  # a plain queue, as ours is
        elif words[:2] == ["tc", "qdisc"] and words[-2:] == ["root", "fq"]:
            self.stack.tcp.settings.pacing = True  # that is what a kernel's TCP leaves to it
        elif words[:2] == ["ethtool", "-K"] and not set(words[3:]) - {"tso", "gso", "gro", "off"}:
            pass  # what is sent is compared as it would be without these
        elif HYSTART.match(line):
            how = int(words[1])
            self.stack.tcp.settings.hystart = how & 2 != 0
            self.stack.tcp.settings.hystart_train = how & 1 != 0
        elif words == ["tcpdrop", "-s", "TIME_WAIT"]:
            self.stack.tcp.time_wait.clear()
        else:
            raise Unsupported(f"the command {line!r}")

    def _sysctls(self, assignments: list[str]) -> None:
        for assignment in assignments:
            name, equals, value = assignment.partition("=")
            if not equals:
                raise Unsupported(f"reading the sysctl {name}")
            self._sysctl(name.strip(), value.strip())

    def _sysctl(self, name: str, value: str) -> None:
        if name in IRRELEVANT:
            return
        if name == "net.ipv4.tcp_fastopen":
            self._fast_open_mask(int(value, 0))
            return
        if name == "net.inet.tcp.fastopen.client_enable":
            self.stack.tcp.fast_client.known.clear()
            self.fast_open(value != "0", True, False)
            return
        if name not in SYSCTLS:
            raise Unsupported(f"the sysctl {name}")
        try:
            SYSCTLS[name](self.stack, value)
        except ValueError:
            raise Unsupported(f"the sysctl {name} with the value {value}") from None

    def _fast_open_mask(self, mask: int) -> None:
        """Linux's: 1 clients, 2 servers, 4 and 0x200 without cookies; the others are about its own ways."""
        if mask & 0x204:
            raise Unsupported("Fast Open without cookies")
        self.fast_open(bool(mask & 1), bool(mask & 2), bool(mask & 0x400))

    def _count(self, state: str, wanted: int) -> None:
        """How many connections are in a state."""
        if state not in BSD_STATES:
            raise Unsupported(f"the state {state}")
        tcp = self.stack.tcp
        name = BSD_STATES[state]
        if name == "TIME-WAIT":
            count = len(tcp.time_wait)
        else:
            count = sum(isinstance(entry, Tcb) and NAMES[entry.state] == name for entry in tcp.table)
            if name == "SYN-RECEIVED":
                count += tcp.syn_count
        if count != wanted:
            raise Mismatch(f"{count} connections are in {name}, not {wanted}")
