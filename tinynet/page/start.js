// The start: every part is set up, then the empty sheet is shown.

// Signs of a letter or two are fitted as MNIST's digits; a shirt or a ship is scaled as a whole.
const SIGNS = !model.whole && CHANNELS === 1 && classes.every((name) => [...name].length <= 2);

if (net.cost > WORKER_COST) startWorker();
startAnswer();
startNotes();
startUpload();
startSamples();
startWhy();
startUnit();
startInside();
startLater();
startGrid();
startPad();
for (const keys of document.querySelectorAll(".keys")) keys.classList.toggle("signs", classes.every((name) => [...name].length <= 2));
if (!model.draws) {
  byId("pad").classList.add("still");
  byId("grid-switch").hidden = true;
}
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "(prefers-contrast: more)"]) {
  matchMedia(query).addEventListener("change", drawAgain);
}
show(EMPTY);
