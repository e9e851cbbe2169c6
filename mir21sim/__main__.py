"""``python -m mir21sim``: the command line."""

from mir21sim.cli import main

if __name__ == "__main__":
    main()
