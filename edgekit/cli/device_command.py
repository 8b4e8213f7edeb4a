"""`edgekit device`: the devices that measure, and whom to believe that it is one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from edgekit.cli import options

if TYPE_CHECKING:
    from edgekit.lab import Trust


@click.group("device")
def command() -> None:
    """Add, list, trust, check and remove the devices that measure over SSH."""


@command.command("add")
@click.argument("name")
@click.argument("address", metavar="ssh://[USER@]HOST[:PORT]")
@options.target
@click.option(
    "--python", metavar="PATH", default="python3", help="Interpreter there, 3.8 or newer."
)
@click.option("--tag", "tags", multiple=True, help="A group that it belongs to. Repeatable.")
@options.inventory
def add(
    *,
    name: str,
    address: str,
    target: str | None,
    python: str,
    tags: tuple[str, ...],
    inventory: str | None,
) -> int:
    """Put a device into the inventory, or change how a known one is reached."""
    from edgekit.cli import terminal
    from edgekit.lab import add_device

    entry = add_device(
        name,
        address,
        target=options.required(target, "--target"),
        python=python,
        tags=tags,
        inventory=inventory,
    )
    pinned = bool(entry.host_keys)
    terminal.next_command(f"edgekit device {'check' if pinned else 'trust'} {name}")
    return 0


@command.command("list")
@options.inventory
def list_devices(inventory: str | None) -> int:
    """List the devices of the inventory."""
    from edgekit.cli import terminal
    from edgekit.lab import list_devices

    found = list_devices(inventory=inventory)
    for name, entry in found.items():
        trusted = "" if entry.host_keys else "  not trusted yet"
        tags = "  " + " ".join(f"tag:{tag}" for tag in entry.tags) if entry.tags else ""
        click.echo(f"{name:12} {entry.target:10} {entry.address}{tags}{trusted}")
    if not found:
        terminal.say("no devices yet")
        terminal.next_command("edgekit device add NAME ssh://USER@HOST --target T")
    return 0


@command.command("trust")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Pin what it offers now, unseen: for a first set-up.")
@options.inventory
def trust(*, name: str, yes: bool, inventory: str | None) -> int:
    """Show the fingerprints of a device's host keys and pin them.

    Compare them with what the device itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    import sys

    from edgekit.cli import terminal
    from edgekit.errors import UsageError
    from edgekit.lab import trust_device

    def accept(found: Trust) -> bool:
        _show(found)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(
                "nobody is there to compare the fingerprints",
                where=name,
                remedy="run it in a terminal, or add --yes",
            )
        return click.confirm("Are they the device's own?", err=True)

    if not trust_device(name, accept=accept, inventory=inventory).accepted:
        terminal.say("nothing was pinned")
        return 2
    terminal.next_command(f"edgekit device check {name}")
    return 0


def _show(found: Trust) -> None:
    from rich.markup import escape

    from edgekit.cli import terminal

    for fingerprint in found.offered:
        known = " (pinned already)" if fingerprint in found.pinned else ""
        terminal.say(escape(f"it offers  {fingerprint}{known}"))
    for fingerprint in found.pinned:
        if fingerprint not in found.offered:
            terminal.say(escape(f"pinned was {fingerprint}: it does not offer that any more"))


@command.command("check")
@click.argument("name")
@options.inventory
@options.json_file
def check(*, name: str, inventory: str | None, json_file: str | None) -> int:
    """Say what a device can do and how to mend what it cannot; 4 when something will fail."""
    from edgekit.cli.doctor_command import show
    from edgekit.diagnosis import check_device

    findings = check_device(name, inventory=inventory)
    profile, again = f"edgekit profile MODEL --device {name}", f"edgekit device check {name}"
    return show(findings, json_file, profile, again)


@command.command("remove")
@click.argument("name")
@options.inventory
def remove(*, name: str, inventory: str | None) -> int:
    """Take a device out of the inventory."""
    from edgekit.cli import terminal
    from edgekit.lab import remove_device

    remove_device(name, inventory=inventory)
    terminal.next_command("edgekit device list")
    return 0
