// The answer: a large sign, bars for all classes, what the net sees, and a sentence that is spoken.

const NOT_SURE = 0.9; // an answer less probable than this is none, as for `tinynet predict`

function startAnswer() {
  byId("bars").append(...classes.map((name) => make("li", {},
    make("span", { class: "name" }, name),
    make("span", { class: "track", "aria-hidden": "true" }, make("span", { class: "fill" })),
    make("span", { class: "value" }, "–"),
  )));
}

// A probability in figures, and in words: never 0 or 100 percent, which no net can know.
function share(p) {
  if (p < 0.001) return "< 0.1 %";
  return p > 0.999 ? "> 99.9 %" : `${(100 * p).toFixed(1)} %`;
}

function percent(p) {
  if (p < 0.01) return "less than 1 percent";
  if (p > 0.99) return "more than 99 percent";
  return `${Math.round(100 * p)} percent`;
}

const isSure = () => seen.probabilities[seen.order[0]] >= NOT_SURE;

function showAnswer() {
  const guess = byId("guess");
  guess.textContent = seen ? classes[seen.order[0]] + (isSure() ? "" : "?") : "\u00a0";
  guess.classList.toggle("unsure", Boolean(seen) && !isSure());
  guess.classList.toggle("long", classes.some((name) => name.length > 3));
  [...byId("bars").children].forEach((item, k) => {
    const p = seen ? seen.probabilities[k] : 0;
    item.classList.toggle("first", Boolean(seen) && seen.order[0] === k);
    item.querySelector(".fill").style.transform = `scaleX(${p})`;
    item.querySelector(".value").textContent = seen ? share(p) : "–";
  });
  const canvas = byId("seen"), shape = [HEIGHT, WIDTH, CHANNELS];
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  if (seen) canvas.getContext("2d").drawImage(pictureOf(seen.pixels, shape, [255, 255, 255], [0, 0, 0]), 0, 0);
}

// "Probably 4, 91 percent; next 9, 6 percent."
function sentence() {
  if (!seen) return "Nothing drawn yet.";
  const [first, second] = seen.order;
  const says = (k) => `${classes[k]}, ${percent(seen.probabilities[k])}`;
  const sure = isSure() ? "Probably" : "Not sure: perhaps";
  const next = second === undefined ? "" : `; next ${says(second)}`;
  const two = !drawing.picture && seemsTwo(allStrokes());
  const warning = two ? "This looks like two digits: draw one at a time. " : "";
  return `${warning}${sure} ${says(first)}${next}.`;
}

function speak() {
  if (byId("spoken").textContent !== sentence()) byId("spoken").textContent = sentence();
  const what = seen ? `${WIDTH} by ${HEIGHT} pixels of your drawing` : "nothing yet";
  byId("seen").setAttribute("aria-label", `What the net sees: ${what}`);
}
