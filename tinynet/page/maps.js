// Numbers as pictures.

// A canvas of the pixels (H, W, C), 0 to 255. One channel is ink of the sheet's colour, or between two colours.
function pictureOf(pixels, [height, width, channels], ink = null, ground = null) {
  const canvas = make("canvas", { width, height }), context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const [r, g, b] = ink ?? coloursOf("ink").ink;
  for (let n = 0; n < width * height; n++) {
    const at = n * channels, share = pixels[at] / 255;
    let colour = [r, g, b, 255 * share];
    if (channels >= 3) colour = [pixels[at], pixels[at + 1], pixels[at + 2], 255];
    else if (ground) colour = [...mixed(ground, ink, share), 255];
    image.data.set(colour, 4 * n);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const mixed = (from, to, share) => from.map((value, n) => value + (to[n] - value) * share);

// The page's colours of these names, as [red, green, blue]. In the style sheet they are --NAME: #rrggbb.
function coloursOf(...names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => {
    const hex = style.getPropertyValue(`--${name}`).trim();
    return [name, [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16))];
  }));
}

// A function from a number to a colour: `zero` for 0, `high` for `most`, `low` for -most.
function scale(most) {
  const { low, zero, high } = coloursOf("low", "zero", "high");
  return (value) => mixed(zero, value < 0 ? low : high, most ? Math.min(Math.abs(value) / most, 1) : 0);
}

const farthest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

// The number with so many digits after the point, and a minus sign that is one.
function number(value, digits = 3) {
  const text = Math.abs(value) < 1e5 ? value.toFixed(digits) : value.toExponential(2);
  return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace("-", "");
}

// What the colours mean: a strip between two texts, from `low` by `zero` to `high`, or from `zero` on.
function ramp(from, to, signed) {
  const strip = make("span", { class: signed ? "ramp signed" : "ramp", "aria-hidden": "true" });
  return make("span", { class: "legend" }, from, strip, make("span", { class: "hidden" }, "to"), to);
}

// The same for numbers, between the smallest and the largest that `scale` tells apart.
function legend(values) {
  const signed = values.some((value) => value < 0), most = farthest(values);
  return ramp(number(signed ? -most : 0), number(most), signed);
}
