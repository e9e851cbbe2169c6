"""The worked example of CONTRIBUTING.md is a command that runs."""

import re
from pathlib import Path

import typer
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]


def test_the_example_command_prints_the_volume(tmp_path, monkeypatch):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "volume_command.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import volume_command

    app = typer.Typer()
    app.command()(volume_command.volume)
    done = CliRunner().invoke(app, ["mir21_core", "--backend", "numpy"])
    assert (done.exit_code, done.output) == (0, "1.661 pL\n")


def test_every_file_that_the_guide_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:cli|assays|solvers|validation|compiler)/\w+\.py)`", text)
    assert len(named) >= 8
    for name in (n for n in named if "NAME" not in n):
        assert (ROOT / "mir21sim" / name).is_file(), name
