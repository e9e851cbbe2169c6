"""The commands of the README work, word for word."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import support

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
FIRST, SECOND = (text.strip() for kind, text in BLOCKS[:2])
GLANCE = (ROOT / "docs" / "howto" / "commands.md").read_text(encoding="utf-8")
COMMANDS = list(
    dict.fromkeys(
        line.partition("  #")[0].strip()
        for text in (README, GLANCE)
        for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)
        if kind == "bash"
        for line in block.splitlines()
        if line.startswith("mir21sim ")
    )
)
"""Each command once, also where both pages have it."""


def run(command, folder):
    """Run one `mir21sim …` line as a newcomer would, in a folder of its own."""
    words = shlex.split(command)
    assert words[0] == "mir21sim"
    return subprocess.run(
        [sys.executable, "-m", "mir21sim.cli", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_setup_commands_are_one_line_each():
    assert len(FIRST.splitlines()) == 1
    assert len(SECOND.splitlines()) == 1


def test_continuous_integration_runs_the_test_command_word_for_word():
    assert SECOND in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_first_command_sweeps_and_says_where_the_picture_is(tmp_path):
    sweep = "mir21sim " + FIRST.partition("/mir21sim ")[2]
    done = run(sweep, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"picture: {Path('results') / 'sweep.png'}" in done.stdout
    assert (tmp_path / "results" / "sweep.png").stat().st_size > 20_000
    assert (tmp_path / "results" / "sweep.nc").is_file()


@pytest.mark.slow
def test_commands_work_in_their_order(tmp_path, monkeypatch, capfd):
    """In this process: twenty starts of Python take longer than the commands."""
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        code = support.run_cli(*shlex.split(command)[1:])
        told = capfd.readouterr()
        assert (code, told.err) == (0, ""), command
        assert told.out, command


def test_python_block_runs(tmp_path):
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def run_example(script, folder, *options):
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "script",
    sorted((ROOT / "examples").glob("*.py")),
    ids=lambda p: p.stem,
)
def test_examples_write_their_pictures(script, tmp_path):
    assert "picture" in run_example(script, tmp_path)
    assert list(tmp_path.glob("*.png"))
