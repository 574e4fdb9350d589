// Whether a file holds all of its picture: of a damaged one a browser shows what there is, and says nothing.

// Error in words for a PNG, JPEG or WebP that is damaged or cut off. Other formats are left to the browser.
function checkFile(bytes, name) {
  const text = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
  const isWebp = text(0, 4) === "RIFF" && text(8, 4) === "WEBP";
  const isWhole = text(0, 4) === "\x89PNG" ? isWholePng(bytes, text)
    : text(0, 2) === "\xff\xd8" ? isWholeJpeg(bytes)
      : !isWebp || new DataView(bytes.buffer).getUint32(4, true) + 8 <= bytes.length;
  if (!isWhole) throw new Error(`${name} is damaged: a part of the picture is missing. Save it again.`);
  if (isWebp && isTurned(bytes, text)) {
    throw new Error(`${name} is a WebP that is to be turned, which browsers do not: save it as PNG or JPEG.`);
  }
}

// Chunks of length, name, data and CRC, up to IEND.
function isWholePng(bytes, text) {
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length || crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) return false;
    if (text(at + 4, 4) === "IEND") return true;
    at = end;
  }
  return false;
}

// CRC-32 as PNG has it (ISO 3309): the remainder by the polynomial 0xedb88320, bits reversed.
function crc32(bytes) {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    let rest = n;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
    return rest;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// Segments, each a marker and a length, with the bytes of scans between, up to the marker of the end.
function isWholeJpeg(bytes) {
  for (let at = 2; at + 1 < bytes.length;) {
    const marker = bytes[at + 1], isRestart = marker >= 0xd0 && marker <= 0xd7;
    if (bytes[at] !== 0xff || marker === 0 || marker === 0xff || isRestart) at += 1;
    else if (marker === 0xd9) return true;
    else at += 2 + 256 * bytes[at + 2] + bytes[at + 3];
  }
  return false;
}

// Whether a WebP has a chunk of EXIF with another orientation (tag 0x112) than upright.
function isTurned(bytes, text) {
  const view = new DataView(bytes.buffer);
  for (let at = 12; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (text(at, 4) !== "EXIF") continue;
    const start = at + 8 + (text(at + 8, 4) === "Exif" ? 6 : 0), little = text(start, 2) === "II";
    try {
      const list = start + view.getUint32(start + 4, little);
      for (let n = 0; n < view.getUint16(list, little); n++) {
        const entry = list + 2 + 12 * n;
        if (view.getUint16(entry, little) === 0x112) return view.getUint16(entry + 8, little) > 1;
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // an EXIF that ends early turns nothing
    }
  }
  return false;
}
