"""Policy files: Python that decides about connections, and reads or rewrites their streams.

A policy file may define any of these::

    def decide(syn):                    # or `async def`: the SYN is held until it returns
        return "intercept"              # "pass", "track", "hold", "reset", "drop", a uinet.Verdict; None: "intercept"

    async def client_to_server(reader, writer, connection):
        while data := await reader.read(65536):
            writer.write(data.replace(b"cat", b"dog"))
            await writer.drain()

    async def server_to_client(reader, writer, connection): ...

    def tracked(data, from_client, connection): ...     # the streams of flows that are tracked, as they pass
    def codec(connection):              # with --codec: what is sent to the other proxy of the pair
        return "zstd"                   # "dedup", "plain"; None is what --codec says

`syn` is what a SYN filter sees. The streams are asyncio's: returning ends that direction (the receiver gets a
FIN), raising resets both sides. The direction without a function is copied as it is; with neither, the engine
splices.
"""

from __future__ import annotations

import inspect
import sys
import traceback
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from uinet.errors import InvalidArgument
from uinet.tcp.syn import Verdict

Decide = Callable[[Any], Any]
Rewrite = Callable[[Any, Any, Any], Awaitable[None]]
Tracked = Callable[[bytes, bool, Any], Any]

WORDS = {
    "proxy": Verdict.ACCEPT,
    "intercept": Verdict.ACCEPT,
    "accept": Verdict.ACCEPT,
    "bridge": Verdict.BRIDGE,
    "pass": Verdict.BRIDGE,
    "track": Verdict.ACCEPT_PASSIVE,
    "hold": Verdict.DEFER,
    "reset": Verdict.REJECT_RST,
    "refuse": Verdict.REJECT_RST,
    "drop": Verdict.REJECT_SILENT,
    "silent": Verdict.REJECT_SILENT,
}
PARAMETERS = {"decide": "(syn)", "codec": "(connection)", "tracked": "(data, from_client, connection)"}
STREAMS = ("client_to_server", "server_to_client")


class PolicyError(InvalidArgument):
    """A policy file is not valid, or what it decided is none of the decisions."""


def verdict_of(decision: object) -> Verdict:
    """The verdict that a policy's answer stands for.

    ACCEPT_PASSIVE (look, never send) is "track": the flow passes untouched. DEFER is a PolicyError, unless as the word
    "hold": a policy that needs time is an ``async def``.
    """
    if decision is None:
        return Verdict.ACCEPT
    if isinstance(decision, str) and decision in WORDS:
        return WORDS[decision]
    if isinstance(decision, Verdict) and decision != Verdict.DEFER:
        return decision
    if decision == Verdict.DEFER:
        raise PolicyError("decide returned DEFER: make it an `async def` instead")
    known = ", ".join(f"'{word}'" for word in WORDS)
    raise PolicyError(f"decide returned {decision!r}: want {known}, a Verdict or None")


class Policy:
    """The functions of one policy file, each None if it is not defined there."""

    def __init__(
        self,
        *,
        decide: Decide | None = None,
        client_to_server: Rewrite | None = None,
        server_to_client: Rewrite | None = None,
        tracked: Tracked | None = None,
        codec: Callable[[Any], Any] | None = None,
        path: str = "policy",
    ) -> None:
        self.decide = decide
        self.client_to_server = client_to_server
        self.server_to_client = server_to_client
        self.tracked = tracked
        self.codec = codec
        self.path = path

    @property
    def rewrites(self) -> bool:
        """Whether a stream passes through the policy, so that connections can't be spliced."""
        return self.client_to_server is not None or self.server_to_client is not None

    @property
    def needs_loop(self) -> bool:
        """Whether it can only run where there is an event loop."""
        return self.rewrites or inspect.iscoroutinefunction(self.decide)

    def describe(self, error: BaseException) -> str:
        """One line about an error that came out of the policy, with the place in its file."""
        return f"{place(error, self.path)}: {summary(error)}"

    def choose_codec(self, connection: Any) -> Any:
        """What `codec` answers; PolicyError, one line with file and line, if it raises."""
        assert self.codec is not None
        try:
            return self.codec(connection)
        except (Exception, SystemExit) as error:
            raise PolicyError(self.describe(error)) from None

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Runs the file and takes what it defines; PolicyError, one line with file and line, if it can't."""
        name = str(path)
        namespace = _run(name)
        found: dict[str, Any] = {}
        kinds = (("decide", 1), ("tracked", 3), ("codec", 1), *((stream, 3) for stream in STREAMS))
        for function, parameters in kinds:
            if namespace.get(function) is not None:
                found[function] = _checked(namespace[function], function, parameters, name)
        if not found:
            raise PolicyError(f"{name}: defines none of decide, tracked, codec, {', '.join(STREAMS)}")
        return cls(**found, path=name)


def _run(name: str) -> dict[str, Any]:
    """The namespace of the file `name` after running it."""
    try:
        code = compile(Path(name).read_bytes(), name, "exec")
    except OSError as error:
        raise PolicyError(f"{name}: {error.strerror}") from None
    except SyntaxError as error:
        raise PolicyError(f"{name}:{error.lineno or 1}: {error.msg}") from None
    except ValueError as error:  # null bytes
        raise PolicyError(f"{name}: {error}") from None
    module = types.ModuleType("uinet_policy")
    module.__file__ = name
    sys.modules["uinet_policy"] = module  # dataclasses look their module up
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise PolicyError(f"{place(error, name)}: {summary(error)}") from error
    return module.__dict__


def _checked(function: Any, name: str, parameters: int, path: str) -> Any:
    """`function` itself if it can be called as the policy's `name`."""
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
    if not callable(function):
        raise PolicyError(f"{path}: {name} is not a function")
    if name in STREAMS and not inspect.iscoroutinefunction(function):
        raise PolicyError(f"{path}:{line}: {name} must be an `async def`")
    if name in ("codec", "tracked") and inspect.iscoroutinefunction(function):
        raise PolicyError(f"{path}:{line}: {name} must be a plain `def`: its answer can't be waited for")
    try:
        inspect.signature(function).bind(*range(parameters))
    except TypeError:
        wanted = PARAMETERS.get(name, "(reader, writer, connection)")
        raise PolicyError(f"{path}:{line}: {name} must take {wanted}") from None
    except ValueError:
        pass  # a callable that has no signature to look at
    return function


def place(error: BaseException, path: str) -> str:
    """``path:line`` of the innermost line of the file `path` that `error` came through."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def summary(error: BaseException) -> str:
    """The error's class and message, on one line; a message that is meant to be read stands alone."""
    text = " ".join(str(error).split())
    if isinstance(error, PolicyError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
