"""The documents speak of what is there."""

import re
import shlex
from pathlib import Path

import pytest

from edgekit.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def shell_lines(name):
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text_of(name), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line]


def test_the_readme_opens_with_two_command_lines():
    first, second = shell_lines("README.md")[:2]
    assert first.endswith("pip install . && edgekit demo")
    assert second.endswith("tools/check")
    assert "torch" not in first
    assert "-c tools/constraints.txt" in second
    assert "[dev,train]" in second


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_shown_exists(name):
    used = set(re.findall(r"(?:^|`|&& )edgekit ([a-z]+)", text_of(name), re.MULTILINE))
    assert used <= set(COMMANDS)


def test_the_readme_tells_of_every_command():
    assert set(re.findall(r"edgekit ([a-z]+)", text_of("README.md"))) >= set(COMMANDS)


def test_the_readme_tells_of_every_criterion():
    from edgekit.pruning.criteria import CRITERIA

    table = text_of("README.md").partition("| criterion |")[2].partition("\n\n")[0]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")]
    told = {name for first in firsts for name in re.findall("`(.*?)`", first)}
    assert told == {criterion.name for criterion in CRITERIA}


@pytest.mark.parametrize("line", [x for x in shell_lines("README.md") if x.startswith("edgekit ")])
def test_every_option_shown_exists(line):
    import click

    from edgekit.cli.main import cli

    words = shlex.split(line, comments=True)[1:]
    command = cli.get_command(click.Context(cli), words[0])
    if isinstance(command, click.Group):
        command = command.commands[words[1]]
    known = {name for parameter in command.params for name in parameter.opts}
    given = {word.split("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
    assert given <= known | {"--help"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    for link in re.findall(r"\]\(([^)#]+)", text_of(name)):
        if "://" not in link:
            assert (ROOT / link).exists(), link


def test_the_architecture_tells_of_every_module_and_folder():
    told = text_of("ARCHITECTURE.md")
    for path in sorted((ROOT / "edgekit").iterdir()):
        module = path.suffix == ".py" and path.stem not in {"__init__", "__main__"}
        package = path.is_dir() and any(path.glob("*.py"))
        if module or package:
            wanted = f"`{path.name}/`" if package else f"`{path.name}`"
            assert wanted in told, wanted


def test_the_documents_name_the_distribution_and_never_another_projects():
    for name in DOCUMENTS:
        assert "pip install edgekit\n" not in text_of(name)
        assert not re.search(r"pip install (-U )?edgekit(?![-\w])", text_of(name))
