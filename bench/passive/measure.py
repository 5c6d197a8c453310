"""Runs a command and prints what it took, as JSON: a process apart, since a child's peak memory, as Linux counts it,
begins at that of the process that started it, and this one imports next to nothing.

Arguments: seconds after which the command is killed (its status is then -9), bytes of address space it may have (0:
any), the command. Standard output of the command is the first line of what it prints.
"""

import json
import os
import resource
import signal
import sys
import time


def main() -> None:
    limit, memory, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    read, write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        os.close(read)
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        os.execvp(command[0], command)
    os.close(write)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(limit)
    kept = b""
    while data := os.read(read, 65536):
        kept = (kept + data)[:4096]
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    print(json.dumps({
        "status": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime, "user": used.ru_utime,
        "wall": time.monotonic() - started, "rss": used.ru_maxrss * 1024, "said": kept.decode(errors="replace"),
    }))


main()
