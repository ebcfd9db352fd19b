"use strict";
// The tuning page: a change of a control asks the server for a match and shows it. One request at a time, the latest.

const facts = JSON.parse(embedded("facts")), state = { facts, answers: 0 };
window.stereo3d = state;

(async () => {
  showPage();
  const form = $(".controls"), settings = $(".settings", form), select = $("[name=matcher]", form), words = $(".state [role=status]", form), clock = $(".clock", form);
  const [turbo, viridis] = [await array(facts, "turbo"), await array(facts, "viridis")], left = await picture("left");
  const chosen = { ...facts.given };
  let shown = null, kind = "disparity", asking = false, again = false, viewer = null;
  for (const name of Object.keys(facts.offered)) select.add(new Option(name, name, false, name === facts.matcher));

  function control({ key, kind: type, default: usual, choices, low, high, description, optional }) {
    const row = document.createElement("label"), value = key in chosen ? chosen[key] : usual;
    row.className = "row";
    row.title = description;
    const name = document.createElement("span");
    name.textContent = key;
    let input;
    if (type === "bool") {
      input = document.createElement("input");
      input.type = "checkbox";
      input.checked = value;
    } else if (choices.length) {
      input = document.createElement("select");
      for (const c of choices) input.add(new Option(c, c, false, c === value));
    } else {
      input = document.createElement("input");
      input.type = "number";
      input.step = type === "int" ? 1 : "any";
      if (low !== null) input.min = low;
      if (high !== null) input.max = high;
      input.value = value === null ? "" : value;
      input.placeholder = optional ? "automatic" : "";
    }
    input.name = key;
    const mark = () => { // an invalid value is not sent: the last valid one holds
      if (!input.checkValidity()) return;
      const now = type === "bool" ? input.checked : input.value === "" ? null : type === "str" ? input.value : +input.value;
      if (now === usual || (now === null && !optional)) delete chosen[key]; else chosen[key] = now === null ? "none" : now;
      row.classList.toggle("changed", key in chosen);
    };
    mark();
    input.addEventListener("input", () => { mark(); if (input.checkValidity()) ask(); });
    row.append(name, input);
    return row;
  }
  function controls() { // drop options that the new matcher does not have
    const offered = facts.offered[select.value];
    for (const key of Object.keys(chosen)) if (!offered.some((o) => o.key === key)) delete chosen[key];
    settings.replaceChildren(...offered.map(control));
  }
  select.addEventListener("input", () => { controls(); ask(); });
  form.addEventListener("submit", (e) => e.preventDefault());

  async function ask() {
    if (asking) { again = true; return; }
    asking = true;
    form.classList.add("busy");
    do {
      again = false;
      await new Promise((go) => setTimeout(go, 150)); // the user may still be typing
      const start = performance.now(), tell = () => { clock.textContent = `${Math.round((performance.now() - start) / 1000)} s`; };
      words.textContent = "matching \u2026";
      const timer = setInterval(tell, 500);
      try {
        const reply = await fetch("match", { method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ matcher: select.value, options: chosen }) });
        const found = await reply.json();
        if (!reply.ok) throw new Error(found.error);
        await show(found);
      } catch (error) {
        words.textContent = error.message;
        form.classList.add("failed");
      }
      clearInterval(timer);
      clock.textContent = "";
    } while (again);
    asking = false;
    form.classList.remove("busy");
  }

  async function show(found) {
    const get = (name) => unpack(fromBase64(found.data[name]), found.arrays[name]);
    const [disparity, inverse, confidence, position, colour] = await Promise.all(
      ["disparity", "inverse", "confidence", "position", "colour"].map(get));
    const [h, w] = found.arrays.disparity.shape;
    shown = { size: [w, h], step: found.step, disparity, depth: inverse.map((q) => 1 / q), inverse,
      confidence: confidence.map((c, k) => (isFinite(disparity[k]) ? c : NaN)) };
    paint();
    if (!viewer) {
      viewer = state.viewer = new Viewer($("#model .viewer"), { cloud: { position, colour }, cameras: [facts.camera], unit: facts.unit });
      $("#model .viewer").classList.add("shown");
    } else viewer.setCloud({ position, colour });
    form.classList.remove("failed");
    words.textContent = `${found.seconds.toFixed(1)} s`;
    const rows = [["pixels known", `${(100 * found.known).toFixed(1)} %`], ["median confidence", found.confidence.toFixed(2)],
      ["searched", `${found.range[0]} to ${found.range[1]} px`]];
    $(".numbers", form).replaceChildren(...rows.map(([a, b]) => {
      const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = a;
      dd.textContent = b;
      row.append(dt, dd);
      return row;
    }));
    $("#command").textContent = found.command;
    state.answers++;
    document.documentElement.dataset.ready = "yes";
  }

  function paint() {
    const canvas = $("#map canvas"), box = $("#map .legend"), unit = facts.unit === "baseline" ? "baselines" : facts.unit;
    box.hidden = kind === "photo";
    if (kind === "photo") {
      [canvas.width, canvas.height] = [left.naturalWidth, left.naturalHeight];
      canvas.getContext("2d").drawImage(left, 0, 0);
      sized(canvas);
    } else if (kind === "confidence") {
      paintMap(canvas, shown.size, shown.confidence, 0, 1, viridis);
      legend(box, viridis, [[0, "0 unsure"], [0.5, "0.5"], [1, "1 sure"]], [], ["confidence"]);
    } else {
      const values = kind === "depth" ? shown.inverse : shown.disparity, [lo, hi] = [quantile(values, 0.01), quantile(values, 0.99)];
      paintMap(canvas, shown.size, values, lo, hi, turbo);
      const marks = ticks(lo, hi, 7).filter((v) => kind !== "depth" || v > 0);
      legend(box, turbo, marks.map((v) => [(v - lo) / (hi - lo), number(kind === "depth" ? 1 / v : v)]), [],
        [kind === "depth" ? `depth, ${unit}` : "disparity, px"]);
    }
  }
  choice($("#map .bar"), (name) => { kind = name; if (shown) paint(); });
  const pixelText = $("#map .readout"), rest = pixelText.textContent;
  $("#map canvas").addEventListener("pointermove", (e) => {
    if (!shown) return;
    const box = e.target.getBoundingClientRect(), [w, h] = shown.size;
    const i = Math.floor((e.clientX - box.left) / box.width * w), j = Math.floor((e.clientY - box.top) / box.height * h), k = j * w + i;
    pixelText.textContent = !isFinite(shown.disparity[k]) ? "unknown"
      : `disparity ${shown.disparity[k].toFixed(2)} px, depth ${inUnit(shown.depth[k], facts.unit)}, confidence ${shown.confidence[k].toFixed(2)}`;
  });
  $("#map canvas").addEventListener("pointerleave", () => { pixelText.textContent = rest; });
  $("#model [data-look]").addEventListener("click", () => viewer && viewer.look(0));
  $("#model .home").addEventListener("click", () => viewer && viewer.home());
  if (facts.app) { // the page lies in runs/NAME/tune/ of the app, which names its run by the hash
    const app = `../../../#${location.pathname.split("/").at(-3)}`;
    $(".take").hidden = false;
    $(".back").href = app;
    $(".use").addEventListener("click", async () => {
      try {
        const reply = await fetch("use", { method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ matcher: select.value, options: chosen }) });
        if (!reply.ok) throw new Error((await reply.json()).error);
        location.href = app;
      } catch (error) { words.textContent = error.message; form.classList.add("failed"); }
    });
  }
  controls();
  await ask();
})();
