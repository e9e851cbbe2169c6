"""The command line: parse, call the library, print."""

from mir21sim.cli.app import main as main
from mir21sim.cli.output import EXIT_FAILED_RUN as EXIT_FAILED_RUN
from mir21sim.cli.output import EXIT_INPUT as EXIT_INPUT
from mir21sim.cli.output import EXIT_INTERRUPTED as EXIT_INTERRUPTED
