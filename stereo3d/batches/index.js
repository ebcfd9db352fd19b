"use strict";
// Rows come from file names and messages: they enter the page as text nodes and checked attributes only.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const at = Object.fromEntries(facts.columns.map((name, k) => [name, k]));
  const byId = (id) => document.getElementById(id);
  const PAGE = 200;
  const KINDS = ["set aside", "failed", "none", "poor", "fair", "good"];
  const kind = (row) => (row[at.state] === "done" ? row[at.verdict] || "none" : row[at.state]);
  const rank = new Map(KINDS.map((name, k) => [name, k]));
  const COLUMNS = [
    { title: "Pair", key: "name", sort: (r) => r[at.name] },
    { title: "Verdict", key: "verdict", sort: (r) => rank.get(kind(r)) ?? 0 },
    { title: "Coverage", key: "coverage", number: true, sort: (r) => r[at.coverage] },
    { title: "Uncertainty", key: "uncertainty", number: true, sort: (r) => r[at.uncertainty] },
    { title: "Time", key: "seconds", number: true, sort: (r) => r[at.seconds] },
    { title: "Memory", key: "peak_mb", number: true, sort: (r) => r[at.peak_mb] },
    { title: "Reason or warnings", key: "reason", sort: (r) => r[at.code] || r[at.warnings] },
  ];
  const hidden = new Set();
  let order = { key: "verdict", down: false }, page = 0;

  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const percent = (value, digits) => (value === null ? "" : `${(100 * value).toFixed(digits)} %`);
  const seconds = (value) => (value === null ? "" : value < 100 ? `${value.toFixed(1)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);
  const path = (place) => place.split("/").map(encodeURIComponent).join("/");

  function chosen() {
    const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = facts.rows.filter((row) => {
      if (hidden.has(kind(row))) return false;
      const text = [row[at.name], row[at.code], row[at.reason], row[at.warnings], row[at.left], row[at.right]].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const column = COLUMNS.find((c) => c.key === order.key), sign = order.down ? -1 : 1;
    const value = (row) => column.sort(row);
    const empty = (v) => v === null || v === undefined || v === "";
    return rows.map((row, k) => [row, k]).sort(([a, i], [b, j]) => {
      const x = value(a), y = value(b);
      if (empty(x) || empty(y)) return empty(x) - empty(y) || i - j; // what is not known comes last either way
      return sign * (x < y ? -1 : x > y ? 1 : 0) || i - j;
    }).map(([row]) => row);
  }

  function line(row) {
    const tr = make("tr"), picture = make("td", null, "picture"), thumb = Object.hasOwn(facts.thumbs, row[at.name]) && facts.thumbs[row[at.name]];
    if (thumb) {
      const image = make("img");
      image.alt = `photo and depth of ${row[at.name]}`;
      image.loading = "lazy";
      image.src = `data:image/jpeg;base64,${thumb}`;
      picture.append(image);
    }
    const name = make("td", null, "name");
    if (row[at.mesh]) {
      const link = make("a", row[at.name]);
      link.setAttribute("href", `./${path(row[at.name])}/`);
      name.append(link);
    } else name.append(make("b", row[at.name]));
    name.append(make("small", [row[at.left], row[at.right]].filter(Boolean).map((f) => f.split(/[/\\]/).pop()).join(" + ")));
    const verdict = make("td"), word = kind(row);
    verdict.append(make("span", word, `mark ${rank.has(word) ? word.replace(" ", "-") : ""}`));
    tr.append(picture, name, verdict);
    const numbers = [percent(row[at.coverage], 0), percent(row[at.uncertainty], 2), seconds(row[at.seconds]), row[at.peak_mb] === null ? "" : `${(row[at.peak_mb] / 1000).toFixed(1)} GB`];
    for (const [k, text] of numbers.entries()) {
      const cell = make("td", text, "number");
      if (text) cell.dataset.label = COLUMNS[k + 2].title;
      tr.append(cell);
    }
    const reason = make("td", row[at.code] ? row[at.reason] : row[at.warnings].replaceAll(" ", ", "), "reason");
    if (row[at.code]) reason.prepend(make("small", row[at.code]));
    tr.append(reason);
    return tr;
  }

  function show() {
    const rows = chosen(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(page, pages - 1);
    byId("rows").replaceChildren(...rows.slice(page * PAGE, (page + 1) * PAGE).map(line));
    byId("shown").textContent = rows.length === facts.rows.length ? "" : `${rows.length} of ${facts.rows.length} pairs`;
    byId("pages").hidden = pages === 1;
    byId("place").textContent = `${page + 1} of ${pages}`;
    byId("back").disabled = page === 0;
    byId("on").disabled = page === pages - 1;
    byId("head").replaceChildren(make("th", ""), ...COLUMNS.map((column) => {
      const th = make("th", null, column.number ? "number" : ""), button = make("button", column.title);
      button.type = "button";
      if (column.key === order.key) {
        th.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        button.textContent += order.down ? " \u2193" : " \u2191";
      }
      button.addEventListener("click", () => {
        order = { key: column.key, down: order.key === column.key ? !order.down : false };
        sorted();
      });
      th.append(button);
      return th;
    }));
  }
  function sorted() {
    page = 0;
    byId("order").value = order.key;
    show();
  }

  const count = new Map();
  for (const row of facts.rows) count.set(kind(row), (count.get(kind(row)) ?? 0) + 1);
  const open = Math.max(0, facts.total - facts.rows.length);
  byId("counts").textContent = [`${facts.rows.length} pairs`, ...KINDS.filter((k) => count.has(k)).map((k) => `${count.get(k)} ${k}`), ...(open ? [`${open} not done yet`] : [])].join(" \u00b7 ");
  for (const name of KINDS.filter((k) => count.has(k))) {
    const button = make("button", `${name} (${count.get(name)})`);
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      page = 0;
      show();
    });
    byId("kinds").append(button);
  }
  for (const column of COLUMNS) {
    const option = make("option", column.title);
    option.value = column.key;
    byId("order").append(option);
  }
  byId("order").addEventListener("change", () => { order = { key: byId("order").value, down: false }; sorted(); });
  byId("find").addEventListener("input", () => { page = 0; show(); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("back").addEventListener("click", () => { page -= 1; show(); });
  byId("on").addEventListener("click", () => { page += 1; show(); });
  sorted();
  document.documentElement.dataset.ready = "yes";
})();
