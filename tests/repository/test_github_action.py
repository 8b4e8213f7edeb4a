"""The composite action and its example: they load, and what they run exists."""

import re
from pathlib import Path

import pytest

from edgekit.cli.main import cli

FOLDER = Path(__file__).parents[2] / "tools/github-action"
yaml = pytest.importorskip("yaml", reason="pyyaml is among the development tools")


def loaded(name):
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def scripts():
    steps = [
        *loaded("action.yml")["runs"]["steps"],
        *loaded("example.yml")["jobs"]["gate"]["steps"],
    ]
    return [step["run"] for step in steps if "run" in step]


def test_it_is_a_composite_action_whose_steps_have_a_shell():
    action = loaded("action.yml")
    assert action["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"] if "run" in step)
    assert action["inputs"]["measured"]["required"] is True


def test_no_input_is_put_into_a_script():
    """An expression inside a script would run what a pull request wrote."""
    assert not any("${{" in script for script in scripts())


def test_each_input_is_used():
    text = (FOLDER / "action.yml").read_text(encoding="utf-8")
    for name in loaded("action.yml")["inputs"]:
        assert f"inputs.{name}" in text


def test_the_commands_and_options_exist():
    used = set()
    for script in scripts():
        for line in script.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*edgekit (\w+)(.*)", line):
                used.add(found[1])
                known = {o for p in cli.get_command(None, found[1]).params for o in p.opts}
                assert set(re.findall(r"(--[a-z-]+)", found[2])) <= known
    assert used == {"gate", "profile"}
    known = {option for param in cli.get_command(None, "gate").params for option in param.opts}
    collected = set(re.findall(r"arguments\+=\((--[a-z]+)", "".join(scripts())))
    assert collected == {"--budget", "--model", "--profile", "--baseline", "--junit"}
    assert collected <= known


def test_the_example_gives_inputs_that_the_action_has():
    (step,) = (
        step
        for step in loaded("example.yml")["jobs"]["gate"]["steps"]
        if step.get("uses") == "./tools/github-action"
    )
    assert set(step["with"]) <= set(loaded("action.yml")["inputs"])
