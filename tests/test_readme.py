"""What README and architecture page tell users to type exists."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^nas ([a-z-]+)(.*?)(?:&? *#.*)?$", README, re.MULTILINE)


def test_readme_shows_commands():
    assert {name for name, _ in COMMANDS} >= {
        "serve",
        "train",
        "profile",
        "search",
        "best",
        "extract",
        "verify",
    }


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_commands_and_options_of_the_readme_exist(command, arguments):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    for option in re.findall(r"--[a-z0-9-]+", arguments):
        assert option in result.output


@pytest.mark.parametrize("target", ["setup", "demo", "test", "lint"])
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "CONTRIBUTING.md"])
def test_links_and_paths_lead_somewhere(page):
    text = (ROOT / page).read_text()
    paths = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = [(ROOT / page).parent / path for path in paths]
    paths += [
        ROOT / path
        for path in re.findall(
            r"`((?:nas|db|service|predictors|searchspaces|tests|benchmarks)/[\w/.]+)`", text
        )
    ]
    assert [str(path) for path in paths if not path.exists()] == []
