/* What the browser does alone: one record of all controls, sliders and their fields,
   tabs, files that are dropped, copying. Nothing here is evaluated from text. */
(function () {
  "use strict";

  const DEBOUNCE = 90; // ms between a move and the question to the server
  const STOOD = 700; // ms after which a setting was one to remember
  const MOST_EARLIER = 4;
  const RANGES = {
    "nM": [0.1, 1000], "ng/ml": [0.1, 1000], "uM": [0.01, 100], "µM": [0.01, 100],
    "pM": [1, 1e5], "molecule": [10, 1e6],
  };
  const state = { timer: 0, sent: "", record: null, since: 0, earlier: [], forgotten: 0,
                  view: "curves" };

  function set(id, props) { window.dash_clientside.set_props(id, props); }

  function short(number) { return String(Number(Number(number).toPrecision(3))); }

  function amount(text) {
    const found = /^\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*)$/.exec(text || "");
    return found ? { number: Number(found[1]), unit: found[2].trim() } : null;
  }

  /* ------------------------------------------------------------------ sliders */
  function dosed(position, text) {
    const unit = (amount(text) || { unit: "" }).unit;
    const [low, high] = RANGES[unit] || [0.1, 1000];
    const value = position <= 0 ? 0 : low * Math.pow(high / low, (position - 1) / 99);
    return (short(value) + " " + unit).trim();
  }

  function doseAt(text) {
    const found = amount(text);
    if (!found || !(found.number > 0)) { return 0; }
    const [low, high] = RANGES[found.unit] || [0.1, 1000];
    const place = 1 + 99 * Math.log(found.number / low) / Math.log(high / low);
    return Math.round(Math.min(100, Math.max(1, place)));
  }

  const SCALES = {
    dose: { text: dosed, at: doseAt },
    number: {
      text: (p, text, base) => short(Number(base) * Math.pow(10, (p - 50) / 50)),
      at: (text, base) => {
        const ratio = Number(text) / Number(base);
        return ratio > 0 ? clamp(50 + 50 * Math.log10(ratio)) : 50;
      },
    },
    knockdown: { text: (p) => short(p / 100), at: (t) => clamp(100 * Number(t)) },
    overexpress: {
      text: (p) => short(Math.pow(10, p / 50)),
      at: (t) => clamp(50 * Math.log10(Math.max(1, Number(t) || 1))),
    },
    clamp: {
      text: (p) => short(Math.pow(10, (p - 50) / 25)) + "x",
      at: (t) => clamp(50 + 25 * Math.log10(parseFloat(t) || 1)),
    },
    no_site: { text: () => "", at: () => 0 },
  };

  function clamp(place) { return Math.round(Math.min(100, Math.max(0, place || 0))); }

  function move(position, text, action, base) {
    const skip = window.dash_clientside.no_update;
    const triggered = window.dash_clientside.callback_context.triggered;
    const scale = SCALES[action] || SCALES.dose;
    const which = triggered.length === 1 ? triggered[0].prop_id : "";
    if (which.includes('"part":"range"')) {
      const made = scale.text(Number(position), text, base);
      return [skip, made === text ? skip : made];
    }
    if (which.includes('"part":"action"') && !text) { return [0, skip]; }
    if (which.includes('"part":"action"')) { return [0, ""]; }
    return [scale.at(text, base), skip];
  }

  /* ------------------------------------------------------------- one record */
  function rows(values, ids, kind) {
    const found = {};
    ids.forEach((id, k) => { if (id.kind === kind) { found[id.name] = values[k]; } });
    return found;
  }

  function gather(model, context, end, cells, cv, seed, extra, sets, observe, formOf,
                  values, times, actions, options, forget,
                  valueIds, timeIds, actionIds, optionIds) {
    if (!formOf || formOf[0] !== model || formOf[1] !== context) { return; }
    const dose = rows(values, valueIds, "dose");
    const at = rows(times, timeIds, "dose");
    const gene = rows(values, valueIds, "gene");
    const done = rows(actions, actionIds, "gene");
    const number = rows(values, valueIds, "number");
    const option = rows(options, optionIds, "number");
    const record = {
      model: model, context: context === "base" ? "base" : context, end: end || "",
      cells: cells, cv: cv, seed: seed, extra: extra || "",
      sets: sets !== "none", observe: observe || [],
      doses: Object.keys(dose).map((n) => [n, dose[n] || "0", at[n] || "0"]),
      genes: Object.keys(gene).map((n) => [n, done[n], gene[n] || ""]),
      numbers: Object.keys(number).map((n) => [n, option[n], number[n] || ""]),
    };
    if ((forget || 0) > state.forgotten) {
      state.forgotten = forget;
      state.earlier = [];
      state.sent = "";
    }
    window.clearTimeout(state.timer);
    const rested = performance.now() - state.since > 3 * DEBOUNCE;
    state.timer = window.setTimeout(() => send(record), rested ? 5 : DEBOUNCE);
  }

  function send(record) {
    const text = JSON.stringify(record);
    if (text === state.sent) { return; }
    const now = performance.now();
    if (state.record && state.sent && state.record.model === record.model) {
      if (now - state.since > STOOD) { state.earlier.push(state.record); }
    } else if (state.record && state.record.model !== record.model) {
      state.earlier = [];
    }
    state.earlier = state.earlier.slice(-MOST_EARLIER);
    state.sent = text;
    state.record = record;
    state.since = now;
    set("earlier", { data: state.earlier.slice() });
    set("settings", { data: record });
    set(state.view + "-settings", { data: record });
  }

  /* ------------------------------------------------------------------- tabs */
  const VIEWS = ["curves", "response", "population", "assay", "network", "parameters"];

  function show() {
    const triggered = window.dash_clientside.callback_context.triggered;
    const id = triggered.length ? triggered[0].prop_id.split(".")[0] : "tab-curves";
    const chosen = VIEWS.includes(id.slice(4)) ? id.slice(4) : "curves";
    state.view = chosen;
    window.setTimeout(() => {
      window.dispatchEvent(new Event("resize"));
      if (state.record) { set(chosen + "-settings", { data: state.record }); }
    }, 0);
    return [chosen, ...VIEWS.map((v) => v !== chosen),
            ...VIEWS.map((v) => (v === chosen ? "true" : "false"))];
  }

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest && event.target.closest("[role=tab]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) { return; }
    const k = VIEWS.indexOf(tab.id.slice(4));
    const next = document.getElementById("tab-" + VIEWS[(k + step + VIEWS.length) % VIEWS.length]);
    next.focus();
    next.click();
    event.preventDefault();
  });

  /* A view that waits asks again, but only when its last answer is there: a page that
     asks in a fixed beat would throw away the answers that come later than the next. */
  function again(asked) {
    const input = window.dash_clientside.callback_context.triggered[0].prop_id;
    const view = input.split(".")[0].replace("-again", "");
    window.setTimeout(() => set(view + "-tick", { data: asked }), 150);
  }

  /* ---------------------------------------------------------------- copying */
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-copies]");
    if (!button) { return; }
    const code = document.getElementById(button.getAttribute("data-copies"));
    copied(code.textContent).then(
      () => { button.textContent = "Copied"; },
      () => { button.textContent = "Select and copy by hand"; },
    );
    window.setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });

  function copied(text) {
    if (navigator.clipboard) { return navigator.clipboard.writeText(text); }
    return Promise.reject(new Error("no clipboard"));
  }

  /* ------------------------------------------------------------------ files */
  const MOST_BYTES = 20e6;

  function said(text) { set("upload-said", { children: text }); }

  function upload(file) {
    if (file.size > MOST_BYTES) {
      said("The file has " + Math.round(file.size / 1e6) +
           " MB; a model of at most 20 MB is read. Leave out layout and annotations.");
      return;
    }
    said("Reading " + file.name + " …");
    fetch("/upload?name=" + encodeURIComponent(file.name), { method: "POST", body: file })
      .then((answer) => answer.json())
      .then((words) => {
        if (words.error) { said(words.error); return; }
        set("upload", { data: { value: words.key, label: words.name } });
        said("");
      })
      .catch(() => said("The file could not be sent; is the explorer still running?"));
  }

  function uploaded(choice, options) {
    const others = (options || []).filter((o) => o.value !== choice.value);
    return [others.concat([choice]), choice.value];
  }

  function dropZone() {
    const zone = document.getElementById("drop");
    if (!zone || zone.firstChild) { return Boolean(zone && zone.firstChild); }
    const label = document.createElement("label");
    label.textContent = "Drop a model file here, or choose one (SBML or Antimony)";
    label.className = "drop";
    const input = document.createElement("input");
    input.type = "file";
    input.id = "file";
    input.accept = ".xml,.sbml,.ant";
    input.addEventListener("change", () => {
      if (input.files.length) { upload(input.files[0]); }
      input.value = "";
    });
    label.appendChild(input);
    zone.appendChild(label);
    ["dragover", "drop"].forEach((kind) => document.addEventListener(kind, (event) => {
      event.preventDefault();
      label.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        upload(event.dataTransfer.files[0]);
      }
    }));
    document.addEventListener("dragleave", () => label.classList.remove("over"));
    return true;
  }

  /* ---------------------------------------------------------------- a table */
  function cell(kind, text, style) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (style) { made.className = style; }
    return made;
  }

  /* The bar of a sensitivity is drawn by its width and sign, its number stands below. */
  function bar(value, largest) {
    const made = cell("td", "", value === null ? "figure" : "sensitivity");
    if (value === null) { made.textContent = "–"; return made; }
    const line = cell("span", "", value < 0 ? "bar minus" : "bar");
    line.style.width = (100 * Math.abs(value) / largest).toFixed(1) + "%";
    made.append(line, cell("span", (value > 0 ? "+" : "") + String(value)));
    return made;
  }

  function line(texts, value, largest) {
    const row = document.createElement("tr");
    const name = cell("th", texts[0]);
    name.scope = "row";
    const status = cell("td", "");
    status.append(cell("span", texts[3], "status " + texts[3]));
    row.append(name);
    if (largest) { row.append(bar(value, largest)); }
    row.append(cell("td", texts[1], "figure"), cell("td", texts[2]), status,
               cell("td", texts[4], "source"));
    return row;
  }

  function table(data) {
    if (!data || !data.rows) { return; }
    const sizes = data.sensitivities || [];
    const largest = Math.max(0, ...sizes.map((v) => Math.abs(v || 0)));
    const words = ["number", "value", "unit", "status", "source"];
    if (largest) { words.splice(1, 0, "sensitivity"); }
    const top = document.createElement("tr");
    words.forEach((word) => {
      const head = cell("th", word);
      head.scope = "col";
      top.append(head);
    });
    const made = cell("table", "", "plain");
    made.id = "numbers";
    made.createTHead().append(top);
    made.createTBody().append(...data.rows.map((t, k) => line(t, sizes[k], largest)));
    document.getElementById("parameters-table").replaceChildren(made);
    find((document.getElementById("find") || {}).value);
  }

  /* --------------------------------------------------------------- the rest */
  function find(text) {
    const wanted = (text || "").trim().toLowerCase();
    document.querySelectorAll("#numbers tbody tr").forEach((row) => {
      row.hidden = Boolean(wanted) && !row.textContent.toLowerCase().includes(wanted);
    });
  }

  document.addEventListener("input", (event) => {
    if (event.target.id === "find") { find(event.target.value); }
  });

  /* A server that has ended, or another one at its port: say so, and stop asking. */
  const fetched = window.fetch;
  window.fetch = function (...given) {
    return fetched.apply(this, given).then((answer) => {
      if (answer.status === 403) { banner("This page belongs to an explorer that has " +
        "ended. Open the address that `mir21sim explore` prints now."); }
      else { banner(""); }
      return answer;
    }, (error) => {
      if (error.name !== "AbortError") {
        banner("The explorer does not answer: it was stopped, or this computer slept. " +
               "Start it again with `mir21sim explore`.");
      }
      throw error;
    });
  };

  function banner(text) {
    const place = document.getElementById("banner");
    if (place && place.textContent !== text) { place.textContent = text; }
  }

  const ready = window.setInterval(() => {
    if (!dropZone() || !window.dash_clientside || !window.dash_clientside.set_props) { return; }
    window.clearInterval(ready);
    document.documentElement.lang = "en";
    set("tab-id", { data: Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-") });
    if (window.matchMedia("(max-width: 760px)").matches) {
      document.getElementById("settings-box").open = false;
    }
  }, 30);

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    explorer: { gather: gather, move: move, show: show, again: again, uploaded: uploaded,
                table: table },
  });
})();
