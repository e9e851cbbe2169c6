"""TOML entries are found on the line on which they stand."""

import tomllib

import pytest

from mir21sim.errors import ModelError
from mir21sim.model import toml_lines as toml_text

TEXT = '''# a comment with [brackets]
title = "x"
words = """
[not_a_table]
"""
[pop]
cells = 3  # n
cvs = {A = 1, "B c" = 2}
[[samples]]
name = "a"
doses = [
  "A=1@0h",
]
[samples.clamp]
PTEN = 1

[[samples]]
name = "b"
[[samples.wells]]
a.b = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("pop",), 6),
        (("pop", "cvs", "B c"), 8),
        (("samples", 0, "doses"), 11),
        (("samples", 0, "clamp", "PTEN"), 15),
        (("samples", 1, "name"), 18),
        (("samples", 1, "wells", 0, "a", "b"), 20),
        (("samples", 1, "missing", 3), 17),
        (("nowhere",), 0),
        (("not_a_table",), 0),
    ],
    ids=str,
)
def test_entries_have_their_line(path, line):
    assert toml_text.line_of(TEXT, path) == line


def test_a_place_without_a_line_is_the_file():
    assert toml_text.place(TEXT, "s.toml", ("pop", "cells")) == "s.toml, line 7"
    assert toml_text.place(TEXT, "s.toml", ("nowhere",)) == "s.toml"


def test_what_is_no_toml_is_named_with_its_line():
    with pytest.raises(ModelError, match=r"s.toml is not valid TOML: .*line 2"):
        toml_text.parse("a = 1\nb = = 2\n", "s.toml")


def test_brackets_and_quotes_inside_strings_end_no_statement():
    text = (
        'a = """\n[x]\nb = 1 \\""" still""""\nc = "[\\"{" # ["\n'
        "d = '''\n\\\n'''\ne = ['[', [1,\n 2]]\n[f]\ng = {h = '}'}\n"
    )
    assert tomllib.loads(text)["f"]["g"]["h"] == "}"
    wanted = {"a": 1, "c": 4, "d": 5, "e": 8}
    assert {key: toml_text.line_of(text, (key,)) for key in wanted} == wanted
    assert toml_text.line_of(text, ("f", "g", "h")) == 11


def test_a_long_array_takes_time_in_proportion():
    """Each line was read again with all lines before it."""
    text = "a = [\n" + " 1,\n" * 20_000 + "]\nb = 2\n"
    assert toml_text.line_of(text, ("b",)) == 20_003
