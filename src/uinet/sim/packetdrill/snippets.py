"""The Python snippets of scripts: assertions over what is known of a connection, and prints."""

from __future__ import annotations

import textwrap
from typing import Any

from uinet.sim.packetdrill.errors import Mismatch, Unsupported
from uinet.sim.packetdrill.tcp_info import SYMBOLS


class Snippets:
    """The snippets of one script; names that one of them sets are there for the next. They are the script's own code
    and run with all rights of this process."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = dict(SYMBOLS)

    def run(self, text: str, info: dict[str, int], line: int) -> None:
        """Runs a snippet with the fields of tcp_info. Mismatch, Unsupported."""
        self.names.update(info)
        source = textwrap.dedent(text).strip().rstrip("\\")  # some end in a backslash
        try:
            exec(compile(source, f"<line {line}>", "exec"), self.names)
        except AssertionError as error:
            said = f" ({error})" if str(error) else ""
            raise Mismatch(f"assertion failed{said}", source, self._values(source, info)) from None
        except NameError as error:
            if error.name is not None and error.name.startswith(("tcpi_", "bbr_", "SK_MEMINFO", "dctcp_", "tcpv_")):
                raise Unsupported(f"{error.name}: not known of a connection here") from None
            raise Mismatch(f"{type(error).__name__}: {error}", source) from None
        except SystemExit as error:
            if error.code:
                raise Mismatch(f"the snippet exits with {error.code}", source) from None
        except Exception as error:
            raise Mismatch(f"{type(error).__name__}: {error}", source) from None

    def _values(self, source: str, info: dict[str, int]) -> str:
        """The fields that a snippet names, with their values."""
        return ", ".join(f"{name}={value}" for name, value in info.items() if name in source)
