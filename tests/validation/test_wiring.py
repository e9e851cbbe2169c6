"""The full model under knock-outs, over-expression and rescues: right in its wiring."""

from pathlib import Path

import pytest

from mir21sim.validation.validate import validate

TABLES = Path(__file__).parents[1] / "data" / "wiring"


@pytest.mark.slow
def test_knock_outs_and_rescues_act_in_the_known_direction(request):
    """In HeLa cells; with ``--suite`` in every cell line of the table."""
    lines = None if request.config.getoption("--suite") else ["HeLa"]
    outcomes = validate(folder=TABLES, contexts=lines)
    wrong = [
        f"{o.id} {o.what}, {o.context}: {o.predicted:.4g} against {o.reference:.4g}"
        for o in outcomes
        if o.verdict != "pass"
    ]
    assert len(outcomes) > (50 if lines else 100)
    assert not wrong, "\n".join(wrong)
