"""``python -m mir21sim.cli``. Layer 12."""

from mir21sim.cli.entry import main

main()
