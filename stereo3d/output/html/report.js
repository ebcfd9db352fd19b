"use strict";
// The report: its model, then the figures of stages.js.

facts = JSON.parse(embedded("facts"));
state = { facts, ready: false };
window.stereo3d = state; // for whoever opens the console

function cannot(place, error) {
  const words = document.createElement("p");
  words.className = "cannot";
  words.textContent = `This cannot be shown here: ${error.message}`;
  place.append(words);
}

(async () => {
  showPage();
  try { await showModel(facts, state); } catch (error) { cannot($("#model .viewer"), error); }
  if (facts.report) try { await showStages(); } catch (error) { cannot($("#stages"), error); }
  state.ready = true;
  document.documentElement.dataset.ready = "yes";
})();
