"use strict";
// The page of `stereo3d app`: photos in, settings, progress, the model, earlier models. location.hash names the run, so
// that a reload and the browser's back button return to it.

(() => {
const SECTIONS = ["choose", "prepare", "going", "over", "result"], POLL = 400; // ms between two looks at a run
const STAGE_WORDS = {
  start: "Starting", photos: "Reading the photos", features: "Finding what both photos show", pose: "Finding the cameras",
  rectify: "Aligning the rows", disparity: "Measuring the depth", points: "Computing the points", mesh: "Building the mesh",
  write: "Saving the files",
};
const app = { run: null, viewer: null, shown: null, section: "" };
window.stereo3d = app;
const EDGES = ["left", "top", "right", "bottom"];
const corners = () => { // of the lasso
  const numbers = (field("lasso").value.match(/-?[\d.]+/g) || []).map(Number), found = [];
  for (let k = 0; k + 1 < numbers.length; k += 2) found.push([numbers[k], numbers[k + 1]]);
  return found;
};
const form = $("#settings"), field = (name) => form.elements.namedItem(name);

// -------------------------------------------------------------------------------------------------- asking the server

async function answer(promise) {
  let reply;
  try { reply = await promise; } catch { throw new Error("The app does not answer. Was it ended? Start it again."); }
  const found = await reply.json().catch(() => ({ error: `the app answers with ${reply.status}` }));
  if (!reply.ok) throw Object.assign(new Error(sentence(found.error)), { status: reply.status });
  return found;
}
const get = (path) => answer(fetch(path));
const post = (path, body = {}) => answer(fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));
const act = (action, body) => post(`runs/${app.run.id}/${action}`, body);
const sentence = (text) => { const t = String(text); return t.charAt(0).toUpperCase() + t.slice(1); };
const announce = (text) => { if ($("#announce").textContent !== text) $("#announce").textContent = text; };
// What takes more than a moment shows what it is and for how long, until the promise settles.
const duration = (s) => (s < 100 ? `${Math.round(s)} s` : `${Math.floor(Math.round(s) / 60)} min ${String(Math.round(s) % 60).padStart(2, "0")} s`);
let works = 0;
async function working(words, promise) { // words: text, or a function of no arguments that returns it
  const box = $("#working"), start = performance.now(), number = ++works;
  const write = () => { $("span", box).textContent = `${typeof words === "string" ? words : words()}, ${duration((performance.now() - start) / 1000)}`; };
  const timer = setInterval(() => { if (number === works) { write(); box.hidden = false; } }, 250);
  try { return await promise; } finally {
    clearInterval(timer);
    if (number === works) box.hidden = true;
  }
}
function upload(path, file) { // fetch does not tell how much of the body is sent
  let share = 0;
  const sent = new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (e) => { share = e.total ? e.loaded / e.total : 0; };
    request.onload = () => done({ ok: request.status < 300, status: request.status, json: async () => JSON.parse(request.responseText) });
    request.onerror = fail;
    request.open("POST", path);
    request.setRequestHeader("X-Name", encodeURIComponent(file.name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
  return working(() => `Copying ${file.name}: ${Math.floor(100 * share)} %`, answer(sent));
}
function complain(place, error) {
  const box = $(`#${place}-error`);
  box.hidden = !error;
  box.textContent = error ? error.message : "";
}

// -------------------------------------------------------------------------------------------------- sections

function show(name, focus = true) {
  if (app.section === name) return;
  app.section = name;
  for (const id of SECTIONS) $(`#${id}`).hidden = id !== name;
  const title = $(`#${name} h1`);
  if (title && focus) { title.focus({ preventScroll: true }); scrollTo(0, 0); }
}
function name(run) { // the run of the address
  app.run = run;
  const hash = run ? `#${run.id}` : "";
  if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
}
async function open(id) {
  if (!id) { start(); return; }
  try {
    const run = await get(`runs/${id}`);
    name(run);
    await render(run);
  } catch (error) {
    start();
    complain("choose", error.status === 404 ? new Error("This model is not in the folder any more.") : error);
  }
}
function start() {
  name(null);
  complain("choose", null);
  askFor(false);
  show("choose");
  list();
}
async function render(run, focus = true) {
  app.run = run;
  document.title = run.photos.length ? `${run.photos.join(" + ")} – stereo3d` : "stereo3d";
  if (run.state === "draft") prepare(run, focus);
  else if (run.state === "done") await result(run, focus);
  else if (run.state === "waiting" || run.state === "running") { progress(run, focus); follow(run.id); }
  else over(run, focus);
  document.documentElement.dataset.ready = "yes";
}

// -------------------------------------------------------------------------------------------------- photos

async function choose(files) {
  const adding = app.run && app.run.state === "draft" && app.run.photos.length === 1;
  const place = app.section === "prepare" ? "prepare" : "choose", most = +document.body.dataset.most;
  complain(place, null);
  try {
    if (!files.length) return;
    if (files.length > (adding ? 1 : 2)) throw new Error(adding ? "One more photo is needed, not several." : `${files.length} files were given: choose two photos, or one that holds both.`);
    const large = files.find((f) => f.size > most);
    if (large) throw new Error(`${large.name} has ${(large.size / 1e9).toFixed(1)} GB; a photo may have ${most / 1e9} GB.`);
    announce("Reading the photos");
    document.body.classList.add("busy");
    const run = adding ? app.run : await post("runs");
    for (const file of files) await upload(`runs/${run.id}/photos`, file);
    const seen = await working("Reading the photos", post(`runs/${run.id}/look`, adding ? settings() : {}));
    name(seen);
    await render(seen);
  } catch (error) {
    complain(place, error);
  } finally {
    document.body.classList.remove("busy");
    $("#files").value = "";
  }
}

const SVG = "http://www.w3.org/2000/svg";
const drawn = (tag, attributes) => {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
function recognised(photo) {
  const list = [`${photo.size[0]} × ${photo.size[1]} px`];
  if (photo.camera) list.push(photo.camera);
  if (photo.focal_35mm) list.push(`${number(photo.focal_35mm)} mm equivalent`);
  if (photo.date) list.push(photo.date.replace(/^(\d+):(\d+):/, "$1-$2-"));
  if (photo.position) list.push(`position by ${photo.position}`);
  if (photo.projection) list.push(`${photo.projection} panorama`);
  if (photo.mask) list.push(`${(100 * photo.mask).toFixed(0)} % transparent, left out`);
  if (!photo.camera && !photo.focal_35mm) list.push("no camera stated in the file");
  return list.join(" · ");
}
function pictures(run, place, marks) {
  const seen = run.seen ? run.seen.photos : [], words = ["first photo", "second photo"];
  place.replaceChildren(...seen.map((photo, k) => {
    const image = made("img", { alt: words[k], width: photo.size[0], height: photo.size[1], draggable: false });
    fetch(`runs/${run.id}/preview${k + 1}.jpg`).then((reply) => reply.blob()).then((picture) => { // a document keeps images
      image.src = URL.createObjectURL(picture); // of one address, and exchanged photos would look as before
      image.onload = () => URL.revokeObjectURL(image.src);
    }).catch(() => {});
    const frame = made("div", { className: "frame" }, image);
    if (marks && k === 0) {
      const [w, h] = photo.size, svg = drawn("svg", { viewBox: `-0.5 -0.5 ${w} ${h}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      frame.append(svg);
    }
    const file = run.photos[k] || run.photos[0];
    return made("figure", {}, frame, made("figcaption", {}, made("b", { textContent: file }), marks ? recognised(photo) : ""));
  }));
}

// -------------------------------------------------------------------------------------------------- settings

function prepare(run, focus) {
  const seen = run.seen || { photos: [], ready: false, form: "" };
  show("prepare", focus);
  complain("prepare", null);
  pictures(run, $("#photos"), true);
  $("#form").hidden = !(seen.form || !seen.ready);
  $("#form").textContent = seen.form ? `${sentence(seen.form)}${seen.metric ? ": the model will have its true size." : "."}`
    : seen.ready ? "" : "This file holds one photo. Add the second one, or say in “More” how one picture holds both.";
  $("#choose").hidden = seen.ready;
  askFor(!seen.ready);
  $("#start").disabled = !seen.ready;
  $("#exchange").hidden = run.photos.length !== 2;
  restore(run.settings || {});
  watchMarks();
  announce(seen.ready ? `${seen.photos.length} photos are shown. Choose the quality, and make the model.` : $("#form").textContent);
}
function askFor(second) { // the words of the place for photos
  $("#choose h1").hidden = $("#choose .trust").hidden = second;
  $("#drop b").textContent = second ? "Choose the second photo" : "Choose photos";
  $("#drop span").textContent = second ? "or drop it here" : "or drop two photos here, or one that holds both";
}
function settings() {
  const value = (key) => field(key).value, scale = value("scale"), found = { quality: value("quality"), scale };
  if (found.quality === "tuned") Object.assign(found, app.tuned);
  const numberOf = (key) => (value(key) === "" ? null : +value(key));
  if (scale !== "none") Object.assign(found, { length: numberOf("length"), unit: value("unit") });
  if (scale === "marker") found.marker = `${value("dictionary")}:${value("number")}`;
  if (scale === "distance") found.points = [[numberOf("x1"), numberOf("y1")], [numberOf("x2"), numberOf("y2")]];
  if (value("part") === "box") found.crop = EDGES.map(numberOf);
  if (value("part") === "lasso") found.crop = corners().flat();
  for (const key of ["rotate", "layout"]) if (value(key)) found[key] = value(key);
  for (const key of ["close", "force"]) if (field(key).checked) found[key] = true;
  return found;
}
function restore(given) {
  form.reset();
  app.tuned = given.matcher ? { matcher: given.matcher, options: given.options || {} } : null;
  $("#tuned").hidden = !app.tuned;
  $("#tuned-words").textContent = app.tuned ? [app.tuned.matcher, ...Object.entries(app.tuned.options).map(([key, value]) => `${key.split(".")[1]} ${value}`)].join(", ") : "";
  const set = (key, value) => { if (value !== undefined && value !== null) field(key).value = value; };
  for (const key of ["quality", "scale", "length", "unit", "rotate", "layout"]) set(key, given[key]);
  if (given.marker) [field("dictionary").value, field("number").value] = given.marker.split(":");
  (given.points || []).forEach(([x, y], k) => { set(`x${k + 1}`, x); set(`y${k + 1}`, y); });
  if (given.crop) {
    field("part").value = given.crop.length === 4 ? "box" : "lasso";
    if (given.crop.length === 4) given.crop.forEach((value, k) => set(EDGES[k], value));
    else field("lasso").value = given.crop.map((value, k) => value + (k % 2 ? " " : ",")).join("").trim();
  }
  for (const key of ["close", "force"]) field(key).checked = !!given[key];
  arrange();
}
function arrange() { // only what belongs to the choice is shown
  const scale = field("scale").value, shown = { scale: scale !== "none", marker: scale === "marker", point: scale === "distance" };
  for (const [key, on] of Object.entries(shown)) $(`#${key}-fields`).hidden = !on;
  field("length").required = shown.scale;
  for (const key of ["x1", "y1", "x2", "y2"]) field(key).required = shown.point;
  const part = field("part").value;
  for (const key of EDGES) field(key).required = part === "box";
  field("lasso").required = part === "lasso";
  $("#length-label").textContent = scale === "marker" ? "Side of its black square" : scale === "baseline" ? "Distance between the positions" : "Distance of the two ends";
  for (const kind of ["box", "lasso"]) $(`#${kind}-fields`).hidden = part !== kind;
  const frame = $("#photos .frame");
  if (frame) frame.classList.toggle("marking", shown.point || part !== "");
  mark();
}
function mark() { // the ends, the box and the lasso, over the first photo
  const svg = $("#photos svg");
  if (!svg || !app.run.seen) return;
  const value = (key) => (field(key).value === "" ? NaN : +field(key).value), parts = [], [w] = app.run.seen.photos[0].size, r = w / 60;
  if (field("part").value === "lasso") for (const c of ["halo", ""]) parts.push(drawn("polygon", { class: c, points: corners().join(" ") }));
  if (field("part").value === "box") {
    const [x, y, right, bottom] = EDGES.map(value);
    if (right > x && bottom > y) for (const c of ["halo", ""]) parts.push(drawn("rect", { class: c, x, y, width: right - x, height: bottom - y }));
  }
  if (field("scale").value === "distance") {
    const ends = [["x1", "y1"], ["x2", "y2"]].map((keys) => keys.map(value)).filter(([x, y]) => isFinite(x + y));
    for (const c of ["halo", ""]) {
      if (ends.length === 2) parts.push(drawn("line", { class: c, x1: ends[0][0], y1: ends[0][1], x2: ends[1][0], y2: ends[1][1] }));
      for (const [cx, cy] of ends) parts.push(drawn("circle", { class: c, cx, cy, r }));
    }
  }
  svg.replaceChildren(...parts);
}
function watchMarks() {
  const svg = $("#photos svg");
  if (!svg) return;
  const [w, h] = app.run.seen.photos[0].size, clip = (v, most) => Math.max(0, Math.min(most, v));
  const pixel = (e) => {
    const r = svg.getBoundingClientRect();
    return [clip((e.clientX - r.left) / r.width * w - 0.5, w - 1), clip((e.clientY - r.top) / r.height * h - 0.5, h - 1)];
  };
  let from = null, path = [], moved = 0, next = 1;
  svg.addEventListener("pointerdown", (e) => {
    if (!svg.parentElement.classList.contains("marking")) return;
    svg.setPointerCapture(e.pointerId);
    [from, moved, path] = [[pixel(e), e.clientX, e.clientY], 0, [pixel(e)]];
  });
  svg.addEventListener("pointermove", (e) => {
    if (!from) return;
    moved = Math.max(moved, Math.hypot(e.clientX - from[1], e.clientY - from[2]));
    if (!field("part").value || moved < 8) return;
    const [a, b] = [from[0], pixel(e)];
    if (field("part").value === "lasso") {
      const last = path.at(-1);
      if (Math.hypot(b[0] - last[0], b[1] - last[1]) > w / 100) path.push(b);
      field("lasso").value = path.map((p) => p.map(Math.round).join(",")).join(" ");
      mark();
      return;
    }
    const box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]) + 1, Math.max(a[1], b[1]) + 1];
    EDGES.forEach((key, k) => { field(key).value = Math.round(box[k]); });
    mark();
  });
  svg.addEventListener("pointerup", (e) => {
    if (from && moved < 8 && field("scale").value === "distance") {
      const [x, y] = pixel(e);
      if (field("x1").value !== "" && field("x2").value !== "") next = 1, field("x2").value = field("y2").value = "";
      else if (field("x1").value !== "") next = 2;
      [field(`x${next}`).value, field(`y${next}`).value] = [x.toFixed(1), y.toFixed(1)];
      next = 3 - next;
      mark();
    }
    from = null;
  });
}
form.addEventListener("input", arrange);
field("layout").addEventListener("change", async () => {
  if (app.run.photos.length !== 1) return;
  const given = settings();
  try { await render({ ...await working("Reading the photo", act("look", given)), settings: given }, false); } catch (error) { complain("prepare", error); }
});
form.addEventListener("submit", async (e) => {
  e.preventDefault();
  complain("prepare", null);
  try { await render(await working("Starting", act("start", settings()))); } catch (error) { complain("prepare", error); }
});
$("#exchange").addEventListener("click", async () => {
  const given = settings();
  try {
    await act("exchange");
    await render({ ...await working("Reading the photos", act("look", given)), settings: given }, false);
  } catch (error) { complain("prepare", error); }
});

// The page of matcher options is made by a process of its own, which takes a run's first stages.
const REST = $("#tune-state").textContent;
$("#tune").addEventListener("click", async () => {
  const { id } = app.run, words = $("#tune-state");
  $("#tune").disabled = true;
  complain("prepare", null);
  try {
    let { tuning } = await act("tune", settings());
    while (tuning && !tuning.ready && !tuning.error && app.run && app.run.id === id) {
      words.textContent = `${STAGE_WORDS[tuning.stage] || tuning.stage}, ${duration(tuning.seconds)}${tuning.compiling ? ". The first time on this computer takes a minute longer" : ""}`;
      await new Promise((go) => setTimeout(go, POLL));
      tuning = (await get(`runs/${id}`)).tuning;
    }
    if (tuning && tuning.error) throw new Error(sentence(`${tuning.error.message} ${tuning.error.advice}`));
    if (tuning && app.run && app.run.id === id) location.href = `runs/${id}/tune/`;
  } catch (error) { complain("prepare", error); }
  words.textContent = REST;
  $("#tune").disabled = false;
});

// -------------------------------------------------------------------------------------------------- progress

async function follow(id) {
  if (app.following === id) return;
  app.following = id;
  while (app.following === id && app.run && app.run.id === id) {
    await new Promise((go) => setTimeout(go, POLL));
    if (!app.run || app.run.id !== id) break;
    try {
      const run = await get(`runs/${id}`);
      $("#time").classList.remove("lost");
      if (app.run && app.run.id === id) {
        if (run.state === "waiting" || run.state === "running") progress(run, false);
        else { app.following = null; await working("Opening the model", render(run)); list(); return; }
      }
    } catch (error) { $("#time").textContent = error.message; $("#time").classList.add("lost"); }
  }
  if (app.following === id) app.following = null;
}
function progress(run, focus) {
  if (app.section !== "going") {
    show("going", focus);
    pictures(run, $("#going .photos"), false);
    $("#stages").replaceChildren();
    app.value = 0;
  }
  $("#cancel").disabled = app.cancelled === run.id;
  if (app.cancelled === run.id) return;
  if (!app.told || app.told.run.id !== run.id || !run.progress !== !app.told.run.progress) app.since = performance.now();
  app.told = { run, at: performance.now() };
  paintProgress();
}
function paintProgress() { // by the last answer and the time since then, so that it moves between answers too
  const { run, at } = app.told, waited = (performance.now() - at) / 1000;
  if (!run.progress) {
    $("#stage").textContent = run.ahead ? `Waiting: ${run.ahead} ${run.ahead === 1 ? "model is" : "models are"} made before` : "Waiting";
    $("#bar").removeAttribute("value");
    $("#time").textContent = `${duration((performance.now() - app.since) / 1000)} so far.`;
    announce($("#stage").textContent);
    return;
  }
  const now = { ...run.progress, seconds: run.progress.seconds + waited, stage_seconds: run.progress.stage_seconds + waited };
  const stages = now.stages || [], index = now.index ?? 0, words = STAGE_WORDS[now.stage] || now.stage;
  if ($("#stages").children.length !== stages.length) $("#stages").replaceChildren(...stages.map((s) => made("li", { textContent: STAGE_WORDS[s] || s })));
  [...$("#stages").children].forEach((li, k) => {
    li.className = k < index ? "past" : "";
    if (k === index) li.setAttribute("aria-current", "step"); else li.removeAttribute("aria-current");
  });
  $("#stage").textContent = words;
  announce(words);
  // a whole run by the earlier ones; else by stages, each on its way by its own estimate, or slower and slower
  const within = now.estimate ? Math.min(0.95, now.stage_seconds / now.estimate) : 1 - Math.exp(-now.stage_seconds / 15);
  const share = now.total_estimate ? now.seconds / now.total_estimate : (index + 0.95 * within) / Math.max(stages.length, 8);
  app.value = Math.max(app.value, Math.min(0.98, share));
  $("#bar").value = app.value;
  const past = duration(now.seconds), total = now.total_estimate;
  $("#time").textContent = `${past} so far. ` + (now.compiling ? "The first model on this computer takes a minute longer: its programs are compiled once."
    : !total ? "There is no estimate yet: it is the first model of this quality on this computer."
      : now.seconds > 1.15 * total ? `That is longer than the ${duration(total)} of earlier models.`
        : `About ${duration(Math.max(1, total - now.seconds))} more, by earlier models.`);
}
setInterval(() => { if (app.section === "going" && app.run && app.told && app.told.run.id === app.run.id && app.cancelled !== app.run.id && !$("#time").classList.contains("lost")) paintProgress(); }, 250);
$("#cancel").addEventListener("click", async () => {
  $("#cancel").disabled = true;
  app.cancelled = app.run.id;
  $("#stage").textContent = "Cancelling";
  try { await act("cancel"); } catch (error) { app.cancelled = null; $("#time").textContent = error.message; }
});

// -------------------------------------------------------------------------------------------------- the end

function over(run, focus) {
  const cancelled = run.state === "cancelled", error = run.error || { message: "", advice: "" };
  show("over", focus);
  $("#over-title").textContent = cancelled ? "Cancelled" : "No model could be made";
  $("#over-message").hidden = cancelled;
  $("#over-message").textContent = sentence(error.message);
  $("#over-advice").textContent = cancelled ? "Nothing of it was kept but the photos." : error.advice;
  pictures(run, $("#over .photos"), false);
  announce(`${$("#over-title").textContent}. ${cancelled ? "" : $("#over-message").textContent}`);
}
function dropViewer() {
  const lost = app.viewer && app.viewer.gl.getExtension("WEBGL_lose_context");
  if (lost) lost.loseContext();
  app.viewer = null;
}
async function result(run, focus) {
  if (app.shown === run.id && app.section === "result") return;
  app.shown = run.id;
  const outcome = run.outcome, own = (selector, source) => document.importNode($(selector, source), true);
  const html = await (await fetch(`runs/${run.id}/report.html`)).text();
  if (app.run.id !== run.id) return;
  // its verdict, its model and its data; not its style, which the policy would refuse with a complaint
  const report = new DOMParser().parseFromString(html.slice(html.indexOf("</style>") + 8), "text/html");
  for (const key of Object.keys(loaded)) delete loaded[key];
  for (const block of $$('script[id^="data-"]', report)) loaded[block.id.slice(5)] = block.textContent;
  dropViewer();
  $("#verdict").replaceChildren(own(".top .verdict", report));
  Object.assign($("#verdict h1"), { id: "result-title", tabIndex: -1 });
  $("#scale").textContent = outcome.metric ? `Lengths are in ${outcome.unit}.`
    : "Lengths are in baselines, the distance between the two camera positions. For true lengths choose “Again with other settings” and a size.";
  $("#shown").replaceChildren(own("#model", report));
  const better = outcome.advice.length ? [made("div", { className: "better" }, made("h2", { textContent: "How to improve it" }),
    made("ul", {}, ...outcome.advice.map((a) => made("li", { textContent: a }))))] : [];
  $("#figures").replaceChildren(own(".top .tiles", report), ...better);
  $("#downloads").replaceChildren(...outcome.files.map(({ name: file, label, bytes }) => {
    const page = file.endsWith(".html"), size = bytes >= 1e5 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
    const link = made("a", { href: `runs/${run.id}/${file}` }, made("b", { textContent: page ? "Open the report" : label }), made("small", { textContent: size }));
    if (page) Object.assign(link, { target: "_blank", rel: "noopener" }); else link.download = "";
    return made("li", {}, link);
  }));
  show("result", focus);
  const sections = $$(".stage", report).map((section) => document.importNode(section, true)), stages = $("#made");
  stages.open = false;
  $("div", stages).replaceChildren();
  stages.ontoggle = async () => { // the report's figures, when they are first asked for
    if (!stages.open || $("div", stages).childElementCount) return;
    $("div", stages).replaceChildren(...sections);
    $$("[data-background]", stages).forEach((e) => { e.style.background = e.dataset.background; });
    [facts, state] = [JSON.parse(loaded.facts), {}];
    try { await working("Drawing the stages", showStages()); } catch (error) { $("div", stages).append(made("p", { className: "cannot", textContent: error.message })); }
  };
  try {
    const shown = JSON.parse(loaded.facts);
    await showModel(shown, app);
  } catch (error) {
    $("#shown .viewer").append(made("p", { className: "cannot", textContent: `The model cannot be shown here: ${error.message}` }));
  }
  announce(`The model is ready. ${$("#verdict .badge").textContent}: ${$("#verdict h1").textContent}`);
}
$$(".again").forEach((b) => b.addEventListener("click", async () => {
  try {
    const run = await working("Taking the photos", act("again"));
    name(run);
    await render(run.seen ? run : await working("Reading the photos", act("look", run.settings || {})));
    if (b.dataset.part) {
      $("#settings details").open = true;
      if (!field("part").value) field("part").value = b.dataset.part;
      arrange();
      field("part").focus({ preventScroll: true });
    }
  } catch (error) { announce(error.message); alert(error.message); }
}));
$$(".fresh, #others").forEach((b) => b.addEventListener("click", start));

// -------------------------------------------------------------------------------------------------- earlier models

const STATE_WORDS = { done: "", failed: "no model", cancelled: "cancelled", waiting: "waiting", running: "being made" };
async function list() {
  const { runs } = await get("runs").catch(() => ({ runs: [] }));
  $("#history").hidden = !runs.length;
  $("#runs").replaceChildren(...runs.map((run) => {
    const image = run.thumb ? made("img", { alt: "", src: `runs/${run.id}/thumb.jpg` }) : made("i", { className: "none" });
    const title = run.photos.join(" + "), state = run.verdict ? sentence(run.verdict) : sentence(STATE_WORDS[run.state]);
    const entry = made("button", { className: "open", type: "button" }, image, made("span", {}, made("b", { textContent: title }), `${run.created} · ${state}`));
    entry.addEventListener("click", () => open(run.id));
    const remove = made("button", { className: "remove", type: "button", textContent: "✕", title: "Remove" });
    remove.setAttribute("aria-label", `remove ${title} of ${run.created}`);
    remove.disabled = run.state === "waiting" || run.state === "running";
    remove.addEventListener("click", async () => {
      if (!confirm(`Remove this model and its photos from the folder?\n${title}`)) return;
      try { await post(`runs/${run.id}/remove`); } catch (error) { alert(error.message); }
      if (app.run && app.run.id === run.id) start(); else list();
    });
    return made("li", {}, entry, remove);
  }));
}

// -------------------------------------------------------------------------------------------------- the page

$("#files").addEventListener("change", (e) => choose([...e.target.files]));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (e) => {
    e.preventDefault();
    $("#drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind !== "drop" || !e.dataTransfer.files.length) return;
    if (app.section === "choose") choose([...e.dataTransfer.files]);
    else if (app.section === "prepare" && app.run.photos.length === 1) choose([...e.dataTransfer.files]);
    else if (app.section !== "going") { start(); choose([...e.dataTransfer.files]); }
  });
}
addEventListener("popstate", () => open(location.hash.slice(1)));
showPage();
open(location.hash.slice(1)).then(() => { list(); document.documentElement.dataset.ready = "yes"; });
})();
