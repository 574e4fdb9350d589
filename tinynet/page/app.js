// The page: what is drawn, its history, and who is told when it changes.
//
// The files of this folder become one script, in one scope: see build.py. Strokes are the truth. The sheet's
// canvas only shows them, and nothing reads it back.

const SIDE = 280; // units along a side of the sheet: ink stays where it is when the sheet changes its size
const SETTLED = matchMedia("(pointer: coarse)").matches ? 650 : 250; // ms of rest before speech and maps follow

const byId = (id) => document.getElementById(id);
const model = JSON.parse(byId("model").textContent);
const net = tinynet.load(model);
const classes = model.classes;
const [HEIGHT, WIDTH, CHANNELS] = net.inputShape;

const EMPTY = { strokes: [], cells: [], picture: null };
let drawing = EMPTY; // never changed, only replaced: so the history is a list of them
let past = [], future = [];
let seen = null; // { pixels, probabilities, order } of the drawing, null while there is none

// An element with attributes and children. Names that begin with "on" are listeners.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function change(next) {
  past.push(drawing);
  future = [];
  show(next);
}

function undo() {
  if (!past.length) return;
  future.push(drawing);
  show(past.pop());
}

function redo() {
  if (!future.length) return;
  past.push(drawing);
  show(future.pop());
}

function show(next) {
  drawing = next;
  // A button that is disabled would lose the focus of who presses it.
  byId("undo").setAttribute("aria-disabled", !past.length);
  byId("redo").setAttribute("aria-disabled", !future.length);
  byId("clear").setAttribute("aria-disabled", isBlank());
  showGrid();
  drawAgain();
}

const allStrokes = () => [...drawing.strokes, ...cellStrokes(drawing.cells), ...currentStroke()];
const isBlank = () => !drawing.picture && !allStrokes().length;

// What the net is given: H·W·C numbers from 0 to 255, or null.
function pixelsNow() {
  if (isBlank()) return null;
  return drawing.picture ?? tinynet.rasterize(allStrokes(), { size: HEIGHT });
}

let frame = 0, rest = 0;

// Show the drawing and the answer at the next frame of the screen, and the rest when the hand rests.
function drawAgain() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawSheet();
    const pixels = pixelsNow();
    if (pixels) think(pixels);
    else answered(null, null);
  });
}

// What the net believes has come in.
function answered(pixels, probabilities) {
  const order = probabilities && [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  seen = pixels && { pixels, probabilities, order };
  showAnswer();
  byId("layers").hidden = !seen; // at once: nobody shall tab into layers that vanish
  clearTimeout(rest);
  rest = setTimeout(settled, SETTLED);
}

function settled() {
  speak();
  for (const id of Object.keys(LATER)) stale.add(id);
  showLater();
}

// Sections that take some forward and backward passes. They are shown when they come on the screen, so that
// the pen of who only draws never waits for them.
const LATER = { why: () => showWhy(), inside: () => showInside() };
const stale = new Set(), onScreen = new Set();

function showLater() {
  for (const id of [...stale].filter((each) => onScreen.has(each))) {
    stale.delete(id);
    LATER[id]();
  }
}

function startLater() {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) onScreen.add(target.id);
      else onScreen.delete(target.id);
    }
    showLater();
  });
  for (const id of Object.keys(LATER)) observer.observe(byId(id));
}

// --- thinking ----------------------------------------------------------------------------------------------

const WORKER_COST = 40e6; // multiply-adds. `best` costs 22e6, which took 8 ms in Chromium: it needs no worker
let worker = null, busy = false, waiting = null;

function think(pixels) {
  if (!worker) {
    answered(pixels, net.probabilities(net.forward(pixels).outputs));
    return;
  }
  waiting = { pixels, disabled: [...net.disabled] };
  sendNext();
}

// The latest request wins: what came in while the worker was busy is replaced by what came after.
function sendNext() {
  if (busy || !waiting) return;
  busy = true;
  worker.postMessage(waiting);
  waiting = null;
}

function startWorker() {
  const work = () => {
    let own = null;
    onmessage = ({ data }) => {
      if (!own) {
        own = tinynet.load(data);
        return;
      }
      own.disabled = new Set(data.disabled);
      postMessage({ pixels: data.pixels, probabilities: own.probabilities(own.forward(data.pixels).outputs) });
    };
  };
  const source = new Blob([byId("engine").textContent, `\n;(${work})();`], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(source));
  worker.postMessage(model);
  worker.onmessage = ({ data }) => {
    busy = false;
    if (isBlank()) answered(null, null);
    else answered(data.pixels, data.probabilities);
    sendNext();
  };
  worker.onerror = () => { // a browser without blob workers: slower, but it answers
    worker = null;
    drawAgain();
  };
}
