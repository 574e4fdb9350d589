// Why: Grad-CAM and saliency over the drawing, and what separates the top two.

function startWhy() {
  const select = byId("why-class");
  select.append(make("option", { value: "" }, "the answer"));
  classes.forEach((name, k) => select.append(make("option", { value: k }, name)));
  select.addEventListener("change", showWhy);
  if (!tinynet.gradCam(net, new Float32Array(HEIGHT * WIDTH * CHANNELS), 0)) byId("cam").hidden = true;
}

function showWhy() {
  byId("why").classList.toggle("empty", !seen);
  const say = (id, text) => (byId(`${id}-text`).textContent = text);
  if (!seen) {
    for (const id of ["cam", "saliency", "margin"]) {
      clearMap(byId(id));
      byId(`${id}-legend`).replaceChildren();
      say(id, "Draw something first.");
    }
    return;
  }
  const { pixels, order } = seen, chosen = byId("why-class").value;
  const k = chosen === "" ? order[0] : Number(chosen), name = classes[k];
  const cam = net.gradCam(pixels, k);
  if (cam) {
    overlay(byId("cam"), pixels, cam, `Grad-CAM for ${name}`);
    const found = cam.some((value) => value > 0);
    say("cam", found
      ? `Where the last convolution finds what speaks for ${name}.`
      : `The last convolution finds nothing that speaks for ${name}.`);
    byId("cam-legend").replaceChildren(ramp("nothing", "most", false));
  } else {
    say("cam", "It shows what a convolution finds, and this net has none.");
  }
  overlay(byId("saliency"), pixels, net.saliency(pixels, k), `Saliency for ${name}`);
  say("saliency", `Where a small change of a pixel changes the score of ${name}.`);
  byId("saliency-legend").replaceChildren(ramp("nothing", "most", false));
  if (order.length < 2) {
    say("margin", "This net has one class.");
    return;
  }
  const second = order.find((each) => each !== k), other = classes[second];
  overlay(byId("margin"), pixels, net.margin(pixels, k, second), `${name} against ${other}`);
  const logits = net.scores(net.forward(pixels).logits);
  const scores = `The scores are ${number(logits[k], 2)} and ${number(logits[second], 2)}`;
  const apart = `they differ by ${number(logits[k] - logits[second], 2)}`;
  say("margin", `Where ${model.whole ? "a brighter pixel" : "more ink"} speaks for ${name} or for ${other}. ${scores}; ${apart}.`);
  byId("margin-legend").replaceChildren(ramp(`for ${other}`, `for ${name}`, true));
}

function clearMap(canvas) {
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
}

const ZOOM = 8; // screen pixels a pixel of the map: the outline of the ink is drawn finer than that

// The map (H, W) in colours, and on it the edge of the ink, so that neither hides the other.
function overlay(canvas, pixels, map, label) {
  canvas.width = WIDTH * ZOOM;
  canvas.height = HEIGHT * ZOOM;
  const context = canvas.getContext("2d"), colour = scale(farthest(map));
  map.forEach((value, n) => {
    context.fillStyle = `rgb(${colour(value).map(Math.round).join(" ")})`;
    context.fillRect((n % WIDTH) * ZOOM, Math.floor(n / WIDTH) * ZOOM, ZOOM, ZOOM);
  });
  const ink = (row, column) => {
    const inside = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH;
    return inside && pixels[(row * WIDTH + column) * CHANNELS] > 96;
  };
  context.fillStyle = getComputedStyle(canvas).color;
  for (let row = 0; row <= HEIGHT; row++) {
    for (let column = 0; column <= WIDTH; column++) {
      if (ink(row, column) !== ink(row - 1, column)) context.fillRect(column * ZOOM - 1, row * ZOOM - 1, ZOOM + 2, 2);
      if (ink(row, column) !== ink(row, column - 1)) context.fillRect(column * ZOOM - 1, row * ZOOM - 1, 2, ZOOM + 2);
    }
  }
  canvas.setAttribute("aria-label", label);
}
