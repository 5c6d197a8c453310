"""The test vectors of RFC 9235: eight handshakes of a BGP session, each with the first message of both ends.

Given are what differs; the rest (options, flags, the BGP messages) is the same in all and made here.
"""

from __future__ import annotations

from typing import NamedTuple

from uinet.wire import build
from uinet.wire.tcp_options import Mss, Nop, SackPermitted, Timestamps, Unknown, WindowScale

MASTER = b"testvector"  # 3.1.1
CLIENT_ID, SERVER_ID = 61, 84
CLIENT, SERVER = ("10.11.12.13", "fd00::1"), ("172.27.28.29", "fd00::2")
PORT = 179


class Vector(NamedTuple):
    """One section. `stamps`: timestamps of the client's SYN, the server's SYN,ACK, the client's and the server's data.

    `keys`: traffic keys of the SYN, of what the server sends, and of what the client sends after its SYN. `macs`: of
    the four segments.
    """

    section: str
    v6: bool
    algorithm: str
    covers: bool
    port: int
    client_isn: int
    server_isn: int
    stamps: tuple[int, int, int, int]
    keys: tuple[str, str, str]
    macs: tuple[str, str, str, str]
    acknowledges: bool = True  # whether the server's message acknowledges the client's

    def frame(self, index: int) -> bytes:
        """The Ethernet frame of segment `index`."""
        server = index % 2 == 1
        here, there = CLIENT[self.v6], SERVER[self.v6]
        ports = (self.port, PORT)
        ids = bytes((CLIENT_ID, SERVER_ID))
        seqs = (self.client_isn, self.server_isn)
        if server:
            here, there, ports, ids, seqs = there, here, ports[::-1], ids[::-1], seqs[::-1]
        signature = Unknown(29, ids + bytes.fromhex(self.macs[index]))
        stamp = Timestamps(self.stamps[index], self.stamps[index - 1] if index else 0)
        if index < 2:
            head = (Mss(1440 if self.v6 else 1460), Nop(), WindowScale(8), SackPermitted(), stamp, signature)
            ack = seqs[1] + 1 if server else 0
            return build.tcp(here, there, *ports, "S." if server else "S", seqs[0], ack, 65535, head)
        payload = message(self.v6, server)
        ack = seqs[1] + 1 + (len(payload) if server and self.acknowledges else 0)
        window = 260 if not self.v6 and not server else 256
        return build.tcp(
            here, there, *ports, "P.", seqs[0] + 1, ack, window, (Nop(), Nop(), stamp, signature), payload
        )


def message(v6: bool, server: bool) -> bytes:
    """The BGP message of one end."""
    number = bytes.fromhex("fde8" if v6 else "dac0" if server else "dabf")
    name = bytes.fromhex(
        ("0101017a" if server else "01010179") if v6 else ("ac1b1c1d" if server else "0a0b0c0d")
    )
    return (
        b"\xff" * 16 + bytes.fromhex("00430104") + number + bytes.fromhex("00b4") + name
        + bytes.fromhex("2602060104000100010202800002020200020242000206410400 00") + number
        + bytes.fromhex("0208400600640001 0100")
    )


SHA1, CMAC = "hmac-sha-1-96", "aes-128-cmac-96"

VECTORS = [
    Vector(
        "4.1", False, SHA1, True, 0xE9D7, 0xFBFBAB5A, 0x11C14261, (0x155AB7, 0x84A50BEB, 0x155AC1, 0x84A50BF5),
        ("6d63ef1b02fe1509d4b1402707fd7b0416abb74f", "d9e217e4834a80ca2f3fd8de2e41b8e6797fea96",
         "d2e59c65ffc7b1a39347656463b70edc24a13d71"),
        ("2ee437c6f8ede6d7c4d602e7", "eeab0fe24c3010815116b3be", "7064cf998cc6c315c2c2e2bf",
        "a63f0ecbbb2e635c954deac7"),
    ),
    Vector(
        "4.2", False, SHA1, False, 0xFF12, 0xCB0EFBEE, 0xACD5B5E1, (0x024CCE, 0x576772F3, 0x024CCE, 0x576772F3),
        ("30eaa1560cf0be57dab5c045229fb10a423cd7ea", "b5b2896bb3664e8176b0edc6e799524101a8307f",
         "f3db1793d7910ecd806c34f155ea1f00345953e3"),
        ("80af3cfeb85368937b8f9ec2", "09306f9acea63a8c68cb9a70", "710608cc696c03a271c93aa5",
        "97766e48ac262de9ae61b4f9"),
    ),
    Vector(
        "5.1", False, CMAC, True, 0xC4FA, 0x787A1DDF, 0xFADD6DE9, (0x017ED0, 0x93F4E9E8, 0x017ED0, 0x93F4E9E8),
        ("f5b8b3d5f34fdbb6eb8d4ab9660e60e3", "4bc7571a486f3264bbd888474066b4b1", "8c8ae0e8371ec5cbb97ea79d90418391"),
        ("e477e99c8040765498e55091", "d6ada7bc4cdd536d1769db5f", "77412742fa4dc433eff0973e",
        "f6d965a78382a74845f72dac"),
    ),
    Vector(
        "5.2", False, CMAC, False, 0xDA1C, 0x389BED71, 0xD3844A6F, (0x0185E1, 0xCE459838, 0x0185E1, 0xCE459838),
        ("2cdbae1392c49449fa92c4509735d50e", "3ce67a551869506b6347b633c50a624a", "035bc400a341ffe595f59f58005006ca"),
        ("c44e60cb31f7c0b1de3d2749", "3a6abb207e49b1be7136db90", "7585e9e9d5c3ec857b96f837",
        "5c040fd9233304765c0982f4"), False,
    ),
    Vector(
        "6.1", True, SHA1, True, 0xF7E4, 0x176A833F, 0x3F51994B, (0x41D087, 0xBD33129B, 0x41D091, 0xBD3312A5),
        ("625ec09d575836edc9b6428418bbf06989a361bb", "e4a37ada2a0afca8711434913fe138c771ebcb4a",
         "1ed82975f4ea444c61580c5bd90dbd61bbc91b7e"),
        ("9033ec3d7334b64c5edd039f", "f1cba346c3526163f71f1f55", "bf0805feb4ac7b163d6fcdf2",
        "6c48125c11335bab9a07a797"),
    ),
    Vector(
        "6.2", True, SHA1, False, 0xC6CD, 0x020C1E69, 0xEBA3734D, (0x9DB95B, 0x5EC99B70, 0x9DB965, 0x5EC99B7A),
        ("31a3faf69effae52931b7f845467315c270a4edc", "405108947f996575e7bdbc26d40216a2c7fa91bd",
         "b34eed6a9396a669f1c4f4f57618f3656f52c7ab"),
        ("885698b0530ed4d5a15f8346", "3c546bad9743f12df8b8010d", "48bd093b1924e001192f5bf0",
        "559a819445b4fde98d9e1317"),
    ),
    Vector(
        "7.1", True, CMAC, True, 0xF85A, 0x193CCCEC, 0xA6744ECB, (0x13E4AB99, 0x71DAABC8, 0x13E4ABA3, 0x71DAABD3),
        ("fa5a2108882d39d0c71929175ab1b7b8", "cf1b1e225e06a63616764a067b46f4b1", "6174c3557abed27574dba37185f00300"),
        ("59b588107481ac6dc3927040", "dc2843a84e78a6bcfdc5ed80", "7b6a455c0d4f5f01835baab3",
        "c1069b7dfd3d693a6df3f289"),
    ),
    Vector(
        "7.2", True, CMAC, False, 0xF288, 0xB01DA74A, 0xA6246145, (0x14275B3B, 0x1782245B, 0x14275B4F, 0x17822465),
        ("a94f511263e4093d35dd818c13bbbf53", "92dea5bbc78b1d9f5b2952e9cd30642a", "4fb2086e402c679079ed65d4bf97693d"),
        ("3d45b4342de8bb1530847898", "1d01f6c87c6f93acffa9d4b5", "290cf414ccb47a333276e7f8",
        "99515ffcd5403499f619fd1b"),
    ),
]
