// A picture from a file, the clipboard or another window, made to look like what the net was trained on; and
// the sample digits.
//
// Of drawings the canvas is never read back. Of a picture it must be: there is no other way to its pixels.

const MAX_BYTES = 20e6;
const MAX_PIXELS = 40e6;
const WORK_SIDE = 320; // a picture is made this small first
const INK_SIDE = 20; // MNIST's digits fill a box of 20 pixels in their 28
const FAINT = 24; // levels by which ink differs from its ground at least, as for `tinynet predict`
const NOISE = 5; // and standard deviations of the noise

function startUpload() {
  byId("file").addEventListener("change", ({ target }) => {
    openFile(target.files[0]);
    target.value = ""; // so that the same file can be opened again
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find(isPicture);
    if (file) openFile(file);
  });
  const sheet = byId("sheet");
  sheet.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // beside the sheet, too: the browser would leave the page for the file
    if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
}

const isPicture = (file) => file.type.startsWith("image/");

function notice(text) {
  byId("notice").textContent = text;
}

async function openFile(file) {
  notice("");
  if (!file) return;
  try {
    const picture = fitted(await pixelsOfFile(file));
    change({ ...EMPTY, picture });
  } catch (error) {
    notice(error.message);
  }
}

// { data: RGBA bytes, width, height } of a file, small. Error in words for what is none.
async function pixelsOfFile(file) {
  const name = file.name || "The picture";
  if (/\.(heic|heif)$/i.test(name) || /hei[cf]/.test(file.type)) {
    throw new Error(`${name} is HEIC, which browsers cannot read. Save it as JPEG or PNG first; an iPhone does so under Settings, Camera, Formats, Most Compatible.`);
  }
  if (file.size > MAX_BYTES) throw new Error(`${name} is larger than ${MAX_BYTES / 1e6} MB: make it smaller first.`);
  if (!canReadBack()) throw new Error("This browser hides the pixels of pictures from pages, so only drawing works here.");
  checkFile(new Uint8Array(await file.arrayBuffer()), name);
  const address = URL.createObjectURL(file);
  try {
    return small(await imageAt(address, name), name);
  } finally {
    URL.revokeObjectURL(address);
  }
}

// The image as a browser knows it from its header: it is turned as the camera was held, and not decoded yet.
function imageAt(address, name) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`${name} is not a picture that this browser can read. PNG and JPEG are.`));
    image.src = address;
  });
}

function small(image, name) {
  const { naturalWidth, naturalHeight } = image;
  if (naturalWidth * naturalHeight > MAX_PIXELS) {
    throw new Error(`${name} has more than ${MAX_PIXELS / 1e6} million pixels: make it smaller first.`);
  }
  const shrink = Math.min(1, WORK_SIDE / Math.max(naturalWidth, naturalHeight));
  const [width, height] = [naturalWidth, naturalHeight].map((side) => Math.max(1, Math.round(side * shrink)));
  const context = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// Some browsers answer with noise, against fingerprinting. Then known pixels come back as others.
function canReadBack() {
  const context = make("canvas", { width: 8, height: 8 }).getContext("2d");
  context.fillStyle = "#336699";
  context.fillRect(0, 0, 8, 8);
  const { data } = context.getImageData(0, 0, 8, 8);
  return data.every((value, n) => Math.abs(value - [51, 102, 153, 255][n % 4]) <= 1);
}

// What the net is given of a picture, Uint8Array of H·W·C. Error where nothing is to be seen on it.
function fitted(image) {
  if (!SIGNS) return wholePicture(image);
  const { width, height } = image, ink = inkOf(image);
  const strongest = ink.reduce((a, b) => Math.max(a, b), 0);
  if (strongest < FAINT) throw new Error("No ink was found on this picture: it is of one tone all over.");
  if (isNoise(ink, width, height)) throw new Error("No ink was found on this picture: nothing stands out from its noise.");
  const box = boxOf(ink, width, height, strongest / 3);
  const share = Math.min(HEIGHT, WIDTH) / 28;
  const scaled = shrunk(ink, width, box, INK_SIDE * share, 255 / strongest);
  return centred(scaled);
}

// Whether nothing stands out from a plane's noise, once that is smoothed.
function isNoise(plane, width, height) {
  const middle = (n) => (plane[n - 1] + plane[n + 1] + plane[n - width] + plane[n + width]) / 4;
  const inside = [...plane.keys()].filter((n) => n >= width && n < width * (height - 1) && n % width && (n + 1) % width);
  const off = Float32Array.from(inside, (n) => Math.abs(plane[n] - middle(n))).sort();
  const noise = off.length ? (1.4826 * off[off.length >> 1]) / Math.sqrt(1.25) : 0;
  const radius = Math.min(3, Math.round(noise / 8));
  if (!radius) return false;
  const smooth = boxMean(boxMean(plane, width, height, radius), width, height, 1);
  const peak = inside.reduce((most, n) => Math.max(most, smooth[n]), 0);
  return peak - smooth.reduce((a, b) => a + b, 0) / smooth.length < (NOISE * noise) / (2 * radius + 1);
}

// The mean of the square of 2 · radius + 1 pixels around each; at the edge, of what lies inside.
function boxMean(plane, width, height, radius) {
  const along = (values, count, stride, lines, step) => {
    const means = new Float32Array(values.length);
    for (let line = 0; line < lines; line++) {
      for (let n = 0; n < count; n++) {
        let sum = 0;
        const from = Math.max(0, n - radius), to = Math.min(count - 1, n + radius);
        for (let k = from; k <= to; k++) sum += values[line * step + k * stride];
        means[line * step + n * stride] = sum / (to - from + 1);
      }
    }
    return means;
  };
  return along(along(plane, width, 1, height, width), height, width, width, 1);
}

// How far each pixel lies from the ground's tone, towards the ink's: light ink or dark, whichever there is.
function inkOf({ data, width, height }) {
  const covered = Array.from({ length: width * height }, (_, n) => data[4 * n + 3] / 255);
  const bright = (n) => 0.299 * data[4 * n] + 0.587 * data[4 * n + 1] + 0.114 * data[4 * n + 2];
  const opaque = covered.reduce((a, b) => a + b, 0);
  const tone = opaque ? covered.reduce((sum, share, n) => sum + share * bright(n), 0) / opaque : 0;
  const behind = opaque < 0.99 * width * height && tone > 127 ? 0 : 255; // under a transparent picture
  const grey = Float32Array.from(covered, (share, n) => share * bright(n) + (1 - share) * behind);
  const edge = grey.filter((_, n) => {
    const row = Math.floor(n / width), column = n % width;
    return row === 0 || column === 0 || row === height - 1 || column === width - 1;
  }).sort();
  const ground = edge[Math.floor(edge.length / 2)], sign = ground > 127 ? -1 : 1;
  return grey.map((value) => Math.max(0, sign * (value - ground)));
}

// The smallest box around what is stronger than a level: { top, left, bottom, right }, the last two outside.
function boxOf(ink, width, height, level) {
  const box = { top: height, left: width, bottom: 0, right: 0 };
  ink.forEach((value, n) => {
    if (value <= level) return;
    const row = Math.floor(n / width), column = n % width;
    box.top = Math.min(box.top, row);
    box.left = Math.min(box.left, column);
    box.bottom = Math.max(box.bottom, row + 1);
    box.right = Math.max(box.right, column + 1);
  });
  return box;
}

// The box at a size of `side` pixels on its long side: each pixel is the mean of what it covers.
function shrunk(ink, stride, { top, left, bottom, right }, side, gain) {
  const step = Math.max(bottom - top, right - left) / side;
  const height = Math.max(1, Math.round((bottom - top) / step)), width = Math.max(1, Math.round((right - left) / step));
  const data = new Float32Array(width * height);
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      let sum = 0, area = 0;
      for (let row = Math.floor(top + i * step); row < Math.min(top + (i + 1) * step, bottom); row++) {
        const tall = Math.min(row + 1, top + (i + 1) * step) - Math.max(row, top + i * step);
        for (let column = Math.floor(left + j * step); column < Math.min(left + (j + 1) * step, right); column++) {
          const part = tall * (Math.min(column + 1, left + (j + 1) * step) - Math.max(column, left + j * step));
          sum += part * ink[row * stride + column];
          area += part;
        }
      }
      data[i * width + j] = area ? Math.min(255, (sum / area) * gain) : 0;
    }
  }
  return { data, width, height };
}

// On the net's input, the centre of mass in the middle.
function centred({ data, width, height }) {
  const pixels = new Uint8Array(HEIGHT * WIDTH);
  let mass = 0, x = 0, y = 0;
  data.forEach((value, n) => {
    mass += value;
    x += value * (n % width);
    y += value * Math.floor(n / width);
  });
  const left = Math.round((WIDTH - 1) / 2 - x / mass), top = Math.round((HEIGHT - 1) / 2 - y / mass);
  data.forEach((value, n) => {
    const row = Math.floor(n / width) + top, column = (n % width) + left;
    if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH) pixels[row * WIDTH + column] = Math.round(value);
  });
  return pixels;
}

// All of a picture at the net's size, for nets that see no drawings. One channel: light on dark, as Fashion-MNIST.
function wholePicture(image) {
  const { width, height } = image, box = { top: 0, left: 0, bottom: height, right: width };
  const of = (value) => Float32Array.from({ length: width * height }, (_, n) => value(image.data.subarray(4 * n)));
  const grey = () => (model.whole ? of(([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b) : inkOf(image));
  const planes = CHANNELS === 1 ? [grey()] : [0, 1, 2].map((c) => of((pixel) => pixel[c]));
  const side = Math.max(width, height) / Math.max(height / HEIGHT, width / WIDTH);
  const pixels = new Uint8Array(HEIGHT * WIDTH * CHANNELS);
  planes.forEach((plane, c) => {
    const part = shrunk(plane, width, box, side, 1);
    const top = Math.floor((HEIGHT - part.height) / 2), left = Math.floor((WIDTH - part.width) / 2);
    part.data.forEach((value, n) => {
      const row = Math.floor(n / part.width) + top, column = (n % part.width) + left;
      if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH) pixels[(row * WIDTH + column) * CHANNELS + c] = Math.round(value);
    });
  });
  return pixels;
}

// --- samples -----------------------------------------------------------------------------------------------

function startSamples() {
  const size = HEIGHT * WIDTH * CHANNELS;
  byId("samples").hidden = !model.samples;
  (model.samples ?? []).forEach(({ label, data }) => {
    const pixels = fromBase64(data).slice(0, size);
    const picture = pictureOf(pixels, net.inputShape, [255, 255, 255], [0, 0, 0]);
    byId("samples").querySelector(".keys").append(make("button", { type: "button", class: "sample",
      "aria-label": `Sample ${classes[label]}`, onclick: () => change({ ...EMPTY, picture: pixels }) }, picture));
  });
}
