"""The ``scepfix`` command: the table of verbs, the way in and the exit code."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from scepfix.cli.context import OutputError, Shared, flush_output, forget_output, shared_options
from scepfix.domain.errors import Exit, ScepfixError, UsageError

#: verb -> (module:object, one line for --help). Modules load only when their verb is used.
VERBS = {
    "diagnose": ("scepfix.cli.diagnose:diagnose", "Name the fault from logs, certificates, profiles and evidence."),
    "plan": ("scepfix.cli.plan:plan", "Preview what a repair would change; nothing is changed."),
    "approve": ("scepfix.cli.approve:approve", "Approve a plan."),
    "reject": ("scepfix.cli.approve:reject", "Reject a plan."),
    "apply": ("scepfix.cli.apply:apply", "Run an approved plan, and prove what came of it."),
    "fix": ("scepfix.cli.fix:fix", "Preview, ask, repair and prove one device."),
    "rescue": ("scepfix.cli.rescue:rescue", "Put back every device that was left without its profile."),
    "doctor": ("scepfix.cli.doctor:doctor", "Look whether everything is ready for a repair."),
    "serve": ("scepfix.cli.serve:serve", "Take what NanoMDM tells by its webhook."),
    "certificate": ("scepfix.cli.certificate:certificate", "Inspect certificates as Device Access sees them."),
    "profile": ("scepfix.cli.profile:profile", "Check a SCEP profile."),
    "okta": ("scepfix.cli.okta:okta", "Ask the Okta org: deleted devices, a role; set one setting."),
    "faults": ("scepfix.cli.faults:faults", "List and explain the faults scepfix can name."),
    "demo": ("scepfix.cli.demo:demo", "Show it at work on cases that ship with scepfix."),
    "completion": ("scepfix.cli.completion:completion", "Print the completion script of a shell."),
}


class Verbs(click.Group):
    """A group that imports a verb's module only when it is called, and names the near miss."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"verbs: {', '.join(VERBS)}"
            raise UsageError("unknown-verb", f"there is no verb {args[0]!r}", where="scepfix", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_line) for verb, (_, help_line) in VERBS.items()])


@click.group(
    cls=Verbs,
    name="scepfix",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 verdict reached or repaired, 1 failed, 2 bad usage or unreadable input, 3 undetermined, "
    "4 a person is needed, 5 mixed. All of them: docs/command-line.md.",
)
@click.version_option(package_name="scepfix", message="scepfix %(version)s")
@shared_options
def scepfix() -> None:
    """Say why an Okta Desktop MFA recovery PIN is refused, and what repairs it.

    \b
    Examples:
      scepfix diagnose OktaDeviceAccess.log
      scepfix diagnose sysdiagnose.tar.gz --symptom generating-fails
      pbpaste | scepfix diagnose -
      scepfix fix mac-042 -i inventory.yml
      scepfix plan --group lab -i inventory.yml -o plan.json --html plan.html
      scepfix certificate inspect device.pem
      scepfix profile check okta-scep.mobileconfig
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Given the arguments (default: the process's), run the command and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    shared = Shared(as_json="--json" in options, color=False if "--no-color" in options else None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe of another encoding gets a spelled-out character, never an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(_run(arguments, shared))
    except BrokenPipeError:
        # The reader (head, less) went away: nobody is left to tell.
        forget_output()
        return int(Exit.FAILED)
    except OutputError as error:
        forget_output()
        shared.print_error(error)
        return int(error.exit)


def _run(arguments: list[str], shared: Shared) -> Exit | int:
    """Run the command; every error but that of the output itself is told and becomes an exit code."""
    try:
        code: int | None = scepfix.main(arguments, prog_name="scepfix", standalone_mode=False, obj=shared)
        flush_output()
        return code or Exit.VERDICT
    except (BrokenPipeError, OutputError):
        raise
    except ScepfixError as error:
        shared.print_error(error)
        return error.exit
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "scepfix"
        shared.print_error(UsageError("usage", error.format_message(), where=where, hint=f"see {where} --help"))
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        shared.print_error(
            ScepfixError("interrupted", "interrupted; this command changed nothing", hint="run the same command again")
        )
        return Exit.INTERRUPTED
    except Exception as error:
        if os.environ.get("SCEPFIX_TRACEBACK"):
            raise
        # A traceback shows values, and a value may be a secret: only the kind of the error is told.
        shared.print_error(
            ScepfixError(
                "internal",
                f"scepfix itself failed ({type(error).__name__})",
                hint="please report it, with the command; SCEPFIX_TRACEBACK=1 shows where",
            )
        )
        return Exit.FAILED
