"""The command line: one file a command; parse, call, print, exit code. No logic."""

from edgekit.cli.main import main

__all__ = ["main"]
