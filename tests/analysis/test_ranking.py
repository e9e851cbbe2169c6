"""Ranked derivatives: table, bars, heat map, and the command that makes them."""

import numpy as np
import pytest
import support
from support import reaction

from mir21sim.analysis import ranking
from mir21sim.errors import InputError
from mir21sim.simulation.options import Options
from mir21sim.simulation.sensitivity import sensitivities


@pytest.fixture(scope="module")
def chain():
    net = support.network(
        {"A": 100.0, "B": 0.0},
        {"a": 2.0, "b": 0.5, "unused": 3.0},
        [reaction("turn", "A -> B", "a*A"), reaction("fall", "B ->", "b*B")],
    )
    model = support.compiled(net)
    options = Options(equilibrate=False)
    return sensitivities(
        model, ["final(B)", "B", "crossing(B, 900)"], end=4.0, options=options
    )


def test_the_largest_logarithmic_derivative_comes_first(chain):
    frame = ranking.ranked(chain, "final(B)")
    assert frame["number"].tolist() == ["b", "a", "unused"]
    sizes = frame["log_derivative"].abs()
    assert (sizes.diff().dropna() <= 0).all()
    text = ranking.ranking_text(chain, "final(B)")
    assert text.splitlines()[0].startswith("final(B) = 18 molecule")
    assert "unused" not in text
    curve = ranking.ranking_text(chain, "B")
    assert "nothing asked for depends on 1 number" in curve


def test_quantities_rank_by_their_largest_value_over_time(chain):
    frame = ranking.ranked(chain, "B").set_index("number")
    log = chain["dlog_B"].sel(number="b").values
    assert frame.loc["b", "log_derivative"] == pytest.approx(
        log[np.nanargmax(abs(log))]
    )


def test_a_feature_without_value_gives_its_reason(chain):
    text = ranking.ranking_text(chain, "crossing(B, 900)")
    assert "never passes 900" in text


def test_pictures_show_every_number_that_moves(chain):
    bars = ranking.plot_tornado(chain, "final(B)")
    labels = [t.get_text() for t in bars.axes[0].get_yticklabels()]
    assert labels == ["a", "b"]
    heat = ranking.plot_heat_map(chain, "B", shown=2)
    assert [t.get_text() for t in heat.axes[0].get_yticklabels()] == ["b", "a"]


def test_a_name_that_the_result_lacks_is_refused(chain):
    with pytest.raises(InputError, match="`A` is not in the result, which has final"):
        ranking.ranked(chain, "A")
    with pytest.raises(InputError, match="no quantity over time"):
        ranking.plot_heat_map(chain, "final(B)")
