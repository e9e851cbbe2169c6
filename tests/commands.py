"""Run a command of the command line inside the test process."""

import pytest

from mir21sim import cli


def run(*arguments):
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    return stopped.value.code or 0


def sentence(capsys):
    """Return the text on stderr after checking that it is one line."""
    err = capsys.readouterr().err.strip()
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    return err
