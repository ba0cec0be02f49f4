"""``scepfix completion SHELL``: print the completion script (made by click)."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete


@click.command(epilog="Example:  scepfix completion bash > ~/.local/share/bash-completion/completions/scepfix")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL on standard output."""
    kinds: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    click.echo(kinds[shell](ctx.find_root().command, {}, "scepfix", "_SCEPFIX_COMPLETE").source())
