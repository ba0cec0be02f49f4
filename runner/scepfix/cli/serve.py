"""``scepfix serve``: take what an MDM tells by its webhook."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol, runtime_checkable

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit, UsageError


@runtime_checkable
class Receives(Protocol):
    """An MDM that tells things by itself."""

    def receive(self, tell: Callable[[str], None], stop: Callable[[], bool]) -> None:
        """Take what it tells until ``stop``."""
        ...


@click.command(
    epilog="Exit codes: 0 ended by SIGTERM; 130 ended by Ctrl-C; 2 bad settings, or the address is taken.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@shared_options
@click.pass_obj
def serve(shared: Shared) -> Exit:
    """Take what NanoMDM posts to its webhook, and write it into the journal that repairs are judged by.

    It also asks each device once a day who it is, which profiles and which certificates it has. No profile is moved.
    It must run whenever NanoMDM does: an event that nobody takes is lost.

    \b
    Example:
      scepfix serve
      nanomdm … -webhook-url http://127.0.0.1:9002/webhook
    """
    opened = wiring.mdm(shared.config, read_only=False)
    if not isinstance(opened, Receives):
        raise UsageError(
            "no-webhook", "the MDM of the settings posts no events", where="mdm.kind", hint="only nanomdm does"
        )
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGTERM, end)
    opened.receive(shared.tell, lambda: bool(ended))
    return Exit.VERDICT
