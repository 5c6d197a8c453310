"""A watched server's part is taken over from a kernel, in the middle of a connection with another kernel."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import uinet
from tests.interop.netns import PATIENCE, namespace, require, veth
from uinet import ANY, Driver, Stack
from uinet.link import open_device

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

CLIENT, SERVER = "10.53.0.1", "10.53.0.2"
SIZE = 8 << 20
CLIENT_PROGRAM = f'''
import hashlib, socket, sys
sock = socket.create_connection(("{SERVER}", 9000))
digest = hashlib.sha256()
chunk = bytes(range(256)) * 256
for _ in range({SIZE} // len(chunk)):
    sock.sendall(chunk)
    digest.update(chunk)
sock.shutdown(socket.SHUT_WR)
print(sock.recv(200).decode(), digest.hexdigest(), sep="|", flush=True)
'''
SERVER_PROGRAM = f'''
import socket, time
listener = socket.create_server(("{SERVER}", 9000))
print("up", flush=True)
sock, _ = listener.accept()
while True:
    sock.recv(20000)
    time.sleep(0.01)
'''


def test_a_passive_socket_goes_on_as_the_server(tmp_path: Path) -> None:
    require("bridge")
    for name, text in (("client.py", CLIENT_PROGRAM), ("server.py", SERVER_PROGRAM)):
        (tmp_path / name).write_text(text)
    with ExitStack() as stack:
        client, mid, server = (stack.enter_context(namespace(name)) for name in ("client", "mid", "server"))
        stack.enter_context(veth(client, "c0", mid, "p0"))
        stack.enter_context(veth(server, "s0", mid, "p1"))
        client.run(f"ip addr add {CLIENT}/24 dev c0")
        server.run(f"ip addr add {SERVER}/24 dev s0")
        mid.run("ip link add b0 type bridge ageing_time 0")  # a hub: it learns nothing, and we hear all at a third port
        mid.run("ip link add w0 type veth peer name w1")
        for port in ("p0", "p1", "w0"):
            mid.run(f"ip link set {port} master b0")
        for name in ("w0", "w1", "b0"):
            mid.run(f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1")
            mid.run(f"ip link set {name} up")
        with mid.entered():
            device = stack.enter_context(open_device("packet:w1?buffer=64M"))
        watcher = Stack(b"watcher", time.monotonic_ns())
        driver = stack.enter_context(Driver(watcher))
        side = watcher.add_interface("w1", cdom=1, promiscuous=True)
        driver.add_device(device, side)
        listener = watcher.listen((ANY, 9000), vlans=ANY, cdom=1, passive=True)
        there = stack.enter_context(server.popen(f"{sys.executable} {tmp_path / 'server.py'}"))
        assert there.stdout is not None and there.stdout.readline() == "up\n"
        here = subprocess.Popen(
            ["ip", "netns", "exec", client.name, sys.executable, str(tmp_path / "client.py")],
            stdout=subprocess.PIPE, text=True,
        )
        try:
            assert driver.run_until(lambda: listener.readable, timeout=PATIENCE)
            sock = listener.accept()
            assert isinstance(sock, uinet.PassiveSocket)
            digest, count = hashlib.sha256(), 0
            while count < 400_000:
                assert driver.run_until(lambda: sock.readable, timeout=PATIENCE)
                data = sock.recv(65536)
                assert sock.next_hole() is None
                digest.update(data)
                count += len(data)
            mid.run("ip link set p1 nomaster")  # the server's cable is pulled out of the switch
            end = time.monotonic() + PATIENCE
            while sock.passive:
                try:
                    sock.go_active()
                except uinet.Unsafe as error:
                    assert error.may_pass and time.monotonic() < end, error
                    driver.run_until(lambda: False, timeout=0.02)
            while True:
                assert driver.run_until(lambda: sock.readable, timeout=PATIENCE)
                data = sock.recv(1 << 20)
                if not data:
                    break
                digest.update(data)
                count += len(data)
            assert count == SIZE
            sock.send(b"taken over")
            sock.close()
            assert driver.run_until(lambda: here.poll() is not None, timeout=PATIENCE)
            output, _ = here.communicate(timeout=PATIENCE)
            assert output.strip().split("|") == ["taken over", digest.hexdigest()]
        finally:
            if here.poll() is None:
                here.kill()
            here.wait(timeout=10)
