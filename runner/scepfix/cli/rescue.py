"""``scepfix rescue``: put back every device that is left out of the profile's scope."""

from __future__ import annotations

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import Exit
from scepfix.domain.inert import visible


@click.command(
    epilog="Exit codes: 0 every device was asked back, or none was left out; 1 the MDM did not answer; 2 bad settings.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@shared_options
@click.pass_obj
def rescue(shared: Shared) -> Exit:
    """Take every device out of scepfix's exclusion group: the MDM installs the profile on them again.

    It needs no database and no plan, only the MDM of the settings. It is always safe: the group is scepfix's alone, and
    a repair that goes on meanwhile finds its device put back and proves or reports that.

    \b
    Example:
      scepfix rescue
    """
    back = wiring.put_all_back(shared.config)
    if shared.as_json:
        shared.print_document(
            "rescue",
            {"put_back": [{"name": visible(one.name), "identity": one.identity.as_document()} for one in back]},
        )
    elif not back:
        shared.print_text("No device is in the exclusion group: nobody was left out.")
    else:
        lines = [f"  {visible(one.name)} (serial number {visible(one.identity.serial_number)})" for one in back]
        shared.print_text(
            "\n".join([f"Asked back {len(back)}; each gets the profile when it answers its MDM:", *lines])
        )
    return Exit.VERDICT
