"""``scepfix apply``: run an approved plan, say what is waited for, and show what came of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from scepfix import wiring
from scepfix.cli.context import Shared, shared_options
from scepfix.cli.plan import write_pages
from scepfix.cli.progress import ProgressLines
from scepfix.cli.remediation_report import as_document, as_text
from scepfix.domain.errors import Exit, RefusedError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.plan import Plan
from scepfix.service.apply import exit_code
from scepfix.service.approve import approval_needed
from scepfix.service.score import score


class InterruptedRunError(ScepfixError):
    """The person pressed Ctrl-C while devices were being repaired (exit 130)."""

    exit = Exit.INTERRUPTED


@click.command(
    epilog="Exit codes: 0 every device verified, awaiting-registration or nothing-to-do; 1 every device failed; "
    "4 not approved, expired or changed, or a person is needed; 5 mixed; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("plan_file", metavar="PLAN.json")
@click.option("--html", metavar="FILE", help="Write the page again, with what was seen beside what was predicted.")
@click.option("--markdown", metavar="FILE", help="The same page as Markdown.")
@shared_options
@click.pass_obj
def apply(shared: Shared, plan_file: str, html: str | None, markdown: str | None) -> Exit:
    """Run an approved plan; the same command again goes on where it was.

    What is run is the plan that was approved, as it was then. A device whose facts have changed since is left alone.

    \b
    Examples:
      scepfix apply plan.json
      scepfix apply plan.json --html plan.html
    """
    plan = wiring.load_plan(plan_file)
    return run_plan(shared, plan, plan_file, html, markdown)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A request to end (a closed terminal, a shutdown) is answered like Ctrl-C: with how to go on."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _way_back(shared: Shared) -> str:
    return f"a device may be without its profile meanwhile: {visible(shared.command('rescue'))} puts everybody back"


def run_plan(shared: Shared, plan: Plan, plan_file: str, html: str | None = None, markdown: str | None = None) -> Exit:
    """Given an approved plan and the file it is in, run it, print what came of it and return the exit code."""
    try:
        with _ended_like_ctrl_c():
            plan, remediations = wiring.apply(
                plan,
                shared.config,
                shared.database,
                ProgressLines(shared.tell, wiring.settings(shared.config).repair),
                shared.tell,
            )
    except (RefusedError, UsageError):
        raise
    except ScepfixError as error:
        raise ScepfixError(
            error.code, error.message, where=error.where, hint=f"{error.hint}; {_way_back(shared)}"
        ) from error
    except OSError as error:
        raise ScepfixError(
            "state-folder",
            f"scepfix cannot write down what it does: {visible(error.strerror or str(error))}",
            where=visible(str(error.filename or "")),
            hint=f"is the disk full? The same command goes on once there is space; {_way_back(shared)}",
        ) from error
    except KeyboardInterrupt as interrupt:
        raise InterruptedRunError(
            "interrupted",
            "interrupted. What runs on a device ends by itself; what was removed is still owed a re-install, and that "
            "is written down. Nothing else is removed meanwhile",
            hint=f"go on with: {visible(shared.command('apply', plan_file))}; or put everything back: "
            f"{visible(shared.command('rescue'))}",
        ) from interrupt
    if html is not None or markdown is not None:
        needed = approval_needed(plan, wiring.settings(shared.config).repair)
        approvals = wiring.approvals(plan, shared.database)
        write_pages(shared, plan, plan_file, needed, html, markdown, approvals, remediations)
    if shared.as_json:
        shared.print_document("remediations", as_document(remediations, score(remediations)))
    else:
        shared.print_text(as_text(remediations, wiring.settings(shared.config).ways_in))
    return exit_code(remediations)
