"""Who may ask the explorer, the requests that it takes, and work that is stopped."""

import json
import signal
import socket
import subprocess
import threading
import time

import pytest
from commands import run, sentence
from web_pages import MODEL, explorer_of, record, told, words

from mir21sim.errors import InputError, ModelError
from mir21sim.model.formats.guard import MAX_BYTES
from mir21sim.solvers.interrupt import Stop
from mir21sim.web import app as apps
from mir21sim.web import trial, work
from mir21sim.web.guard import Door, guard, hosts_of, policy
from mir21sim.web.server import listen
from mir21sim.web.trial import read_apart
from mir21sim.web.work import STOPPED, Cache, Job, Jobs

HOST = {"Host": "127.0.0.1:8021"}
SBML = b"""<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1">
<model id="decay"><listOfCompartments>
<compartment id="c" size="1" constant="true" spatialDimensions="3"/>
</listOfCompartments><listOfSpecies>
<species id="A" compartment="c" initialAmount="8" hasOnlySubstanceUnits="true"
 boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="k" value="1" constant="true"/></listOfParameters>
<listOfReactions><reaction id="r" reversible="false" fast="false">
<listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/>
</listOfReactants><kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML">
<apply><times/><ci>k</ci><ci>A</ci></apply></math></kineticLaw></reaction>
</listOfReactions></model></sbml>
"""


@pytest.fixture(scope="module")
def explorer():
    made = explorer_of(MODEL)
    yield made
    made.models.close()


@pytest.fixture(scope="module")
def door():
    return Door(hosts_of("127.0.0.1", 8021))


@pytest.fixture
def client(explorer, door):
    app = apps.make_app(explorer)
    guard(app.server, door, policy(app.csp_hashes()))
    return app.server.test_client()


def entered(client, door):
    answer = client.get(f"/?token={door.token}", headers=HOST)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/"
    return client


# ------------------------------------------------------------------------------- doors
def test_without_the_token_nothing_is_given(client):
    for path in ("/", "/?token=wrong", "/_dash-layout", "/assets/explorer.js"):
        answer = client.get(path, headers=HOST)
        assert answer.status_code == 403
        assert "token" in answer.text
    assert client.post("/upload?name=a.xml", data=SBML, headers=HOST).status_code == 403


def test_the_token_opens_a_page_that_loads_nothing_from_elsewhere(client, door):
    page = entered(client, door).get("/", headers=HOST)
    assert page.status_code == 200
    assert "//cdn" not in page.text
    assert door.token not in page.text
    rules = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in rules
    script = next(r for r in rules.split("; ") if r.startswith("script-src"))
    assert "unsafe" not in script
    cookie = client.get_cookie(door.cookie, domain="127.0.0.1")
    assert cookie is None or cookie.http_only


def test_a_page_that_was_open_for_a_day_is_answered(client, door, monkeypatch):
    """The cookie has no end of its own: it lives as long as browser and server."""
    given = client.get(f"/?token={door.token}", headers=HOST).headers["Set-Cookie"]
    assert "Expires" not in given
    assert "Max-Age" not in given
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    assert client.get("/_dash-layout", headers=HOST).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8021"},  # a name that was turned to 127.0.0.1
        {"Host": "127.0.0.1:9"},
        HOST | {"Origin": "http://evil.example"},
        HOST | {"Origin": "null"},
        HOST | {"Origin": "http://127.0.0.1:9"},
        HOST | {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_hosts_and_sites_are_refused_also_with_the_cookie(headers, client, door):
    entered(client, door)
    body = {"output": "x", "inputs": []}
    answer = client.post("/_dash-update-component", json=body, headers=headers)
    assert answer.status_code == 403


def test_no_file_of_this_computer_can_be_named(client, door):
    entered(client, door)
    for path in ("/assets/../app.py", "/assets/..%2fapp.py", "/assets//etc/passwd"):
        answer = client.get(path, headers=HOST)  # or the page, as for any address
        assert answer.status_code in (200, 400, 404, 405)
        assert "import" not in answer.text
        assert "root:" not in answer.text


def test_a_large_question_is_refused(client, door):
    entered(client, door)
    answer = client.post("/_dash-update-component", data=b" " * 2_000_001, headers=HOST)
    assert answer.status_code == 413


def test_a_server_on_all_addresses_takes_numbers_for_hosts_but_no_names():
    door = Door(hosts_of("0.0.0.0", 80), port=80)
    for host in ("192.168.1.7:80", "[fe80::1]:80", "localhost:80", "127.0.0.1:80"):
        assert door.lets(host)
    for host in ("192.168.1.7:81", "evil.example:80", "192.168.1.7.evil.example:80"):
        assert not door.lets(host)
    assert not Door(hosts_of("127.0.0.1", 80)).lets("192.168.1.7:80")


def test_what_is_kept_too_long_is_dropped(monkeypatch):
    cache = Cache()
    cache.put("a", 1)
    assert cache.get("a") == 1
    monkeypatch.setattr(work, "MOST_AGE", -1.0)  # a day later
    assert cache.get("a") is None


# ----------------------------------------------------------------------------- uploads
def test_a_dropped_file_is_a_model_in_its_own_units(client, door, explorer):
    entered(client, door)
    answer = client.post("/upload?name=..%2F..%2Fdecay.xml", data=SBML, headers=HOST)
    assert answer.status_code == 200, answer.text
    key = json.loads(answer.text)["key"]
    facts = explorer.models.facts(key)
    assert facts.is_guest
    assert facts.name == "decay.xml"
    bare = record(model=key, context="base", end="2", doses=[], genes=[], numbers=[])
    found = told(explorer, "curves", bare | {"observe": ["A"]})
    assert found.picture["data"][0]["y"][-1] == pytest.approx(8 * 2.718281828**-2, 1e-4)
    assert "decay.xml" in found.code.command
    table = told(explorer, "parameters", bare, {"of": "final(A)"})
    names = [row[0] for row in table.picture["rows"]]
    found = dict(zip(names, table.picture["sensitivities"], strict=True))
    assert found["k"] == pytest.approx(-2, abs=1e-3)  # A = 8 exp(-k t)


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("notes.txt", b"hello", ".xml, .sbml or .ant"),
        ("a.xml", b"hello", "not valid SBML"),
        ("a.xml", b"\x00\x01", "not allowed"),
        ("a.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><sbml/>", "entities"),
        ("passwd", SBML, "must end in"),
    ],
)
def test_a_bad_file_is_one_sentence(name, data, part, client, door):
    entered(client, door)
    answer = client.post(f"/upload?name={name}", data=data, headers=HOST)
    said = json.loads(answer.text)["error"]
    assert answer.status_code == 400
    assert part in said
    assert "Internal" not in said
    assert "/tmp" not in said


def test_a_file_is_read_first_in_a_process_with_bounds(tmp_path):
    path = tmp_path / "decay.xml"
    path.write_bytes(SBML)
    read_apart(path)
    with pytest.raises(ModelError, match=r"decay\.xml took more than 1 s of processor"):
        read_apart(path, cpu_seconds=1)
    path.write_text("hello")
    with pytest.raises(ModelError, match="decay is not valid SBML"):
        read_apart(path)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (-signal.SIGKILL, "more than 60 s of processor time"),
        (-signal.SIGABRT, "needs more than 4 GB of memory"),
        (12, "needs more than 4 GB of memory"),
        (-signal.SIGSEGV, "ended the process that read it"),
    ],
)
def test_a_file_that_ends_its_reader_costs_the_explorer_one_sentence(
    code, sentence, tmp_path, monkeypatch
):
    ended = subprocess.CompletedProcess([], code, stdout=b"")
    monkeypatch.setattr(trial.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(ModelError, match=sentence):
        read_apart(tmp_path / "decay.xml")


def test_an_upload_of_100_mb_is_refused_before_it_is_read(client, door):
    entered(client, door)
    answer = client.post(
        "/upload?name=a.xml",
        data=b"",
        environ_overrides={"CONTENT_LENGTH": "100000000"},
        headers=HOST,
    )
    assert answer.status_code == 413
    assert "100 MB" in json.loads(answer.text)["error"]
    assert f"{MAX_BYTES / 1e6:.0f} MB" in json.loads(answer.text)["error"]


def test_old_uploads_give_way_and_the_page_says_so(explorer):
    keys = [
        explorer.models.put(f"decay{k}.xml", SBML.replace(b"decay", b"decay%d" % k))
        for k in range(14)
    ]
    assert explorer.models.facts(keys[-1]).is_guest
    with pytest.raises(InputError, match="drop it on the page again"):
        explorer.models.path(keys[0])


# -------------------------------------------------------------------------------- work
def test_a_cache_is_bounded_in_number_and_size():
    cache = Cache(entries=3, size=10**9)
    for k in range(9):
        cache.put(str(k), k)
    assert len(cache) == 3
    assert cache.get("0") is None
    assert cache.get("8") == 8


def test_work_can_be_stopped_and_two_tabs_do_not_disturb_each_other():
    jobs, begun = Jobs(Cache()), threading.Event()

    def slow(job):
        begun.set()
        for k in range(10_000):
            job.tell(k, 10_000)
            time.sleep(0.001)
        return "done"

    mine = jobs.ask("tab 1", "curves", "a", slow, wait=0.0)
    other = jobs.ask("tab 2", "curves", "b", slow, wait=0.0)
    assert begun.wait(5)
    assert jobs.ask("tab 1", "curves", "a", slow, wait=0.0) is mine  # not begun twice
    jobs.stop("tab 1", "curves")
    assert mine.done.wait(5)
    assert mine.error == STOPPED
    assert not other.stop.is_set()
    newer = jobs.ask("tab 2", "curves", "c", lambda job: "quick", wait=5.0)
    assert newer.answer == "quick"
    assert other.done.wait(5)
    assert other.error == STOPPED  # a newer setting of the same view


def test_asking_again_does_not_begin_what_was_stopped():
    jobs, begun = Jobs(Cache()), []

    def slow(job):
        begun.append(job)
        job.stop.wait(20)
        job.tell(0, 1)

    first = jobs.ask("t", "v", "a", slow, wait=0.0)
    jobs.stop("t", "v")
    assert first.done.wait(5)
    late = jobs.ask("t", "v", "a", slow, wait=0.0, again=True)  # on its way at the stop
    assert late.error == STOPPED
    assert begun == [first]
    anew = jobs.ask("t", "v", "a", slow, wait=0.0)
    assert not anew.done.is_set()
    jobs.stop("t", "v")
    assert anew.done.wait(5)


def test_the_solvers_see_the_flag_of_their_job_and_its_answer_is_not_kept():
    kept, seen = [], []

    def half(job):
        seen.append(Stop().is_set())
        job.stop.set()
        seen.append(Stop().is_set())
        return "half an answer"

    job = Job("key")
    job.run(half, kept.append)
    assert seen == [False, True]
    assert (job.error, job.answer, kept) == ("Stopped.", None, [])
    assert not Stop().is_set()


def test_an_error_in_the_work_is_a_sentence_and_the_next_question_is_answered():
    jobs = Jobs(Cache())

    def broken(job):
        raise ZeroDivisionError("no")

    job = jobs.ask("t", "v", "a", broken, wait=5.0)
    assert job.error.startswith("Internal error (ZeroDivisionError: no)")
    assert jobs.ask("t", "v", "b", lambda job: 4, wait=5.0).answer == 4


def test_a_stopped_population_says_so(explorer):
    found = told(explorer, "population", tab="x", stop=True)
    assert words(found.said) == STOPPED
    assert isinstance(explorer.jobs, Jobs)
    assert Job("a").progress == (0, 0)


# -------------------------------------------------------------------------------- form
def test_the_form_follows_the_model_and_keeps_what_was_typed(explorer):
    first = apps.filled(explorer, (MODEL, None), [None] * 3)
    assert first["context"] == "MCF-7"
    assert first["names"][0] == ["anti_miR21", "miR21_mimic", "TRAIL"]
    kept = apps.filled(
        explorer,
        (MODEL, "HeLa"),
        [["TRAIL"], [], ["K_sites"]],
        record=record(doses=[["TRAIL", "7 ng/ml", "3 h"]]),
        shown_for=[MODEL, "MCF-7"],
    )
    (row,) = kept["rows"][0]
    values = [getattr(e, "value", "") for e in row._traverse()]
    assert "7 ng/ml" in values
    assert "3 h" in values
    assert kept["form_of"] == [MODEL, "HeLa"]


# ------------------------------------------------------------------------------- ports
def test_a_port_in_use_is_one_sentence_or_the_next_port(monkeypatch, capsys):
    from mir21sim.web import server

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("explore", MODEL, "--port", str(port), "--no-browser") == 2
        assert f"Port {port} is in use" in sentence(capsys)
        monkeypatch.setattr(server, "PORT", port)
        door, note = server._bound("127.0.0.1", None)
        with door:
            assert f"Port {port} is in use" in note
            assert door.getsockname()[1] > port


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["mir21_cor"], "mir21_core"),
        (["no.xml"], "no.xml"),
        ([MODEL, "--context", "HeLla"], "HeLa"),
        ([MODEL, "--port", "70000"], "65535"),
        ([MODEL, "--host", "256.1.1.1"], "cannot listen"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, part, capsys):
    assert run("explore", *arguments, "--no-browser") == 2
    assert part in sentence(capsys)


@pytest.mark.parametrize("screen", ["", ":0"])
def test_without_a_browser_the_address_is_opened_by_hand(screen, monkeypatch, capsys):
    import webbrowser

    from mir21sim.cli import explore
    from mir21sim.web.server import Running

    def closed(running):
        running._server.server_close()
        running._models.close()

    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(asked.append(url)))
    monkeypatch.setattr(Running, "serve", closed)
    monkeypatch.setattr(explore.sys, "platform", "linux")
    for name in ("WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", screen)
    assert run("explore", MODEL, "--port", "0") == 0
    said = capsys.readouterr().out
    assert "Explorer: http://127.0.0.1:" in said
    assert "No browser was found: open the address by hand." in said
    assert len(asked) == bool(screen)  # no browser for the terminal is looked for


def test_a_server_listens_on_this_computer_alone():
    running = listen(MODEL, port=0)
    try:
        assert running.address.startswith("http://127.0.0.1:")
        assert len(running.address.partition("token=")[2]) >= 32
    finally:
        running._server.server_close()
        running._models.close()
