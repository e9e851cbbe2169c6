"""Studies from the command line."""

import signal
import subprocess
import sys
import time

import pytest
from small_study import changed, written

from mir21sim import cli
from mir21sim.studies import command as study
from mir21sim.studies import example, run

HANGS = """
import time
from mir21sim import cli
from mir21sim.assays import experiment

dish, done = experiment._dish, []

def hanging(*given, **options):
    if len(done) == 2:
        time.sleep(120)
    done.append(1)
    return dish(*given, **options)

experiment._dish = hanging
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_on_the_command_line_keeps_the_dishes_and_resumes(tmp_path, capsys):
    arguments = ["run", str(written(tmp_path)), "-o", str(tmp_path / "r")]
    arguments += ["-q", "--backend", "numpy"]
    second = tmp_path / "r.partial" / "000001.npz"
    running = subprocess.Popen(
        [sys.executable, "-c", HANGS, "study", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT and would pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not second.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; the dishes that are done are kept in" in err
    assert "--resume" in err
    assert not (tmp_path / "r").exists()
    assert len(list(second.parent.glob("*.npz"))) == 2
    assert command(*arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert command(*arguments, "--resume") == 0
    assert f"report: {tmp_path / 'r' / run.REPORT}" in capsys.readouterr().out
    assert not second.parent.exists()


def command(*arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["study", *arguments])
    return stopped.value.code or 0


def test_new_check_run_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "a.toml"
    assert command("new", str(path)) == 0
    assert path.read_text(encoding="utf-8") == example.example_text()
    assert command("new", str(path)) == 2
    assert "exists; give another name" in capsys.readouterr().err
    small = written(tmp_path)
    assert command("check", str(small)) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("sed = 1\ncels = 2\n", encoding="utf-8")
    assert command("check", str(wrong)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [f"line {k}" in line for k, line in enumerate(lines[:2], 1)] == [True, True]
    assert all(line.startswith("mir21sim: wrong.toml") for line in lines)
    arguments = [str(small), "-o", str(tmp_path / "r"), "--backend", "numpy", "-q"]
    assert command("run", *arguments) == 0
    out = capsys.readouterr().out
    assert "western:" in out
    assert f"report: {tmp_path / 'r' / 'report.html'}" in out
    assert command("run", *arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert command("schema") == 0
    assert capsys.readouterr().out == study.schema_text()


def test_a_mistake_is_one_line_on_the_command_line(tmp_path, capsys):
    path = written(tmp_path, changed("cells = 4", "cels = 4"))
    assert command("run", str(path), "-o", str(tmp_path / "r")) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("mir21sim: s.toml, line 8: unknown key `cels`")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_an_interrupt_is_told(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study.run, "run", stopped)
    path = written(tmp_path)
    arguments = ["run", str(path), "-o", str(tmp_path / "r"), "--backend", "numpy"]
    assert command(*arguments) == 130
    assert (
        f"no dish was done, and `{tmp_path / 'r'}` is as it was"
        in capsys.readouterr().err
    )
