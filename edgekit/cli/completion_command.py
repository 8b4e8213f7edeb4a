"""`edgekit completion`: the line that a shell's start-up file needs."""

from __future__ import annotations

import rich_click as click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the completion script of a shell: eval "$(edgekit completion bash)"."""
    from click.shell_completion import get_completion_class

    from edgekit.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell!r}")
    click.echo(kind(cli, {}, "edgekit", "_EDGEKIT_COMPLETE").source())
    return 0
