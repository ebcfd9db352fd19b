"use strict";
// The figures of a run's stages, each drawn into its <figure> of report.html: in the report, and in the app's page.

let facts = null, state = {}; // of the run that is shown: set before `showStages`

async function showMatches(figure, photos) {
  const [x1, x2, good] = await Promise.all(["match1", "match2", "inlier"].map((n) => array(facts, n)));
  const at = (x, k) => [x[2 * k], x[2 * k + 1]], green = "#37d67a", red = "#ff5a4d";
  const shown = { inliers: true, outliers: true, lines: false };
  let near = null;
  const pair = new Pair($(".pair", figure), photos, facts.cameras.map((c) => c.size), (g, w, h) => {
    g.fillStyle = "rgba(10,12,16,.34)";
    g.fillRect(0, 0, w, h);
    const kept = [...good.keys()].filter((k) => (good[k] ? shown.inliers : shown.outliers));
    kept.sort((a, b) => good[a] - good[b]); // inliers on top
    if (shown.lines) {
      const step = Math.max(1, Math.floor(kept.length / 150));
      g.globalAlpha = 0.5;
      for (let i = 0; i < kept.length; i += step) stroke(g, [pair.place(0, at(x1, kept[i])), pair.place(1, at(x2, kept[i]))], good[kept[i]] ? green : red, 1);
      g.globalAlpha = 1;
    }
    const size = w > 700 ? 1.9 : 1.4;
    for (const k of kept) for (const side of [0, 1]) dot(g, pair.place(side, at(side ? x2 : x1, k)), size, good[k] ? green : red, null);
    if (near !== null) {
      const ends = [pair.place(0, at(x1, near)), pair.place(1, at(x2, near))];
      stroke(g, ends, "#fff", 1.5);
      ends.forEach((p) => dot(g, p, 5, good[near] ? green : red, "#fff"));
    }
  });
  pair.follow((place) => {
    near = null;
    if (place) {
      const x = place.side ? x2 : x1, reach = 0.03 * facts.cameras[place.side].size[0];
      let least = reach * reach;
      for (let k = 0; k < good.length; k++) {
        const d = (x[2 * k] - place.x[0]) ** 2 + (x[2 * k + 1] - place.x[1]) ** 2;
        if (d < least && (good[k] ? shown.inliers : shown.outliers)) { least = d; near = k; }
      }
    }
    pair.overlay.draw();
  });
  $$("[data-toggle]", figure).forEach((b) => b.addEventListener("click", () => {
    const on = b.getAttribute("aria-pressed") !== "true";
    b.setAttribute("aria-pressed", on);
    shown[b.dataset.toggle] = on;
    pair.overlay.draw();
  }));
}

async function showEpipolar(figure, photos) {
  const [first, second] = facts.cameras, R = second.R, t = second.t, back = M3.T(R), inverse = V3.mul(M3.at(back, t), -1);
  const depths = await Promise.all(["depth1", "depth2"].map((n) => array(facts, n)));
  const words = $(".readout", figure), rest = words.textContent, colours = ["#ffd23f", "#5ad1ff"];
  let place = null, found = null;
  const pair = new Pair($(".pair", figure), photos, facts.cameras.map((c) => c.size), (g) => {
    if (!place) return;
    const other = 1 - place.side;
    g.save();
    pair.clip(g, other);
    for (const line of state.epipolar.lines) stroke(g, line.map((p) => pair.place(other, p)), colours[place.side], 2.2);
    g.restore();
    if (found) dot(g, pair.place(other, found), 6, null, null), ring(g, pair.place(other, found), colours[place.side]);
    const p = pair.place(place.side, place.x);
    stroke(g, [[p[0] - 9, p[1]], [p[0] + 9, p[1]]], colours[place.side], 2);
    stroke(g, [[p[0], p[1] - 9], [p[0], p[1] + 9]], colours[place.side], 2);
  });
  function ring(g, [x, y], colour) {
    for (const [style, width] of [["rgba(0,0,0,.6)", 5], [colour, 2.5]]) {
      g.beginPath();
      g.arc(x, y, 8, 0, 2 * Math.PI);
      g.strokeStyle = style;
      g.lineWidth = width;
      g.stroke();
    }
  }
  const show = (now) => {
    place = now;
    found = null;
    if (place) {
      const [a, b] = place.side ? [second, first] : [first, second];
      const [Rab, tab] = place.side ? [back, inverse] : [R, t];
      const lines = epipolarCurve(place.x, a, b, Rab, tab);
      state.epipolar = { side: place.side, x: place.x, lines };
      const [w, h] = facts.arrays[`depth${place.side + 1}`].shape.slice().reverse(), map = depths[place.side];
      const i = Math.min(w - 1, Math.floor((place.x[0] + 0.5) / a.size[0] * w)), j = Math.min(h - 1, Math.floor((place.x[1] + 0.5) / a.size[1] * h));
      const z = 1 / map[j * w + i];
      if (isFinite(z)) {
        const [u, v] = undistort(place.x, a), X = V3.add(M3.at(Rab, [u * z, v * z, z]), tab);
        if (X[2] > 0) found = toPixel(X, b);
      }
      words.textContent = `${place.side ? "second" : "first"} photo, pixel ${place.x.map((x) => x.toFixed(0)).join(", ")}: ` + (found
        ? `matched at ${found.map((x) => x.toFixed(0)).join(", ")}, depth ${inUnit(z, facts.unit)}` : lines.length
          ? "its match is on this line; none was reliable here" : "its line passes outside the other photo");
    } else words.textContent = rest;
    pair.overlay.draw();
  };
  pair.follow(show);
  show({ side: 0, x: facts.example });
  state.epipolarPair = pair;
}

async function showRectified(figure, pictures, maps) {
  const [w, h] = facts.pair.size, step = facts.pair.step, [mw, mh] = maps.size, words = $(".readout", figure), rest = words.textContent;
  let place = null;
  const pair = new Pair($(".pair", figure), pictures, [[w, h], [w, h]], (g, W) => {
    const rows = 9;
    g.setLineDash([2, 5]);
    for (let k = 1; k < rows; k++) {
      const y = pair.place(0, [0, h * k / rows])[1];
      g.beginPath(); g.moveTo(0, y); g.lineTo(W, y);
      g.strokeStyle = "rgba(255,255,255,.55)"; g.lineWidth = 1; g.stroke();
    }
    g.setLineDash([]);
    if (!place) return;
    const y = pair.place(0, [0, place.x[1]])[1];
    stroke(g, [[0, y], [W, y]], "#ffd23f", 1.5);
    dot(g, pair.place(place.side, place.x), 4.5, "#ffd23f");
    if (place.match !== undefined) dot(g, pair.place(1, [place.match, place.x[1]]), 4.5, "#ffd23f");
  });
  pair.follow((now) => {
    place = now;
    if (place && place.side === 0) {
      const i = Math.min(mw - 1, Math.round(place.x[0] / step)), j = Math.min(mh - 1, Math.round(place.x[1] / step)), k = Math.max(0, j) * mw + Math.max(0, i);
      const d = maps.disparity[k];
      if (isFinite(d)) place.match = place.x[0] - d;
      words.textContent = `row ${place.x[1].toFixed(0)}, column ${place.x[0].toFixed(0)}` + (isFinite(d)
        ? `: found ${number(Math.abs(d))} px to the ${d >= 0 ? "left" : "right"}, depth ${inUnit(maps.depth[k], facts.unit)}` : ": no reliable match");
    } else words.textContent = place ? `row ${place.x[1].toFixed(0)}` : rest;
    pair.overlay.draw();
  });
}

function showBlend(figure, [left, right], maps) {
  const canvas = $("canvas", figure), g = canvas.getContext("2d"), share = $("[name=share]", figure), shift = $("[name=shift]", figure);
  const [w] = facts.pair.size, s = left.naturalWidth / w, words = $(".readout", figure);
  canvas.width = left.naturalWidth;
  canvas.height = left.naturalHeight;
  sized(canvas);
  const draw = () => {
    const d = +shift.value;
    g.globalAlpha = 1;
    g.drawImage(left, 0, 0);
    g.globalAlpha = +share.value;
    g.drawImage(right, d * s, 0);
    const near = maps.depthOf ? maps.depthOf(d) : null;
    words.textContent = `${Math.round(100 * (1 - share.value))} % first, ${Math.round(100 * share.value)} % second photo, shifted by ${number(d)} px` +
      (near ? `: surfaces at a depth of ${facts.pair.line.about ? "about " : ""}${inUnit(near, facts.unit)} coincide` : "");
  };
  share.addEventListener("input", draw);
  shift.addEventListener("input", draw);
  draw();
}

async function showDisparity(figure, maps, turbo) {
  const canvas = $("canvas", figure), box = $(".legend", figure), { size, disparity, depth, depthOf } = maps;
  const [lo, hi] = [quantile(disparity, 0.01), quantile(disparity, 0.99)];
  const show = (what) => {
    if (what === "disparity") {
      paintMap(canvas, size, disparity, lo, hi, turbo);
      const at = (d) => (d - lo) / (hi - lo);
      const below = depthOf ? ticks(lo, hi, 8).map((d) => [at(d), depthOf(d)]).filter(([, z]) => z).map(([p, z]) => [p, number(z)]) : [];
      legend(box, turbo, ticks(lo, hi, 8).map((d) => [at(d), number(d)]), below, ["disparity, px", `depth${facts.pair.line && facts.pair.line.about ? " (about)" : ""}, ${unitName()}`]);
    } else { // colours by 1 / depth, whose uncertainty is even
      const inverse = depth.map((z) => 1 / z), [far, near] = [quantile(inverse, 0.01), quantile(inverse, 0.99)];
      paintMap(canvas, size, inverse, far, near, turbo);
      legend(box, turbo, ticks(far, near, 8).filter((q) => q > 0).map((q) => [(q - far) / (near - far), number(1 / q, 2)]), [], [`depth, ${unitName()}`]);
    }
  };
  choice(figure, show);
  show("disparity");
  readout(figure, canvas, size, (i, j) => describe(maps, i, j));
}
const unitName = () => (facts.unit === "baseline" ? "baselines" : facts.unit);
function describe({ size: [w], disparity, depth, confidence }, i, j) {
  const k = j * w + i, step = facts.pair.step;
  const where = `column ${i * step}, row ${j * step}: `;
  if (!isFinite(disparity[k])) return `${where}unknown`;
  return `${where}disparity ${disparity[k].toFixed(2)} px, depth ${inUnit(depth[k], facts.unit)}, confidence ${confidence[k].toFixed(2)}`;
}

async function showConfidence(figure, maps, viridis) {
  const canvas = $("canvas", figure);
  paintMap(canvas, maps.size, maps.confidence.map((c, k) => (isFinite(maps.disparity[k]) ? c : NaN)), 0, 1, viridis);
  legend($(".legend", figure), viridis, [[0, "0 low"], [0.25, "0.25"], [0.5, "0.5"], [0.75, "0.75"], [1, "1 high"]], [], ["confidence"]);
  readout(figure, canvas, maps.size, (i, j) => describe(maps, i, j));
}

async function showOcclusion(figure, left, maps) {
  const canvas = $("canvas", figure), [w, h] = maps.size, kinds = await array(facts, "reason"), g = canvas.getContext("2d");
  canvas.width = w;
  canvas.height = h;
  sized(canvas);
  g.filter = "grayscale(1)";
  g.drawImage(left, 0, 0, w, h);
  g.filter = "none";
  const image = g.getImageData(0, 0, w, h);
  for (let k = 0; k < kinds.length; k++) {
    const colour = facts.reasons[kinds[k]].colour;
    for (let c = 0; c < 3; c++) {
      image.data[4 * k + c] = colour ? 0.3 * image.data[4 * k + c] + 0.7 * colour[c] : 0.55 * image.data[4 * k + c] + 100;
    }
  }
  g.putImageData(image, 0, 0);
  readout(figure, canvas, maps.size, (i, j) => `column ${i * facts.pair.step}, row ${j * facts.pair.step}: ${facts.reasons[kinds[j * w + i]].text}`);
}

async function showStages() {
  const [photos, pictures] = [await Promise.all([picture("photo1"), picture("photo2")]), await Promise.all([picture("left"), picture("right")])];
  const [disparity, inverse, confidence, turbo, viridis] = await Promise.all(["disparity", "inverse", "confidence", "turbo", "viridis"].map((n) => array(facts, n)));
  const shape = facts.arrays.disparity.shape, line = facts.pair.line;
  const maps = {
    size: [shape[1], shape[0]], disparity, confidence, depth: inverse.map((q) => 1 / q),
    depthOf: line ? (d) => { const z = 1 / (line.a + line.b * d); return z > 0 && isFinite(z) ? z : null; } : null,
  };
  await showMatches($("#matches figure"), photos);
  if (facts.wide) $("#epipolar").remove();
  else await showEpipolar($("#epipolar figure"), photos);
  await showRectified($("#rectified figure"), pictures, maps);
  showBlend($("#blend figure"), pictures, maps);
  await showDisparity($("#disparity figure"), maps, turbo);
  await showConfidence($("#confidence figure"), maps, viridis);
  await showOcclusion($("#unknown figure"), pictures[0], maps);
}
