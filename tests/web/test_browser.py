"""The explorer in a real browser: one server in a process of its own, one Chromium."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from web_pages import MODEL

from mir21sim.web.layout import VIEWS

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the path")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WAIT = 60_000
"""Milliseconds that a busy machine may take; the tests count no seconds."""


@pytest.fixture(scope="module")
def address():
    command = [sys.executable, "-m", "mir21sim", "explore", MODEL, "--no-browser"]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as server:
        for line in server.stdout:
            if line.startswith("Explorer: "):
                break
        yield line.split()[1]
        server.terminate()


@pytest.fixture(scope="module")
def browser(address):
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield made
        made.close()


class Tab:
    """A page of the explorer, and all that its console says."""

    def __init__(self, browser, address, width=1280, scheme="light"):
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = self.context.new_page()
        self.heard, self.asked = [], []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.until("#curves-said p")

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.heard.append(message.text)

    def until(self, selector, **more):
        found = self.page.locator(selector, **more).first
        found.wait_for(timeout=WAIT)
        return found

    def curve(self):
        """Return x and y of the curve of now in the first panel."""
        traces = self.page.evaluate(
            "() => document.querySelector('#curves-picture .js-plotly-plot').data"
            ".filter((t) => t.name === 'now').map((t) => [t.x, t.y])"
        )
        return np.array(traces[0], dtype=float)

    def changed(self, selector, read, before):
        """Wait until the text read has changed."""
        for _ in range(600):
            now = read()
            if now != before:
                return now
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{selector} did not change")

    def amount(self, name):
        return self.page.locator(f'input[type=text][id*=\'"name":"{name}"\']').first

    def type(self, name, text):
        field = self.amount(name)
        field.fill(text)
        field.press("Enter")

    def image(self):
        return self.until("#assay-picture img").get_attribute("src")


@pytest.fixture(scope="module")
def tab(browser, address):
    made = Tab(browser, address)
    yield made
    made.context.close()


def test_the_page_loads_without_a_word_in_the_console_or_a_request_elsewhere(tab):
    assert not tab.heard
    here = re.compile(r"http://127\.0\.0\.1:\d+/|data:|blob:")
    assert all(here.match(url) for url in tab.asked)
    assert "token" not in tab.page.url
    assert tab.page.locator("html").get_attribute("lang") == "en"


def test_every_control_has_a_label_and_the_tabs_obey_the_keys(tab):
    page = tab.page
    bare = page.evaluate(
        "() => [...document.querySelectorAll('input, button')].filter((e) =>"
        " e.type !== 'hidden' && !e.closest('[aria-hidden=true]')"
        " && !(e.labels && e.labels.length) && !e.textContent.trim()"
        " && !e.getAttribute('aria-label')).map((e) => e.outerHTML.slice(0, 120))"
    )
    assert not bare
    last = page.locator("#tab-parameters")
    for _ in range(25):  # the page listens to keys a moment after it is drawn
        page.locator("#tab-curves").focus()
        page.keyboard.press("ArrowLeft")
        if last.get_attribute("aria-selected") == "true":
            break
        page.wait_for_timeout(200)
    assert last.get_attribute("aria-selected") == "true"
    tab.until("#numbers tbody tr")
    page.locator("#find").fill("k_tx_miR21")
    rows = page.locator("#numbers tbody tr:visible")
    assert tab.changed("rows", rows.count, before=102) == 1


def test_a_slider_moves_a_curve_and_the_old_one_stays_as_a_ghost(tab):
    page = tab.page
    page.locator("#tab-curves").click()
    page.wait_for_timeout(800)  # a setting that stood for a moment is kept
    before = tab.curve().tolist()
    slider = page.locator('input[type=range][id*=\'"name":"anti_miR21"\']')
    slider.focus()
    page.keyboard.press("End")
    after = np.array(tab.changed("curve", lambda: tab.curve().tolist(), before))
    assert tab.amount("anti_miR21").input_value() == "1000 nM"
    assert not np.allclose(after[1], np.array(before)[1], rtol=1e-2)
    tab.until("#curves-said p", has_text="dies")
    names = page.evaluate(
        "() => document.querySelector('#curves-picture .js-plotly-plot').data"
        ".map((t) => t.name)"
    )
    assert "no anti_miR21" in names


def test_the_code_that_is_shown_gives_the_numbers_that_are_drawn(tab, tmp_path):
    tab.page.locator("#tab-curves").click()
    tab.page.locator("#panel-curves summary", has_text="Show me the code").click()
    code = tab.until("#curves-python").text_content()
    assert "anti_miR21=1000 nM@0h" in code
    (tmp_path / "shown.py").write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, check=True)
    made = pd.read_csv(tmp_path / "curves.csv", comment="#")
    times, values = tab.curve()
    assert times == pytest.approx(made["time"], abs=1e-4)
    assert values == pytest.approx(made["CASP3_active"], rel=1e-4, abs=1e-6)


def test_the_blot_answers_to_a_dose(tab):
    tab.page.locator("#tab-assay").click()
    before = tab.image()
    tab.type("TRAIL", "5 ng/ml")
    tab.changed("blot", tab.image, before)
    assert "3 blots" in tab.until("#assay-said p").text_content()


def test_a_mistake_is_one_sentence_and_the_next_setting_is_drawn(tab):
    tab.page.locator("#tab-curves").click()
    tab.type("TRAIL", "5 parsecs")
    said = tab.until("#curves-said .error").text_content()
    assert "parsecs" in said
    tab.type("TRAIL", "50 ng/ml")
    tab.until("#curves-said .outcome")
    assert not tab.heard


def test_a_bad_file_is_one_sentence_and_a_large_one_is_not_sent(tab, tmp_path):
    bad, large = tmp_path / "bad.xml", tmp_path / "large.xml"
    bad.write_text("<sbml>", encoding="utf-8")
    with large.open("wb") as file:
        file.truncate(100_000_000)
    tab.page.locator("#file").set_input_files(bad)
    said = tab.until("#upload-said", has_text="is not valid SBML").text_content()
    assert said == "bad is not valid SBML: line 1: no element found."
    asked = len(tab.asked)
    tab.page.locator("#file").set_input_files(large)
    tab.until("#upload-said", has_text="100 MB")
    assert not [url for url in tab.asked[asked:] if "upload" in url]
    assert all("400" in text for text in tab.heard)  # the refusal of bad.xml
    tab.heard.clear()


def test_two_tabs_do_not_disturb_each_other(tab, browser, address):
    other = Tab(browser, address, width=390, scheme="dark")
    try:
        mine, theirs = tab.curve().tolist(), other.curve().tolist()
        other.page.locator("#settings-box > summary").click()
        other.type("TRAIL", "900 ng/ml")
        other.changed("curve", lambda: other.curve().tolist(), theirs)
        assert tab.curve().tolist() == mine
        assert tab.amount("TRAIL").input_value() == "50 ng/ml"
        width = other.page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 390
        colour = other.page.evaluate("() => getComputedStyle(document.body).color")
        assert min(map(int, re.findall(r"\d+", colour))) > 200  # light on dark
        assert not other.heard
    finally:
        other.context.close()


CONTROLS = {
    "button", "textbox", "combobox", "slider", "checkbox", "tab", "link", "searchbox",
}  # fmt: skip
"""Roles of what a person moves, in the tree that screen readers get."""


def test_every_control_of_every_view_has_a_name(tab):
    session = tab.context.new_cdp_session(tab.page)
    for view in VIEWS:
        tab.page.locator(f"#tab-{view}").click()
        tab.until(f"#{view}-said p")
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        controls = [
            node
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in CONTROLS
        ]
        assert len(controls) > 15
        assert [n["role"] for n in controls if not n["name"]["value"].strip()] == []


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(tab):
    page = tab.page
    page.locator("#tab-network").click()
    tab.until("#network-said p")
    page.evaluate("() => document.querySelector('.skip').focus()")
    reached, unseen = {page.evaluate(ACTIVE)[0]}, []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, is_seen = page.evaluate(ACTIVE)
        if name == "BODY":
            break
        reached.add(name)
        unseen += [] if is_seen else [name]
    wanted = page.evaluate(
        "() => [...document.querySelectorAll('input[id], button[id], summary')]"
        ".filter((e) => e.checkVisibility()).map((e) => e.id || e.tagName)"
    )
    assert len(wanted) > 15
    assert set(wanted) <= reached
    assert not unseen


ACTIVE = """() => {
  const e = document.activeElement, s = getComputedStyle(e);
  const seen = (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)
    || s.boxShadow !== 'none';
  return [e.id || e.tagName, seen];
}"""
"""The element that has the keyboard, and whether it is marked."""


def test_every_view_follows_every_view(tab):
    """Each pair of views in a row: the chosen one alone is shown, and is drawn."""
    page, names = tab.page, list(VIEWS)
    order = [n for a in names for b in names if a != b for n in (a, b)]
    tab.heard.clear()
    for name in order:
        page.locator(f"#tab-{name}").click()
        tab.until(f"#panel-{name}")
        shown = page.locator("[role=tabpanel]:visible")
        assert shown.evaluate_all("all => all.map((e) => e.id)") == [f"panel-{name}"]
        tab.until(f"#{name}-said p")
        assert not page.locator(f"#{name}-said .error").count()
    page.locator("#tab-curves").click()
    ranges = page.evaluate(
        "() => { const l = document.querySelector('#curves-picture .js-plotly-plot')"
        "._fullLayout; return [l.xaxis.range, l.xaxis2]; }"
    )
    assert ranges[0] == pytest.approx([0, 48], abs=0.5)  # room for a marker
    assert ranges[1] is None  # one axis of time for all panels
    assert not tab.heard


def test_cell_line_and_model_change_while_work_goes_on_and_back(tab):
    page = tab.page
    page.locator("#tab-population").click()
    tab.until("#population-said .outcome")
    page.locator("#cells").fill("900")
    page.locator("#cells").press("Enter")
    for control, words in (("context", "HeLa"), ("model", "earm_1_3")):
        page.locator(f"#{control}").click()
        page.get_by_role("option", name=words, exact=True).first.click()
    tab.until("#title", has_text="EARM 1.3")
    tab.until("#population-said .outcome, #population-said .error")
    page.locator("#tab-curves").click()
    tab.until("#curves-said p")
    page.locator("#model").click()
    page.get_by_role("option", name=MODEL, exact=True).first.click()
    tab.until("#curves-said p", has_text="average cell")
    assert tab.curve().shape == (2, 241)
    assert not tab.heard


def test_work_that_takes_long_is_stopped_by_its_button(tab):
    """5000 cells and 900 doses: minutes of work, each run of which is long."""
    page = tab.page
    page.locator("#tab-population").click()
    tab.until("#population-said .outcome")

    def put(**values):
        for name, text in values.items():
            page.locator(f"#{name}").fill(text)
            page.locator(f"#{name}").press("Enter")

    put(extra='--dose "TRAIL=1 ng/ml@24h/1hx900"', end="1000 h", cells="5000")
    tab.until("#population-doing", has_text=re.compile("runs|Working"))
    tab.until("#population-stop").click()
    tab.until("#population-said p", has_text="Stopped.")
    put(extra="", end="48 h", cells="9")
    tab.until("#population-said p", has_text="9 cells")
    assert not tab.heard


def test_a_page_whose_cookie_is_gone_says_so(browser, address):
    other = Tab(browser, address)
    try:
        other.context.clear_cookies()
        other.type("TRAIL", "70 ng/ml")
        other.until("#banner", has_text="explorer that has ended")
    finally:
        other.context.close()


def test_the_policy_stops_scripts_that_are_not_of_the_page(tab):
    ran = tab.page.evaluate(
        "() => { const s = document.createElement('script'); s.text = 'window.bad = 1';"
        " document.body.appendChild(s); return window.bad === 1; }"
    )
    assert not ran
    assert any("Content Security Policy" in text for text in tab.heard)
    tab.heard.clear()


def test_a_wrong_token_shows_no_page(browser, address):
    page = browser.new_page()
    answer = page.goto(address[:-4] + "abcd")
    assert answer.status == 403
    assert "token" in page.locator("body").text_content()
    page.close()
