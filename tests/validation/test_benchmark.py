"""The benchmark command and the peer benchmark: their output, not their speed."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from mir21sim import cli
from mir21sim.errors import InputError
from mir21sim.validation import benchmark

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers.py"
KEYS = ["solver", "rtol", "atol", "ms_per_run", "cpu_ms_per_run", "max_error", "failed"]


@pytest.fixture
def peers():
    """Return benchmarks/peers.py as a module."""
    spec = importlib.util.spec_from_file_location("peers", PEERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timing(method="Rodas5P", wall_s=1.0, failed=0):
    return benchmark.Timing(method, 1e-4, wall_s, wall_s, 10, failed, np.empty(0), 0)


def test_cells_are_unlike_and_the_same_every_time(robertson, binding):
    few, many = benchmark.cells(binding, 3), benchmark.cells(binding, 400)
    np.testing.assert_array_equal(few.y0, many.y0[:3])
    present = binding.y0 > 0
    share = many.y0[:, present] / binding.y0[present]
    assert share.mean() == pytest.approx(1, abs=0.03)
    assert share.std() == pytest.approx(benchmark.CV, abs=0.03)
    assert not benchmark.cells(robertson, 2).y0[:, robertson.y0 == 0].any()


def test_no_cells_is_a_mistake(binding):
    with pytest.raises(InputError, match="cells must be 1 or more, got 0"):
        benchmark.cells(binding, 0)


def test_error_is_mixed_and_leaves_failures_out():
    truth = np.array([[0.0, 99.0]])
    assert benchmark.max_error(np.array([[0.5, 99.0]]), truth) == 0.5
    assert benchmark.max_error(np.array([[0.0, 149.0], [7, 7]]), truth) == 0.5
    assert benchmark.max_error(np.array([[np.nan, 100.0]]), truth) == 0.01
    assert np.isnan(benchmark.max_error(np.full((1, 2), np.nan), truth))


def test_the_cheapest_that_reaches_the_target_without_failures_wins():
    found = [timing(wall_s=4), timing(wall_s=2), timing(wall_s=1, failed=1), timing()]
    assert benchmark.best(found, [1e-9, 1e-3, 1e-3, 1e-2]) == 1
    assert benchmark.best(found, [1.0] * 4) is None


def test_reference_agrees_with_itself(binding):
    problem = benchmark.cells(binding, 9)
    values, gap = benchmark.reference(binding, problem, 2)
    assert values.shape == (9, benchmark.POINTS, len(binding.state_names))
    assert gap < 1e-8


def test_command_prints_numbers_and_progress(monkeypatch, capsys):
    begin = dict.fromkeys(
        ("driver_s", "kernels_s", "cached_kernels_s", "cached_start_s"), 1.25
    )
    monkeypatch.setattr(benchmark, "start_up", lambda *_: begin)
    monkeypatch.setattr(benchmark, "LADDER", (1e-5,) * 6)
    pair = {"n_run": 2048, "one_s": 3.0, "two_s": 2.0}
    monkeypatch.setattr(benchmark, "threads", lambda *_: pair)
    monkeypatch.setattr(benchmark.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(benchmark, "_REPEATS", 1)
    monkeypatch.setattr(benchmark, "_RADAU_CELLS", 1)
    command = ["benchmark", "--model", "earm_1_3", "--cells", "4"]
    with pytest.raises(SystemExit) as stopped:
        cli.main(command)
    assert not stopped.value.code
    out, err = capsys.readouterr()
    assert "earm_1_3" in out
    assert "1.25 s" in out
    assert "times as fast" in out
    assert "two threads against one, 2048 runs: 2.00 s against 3.00 s, 1.50" in out
    assert "4 cells by Rodas5P" in err


def test_threads_are_timed_on_many_runs(binding, monkeypatch):
    monkeypatch.setattr(benchmark, "_REPEATS", 1)
    found = benchmark.threads(binding, benchmark.cells(binding, 3))
    assert found["n_run"] == 2048
    assert min(found["one_s"], found["two_s"]) > 0


def test_a_peer_that_is_not_there_is_left_out(peers, monkeypatch, capsys):
    def missing(_):
        raise ImportError("No module named 'absent'")

    monkeypatch.setitem(peers.SOLVERS, "COPASI", missing)
    assert peers.installed(["COPASI"], None) == {}
    assert "COPASI left out, not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_start_up_is_timed_cold_and_cached():
    found = benchmark.start_up("earm_1_3", "base")
    assert found["cached_kernels_s"] < found["kernels_s"]
    assert found["driver_s"] > 0
    assert found["cached_start_s"] > found["cached_kernels_s"]


@pytest.mark.slow
def test_peer_benchmark_writes_a_line_a_pair(peers, monkeypatch, tmp_path, capsys):
    out, png = tmp_path / "peers.jsonl", tmp_path / "peers.png"
    monkeypatch.setattr(benchmark, "LADDER", (1e-3, 1e-6))
    chosen = ["mir21sim Rodas5P", "SciPy LSODA"]
    options = ["--model", "earm_1_3", "--cells", "8", "--radau-cells", "1"]
    options += ["--repeats", "1", "--out", str(out), "--figure", str(png)]
    monkeypatch.setattr("sys.argv", ["peers.py", *options, "--solvers", *chosen])
    peers.main()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert list(line)[: len(KEYS)] == KEYS
        assert line["failed"] == 0
    assert lines[1]["max_error"] < lines[0]["max_error"]
    assert png.stat().st_size > 10_000
