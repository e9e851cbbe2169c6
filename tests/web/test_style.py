"""Contrast of the page's colours in both schemes, by the formula of WCAG 2.2."""

import re
from pathlib import Path

import pytest

from mir21sim.web import app

CSS = (Path(app.__file__).parent / "assets" / "explorer.css").read_text("utf-8")
SCHEMES = [
    dict(re.findall(r"--([\w-]+): (#\w{6});", block))
    for block in re.findall(r":root \{\n(.*?)\n *\}", CSS, flags=re.DOTALL)[:2]
]
TEXTS = [
    (ink, ground)
    for ground in ("page", "card")
    for ink in ("ink", "soft", "accent", "good", "warn")
] + [("accent", "accent-soft"), ("bad", "bad-soft"), ("warn", "warn-soft")]


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_text_and_edges_of_controls_stand_out(scheme):
    weak = {pair for pair in TEXTS if contrast(*map(scheme.get, pair)) < 4.5}
    assert not weak
    assert contrast(scheme["edge"], scheme["card"]) >= 3.0  # SC 1.4.11
