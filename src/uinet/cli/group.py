"""The group of commands, and what becomes of errors: one line on standard error, and the exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from uinet.cli import version
from uinet.errors import DeviceURLError, Error, InvalidArgument

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS: dict[str, str] = {
    "demo": "Clients on many VLANs reach servers through the proxy: in memory, no root.",
    "emulate": "A link with a rate, a delay and faults between two devices.",
    "flow": "Pass, track, hold or intercept flows of a running proxy.",
    "follow": "Both streams of every connection in a capture, and what is missing.",
    "hosts": "Bring up thousands of hosts, each with its own MAC, VLAN, addresses and services.",
    "listen": "Answer for every address and port of prefixes, and log who comes: a honeypot.",
    "nc": "Netcat over the stack.",
    "ping": "Send echo requests.",
    "pkt": "packetdrill scripts, on virtual time.",
    "proxy": "The transparent proxy between two devices.",
    "scale": "Open and serve connections by the million, over ranges of VLANs, MACs, IPs, ports.",
    "serve": "A static web server over the stack.",
    "stat": "What the stack of a running program is doing.",
    "top": "A running program's stack on the full screen.",
    "sysctl": "The settings of the stack of a running program.",
    "show": "The frames of a capture, a line each.",
}
"""Each is a click command named `command` in the module of its name, imported when it is asked for."""


class Failure(Exception):
    """The work of a command failed; its text is the line that is printed, the exit status 1."""


class Commands(click.Group):
    """A group that imports a command's module when the command is run."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"uinet.cli.{name}").command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(message=version())
def group() -> None:
    """A TCP/IP stack in user space: be anyone on the wire, listen without being anyone."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and answers its exit status; never a traceback for what a user can cause."""
    try:
        status = group.main(list(arguments), "uinet", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "uinet"
        return complain(f"{_sentence(error.format_message())} (see {where} --help)", USAGE, where)
    except click.ClickException as error:
        return complain(_sentence(error.format_message()), FAILED)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (InvalidArgument, DeviceURLError) as error:
        return complain(str(error), USAGE)
    except Failure as error:
        return complain(str(error), FAILED)
    except Error as error:
        return complain(str(error), FAILED)
    except BrokenPipeError:  # whoever read our output has read enough: `uinet show x.pcap | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None else ""
        return complain(f"{name}{error.strerror or error}", FAILED)
    except Exception as error:
        if os.environ.get("UINET_DEBUG"):
            raise
        what = f"internal error: {type(error).__name__}: {error}"
        return complain(f"{what} (UINET_DEBUG=1 shows where)", FAILED)


def complain(text: str, status: int, who: str = "uinet") -> int:
    """Prints the one line that tells what went wrong; answers `status`."""
    print(f"{who}: {' '.join(text.split())}", file=sys.stderr)
    return status


def _sentence(text: str) -> str:
    return text.rstrip(".")
