"use strict";
// Code shared by the report and the tuning page: packed arrays, cameras, epipolar curves, maps with a legend.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const number = (x, digits = 3) => {
  if (x === null || !isFinite(x)) return "\u2013";
  const a = Math.abs(x);
  if (a === 0) return "0";
  return a >= 1e7 || a < 1e-4 ? x.toPrecision(digits) : String(+x.toPrecision(Math.max(digits, Math.floor(Math.log10(a)) + 1)));
};
const inUnit = (x, unit) => `${number(x)} ${unit === "baseline" ? (x === 1 ? "baseline" : "baselines") : unit}`;

// -------------------------------------------------------------------------------------------------- packed arrays

// How Python packs an array (page.py: packed): the bytes of little-endian numbers, maps by differences along the rows,
// all first bytes before all second ones, deflated.
async function unpack(bytes, { kind, shape, rows, lo, hi }) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const Kind = { f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array }[kind], width = Kind.BYTES_PER_ELEMENT;
  const count = raw.length / width, plain = new Uint8Array(raw.length);
  for (let b = 0; b < width; b++) for (let i = 0; i < count; i++) plain[i * width + b] = raw[b * count + i];
  const values = new Kind(plain.buffer);
  if (rows) {
    const length = shape[shape.length - 1];
    for (let i = 0; i < values.length; i++) if (i % length) values[i] += values[i - 1]; // wraps, as it was made
  }
  if (lo === undefined) return values;
  const steps = kind === "u2" ? 65534 : 254, real = new Float32Array(values.length); // the largest number is unknown
  for (let i = 0; i < values.length; i++) real[i] = values[i] > steps ? NaN : lo + (hi - lo) * values[i] / steps;
  return real;
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const loaded = {}; // data by name that the page has fetched; all else is inside the page
const embedded = (name) => loaded[name] ?? document.getElementById(`data-${name}`).textContent;
const array = (facts, name) => unpack(fromBase64(embedded(name)), facts.arrays[name]);
function picture(name) {
  return new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => fail(new Error(`the picture ${name} cannot be shown`));
    image.src = `data:image/jpeg;base64,${embedded(name)}`;
  });
}

// -------------------------------------------------------------------------------------------------- two cameras

// Brown's lens distortion of normalised coordinates, in OpenCV's order of coefficients.
function distort([u, v], dist) {
  if (!dist.length) return [u, v];
  const [k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4] = [...dist, ...Array(12).fill(0)];
  const r2 = u * u + v * v, radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)));
  return [u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + r2 * (s1 + r2 * s2),
    v * radial + p1 * (r2 + 2 * v * v) + 2 * p2 * u * v + r2 * (s3 + r2 * s4)];
}

// Normalised coordinates of a photo pixel: the inverse of K distort(.), by Newton's method.
function undistort([x, y], { K, dist }) {
  const v0 = (y - K[1][2]) / K[1][1], u0 = (x - K[0][2] - K[0][1] * v0) / K[0][0];
  let [u, v] = [u0, v0];
  if (!dist.length) return [u, v];
  const h = 1e-6;
  for (let k = 0; k < 20; k++) {
    const [a, b] = distort([u, v], dist), e = [a - u0, b - v0];
    const [ru, rv] = [[u + h, v], [u - h, v]].map((p) => distort(p, dist)), [su, sv] = [[u, v + h], [u, v - h]].map((p) => distort(p, dist));
    const gu = [(ru[0] - rv[0]) / (2 * h), (ru[1] - rv[1]) / (2 * h)], gv = [(su[0] - sv[0]) / (2 * h), (su[1] - sv[1]) / (2 * h)];
    const det = gu[0] * gv[1] - gv[0] * gu[1];
    if (Math.abs(det) < 0.05) return [NaN, NaN];
    const clip = (s) => Math.max(-0.2, Math.min(0.2, s));
    u -= clip((gv[1] * e[0] - gv[0] * e[1]) / det);
    v -= clip((gu[0] * e[1] - gu[1] * e[0]) / det);
    if (Math.hypot(...e) < 1e-12) break;
  }
  return [u, v];
}

function toPixel(X, { K, dist }) { // a point or direction before the camera -> photo pixel
  const [u, v] = distort([X[0] / X[2], X[1] / X[2]], dist);
  return [K[0][0] * u + K[0][1] * v + K[0][2], K[1][1] * v + K[1][2]];
}

// Largest normalised distance from the axis at which the lens model is used: the corners of the picture, and 15 % more.
function field(camera) {
  const [w, h] = camera.size, border = [];
  for (let k = 0; k <= 16; k++) {
    const a = k / 16;
    border.push([a * (w - 1), 0], [a * (w - 1), h - 1], [0, a * (h - 1)], [w - 1, a * (h - 1)]);
  }
  const reach = border.map((x) => Math.hypot(...undistort(x, camera))).filter(isFinite);
  return 1.15 * Math.max(...reach);
}

// Where the scene point seen at pixel x of camera `a` can appear in the photo of camera `b` (X_b = R X_a + t): the curve of
// z R ray + t for depths z from infinity down to 0, as lists of photo pixels. With an ideal lens a straight line.
function epipolarCurve(x, a, b, R, t, samples = 720) {
  const [u, v] = undistort(x, a);
  if (!isFinite(u + v)) return [];
  const far = V3.unit(M3.at(R, [u, v, 1])), near = V3.unit(t), angle = Math.acos(Math.max(-1, Math.min(1, V3.dot(far, near))));
  const reach = field(b), [w, h] = b.size, lines = [];
  let line = null;
  for (let k = 0; k < samples; k++) {
    const s = k / samples, sine = Math.sin(angle) || 1;
    const d = angle < 1e-9 ? far : V3.add(V3.mul(far, Math.sin((1 - s) * angle) / sine), V3.mul(near, Math.sin(s * angle) / sine));
    const seen = d[2] > 1e-6 && Math.hypot(d[0] / d[2], d[1] / d[2]) <= reach, p = seen ? toPixel(d, b) : null;
    if (p && p[0] > -0.1 * w && p[0] < 1.1 * w && p[1] > -0.1 * h && p[1] < 1.1 * h) {
      if (!line) lines.push(line = []);
      line.push(p);
    } else line = null;
  }
  return lines;
}

// -------------------------------------------------------------------------------------------------- overlays

// A canvas laid over an element, in CSS pixels whatever the density of the screen.
class Overlay {
  constructor(element, paint) {
    this.element = element;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "overlay";
    element.append(this.canvas);
    this.paint = paint;
    new ResizeObserver(() => this.draw()).observe(element);
  }
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.now(); });
  }
  now() {
    const ratio = Math.min(devicePixelRatio || 1, 2), w = this.element.clientWidth, h = this.element.clientHeight;
    this.canvas.width = Math.round(w * ratio);
    this.canvas.height = Math.round(h * ratio);
    const g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    this.paint(g, w, h);
  }
}

// Two pictures in a frame, one overlay over both. size: [w, h] of each, in the pixels that `place` and `pixel` speak of.
class Pair {
  constructor(element, images, sizes, paint) {
    this.element = element;
    this.sizes = sizes;
    this.panes = images.map((image, side) => {
      const pane = document.createElement("div");
      pane.className = "pane";
      const shown = image.cloneNode();
      shown.alt = side ? "second photo" : "first photo";
      shown.draggable = false;
      pane.append(shown);
      element.append(pane);
      return pane;
    });
    this.overlay = new Overlay(element, paint);
  }
  place(side, [x, y]) { // photo pixel -> CSS pixel of the overlay
    const pane = this.panes[side], [w, h] = this.sizes[side];
    return [pane.offsetLeft + (x + 0.5) * pane.clientWidth / w, pane.offsetTop + (y + 0.5) * pane.clientHeight / h];
  }
  pixel(event) { // -> { side, x: [x, y] } or null between the pictures
    for (const side of [0, 1]) {
      const box = this.panes[side].getBoundingClientRect(), [w, h] = this.sizes[side];
      const x = (event.clientX - box.left) / box.width * w - 0.5, y = (event.clientY - box.top) / box.height * h - 0.5;
      if (x >= -0.5 && x <= w - 0.5 && y >= -0.5 && y <= h - 0.5) return { side, x: [x, y] };
    }
    return null;
  }
  clip(g, side) {
    const pane = this.panes[side];
    g.beginPath();
    g.rect(pane.offsetLeft, pane.offsetTop, pane.clientWidth, pane.clientHeight);
    g.clip();
  }
  // moved(place | null, pinned); a click or tap pins the place until the next one
  follow(moved) {
    let pinned = false;
    this.element.addEventListener("pointermove", (e) => {
      if (e.pointerType === "mouse" ? !pinned : e.buttons) moved(this.pixel(e), false);
    });
    this.element.addEventListener("pointerleave", (e) => { if (e.pointerType === "mouse" && !pinned) moved(null, false); });
    this.element.addEventListener("click", (e) => {
      const at = this.pixel(e);
      pinned = e.pointerType !== "touch" && !!at && !pinned;
      moved(at, pinned);
    });
  }
}

function dot(g, [x, y], radius, fill, edge = "rgba(0,0,0,.75)") {
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) { g.fillStyle = fill; g.fill(); }
  if (edge) { g.lineWidth = 1; g.strokeStyle = edge; g.stroke(); }
}
function stroke(g, points, colour, width = 2) { // with a dark edge, to be seen on any picture
  if (points.length < 2) return;
  for (const [style, extra] of [["rgba(0,0,0,.55)", 2], [colour, 0]]) {
    g.beginPath();
    points.forEach(([x, y], k) => (k ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.strokeStyle = style;
    g.lineWidth = width + extra;
    g.lineJoin = "round";
    g.stroke();
  }
}

// -------------------------------------------------------------------------------------------------- maps

// values (w x h, NaN unknown) as colours between lo and hi into a canvas of that size.
function paintMap(canvas, [w, h], values, lo, hi, lut) {
  canvas.width = w;
  canvas.height = h;
  const image = new ImageData(w, h), pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  for (let k = 0; k < 256; k++) table[k] = 0xff000000 | lut[3 * k + 2] << 16 | lut[3 * k + 1] << 8 | lut[3 * k];
  const scale = 255 / ((hi - lo) || 1);
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v === v) pixels[i] = table[Math.max(0, Math.min(255, Math.round((v - lo) * scale)))];
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  sized(canvas);
}

// As wide as its figure, unless it would be higher than the screen; its legend follows its width.
function sized(canvas) {
  canvas.parentElement.style.setProperty("--shown", `min(100%, ${(78 * canvas.width / canvas.height).toFixed(1)}vh)`);
}

function quantile(values, q) {
  const known = [], step = Math.max(1, Math.floor(values.length / 50000));
  for (let i = 0; i < values.length; i += step) if (values[i] === values[i]) known.push(values[i]);
  known.sort((a, b) => a - b);
  return known.length ? known[Math.round(q * (known.length - 1))] : NaN;
}

// Round places between lo and hi, some `count` of them.
function ticks(lo, hi, count = 5) {
  if (!(hi > lo)) return [lo];
  const rough = (hi - lo) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough), found = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// A colour bar with marks above and below: rows of [position in 0..1, text].
function legend(element, lut, above, below = [], names = ["", ""]) {
  const stops = [];
  for (let k = 0; k <= 16; k++) {
    const c = Math.min(255, k * 16);
    stops.push(`rgb(${lut[3 * c]},${lut[3 * c + 1]},${lut[3 * c + 2]}) ${100 * k / 16}%`);
  }
  const marks = (rows) => rows.map(([p, words]) => {
    const mark = made("span", { textContent: words });
    mark.style.left = `${100 * p}%`;
    mark.style.transform = `translateX(${p < 0.04 ? 0 : p > 0.96 ? -100 : -50}%)`;
    return mark;
  });
  const row = (rows, kind, name) => (rows.length
    ? [made("div", { className: `marks ${kind}` }, made("b", { textContent: name }), made("div", {}, ...marks(rows)))] : []);
  const bar = made("div", { className: "bar" });
  bar.style.background = `linear-gradient(90deg,${stops.join()})`;
  element.replaceChildren(...row(above, "above", names[0]), bar, ...row(below, "below", names[1]));
}

// A new element with these properties and children. Text goes in as text, never as HTML.
function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Text for the pixel under the pointer of a map: describe(i, j) -> text.
function readout(figure, canvas, [w, h], describe) {
  const words = $(".readout", figure), rest = words.textContent;
  const show = (e) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((e.clientX - box.left) / box.width * w), j = Math.floor((e.clientY - box.top) / box.height * h);
    words.textContent = i >= 0 && j >= 0 && i < w && j < h ? describe(i, j) : rest;
  };
  canvas.addEventListener("pointermove", show);
  canvas.addEventListener("click", show);
  canvas.addEventListener("pointerleave", () => { words.textContent = rest; });
}

// Buttons of which one is pressed: [data-choose=NAME] inside the element.
function choice(element, chosen) {
  const buttons = $$("[data-choose]", element);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const b of buttons) b.setAttribute("aria-pressed", b === button);
      chosen(button.dataset.choose);
    });
  }
}

// What every page has: bars and colours, which the content policy allows no style attribute to set; copy; light or dark.
function showPage() {
  $$("[data-background]").forEach((e) => { e.style.background = e.dataset.background; });
  $$("[data-width]").forEach((e) => { e.style.width = e.dataset.width; });
  $$("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const text = $(button.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; } catch {
      getSelection().selectAllChildren($(button.dataset.copy));
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }));
  $$(".theme").forEach((b) => b.addEventListener("click", () => {
    const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }));
}
