"use strict";
// Sorting, filtering, selecting, reviewing and exporting the table of the report.
// User data reach the page as text only (textContent, value): never as HTML.
(() => {
  const table = JSON.parse(document.getElementById("table-data").textContent);
  const names = table.columns.map((column) => column.name);
  const column = Object.fromEntries(names.map((name, i) => [name, table.values[i]]));
  const nRows = column.row.length;
  const PAGE = 25;
  const LIST_LIMIT = 200;
  const MAX_DECIMALS = 8;
  const MAX_TEXT = 150;
  const byId = (id) => document.getElementById(id);
  const body = byId("rows");
  const state = {
    sort: "suspicion", descending: true, page: 0, shown: [],
    selected: new Set(), verdict: new Map(), corrected: new Map(), saved: true,
  };
  let texts = null;
  const cards = new Map();

  const add = (parent, tag, text, className) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const addOption = (select, value, text) => {
    add(select, "option", text === undefined ? spaced(String(value)) : text).value = value;
  };
  // As many places as the largest number of a column needs, the same for all of it.
  const decimals = {};
  for (const [name, digits] of [["suspicion", 3], ["influence", 4], ["margin", 3]]) {
    const largest = column[name].reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    decimals[name] = Math.max(0, digits - Math.ceil(Math.log10(largest || 1)));
  }
  const asText = (value) => (value === null ? "" : String(value));
  const readable = (value, name) => {
    if (typeof value !== "number" || !(name in decimals)) return asText(value);
    return decimals[name] > MAX_DECIMALS
      ? value.toExponential(1) : value.toFixed(decimals[name]);
  };
  // Spaces that nobody would see are marked, in what is shown only.
  const spaced = (text) =>
    text.replace(/^\s+|\s+$|\s{2,}/g, (found) => "␣".repeat(found.length));
  const counted = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;
  const kinds = { label: "label", suggested_label: "suggested" };
  const isFlagged = (i) => column.flagged[i];
  // What apply_review takes: a label of the data, or a number.
  const isAnswer = (text) => text !== "" && (table.labels
    ? table.labels.some((label) => String(label).trim() === text.trim())
    : /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(text));

  function searched() {
    const wanted = byId("search").value.trim().toLowerCase();
    if (!wanted) return null;
    if (!texts) {
      const read = table.values.filter((_, i) =>
        table.columns[i].own || ["row", "label", "suggested_label"].includes(names[i]));
      texts = Array.from({ length: nRows }, (_, i) =>
        read.map((values) => asText(values[i])).join("\n").toLowerCase());
    }
    return (i) => texts[i].includes(wanted);
  }

  function tests() {
    const found = [];
    const search = searched();
    if (search) found.push(search);
    const which = byId("which").value;
    if (which === "flagged") found.push(isFlagged);
    if (which === "kept") found.push((i) => !isFlagged(i));
    if (which === "selected") found.push((i) => state.selected.has(i));
    if (which === "unreviewed") found.push((i) => isFlagged(i) && !state.verdict.has(i));
    for (const [id, name] of [
      ["given", "label"], ["suggested", "suggested_label"], ["pattern", "pattern"]]) {
      const control = byId(id);
      if (control && control.value) {
        const wanted = control.value;
        found.push((i) => asText(column[name][i]) === wanted);
      }
    }
    return found;
  }

  function compare(a, b) {
    if (a === b) return 0;
    if (a === null) return 1;
    if (b === null) return -1;
    if (typeof a === "string" || typeof b === "string") {
      return String(a).localeCompare(String(b), undefined, { numeric: true });
    }
    return a - b;
  }

  function update() {
    const checks = tests();
    const shown = [];
    for (let i = 0; i < nRows; i++) if (checks.every((check) => check(i))) shown.push(i);
    const values = column[state.sort];
    const sign = state.descending ? -1 : 1;
    shown.sort((i, j) => {
      if (values[i] === null || values[j] === null) return compare(values[i], values[j]);
      return sign * compare(values[i], values[j]) || i - j;
    });
    state.shown = shown;
    const last = Math.max(Math.ceil(shown.length / PAGE) - 1, 0);
    state.page = Math.min(state.page, last);
    draw();
  }

  function draw() {
    const begin = state.page * PAGE;
    const fragment = document.createDocumentFragment();
    for (const i of state.shown.slice(begin, begin + PAGE)) fragment.append(rowOf(i));
    body.replaceChildren(fragment);
    const end = Math.min(begin + PAGE, state.shown.length);
    byId("show-all").hidden = true;
    byId("range").textContent = state.shown.length
      ? `${begin + 1} to ${end} of ${state.shown.length.toLocaleString()}` : noneShown();
    byId("back").disabled = state.page === 0;
    byId("forward").disabled = end >= state.shown.length;
    count();
  }

  // A search is for all rows, but the rows shown are flagged ones unless chosen otherwise.
  function noneShown() {
    const matches = searched();
    const n = matches ? column.row.filter((_, i) => matches(i)).length : nRows;
    byId("show-all").hidden = !n;
    const which = byId("which").value;
    return `no ${which}${which && " "}row matches` +
      (n ? `; ${n.toLocaleString()} in all rows` : "");
  }

  function showAll() {
    for (const control of document.querySelectorAll("select[data-filter]")) {
      control.value = "";
    }
    state.page = 0;
    update();
  }

  function count() {
    const n = state.selected.size;
    byId("export").textContent = n
      ? `Export ${counted(n, "selected row")} as CSV`
      : `Export ${counted(state.shown.length, "row")} shown as CSV`;
    byId("export").disabled = !n && !state.shown.length;
    const every = state.shown.length > 0 && state.shown.every((i) => state.selected.has(i));
    byId("all").checked = every;
    byId("all").indeterminate = !every && n > 0;
    const reviewed = state.verdict.size;
    byId("export-review").disabled = !reviewed;
    byId("reviewed").textContent = reviewed
      ? `${counted(reviewed, "row")} reviewed${state.saved ? "" : ", not exported yet"}`
      : "";
  }

  function rowOf(i) {
    const row = document.createElement("tr");
    row.className = (isFlagged(i) ? "flagged" : "kept") +
      (state.selected.has(i) ? " selected" : "");
    row.dataset.row = column.row[i];
    const box = add(add(row, "td"), "input");
    box.type = "checkbox";
    box.checked = state.selected.has(i);
    box.setAttribute("aria-label", `select row ${column.row[i]}`);
    box.addEventListener("change", () => {
      if (box.checked) state.selected.add(i); else state.selected.delete(i);
      row.classList.toggle("selected", box.checked);
      count();
    });
    table.columns.forEach(({ name, own, numeric }, k) => {
      if (name === "flagged") return;
      const cell = readable(table.values[k][i], name);
      const text = name in kinds ? spaced(cell) : cell;
      const long = text.length > 60 ? " text" : text.length > 24 ? "" : " short";
      const kind = own ? `own${long}` : kinds[name] || "";
      const place = add(row, "td", undefined, `${kind}${numeric ? " number" : ""}`.trim());
      if (text.length > MAX_TEXT) addClamped(place, text);
      else place.textContent = text;
    });
    const cell = row.insertCell(1);
    cell.style.whiteSpace = "nowrap";
    addVerdict(cell, i, () => cards.get(i)?.());
    return row;
  }

  // The first lines of a text; all of it once it has the focus.
  function addClamped(cell, text) {
    const lines = add(cell, "div", text, "clamp");
    lines.tabIndex = 0;
    lines.title = text;
  }

  // A verdict is given in the table or below a picture, and shown in both.
  function fillCards() {
    for (const card of document.querySelectorAll(".item[data-row]")) {
      const i = column.row.indexOf(Number(card.dataset.row));
      if (i < 0) continue;
      const place = add(card, "div", undefined, "verdict");
      const fill = () => {
        place.replaceChildren("verdict ");
        addVerdict(place, i, draw);
      };
      cards.set(i, fill);
      fill();
    }
  }

  function addVerdict(cell, i, showElsewhere) {
    const verdict = add(cell, "select");
    verdict.setAttribute("aria-label", `verdict on row ${column.row[i]}`);
    for (const [value, text] of [["", "–"], ["right", "right"], ["wrong", "wrong"]]) {
      addOption(verdict, value, text);
    }
    verdict.value = state.verdict.get(i) || "";
    const correction = table.labels && table.labels.length <= LIST_LIMIT
      ? labelChoice(i) : add(document.createDocumentFragment(), "input");
    correction.className = "correction";
    correction.setAttribute("aria-label", `right ${table.labels ? "label" : "target"} of row ${column.row[i]}`);
    if (correction.tagName === "INPUT") correction.size = 8;
    correction.value = state.corrected.has(i)
      ? state.corrected.get(i)
      : isFlagged(i) ? asText(column.suggested_label[i]) : "";
    correction.hidden = verdict.value !== "wrong";
    cell.append(" ", correction);
    const keep = () => {
      correction.hidden = verdict.value !== "wrong";
      if (verdict.value) state.verdict.set(i, verdict.value);
      else state.verdict.delete(i);
      if (verdict.value === "wrong") state.corrected.set(i, correction.value);
      else state.corrected.delete(i);
      state.saved = !state.verdict.size;
      count();
      showElsewhere();
    };
    verdict.addEventListener("change", keep);
    correction.addEventListener("change", keep);
  }

  function labelChoice(i) {
    const select = document.createElement("select");
    addOption(select, "", "choose…");
    for (const label of table.labels) {
      if (label !== column.label[i]) addOption(select, String(label));
    }
    return select;
  }

  // Spreadsheets would compute such texts; a review is read without the apostrophe.
  function guarded(text) {
    return /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  }

  function quoted(value) {
    const text = guarded(asText(value));
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function asCsv(rows) {
    const head = [...names, "verdict", "corrected_label"];
    const lines = rows.map((i) => [
      ...table.values.map((values) => values[i]),
      state.verdict.get(i) || "",
      state.corrected.get(i) || "",
    ].map(quoted).join(","));
    return "\ufeff" + [head.map(quoted).join(","), ...lines].join("\r\n") + "\r\n";
  }

  function exportRows() {
    const rows = state.selected.size
      ? [...state.selected].sort((i, j) => column.row[i] - column.row[j]) : state.shown;
    download(rows, state.selected.size ? "selected-rows.csv" : "rows.csv");
  }

  function exportReview() {
    const rows = [...state.verdict.keys()].sort((i, j) => column.row[i] - column.row[j]);
    const open = rows.filter((i) =>
      state.verdict.get(i) === "wrong" && !isAnswer(state.corrected.get(i)));
    if (open.length) {
      askFor(open);
      return;
    }
    download(rows, "review.csv");
    state.saved = true;
    count();
  }

  // Shows the first row that lacks its right label, whatever the filters were.
  function askFor(open) {
    if (!state.shown.includes(open[0])) {
      byId("search").value = "";
      showAll();
    }
    state.page = Math.floor(state.shown.indexOf(open[0]) / PAGE);
    draw();
    byId("reviewed").textContent =
      `${counted(open.length, "row")} ${open.length === 1 ? "is" : "are"} marked wrong ` +
      `without a right ${table.labels ? "label" : "target"}`;
    body.querySelector(`tr[data-row="${column.row[open[0]]}"] .correction`).focus();
  }

  function download(rows, name) {
    const link = document.createElement("a");
    const blob = new Blob([asCsv(rows)], { type: "text/csv;charset=utf-8" });
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function titleOf({ name, own }) {
    if (own) return name;
    const title = name.replaceAll("_", " ");
    return table.labels ? title : title.replace("label", "target");
  }

  function makeHead() {
    const head = byId("head");
    table.columns.forEach((description) => {
      const { name, own, numeric } = description;
      if (name === "flagged") return;
      const kind = `${own ? "own" : ""}${numeric ? " number" : ""}`.trim();
      const cell = add(head, "th", undefined, kind);
      cell.scope = "col";
      cell.dataset.name = name;
      const button = add(cell, "button");
      add(button, "span");
      cell.dataset.title = titleOf(description);
      button.type = "button";
      button.addEventListener("click", () => {
        state.descending = state.sort === name ? !state.descending : name === "suspicion";
        state.sort = name;
        state.page = 0;
        markSorted();
        update();
      });
    });
    markSorted();
  }

  function markSorted() {
    for (const cell of byId("head").querySelectorAll("th[data-name]")) {
      const on = cell.dataset.name === state.sort;
      const { title } = cell.dataset;
      cell.setAttribute("aria-sort",
        on ? (state.descending ? "descending" : "ascending") : "none");
      cell.querySelector("span").textContent = on ? `${title} ${state.descending ? "▼" : "▲"}` : title;
    }
  }

  function fillFilters() {
    for (const [id, name] of [
      ["given", "label"], ["suggested", "suggested_label"], ["pattern", "pattern"]]) {
      const control = byId(id);
      if (!control) continue;
      const values = [...new Set(column[name].map(asText))];
      values.sort(compare);
      if (values.length > LIST_LIMIT) control.parentElement.hidden = true;
      else for (const value of values) addOption(control, value);
    }
    for (const control of document.querySelectorAll(".controls [data-filter]")) {
      control.addEventListener("input", () => { state.page = 0; update(); });
    }
  }

  byId("all").addEventListener("change", (event) => {
    for (const i of state.shown) {
      if (event.target.checked) state.selected.add(i); else state.selected.delete(i);
    }
    draw();
  });
  byId("back").addEventListener("click", () => { state.page--; draw(); });
  byId("forward").addEventListener("click", () => { state.page++; draw(); });
  byId("show-all").addEventListener("click", showAll);
  byId("export").addEventListener("click", exportRows);
  byId("export-review").addEventListener("click", exportReview);
  window.addEventListener("beforeunload", (event) => {
    if (!state.saved) event.preventDefault();
  });
  if (!column.flagged.some(Boolean)) byId("which").value = "";
  makeHead();
  fillFilters();
  fillCards();
  update();
  byId("audit").hidden = false;
})();
