"""Networks as read: kept by content, read again where that is damaged."""

import pytest
from sbml_text import document, reaction, reference, species

import mir21sim as ms
from mir21sim.compiler import load as loading
from mir21sim.compiler import reading_cache
from mir21sim.errors import ModelError, ModelWarning
from mir21sim.model.files import ModelFiles, find

OPEN = document(
    pools=[species("A", 'initialAmount="0"', amount="true")],
    reactions=[reaction("r", [], [reference("A", "")], "2")],
)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """Return a list that grows with every model that is read from its text."""
    made = []

    def counted(files):
        made.append(files.name)
        return reading(files)

    reading = loading.reading
    monkeypatch.setattr(loading, "reading", counted)
    return made


def test_a_known_model_is_not_read_again(reads):
    first, second = (ms.load("earm_1_3", backend="numpy") for _ in range(2))
    assert reads == ["earm_1_3"]
    assert second.network == first.network
    assert second.info == first.info
    assert second.digest == first.digest


def test_a_changed_number_is_read(reads):
    files = find("earm_1_3")
    loading.assemble(files, backend="numpy")
    changed = {**files.texts, "sbml": files.texts["sbml"].replace("3000", "3001", 1)}
    assert changed["sbml"] != files.texts["sbml"]
    loading.assemble(ModelFiles(files.name, changed, files.context), backend="numpy")
    assert len(reads) == 2


def test_a_damaged_file_is_read_again(reads, empty_cache):
    ms.load("earm_1_3", backend="numpy")
    (kept,) = empty_cache.glob("n_*")
    body = bytearray(kept.read_bytes())
    body[len(body) // 2] ^= 1
    kept.write_bytes(body)
    assert ms.load("earm_1_3", backend="numpy").state_names
    assert len(reads) == 2


def test_the_warning_of_an_open_stoichiometry_comes_every_time(reads):
    files = ModelFiles("open", {"sbml": OPEN})
    for _ in range(2):
        with pytest.warns(ModelWarning, match="no stoichiometry for"):
            loading.assemble(files, backend="numpy", unit_policy="ignore")
    assert reads == ["open"]


def test_a_model_with_an_error_is_not_kept(empty_cache):
    files = ModelFiles("open", {"sbml": OPEN.replace('species="A"', 'species="B"')})
    with pytest.raises(ModelError, match="B"):
        loading.assemble(files, backend="numpy")
    assert reading_cache.kept(files) is None
    assert not list(empty_cache.glob("n_*"))
