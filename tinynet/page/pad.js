// Drawing with mouse, finger and pen.

const PEN = 16; // width of the ink on the sheet; what the net sees has its own: see strokes.js

let current = null; // { id, type, points } of the stroke that is being drawn
const PALM = 5000; // ms since the pen was near, in which a touch is the palm of the hand that holds it
let penAt = -Infinity; // when that was

const currentStroke = () => (current ? [current.points] : []);

function startPad() {
  const pad = byId("pad");
  for (const type of ["pointerdown", "pointermove", "pointerup"]) {
    pad.addEventListener(type, ({ pointerType }) => {
      if (pointerType === "pen") penAt = performance.now();
    });
  }
  pad.addEventListener("pointerdown", (event) => {
    const isPen = event.pointerType === "pen", isPalm = event.pointerType === "touch" && performance.now() - penAt < PALM;
    if (event.button !== 0 || isPalm || (current && !isPen)) return;
    pad.setPointerCapture(event.pointerId);
    current = { id: event.pointerId, points: [placeOf(event)] };
    drawAgain();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== current?.id) return;
    const between = event.getCoalescedEvents?.() ?? [];
    current.points.push(...(between.length ? between : [event]).map(placeOf));
    drawAgain();
  });
  pad.addEventListener("pointerup", (event) => {
    if (event.pointerId !== current?.id) return;
    const stroke = [...current.points, placeOf(event)];
    current = null;
    change({ ...drawing, picture: null, strokes: [...drawing.strokes, stroke] });
  });
  const drop = (event) => {
    if (event.pointerId !== current?.id) return;
    current = null;
    drawAgain();
  };
  pad.addEventListener("pointercancel", drop);
  pad.addEventListener("lostpointercapture", drop);
  byId("undo").addEventListener("click", undo);
  byId("redo").addEventListener("click", redo);
  byId("clear").addEventListener("click", () => isBlank() || change(EMPTY));
  byId("draw").addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !"zy".includes(key)) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) redo();
    else undo();
  });
  new ResizeObserver(drawSheet).observe(pad);
}

// Where on the sheet an event is. A share of the sheet's own box, so neither zoom nor scrolling moves it.
function placeOf({ clientX, clientY }) {
  const box = byId("pad").getBoundingClientRect();
  return [((clientX - box.left) / box.width) * SIDE, ((clientY - box.top) / box.height) * SIDE];
}

function drawSheet() {
  const pad = byId("pad"), context = pad.getContext("2d");
  const side = Math.max(1, Math.round(pad.clientWidth * devicePixelRatio));
  if (pad.width !== side) pad.width = pad.height = side;
  byId("hint").hidden = !isBlank();
  context.setTransform(side / SIDE, 0, 0, side / SIDE, 0, 0);
  context.clearRect(0, 0, SIDE, SIDE);
  if (drawing.picture && !current) {
    const picture = pictureOf(drawing.picture, [HEIGHT, WIDTH, CHANNELS]);
    context.imageSmoothingEnabled = false;
    const scale = SIDE / Math.max(HEIGHT, WIDTH);
    const [width, height] = [WIDTH * scale, HEIGHT * scale];
    context.drawImage(picture, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
    return;
  }
  const ink = getComputedStyle(pad).color;
  Object.assign(context, { strokeStyle: ink, fillStyle: ink, lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  for (const points of allStrokes()) {
    context.beginPath();
    context.moveTo(...points[0]);
    for (const point of points) context.lineTo(...point);
    context.stroke();
  }
}

// Whether the strokes lie in two groups, beside or below one another and far apart: two digits, it seems.
function seemsTwo(strokes) {
  return [0, 1].some((axis) => {
    const spans = strokes.map((points) => {
      const along = points.map((point) => point[axis]), across = points.map((point) => point[1 - axis]);
      return { from: Math.min(...along), to: Math.max(...along), low: Math.min(...across), high: Math.max(...across) };
    });
    spans.sort((a, b) => a.from - b.from);
    const size = (group) => Math.max(...group.map((s) => s.high)) - Math.min(...group.map((s) => s.low));
    const extent = size(spans);
    return spans.some((span, n) => {
      const [before, after] = [spans.slice(0, n), spans.slice(n)];
      if (!before.length) return false;
      const gap = span.from - Math.max(...before.map((s) => s.to));
      const least = axis === 0 ? 0.25 * extent : 0.15 * SIDE;
      return gap > least && Math.min(size(before), size(after)) > 0.5 * extent;
    });
  });
}
