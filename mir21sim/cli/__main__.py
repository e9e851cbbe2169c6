"""``python -m mir21sim.cli``."""

from mir21sim.cli.app import main

main()
