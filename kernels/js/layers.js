// The layers: y = f(x) for one sample, in evaluation mode. The backward of each is in backward.js.
//
// A layer is an object { type, name, inputShape, shape, its settings, its weights }; `shape` is that of y.
// Arrays are Float32Array, an image (H, W, C) lies row after row, the channels of a pixel side by side. Sums
// are kept in float64, which is what a number of JavaScript is.

"use strict";

globalThis.tinynet ??= {};

// --- windows, as in tinynet/geometry.py --------------------------------------------------------------------

// The rows that a window of `size` sees on an axis of `length` pixels, sliding by `stride` with `before` and
// `after` pixels of padding: window i sees the rows from i · stride - before on. By "same" padding there are
// ⌈length / stride⌉ windows, and an odd remainder of the padding comes after.
tinynet.axis = function (length, size, stride, padding) {
  let [before, after] = typeof padding === "number" ? [padding, padding] : [0, 0];
  if (Array.isArray(padding)) [before, after] = padding;
  if (padding === "same") {
    const total = Math.max((Math.ceil(length / stride) - 1) * stride + size - length, 0);
    before = Math.floor(total / 2);
    after = total - before;
  }
  const count = Math.floor((length + before + after - size) / stride) + 1;
  return { length, size, stride, before, count };
};

// A setting of a window's size, stride or padding, for rows and for columns: one number stands for both.
tinynet.pair = function (setting) {
  return Array.isArray(setting) ? setting : [setting, setting];
};

// The part of window i that lies on the image, not in its padding: from `start` to before `stop`.
tinynet.span = function ({ length, size, stride, before }, i) {
  const first = i * stride - before, start = Math.max(first, 0);
  return [start, Math.max(start, Math.min(first + size, length))];
};

// Calls visit(i, j, n) for every window, i below one another, j beside one another, numbered n.
tinynet.everyWindow = function ({ rows, columns }, visit) {
  for (let i = 0; i < rows.count; i++) {
    for (let j = 0; j < columns.count; j++) visit(i, j, i * columns.count + j);
  }
};

// Calls visit(n) for every pixel of window (i, j) that lies on the image. Its channels begin at x[n · C].
tinynet.everyPixel = function ({ rows, columns }, i, j, visit) {
  const [top, bottom] = tinynet.span(rows, i), [left, right] = tinynet.span(columns, j);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) visit(row * columns.length + column);
  }
};

// --- products ----------------------------------------------------------------------------------------------

// y[f] = b[f] + Σₖ x[k] · W[k, f]        x (K)   W (K, F)   b (F)   y (F), written from y[at] on
//
// The inner loop goes along a row of W, as it lies in memory. Where x[k] is 0, as much of an image is, and
// half of what ReLU leaves, the row adds nothing. `sums` is room for F numbers in float64.
tinynet.product = function (x, W, b, sums, y, at) {
  const F = b.length;
  sums.set(b);
  for (let k = 0; k < x.length; k++) {
    const value = x[k], row = k * F;
    if (value === 0) continue;
    for (let f = 0; f < F; f++) sums[f] += value * W[row + f];
  }
  y.set(sums, at);
};

// y = x W + b        x (…, I)   W (I, O)   b (O)   y (…, O)
tinynet.dense = function (x, { W, b }) {
  const O = b.length, I = W.length / O, rows = x.length / I;
  const y = new Float32Array(rows * O), sums = new Float64Array(O);
  for (let n = 0; n < rows; n++) tinynet.product(x.subarray(n * I, (n + 1) * I), W, b, sums, y, n * O);
  return y;
};

// y[i,j,f] = b[f] + Σ_{u,v,c} x[i·s + u, j·s + v, c] · W[u,v,c,f]
//
//     x (H, W, C) zero-padded    W (KH, KW, C, F)    b (F)    y (OH, OW, F)    s: the stride
//
// With the window of an output pixel as one row of KH·KW·C numbers, this is a dense layer: window · W + b.
tinynet.conv2d = function (x, layer) {
  const { shape: [OH, OW, F], W, b } = layer;
  const y = new Float32Array(OH * OW * F), sums = new Float64Array(F);
  const window = new Float32Array(W.length / F);
  tinynet.everyWindow(layer, (i, j, n) => {
    tinynet.gather(x, layer, i, j, window);
    tinynet.product(window, W, b, sums, y, n * F);
  });
  return y;
};

// y[i,j,f] = b[f] + Σ_{u,v} x[i·s + u, j·s + v, f // M] · W[u,v,0,f]
//
//     x (H, W, C) zero-padded    W (KH, KW, 1, C·M)    b (C·M)    y (OH, OW, C·M)    s: the stride
tinynet.depthwiseconv2d = function (x, layer) {
  const { shape: [OH, OW, F], multiplier: M, W, b } = layer;
  const y = new Float32Array(OH * OW * F), sums = new Float64Array(F);
  tinynet.everyWindow(layer, (i, j, n) => {
    sums.set(b);
    tinynet.everyTap(layer, i, j, (pixel, tap) => {
      for (let f = 0; f < F; f++) sums[f] += x[pixel * (F / M) + Math.floor(f / M)] * W[tap * F + f];
    });
    y.set(sums, n * F);
  });
  return y;
};

// Calls visit(pixel, tap) for every pixel of window (i, j) on the image, and its number u · KW + v in it.
tinynet.everyTap = function ({ rows, columns }, i, j, visit) {
  tinynet.everyPixel({ rows, columns }, i, j, (pixel) => {
    const u = Math.floor(pixel / columns.length) - (i * rows.stride - rows.before);
    const v = (pixel % columns.length) - (j * columns.stride - columns.before);
    visit(pixel, u * columns.size + v);
  });
};

// Copies window (i, j) of x (H, W, C) into `window` (KH, KW, C), zeros where it lies in the padding (im2col).
tinynet.gather = function (x, { inputShape: [, , C], rows, columns }, i, j, window) {
  const [top, bottom] = tinynet.span(rows, i), [left, right] = tinynet.span(columns, j);
  const firstRow = i * rows.stride - rows.before, firstColumn = j * columns.stride - columns.before;
  if ((bottom - top) * (right - left) < rows.size * columns.size) window.fill(0);
  for (let row = top; row < bottom; row++) {
    const from = (row * columns.length + left) * C, until = (row * columns.length + right) * C;
    const to = ((row - firstRow) * columns.size + left - firstColumn) * C;
    for (let k = 0; k < until - from; k++) window[to + k] = x[from + k];
  }
};

// --- pooling -----------------------------------------------------------------------------------------------

// y[i,j,c] = max over the window of x[i·s + u, j·s + v, c]        x (H, W, C)   y (OH, OW, C)
tinynet.maxpool2d = function (x, layer) {
  return Float32Array.from(tinynet.winners(x, layer), (winner) => x[winner]);
};

// Which number of x is the largest of each window and channel, the first of several equal ones: (OH, OW, C).
tinynet.winners = function (x, layer) {
  const [OH, OW, C] = layer.shape;
  const winners = new Int32Array(OH * OW * C).fill(-1);
  tinynet.everyWindow(layer, (i, j, n) => {
    tinynet.everyPixel(layer, i, j, (pixel) => {
      for (let c = 0; c < C; c++) {
        const best = winners[n * C + c], value = x[pixel * C + c];
        if (best < 0 || value > x[best] || Number.isNaN(value)) winners[n * C + c] = pixel * C + c;
      }
    });
  });
  return winners;
};

// y[i,j,c] = mean over the window of x[i·s + u, j·s + v, c]        x (H, W, C)   y (OH, OW, C)
//
// Padding does not count in the mean.
tinynet.avgpool2d = function (x, layer) {
  const [OH, OW, C] = layer.shape;
  const y = new Float32Array(OH * OW * C), sums = new Float64Array(C);
  tinynet.everyWindow(layer, (i, j, n) => {
    sums.fill(0);
    tinynet.everyPixel(layer, i, j, (pixel) => {
      for (let c = 0; c < C; c++) sums[c] += x[pixel * C + c];
    });
    y.set(sums.map((sum) => sum / tinynet.pixels(layer, i, j)), n * C);
  });
  return y;
};

// How many pixels of the image window (i, j) holds.
tinynet.pixels = function ({ rows, columns }, i, j) {
  const [top, bottom] = tinynet.span(rows, i), [left, right] = tinynet.span(columns, j);
  return (bottom - top) * (right - left);
};

// y[c] = mean of x[:,:,c]        x (H, W, C)   y (C)
tinynet.globalaveragepool = function (x, { inputShape: [H, W, C] }) {
  const sums = new Float64Array(C);
  for (let k = 0; k < x.length; k++) sums[k % C] += x[k];
  return Float32Array.from(sums, (sum) => sum / (H * W));
};

// --- layers of layers --------------------------------------------------------------------------------------

// y = f(x) + s(x)        f: the layers, one after another; s: those of the shortcut, x itself without any
tinynet.residual = function (x, { layers, skip }) {
  const f = tinynet.through(layers, x).pop(), s = tinynet.through(skip, x).pop();
  return f.map((value, k) => value + s[k]);
};

// What each layer of a branch makes of x, x first.
tinynet.through = function (branch, x) {
  const values = [x];
  branch.forEach((layer, n) => values.push(tinynet[layer.type.toLowerCase()](values[n], layer)));
  return values;
};

// --- normalisation and rearrangement -----------------------------------------------------------------------

// y = γ (x - μ) / √(σ² + ε) + β        per channel c, of x and y (…, C)
//
// μ and σ² are the running averages that training has left.
tinynet.batchnorm = function (x, { gamma, beta, mean, variance, epsilon }) {
  const C = gamma.length;
  const slope = Float64Array.from(gamma, (each, c) => each / Math.sqrt(variance[c] + epsilon));
  return x.map((value, k) => slope[k % C] * (value - mean[k % C]) + beta[k % C]);
};

// y = x: what dropout does in training keeps the mean.
tinynet.dropout = function (x) {
  return x.slice();
};

// y = the same numbers in one row
tinynet.flatten = function (x) {
  return x.slice();
};

// y = the same numbers in another shape
tinynet.reshape = function (x) {
  return x.slice();
};

// y = scale · x + offset
tinynet.rescale = function (x, { scale, offset }) {
  return x.map((value) => scale * value + offset);
};

// --- activations, on each number (softmax: on each row) ----------------------------------------------------

// y = max(x, 0)
tinynet.relu = function (x) {
  return x.map((value) => Math.max(value, 0));
};

// y = x where x > 0, else slope · x
tinynet.leakyrelu = function (x, { slope }) {
  return x.map((value) => (value > 0 ? value : slope * value));
};

// y = x where x > 0, else α (eˣ - 1)
tinynet.elu = function (x, { alpha }) {
  return x.map((value) => (value > 0 ? value : alpha * Math.expm1(value)));
};

// y = x · Φ(x)        or with approximate = "tanh"
// y = x/2 · (1 + tanh u),   u = √(2/π) · (x + 0.044715 x³)
tinynet.gelu = function (x, { approximate }) {
  if (approximate !== "tanh") return x.map((value) => Math.max(value, -40) * tinynet.normalBelow(value));
  return x.map((value) => (value / 2) * (1 + Math.tanh(tinynet.geluInner(value))));
};

// Φ(x) = (1 + erf(x/√2)) / 2, the probability that a standard normal number is below x.
//
// With v = |x|: Φ(-v) = e^{-v²/2} P(v) / Q(v), to 3 · 10⁻¹⁷ of itself. From v = 40 on the power is 0.
tinynet.normalBelow = function (x) {
  const v = Math.min(Math.abs(x), 40), horner = (sum, c) => sum * v + c;
  const P = [
    4.32904262028544642e-6, 0.000111004399459045644, 0.0013608403328391652, 0.0103201115675456414,
    0.0527428701045175879, 0.186086313174779466, 0.445075406124296495, 0.66847752713592476,
    0.5,
  ];
  const Q = [
    0.0000108513005214954147, 0.00027824677652015194, 0.00342197171487329489, 0.0261469422878283268,
    0.135595952353848326, 0.491764893938899809, 1.24109075834939823, 2.09350638090691731,
    2.13483961507471858, 1.0,
  ];
  const above = (Math.exp((-v * v) / 2) * P.reduce(horner)) / Q.reduce(horner);
  return x > 0 ? 1 - above : above;
};

// u, and its derivative √(2/π) · (1 + 3 · 0.044715 x²)
tinynet.geluInner = function (x) {
  return Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
};
tinynet.geluInnerSlope = function (x) {
  return Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x ** 2);
};

// y = 1 / (1 + e⁻ˣ)
tinynet.sigmoid = function (x) {
  return x.map((value) => 1 / (1 + Math.exp(-value)));
};

// y = tanh x
tinynet.tanh = function (x) {
  return x.map((value) => Math.tanh(value));
};

// yₖ = e^{xₖ} / Σⱼ e^{xⱼ}        along the last axis, of length K
//
// The largest xₖ is taken off each first: that changes nothing, and no power overflows.
tinynet.softmax = function (x, { shape }) {
  const K = shape[shape.length - 1], y = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += K) {
    const values = x.subarray(row, row + K), largest = values.reduce((a, b) => Math.max(a, b));
    const powers = Float64Array.from(values, (value) => Math.exp(value - largest));
    const sum = powers.reduce((a, b) => a + b);
    y.set(powers.map((power) => power / sum), row);
  }
  return y;
};
