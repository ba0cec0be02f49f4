"""Shows a plan to a person: who, what is wrong, what would change and how surely, what cannot be taken back."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

import click

from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import Plan, PlannedDevice, Sureness
from scepfix.service.approve import ApprovalNeeded

_WIDTH = 100
_CELL = 60
_COLOURS = {Sureness.CERTAIN: "green", Sureness.ASSUMED: "yellow", Sureness.UNKNOWABLE: "magenta"}


#: Given a verb and its words, returns the command line that a person types.
Command = Callable[..., str]


def as_text(plan: Plan, needed: ApprovalNeeded, plan_file: str = "", command: Command | None = None) -> str:
    """Given a plan, which approval it needs and, where it is in a file, that and how commands are written, return text.

    The text is styled.
    """
    return "\n".join(_lines(plan, needed, plan_file, command))


def _lines(plan: Plan, needed: ApprovalNeeded, plan_file: str, command: Command | None) -> Iterator[str]:
    told = len(plan.devices) - needed.changing
    yield click.style("Preview: nothing has been changed.", bold=True)
    yield (
        f"{_devices(needed.changing)} would change, on {_devices(told)} nothing changes, "
        f"{_devices(len(plan.set_aside))} set aside."
    )
    for device in plan.devices:
        yield ""
        yield from _device(device)
    if plan.set_aside:
        yield _heading("Set aside")
        for one in plan.set_aside:
            yield wrapped(f"{one.name}: {one.code}: {one.reason}", "  - ", "    ")
    yield _heading("The plan")
    yield f"  Digest    {plan.digest()}"
    yield f"  Expires   {rfc3339(plan.expires_at)}"
    yield f"  Proof     at least {plan.proof_grade.value}"
    yield wrapped(needed.words, "  Approval  ", "            ")
    if command is not None:
        yield from _next(needed, plan, plan_file, command)


def _device(device: PlannedDevice) -> Iterator[str]:
    who = f", {visible(device.person)}" if device.person else ""
    standing = f" ({device.standing})" if device.standing else ""
    yield click.style(f"{visible(device.name)}{who}", bold=True) + f": {visible(device.fault)}{standing}"
    yield wrapped(device.reason, "  ", "  ")
    if not device.changes:
        yield "  Nothing is changed by scepfix. What a person has to do:"
        for number, step in enumerate(device.watches, 1):
            yield wrapped(step, f"    {number}. ", "       ")
        return
    yield f"  Playbook {visible(device.playbook)}, serial number {visible(device.identity.serial_number)}"
    yield from _predictions(device)
    for step in device.one_way_steps:
        yield click.style(wrapped(f"ONE-WAY: {step}", "  ! ", "    "), bold=True, fg="red")
    for watch in device.watches:
        yield wrapped(f"Know before: {watch}", "  ", "    ")


def _predictions(device: PlannedDevice) -> Iterator[str]:
    """One line each, what changes marked; a value that was seen cut short stands whole in the plan file."""
    rows = [[visible(text)[:_CELL] for text in (one.what, one.now, one.after)] for one in device.predictions]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for (what, now, after), one in zip(rows, device.predictions, strict=True):
        mark = " " if one.now == one.after else "~"
        line = f"    {mark} {what:<{widths[0]}}  {now:<{widths[1]}} → {after:<{widths[2]}}"
        yield f"{line}  " + click.style(one.sureness.value, fg=_COLOURS[one.sureness])


def _next(needed: ApprovalNeeded, plan: Plan, plan_file: str, command: Command) -> Iterator[str]:
    yield _heading("Next")
    if not needed.changing:
        yield "  Nothing needs an approval: do what the devices above say, then look again."
        return
    if needed.signature:
        yield f"  printf '%s\\n' '{plan.digest()}' | ssh-keygen -Y sign -f KEY -n scepfix-plan > plan.sig"
        yield f"  {visible(command('approve', plan_file, '--signature', 'plan.sig'))}"
    else:
        yield f"  {visible(command('approve', plan_file))}"
    yield f"  {visible(command('apply', plan_file))}"


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Given foreign text, return it inert and wrapped, with these leads."""
    return textwrap.fill(
        visible(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def list_of(title: str, items: Sequence[str]) -> Iterator[str]:
    """Yield a heading and its items, nothing where there are none."""
    if items:
        yield _heading(title)
        yield from (wrapped(item, "  - ", "    ") for item in items)


def _devices(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"


def _heading(title: str) -> str:
    return click.style(f"\n{title}", bold=True)
