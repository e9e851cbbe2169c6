"""Records as the page of the explorer sends them, and answers to wait for."""

import time

from mir21sim.web.answers import answer
from mir21sim.web.explorer import Explorer
from mir21sim.web.models import Models, read_facts

MODEL = "mir21_core"
LOOKS = {
    "response": {"target": "TRAIL", "values": "0,10,1000", "response": "dead_end"},
    "assay": {"assay": "western", "proteins": ["PTEN", "PDCD4"], "read_at": "30 h"},
    "network": {"module": None, "at": 0.5},
}


def record(**changes):
    """Return the settings of a page: anti-miR-21, then TRAIL, few cells."""
    return {
        "model": MODEL,
        "context": "MCF-7",
        "end": "30 h",
        "cells": "6",
        "cv": "0.28",
        "seed": "3",
        "observe": ["CASP3_active", "miR21_active"],
        "doses": [
            ["anti_miR21", "100 nM", "0 h"],
            ["miR21_mimic", "0 nM", "0 h"],
            ["TRAIL", "200 ng/ml", "24 h"],
        ],
        "genes": [["PTEN", "clamp", "0.5x"]],
        "numbers": [["K_sites", "--set", "90"]],
        "extra": "",
    } | changes


def explorer_of(model):
    """Return an explorer that reads uploads in this process, which takes no start."""
    return Explorer(Models(model, trial=lambda path: read_facts(path.name, path, "")))


def told(explorer, view, given=None, look=None, **more):
    """Return the finished answer of a view."""
    look = LOOKS.get(view, {}) if look is None else look
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = answer(explorer, view, given or record(), look, **more)
        if not found.waits:
            return found
    raise AssertionError(f"no answer of {view} within two minutes")


def words(elements):
    """Return the texts of elements."""
    if elements is None or isinstance(elements, str | int | float):
        return "" if elements is None else str(elements)
    if isinstance(elements, list | tuple):
        return " ".join(words(element) for element in elements)
    return words(getattr(elements, "children", ""))


def ran(code):
    """Run Python lines as they are shown, and return the names that they made."""
    names = {}
    exec(compile(code, "shown", "exec"), names)  # noqa: S102 - lines of the page
    return names
