// Inside the net: what every layer made of the drawing, as pictures, and the way to each unit.
//
// A layer's output (h, w, c) is c maps of h × w units; one of (n) is n maps of one unit. They lie side by side
// on one canvas, a unit a square of some screen pixels.

let chosen = null; // { layer: its position, unit: [h, w, c] or [c] }

const isImage = (layer) => layer.shape.length === 3;
const mapsOf = ({ shape }) => shape[shape.length - 1];
const sidesOf = (layer) => (isImage(layer) ? layer.shape.slice(0, 2) : [1, 1]);

function startInside() {
  const last = net.layers.length - 1, narrow = matchMedia("(max-width: 40rem)").matches;
  const ends = net.layers.map((layer, n) => isImage(layer) && net.blockEnd(n) === n && layer.type !== "Rescale");
  net.layers.forEach((layer, position) => {
    const canvas = make("canvas", { tabindex: "0", role: "application", "aria-describedby": "unit-value" });
    const sizes = layer.shape.join(" × ");
    canvas.setAttribute("aria-label", isImage(layer)
      ? `${layer.name}: ${mapsOf(layer)} maps of ${layer.shape[0]} by ${layer.shape[1]} units`
      : `${layer.name}: ${mapsOf(layer)} units`);
    canvas.addEventListener("click", (event) => choose(position, unitAt(position, canvas, event)));
    canvas.addEventListener("keydown", (event) => walk(event, position));
    const row = make("details", { class: "layer" },
      make("summary", {}, make("strong", {}, layer.name), ` ${layer.type}, ${sizes} `, make("span", { class: "scale" })),
      canvas,
    );
    row.open = position === last || (narrow ? ends.indexOf(true) === position : ends[position]);
    row.addEventListener("toggle", () => drawLayer(position));
    byId("layers").append(row);
  });
  byId("all-on").addEventListener("click", () => {
    net.disabled.clear();
    switched();
    // This button will be gone: the focus goes to a control that stays.
    (chosen ? byId("switch-off") : byId("layers").querySelector("summary")).focus();
  });
  // At the next frame: what is drawn changes sizes itself, and a browser reports such a circle as an error.
  const drawAll = () => net.layers.forEach((_, position) => drawLayer(position));
  new ResizeObserver(() => requestAnimationFrame(drawAll)).observe(byId("layers"));
}

const rowOf = (position) => byId("layers").children[position];
const canvasOf = (position) => rowOf(position).querySelector("canvas");

function showInside() {
  if (seen) net.forward(seen.pixels);
  const off = net.disabled.size;
  const [first] = seen?.order ?? [];
  byId("inside-answer").textContent = seen
    ? `The answer now: ${classes[first]}, ${percent(seen.probabilities[first])}`
    : "Draw something first.";
  byId("off-count").textContent = off ? `Switched off: ${off}.` : "";
  byId("all-on").hidden = !off;
  if (!seen) chosen = null;
  net.layers.forEach((_, position) => drawLayer(position));
  showUnit();
}

// A filter was switched on or off.
function switched() {
  drawAgain();
  showUnit();
}

// --- where a unit is drawn ---------------------------------------------------------------------------------

// { unit: screen pixels a unit, across: maps beside one another, stepX, stepY: from a map to the next }
function layout(position) {
  const layer = net.layers[position], [h, w] = sidesOf(layer), maps = mapsOf(layer);
  const room = Math.max(rowOf(position).clientWidth - 32, 64);
  const wanted = isImage(layer) ? (maps > 40 ? 36 : 60) : (maps > 40 ? 12 : 24);
  const unit = Math.max(1, Math.round(wanted / Math.max(h, w)));
  const gap = isImage(layer) ? 4 : 1;
  const across = Math.max(1, Math.min(maps, Math.floor(room / (w * unit + gap))));
  return { unit, across, stepX: w * unit + gap, stepY: h * unit + gap, down: Math.ceil(maps / across) };
}

function drawLayer(position) {
  const layer = net.layers[position], row = rowOf(position), canvas = canvasOf(position);
  if (!row.open || !seen || !net.values) return;
  const data = net.values[position + 1], [h, w] = sidesOf(layer), maps = mapsOf(layer);
  const { unit, across, down, stepX, stepY } = layout(position);
  const width = across * stepX, height = down * stepY, colour = scale(farthest(data));
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${width}px`;
  row.querySelector(".scale").replaceChildren(legend(data));
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let n = 0; n < data.length; n++) {
    const map = n % maps, place = Math.floor(n / maps);
    const x = (map % across) * stepX + (place % w) * unit;
    const y = Math.floor(map / across) * stepY + Math.floor(place / w) * unit;
    const [r, g, b] = colour(data[n]);
    for (let v = 0; v < unit; v++) {
      for (let u = 0; u < unit; u++) {
        const at = 4 * ((y + v) * width + x + u);
        image.data[at] = r;
        image.data[at + 1] = g;
        image.data[at + 2] = b;
        image.data[at + 3] = 255;
      }
    }
  }
  context.putImageData(image, 0, 0);
  markOff(context, position, h * unit, w * unit);
  if (chosen?.layer === position) markUnit(context, position, h * unit, w * unit);
}

// A cross over maps that are switched off.
function markOff(context, position, height, width) {
  const { across, stepX, stepY } = layout(position);
  context.strokeStyle = getComputedStyle(context.canvas).color;
  net.silenced()[position].forEach((map) => {
    const x = (map % across) * stepX, y = Math.floor(map / across) * stepY;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + width, y + height);
    context.moveTo(x + width, y);
    context.lineTo(x, y + height);
    context.stroke();
  });
}

// A frame around the chosen unit and its map.
function markUnit(context, position, height, width) {
  const { unit, across, stepX, stepY } = layout(position), place = chosen.unit;
  const map = place[place.length - 1], [row, column] = place.length === 3 ? place : [0, 0];
  const x = (map % across) * stepX, y = Math.floor(map / across) * stepY;
  const edge = getComputedStyle(context.canvas).color, ground = getComputedStyle(document.body).backgroundColor;
  for (const [colour, line] of [[ground, 4], [edge, 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x + 1, y + 1, width - 2, height - 2);
    context.strokeRect(x + column * unit - 1, y + row * unit - 1, unit + 2, unit + 2);
  }
}

function unitAt(position, canvas, { clientX, clientY }) {
  const layer = net.layers[position], [h, w] = sidesOf(layer), box = canvas.getBoundingClientRect();
  const { unit, across, stepX, stepY } = layout(position);
  const x = ((clientX - box.left) / box.width) * canvas.width, y = ((clientY - box.top) / box.height) * canvas.height;
  const map = Math.min(Math.floor(y / stepY) * across + Math.min(Math.floor(x / stepX), across - 1), mapsOf(layer) - 1);
  if (!isImage(layer)) return [map];
  return [Math.min(Math.floor((y % stepY) / unit), h - 1), Math.min(Math.floor((x % stepX) / unit), w - 1), map];
}

// --- walking -----------------------------------------------------------------------------------------------

const STEPS = {
  ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0], ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0],
  PageUp: [0, 0, -1], PageDown: [0, 0, 1],
};

function walk(event, position) {
  const step = STEPS[event.key], layer = net.layers[position];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const limit = (value, size) => Math.max(0, Math.min(value, size - 1));
  if (chosen?.layer !== position) choose(position, layer.shape.map(() => 0));
  else if (isImage(layer)) choose(position, chosen.unit.map((value, axis) => limit(value + step[axis], layer.shape[axis])));
  else {
    const { across } = layout(position), [down, right, page] = step;
    choose(position, [limit(chosen.unit[0] + down * across + right + page * across, mapsOf(layer))]);
  }
}

function choose(position, unit) {
  const before = chosen?.layer;
  chosen = { layer: position, unit };
  rowOf(position).open = true;
  if (before !== undefined && before !== position) drawLayer(before);
  drawLayer(position);
  showUnit();
}
