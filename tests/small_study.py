"""A small study for the tests, and its files."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


SMALL = """\
title = "Mimic & <anti-miR-21>"
model = "mir21_core"
context = "MCF-7"
times = ["6 h", 12]
seed = 3

[population]
cells = 4

[[samples]]
name = "control"

[[samples]]
name = "mimic"
doses = ["miR21_mimic=50 nM@0h"]

[[samples]]
name = "anti"
doses = ["anti_miR21=100 nM@0h"]

[[assays]]
kind = "western"
proteins = ["PTEN", "PDCD4"]
time = "12 h"

[[assays]]
kind = "caspase"
samples = ["control", "mimic"]
"""


def changed(old, new, text=SMALL):
    """Return the small study with one thing in place of another."""
    assert old in text
    return text.replace(old, new, 1)


def written(tmp_path, text=SMALL):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    return path


def files_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
