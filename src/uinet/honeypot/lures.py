"""What is said to whoever connects: a banner first, where a port has one, and an answer to what looks like HTTP."""

from __future__ import annotations

from uinet.errors import InvalidArgument

BANNERS: dict[int, bytes] = {
    21: b"220 FTP server ready\r\n",
    22: b"SSH-2.0-OpenSSH_9.6\r\n",
    23: b"login: ",
    25: b"220 mail ESMTP ready\r\n",
    110: b"+OK POP3 ready\r\n",
    143: b"* OK IMAP4rev1 ready\r\n",
    587: b"220 mail ESMTP ready\r\n",
}
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ")
PAGE = b"<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"
HTTP = (
    b"HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
    + str(len(PAGE)).encode() + b"\r\n\r\n"
)
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def parse_banner(text: str) -> tuple[int, bytes]:
    r"""``2222=SSH-2.0-x\r\n`` as port and bytes: ``\r \n \t \0 \\ \xHH`` are understood; InvalidArgument."""
    number, equals, banner = text.partition("=")
    if not equals or not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= 65535:
        raise InvalidArgument(f"{text!r} is no banner: want PORT=TEXT")
    return int(number), unescape(banner)


def unescape(text: str) -> bytes:
    r"""The bytes of a text with ``\r \n \t \0 \\ \xHH`` in it; InvalidArgument."""
    found = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "\\":
            found += text[at].encode()
            at += 1
        elif text[at + 1 : at + 2] in ESCAPES:
            found += ESCAPES[text[at + 1]]
            at += 2
        elif text[at + 1 : at + 2] == "x":
            try:
                found += bytes.fromhex(text[at + 2 : at + 4].ljust(2, "?"))
            except ValueError:
                raise InvalidArgument(f"{text!r}: \\x wants two hexadecimal digits") from None
            at += 4
        else:
            raise InvalidArgument(f"{text!r}: a backslash is followed by one of r n t 0 x \\")
    return bytes(found)


def answer_to(data: bytes) -> bytes:
    """What is answered to the first bytes of a client, b"" if nothing is."""
    if not data.startswith(METHODS) or b"\r\n\r\n" not in data:
        return b""
    return HTTP if data.startswith(b"HEAD ") else HTTP + PAGE
