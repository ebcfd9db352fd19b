"use strict";
// The page of `view`: a viewer for each file, and for a map of depth the map too. Several files are shown beside each
// other or one at a time; whichever is turned, the others follow.

const facts = JSON.parse(embedded("facts")), state = { facts, scenes: [] };
window.stereo3d = state; // for whoever opens the console

(async () => {
  showPage();
  const sections = $$(".scene"), buttons = $$("[data-file]"), several = sections.length > 1;
  let together = true, alone = false, leader = -1;

  async function make(k) { // when it is first shown
    const scene = { ...facts.scenes[k], arrays: facts.arrays, sigma_scale: facts.sigma_scale }, root = sections[k];
    const made = state.scenes[k] = { facts: scene, viewer: null };
    try {
      if ($(".model", root)) await showModel(scene, made, $(".model", root));
      if (scene.map) await showMap($(".depth", root), scene);
    } catch (error) {
      root.append(Object.assign(document.createElement("p"), { className: "cannot", textContent: `This cannot be shown here: ${error.message}` }));
    }
    if (made.viewer) made.viewer.ondraw = () => { if (several && together && leader === k) lead(); };
    for (const kind of ["pointerdown", "keydown", "wheel", "click"]) root.addEventListener(kind, () => { leader = k; }, { capture: true, passive: true });
  }
  function lead() { // the others look as the one that is being turned
    const { viewer } = state.scenes[leader] || {};
    if (viewer) state.scenes.forEach((other, k) => { if (k !== leader && other.viewer && !sections[k].hidden) other.viewer.follow(viewer); });
  }
  async function show(k, on) {
    buttons[k].setAttribute("aria-pressed", on);
    sections[k].hidden = !on;
    if (on && !state.scenes[k]) await make(k);
    if (on && together && leader >= 0) lead();
  }
  async function only(k) { for (const other of sections.keys()) await show(other, other === k); }

  buttons.forEach((button, k) => button.addEventListener("click", () => (alone ? only(k) : show(k, sections[k].hidden))));
  choice($(".order"), async (how) => {
    alone = how === "one";
    const first = Math.max(0, sections.findIndex((section) => !section.hidden));
    if (alone) await only(first); else for (const k of sections.keys()) await show(k, true);
  });
  $(".together").addEventListener("click", (e) => {
    together = !together;
    e.target.setAttribute("aria-pressed", together);
    if (together && leader >= 0) lead();
  });
  $(".scenes").classList.toggle("several", several);
  for (const k of sections.keys()) await show(k, true);
  state.viewer = state.scenes[0].viewer;
  if (several) { // from the camera of a map, where one is known
    const first = state.scenes.findIndex(({ facts: { cameras }, viewer }) => viewer && cameras.length);
    leader = first >= 0 ? first : state.scenes.findIndex(({ viewer }) => viewer);
    if (leader >= 0) { state.scenes[leader].viewer.still(); lead(); }
  }
  document.documentElement.dataset.ready = "yes";
})();

// A map in the colours of its values, near ones red, with a legend and what the pixel under the pointer holds.
async function showMap(figure, { map, unit, arrays }) {
  const values = await array({ arrays }, map.name), turbo = await array(facts, "turbo"), canvas = $("canvas", figure);
  const [lo, hi] = [quantile(values, 0.01), quantile(values, 0.99)], there = (v) => (map.inverse ? 1 / v : v);
  paintMap(canvas, map.size, values, lo, hi, turbo);
  const marks = ticks(lo, hi, 7).filter((v) => !map.inverse || v > 0);
  legend($(".legend", figure), turbo, marks.map((v) => [(v - lo) / ((hi - lo) || 1), number(there(v))]), [], [`${map.inverse ? "depth" : "value"}${unit ? `, ${unit === "baseline" ? "baselines" : unit}` : ""}`]);
  readout(figure, canvas, map.size, (i, j) => {
    const v = values[j * map.size[0] + i], at = `${i * map.step}, ${j * map.step}`;
    return isFinite(v) ? `pixel ${at}: ${inUnit(there(v), unit || "(no unit stated)")}` : `pixel ${at}: unknown`;
  });
}
