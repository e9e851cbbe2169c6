"""Output on old code pages, and to readers that stop early."""

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "mir21sim.cli"]
PRINTING = """
import typer
from mir21sim.cli import app
app.app.command("print")(lambda: typer.echo("1 µM → 2 – ∞ 猫"))
app.main(["print"])
"""


@pytest.mark.parametrize(
    ("encoding", "wanted"),
    [
        ("cp1252", "1 µM -> 2 – inf ?"),
        ("cp437", "1 µM -> 2 - ∞ ?"),
        ("latin-1", "1 µM -> 2 - inf ?"),
        ("utf-8", "1 µM → 2 – ∞ 猫"),
    ],
)
def test_characters_that_a_code_page_lacks_are_replaced(encoding, wanted):
    done = subprocess.run(
        [sys.executable, "-c", PRINTING],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode(encoding).strip() == wanted


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_command_prints_on_a_narrow_code_page(encoding):
    done = subprocess.run(
        [*COMMAND, "sources", "mir21_core"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert b"parameter" in done.stdout
    assert not done.stderr


def test_a_message_prints_on_a_narrow_code_page():
    done = subprocess.run(
        [*COMMAND, "info", "µ→∞"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_reader_that_stops_early_is_no_error_and_files_are_written(tmp_path):
    path = tmp_path / "a.csv"
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does after its last line
    command = ["sources", "mir21_core", "-o", str(path)]
    done = subprocess.run(
        [*COMMAND, *command], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert path.read_text(encoding="utf-8").count("\n") > 50
