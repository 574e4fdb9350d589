// "It was a …": drawings and what they were, kept on this device, and downloaded as files to train from.

const STORE = `tinynet-corrections-${HEIGHT}x${WIDTH}x${CHANNELS}-${classes.join("|")}`;
const FILE = classes.every((name) => /^[0-9]$/.test(name)) ? "my-digits" : "my-pictures"; // begins the files' names
const MOST = 2000; // drawings kept: some 2 MB of 28 × 28, which every browser grants

let notes = []; // { label, pixels: Uint8Array }
let isKept = true; // false where the browser refuses to keep anything for this page

function startNotes() {
  byId("correct").querySelector(".keys").append(...classes.map((name, k) =>
    make("button", { type: "button", onclick: () => addNote(k) }, name)));
  byId("save-csv").addEventListener("click", () => saveFile(`${FILE}.csv`, "text/csv", [asCsv()]));
  byId("save-images").addEventListener("click", () => saveFile(`${FILE}-images-idx${CHANNELS > 1 ? 4 : 3}-ubyte`, BYTES, imagesAsIdx()));
  byId("save-labels").addEventListener("click", () => saveFile(`${FILE}-labels-idx1-ubyte`, BYTES, labelsAsIdx()));
  byId("forget").addEventListener("click", () => {
    notes = [];
    keepNotes();
    showNotes("All forgotten.");
    focusAfter(0);
  });
  addEventListener("storage", ({ key }) => { // another tab has noted or forgotten
    if (key !== STORE && key !== null) return;
    readNotes();
    showNotes("");
  });
  byId("notes").addEventListener("toggle", listNotes);
  byId("notes-file").textContent = `${FILE}.csv`;
  readNotes();
  showNotes("");
}

// What is stored, before each change: another tab may have changed it. What is not stored stays as it is.
function readNotes() {
  if (!isKept) return;
  let text;
  try {
    text = localStorage.getItem(STORE);
  } catch {
    isKept = false;
    return;
  }
  notes = parsed(text).flatMap(asNote);
}

function parsed(text) {
  try {
    const entries = JSON.parse(text ?? "[]");
    return Array.isArray(entries) ? entries : [];
  } catch {
    return [];
  }
}

// The note in a list, or an empty list for an entry that is none, so that the others are kept.
function asNote(entry) {
  try {
    const pixels = fromBase64(entry.pixels);
    const isOne = Number.isInteger(entry.label) && entry.label in classes && pixels.length === HEIGHT * WIDTH * CHANNELS;
    return isOne ? [{ label: entry.label, pixels }] : [];
  } catch {
    return [];
  }
}

function addNote(label) {
  if (!seen) {
    showNotes("Draw something first.");
    return;
  }
  readNotes();
  if (notes.length >= MOST) {
    showNotes(`${MOST} drawings are as many as fit: download them, then forget them.`);
    return;
  }
  notes.push({ label, pixels: Uint8Array.from(seen.pixels) });
  keepNotes();
  showNotes(`Noted: a ${classes[label]}.`);
}

function forgetNote(n) {
  const { label, pixels } = notes[n], bytes = pixels.join();
  readNotes();
  const place = notes.findIndex((note) => note.label === label && note.pixels.join() === bytes);
  if (place >= 0) notes.splice(place, 1);
  keepNotes();
  showNotes(`Forgotten: number ${n + 1}, a ${classes[label]}.`);
  focusAfter(n);
}

// The button that had the focus is gone: the next one gets it, or where none is left, the first class.
function focusAfter(n) {
  const left = byId("note-list").children;
  (left[n] ?? left[n - 1] ?? byId("correct").querySelector(".keys button")).focus();
}

// A button for each drawing: made only while they are shown, for there may be many.
function listNotes() {
  byId("note-list").replaceChildren(...(byId("notes").open ? notes : []).map(({ label, pixels }, n) =>
    make("button", { type: "button", onclick: () => forgetNote(n) },
      pictureOf(pixels, net.inputShape, [255, 255, 255], [0, 0, 0]), `Forget ${n + 1}: ${classes[label]}`)));
}

function keepNotes() {
  try {
    localStorage.setItem(STORE, JSON.stringify(notes.map(({ label, pixels }) => ({ label, pixels: toBase64(pixels) }))));
    isKept = true;
  } catch {
    isKept = false;
  }
}

function showNotes(said) {
  const count = notes.length === 1 ? "1 drawing is noted." : `${notes.length} drawings are noted.`;
  const refused = "This browser keeps nothing for this page: download them before you close it.";
  byId("kept").textContent = [said, notes.length && count, notes.length && !isKept && refused].filter(Boolean).join(" ");
  byId("notes").hidden = !notes.length;
  listNotes();
  byId("save-csv").hidden = HEIGHT !== 28 || WIDTH !== 28 || CHANNELS !== 1;
}

// A string of at most some thousand characters at a time: more arguments are refused.
const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// --- files -------------------------------------------------------------------------------------------------

const BYTES = "application/octet-stream";

// Kaggle's train.csv: label, pixel0 … pixel783, a line a drawing.
function asCsv() {
  const head = ["label", ...Array.from({ length: HEIGHT * WIDTH }, (_, n) => `pixel${n}`)];
  return [head, ...notes.map(({ label, pixels }) => [label, ...pixels])].map((cells) => `${cells.join(",")}\n`).join("");
}

// IDX, as MNIST's files: 0, 0, the type 8 for bytes, the rank; the sizes as big-endian numbers; the bytes.
function idxHeader(sizes) {
  const header = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  header.setUint32(0, 0x0800 + sizes.length);
  sizes.forEach((size, axis) => header.setUint32(4 + 4 * axis, size));
  return header.buffer;
}

function imagesAsIdx() {
  const sizes = [notes.length, HEIGHT, WIDTH, ...(CHANNELS > 1 ? [CHANNELS] : [])];
  return [idxHeader(sizes), ...notes.map(({ pixels }) => pixels)];
}

const labelsAsIdx = () => [idxHeader([notes.length]), Uint8Array.from(notes, ({ label }) => label)];

function saveFile(name, type, parts) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = make("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
