// From the strokes of a pen to the pixels that a net sees, as tinynet/data/strokes.py does it.
//
// Both compute the same float64 operations in the same order, and to each of these IEEE 754 gives one result.
// So their bytes are equal: the drawings in tests/data/strokes prove it. The digit's size and place are
// MNIST's (LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III-A).

"use strict";

globalThis.tinynet ??= {};

// Of SIZE pixels, BOX are the longer side of the digit. The pen is PEN wide: by it, drawings have about as
// much ink as MNIST's digits.
tinynet.SIZE = 28;
tinynet.BOX = 20;
tinynet.PEN = 2.7;

// Grey levels (size, size), 255 is ink, of strokes: arrays of points [x, y], y downwards, in any unit.
//
// The longer side of all the points' box is scaled to BOX of SIZE pixels, the pen's width included. A pixel
// at distance d from the line is inked by pen/2 + 1/2 - d, at least 0, at most 1. The centre of mass comes to
// pixel (size/2, size/2), as far as the box then stays on the picture. `size` is at least 8.
//
// One point is a dot; a stroke without points is nothing; without strokes all is 0. Throws a RangeError for
// points that are no pairs of finite numbers, or lie farther apart than float64 can tell.
tinynet.rasterize = function (strokes, { size = tinynet.SIZE } = {}) {
  const lines = tinynet.segments(strokes);
  if (lines.length === 0) return new Uint8Array(size * size);
  const pen = (tinynet.PEN * size) / tinynet.SIZE, box = (tinynet.BOX * size) / tinynet.SIZE;
  const [firsts, lasts] = [Math.min, Math.max].map((of) => tinynet.outermost(lines, of));
  const sides = lasts.map((last, axis) => last - firsts[axis]), longest = Math.max(...sides);
  if (longest === Infinity) throw new RangeError("points farther apart than float64 can tell");
  const scale = (length) => (length / (longest || 1)) * (box - pen);
  const scaled = tinynet.everyNumber(lines, (each, axis) => scale(each - firsts[axis]));
  const placed = (corner) => tinynet.everyNumber(scaled, (each, axis) => each + corner[axis]);

  const extent = sides.map(scale), corner = extent.map((each) => size / 2 - each / 2);
  const centre = tinynet.centre(tinynet.draw(placed(corner), pen, size), size);
  const settled = corner.map((each, axis) => {
    const wanted = each + (size / 2 - centre[axis]);
    return Math.min(Math.max(wanted, pen / 2 - 0.5), size - 0.5 - pen / 2 - extent[axis]);
  });
  return tinynet.draw(placed(settled), pen, size);
};

// The least x and y of lines, or the greatest: `of` is Math.min or Math.max.
tinynet.outermost = function (lines, of) {
  return lines.flat().reduce((found, point) => found.map((each, axis) => of(each, point[axis])));
};

// Lines [[ax, ay], [bx, by]] with `change` made to each number; axis 0 is x.
tinynet.everyNumber = function (lines, change) {
  return lines.map((line) => line.map((point) => point.map(change)));
};

// Each stroke's lines from point to point: of one point a line to itself.
tinynet.segments = function (strokes) {
  const isPoint = (point) => Array.isArray(point) && point.length === 2 && point.every(Number.isFinite);
  const isStroke = (stroke) => Array.isArray(stroke) && stroke.every(isPoint);
  if (!Array.isArray(strokes) || !strokes.every(isStroke)) {
    throw new RangeError("a stroke is an array of points [x, y] of finite numbers");
  }
  return strokes.flatMap((stroke) => {
    if (stroke.length === 1) return [[stroke[0], stroke[0]]];
    return stroke.slice(1).map((point, n) => [stroke[n], point]);
  });
};

// Levels (size, size) of a pen's way along lines [[ax, ay], [bx, by]], given in pixels.
tinynet.draw = function (lines, pen, size) {
  const reach = pen / 2 + 0.5, nearest = new Float64Array(size * size).fill(Infinity);
  for (const [a, b] of lines) {
    const first = (axis) => Math.max(Math.ceil(Math.min(a[axis], b[axis]) - reach), 0);
    const last = (axis) => Math.min(Math.floor(Math.max(a[axis], b[axis]) + reach), size - 1);
    for (let y = first(1); y <= last(1); y++) {
      for (let x = first(0); x <= last(0); x++) {
        const n = y * size + x;
        nearest[n] = Math.min(nearest[n], tinynet.squaredDistance(x, y, a, b));
      }
    }
  }
  return Uint8Array.from(nearest, (squared) => {
    const cover = Math.min(Math.max(reach - Math.sqrt(squared), 0), 1);
    return Math.floor(255 * cover + 0.5);
  });
};

// Of a pixel's middle from the line a + t (b - a), 0 ≤ t ≤ 1.
tinynet.squaredDistance = function (x, y, [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay, squared = dx * dx + dy * dy;
  const along = ((x - ax) * dx + (y - ay) * dy) / (squared > 0 ? squared : 1);
  const t = Math.min(Math.max(along, 0), 1);
  const ex = x - (ax + t * dx), ey = y - (ay + t * dy);
  return ex * ex + ey * ey;
};

// The centre of mass [x, y] of levels (size, size), by sums of whole numbers: in any order the same.
tinynet.centre = function (levels, size) {
  let mass = 0, x = 0, y = 0;
  levels.forEach((level, n) => {
    mass += level;
    x += level * (n % size);
    y += level * Math.floor(n / size);
  });
  return [x / mass, y / mass];
};
