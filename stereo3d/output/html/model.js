"use strict";
// The model section (model.html) of the report, of `view` and of the app: a viewer with its buttons, as state.viewer.

async function showModel(facts, state, root = $("#model")) {
  const element = $(".viewer", root), parts = [];
  const photos = facts.report ? [await picture("photo1"), await picture("photo2")] : [];
  for (const part of facts.mesh) {
    const get = (name) => (part.has.includes(name) ? array(facts, `${part.name}-${name}`) : null);
    const [position, face, uv, colour, confidence, uncertainty, sigma] = await Promise.all(
      ["position", "face", "uv", "colour", "confidence", "uncertainty", "sigma"].map(get));
    parts.push({ position, face, uv, colour, confidence, uncertainty, sigma, image: part.image ? await picture(part.image) : null });
  }
  const cloud = facts.cloud ? { position: await array(facts, `${facts.cloud}-position`), colour: await array(facts, `${facts.cloud}-colour`) } : null;
  const cameras = facts.cameras.map((c, k) => ({ ...c, image: photos[k] || null }));
  const measured = $(".measured", root);
  const viewer = state.viewer = new Viewer(element, {
    mesh: parts, cloud, cameras, unit: facts.unit, lut: await array(facts, "viridis"),
    onmeasure: (found) => { measured.textContent = found ? Viewer.words(found, facts.unit) : "click the other end"; },
  });
  viewer.mode = facts.mode;
  choice($(".modes", root), (mode) => { viewer.setMode(mode); showLegend(mode); });
  async function showLegend(mode) {
    const box = $(".viewer .legend", root), scale = facts.sigma_scale;
    box.hidden = !["confidence", "uncertainty"].includes(mode);
    if (mode === "confidence") legend(box, await array(facts, "viridis"), [[0, "0 low"], [0.5, "0.5"], [1, "1 high"]], [], ["confidence of the match"]);
    if (mode === "uncertainty" && scale) {
      const [lo, hi] = scale.map(Math.log10), marks = [];
      for (let p = Math.floor(lo); p <= Math.ceil(hi); p++) {
        for (const m of [1, 2, 5]) {
          const at = (hi - Math.log10(m) - p) / (hi - lo);
          if (at >= -0.001 && at <= 1.001) marks.push([at, `${number(100 * m * 10 ** p, 2)} %`]);
        }
      }
      legend(box, await array(facts, "viridis"), marks, [], ["relative depth uncertainty (1 sigma)"]);
    }
  }
  const toggle = (selector, act) => $$(selector, root).forEach((button) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    act(on);
  }));
  toggle(".cameras", (on) => { viewer.still(); viewer.setCameras(on); });
  toggle(".measure", (on) => {
    viewer.still();
    viewer.setMeasuring(on);
    measured.hidden = !on;
    measured.textContent = "click two points on the surface";
  });
  $$("[data-look]", root).forEach((b) => b.addEventListener("click", () => viewer.look(+b.dataset.look)));
  $$(".home", root).forEach((b) => b.addEventListener("click", () => viewer.home()));
  $$(".full", root).forEach((b) => b.addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (element.requestFullscreen) element.requestFullscreen();
  }));
  viewer.render();
  element.classList.add("shown");
  viewer.swing();
}
