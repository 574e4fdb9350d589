// The backward of each layer for one sample: ∂s/∂x from dy = ∂s/∂y, for a score s behind the layer. That is
// what saliency and Grad-CAM need; gradients of weights are not computed here.
//
// Each takes (dy, x, y, layer): x and y are what the forward was given and returned.

"use strict";

globalThis.tinynet ??= {};

// dx[k] = Σ_f W[k, f] · dy[f]        W (K, F)   dy (F), read from `at` on   dx (K)
tinynet.productBackward = function (dy, at, W, F, dx) {
  for (let k = 0; k < dx.length; k++) {
    let sum = 0;
    for (let f = 0, row = k * F; f < F; f++) sum += W[row + f] * dy[at + f];
    dx[k] = sum;
  }
};

// ∂s/∂x = dy Wᵀ        dy (…, O)   W (I, O)   ∂s/∂x (…, I)
tinynet.denseBackward = function (dy, x, y, { W, b }) {
  const O = b.length, I = W.length / O, dx = new Float32Array(x.length);
  for (let n = 0; n * O < dy.length; n++) {
    tinynet.productBackward(dy, n * O, W, O, dx.subarray(n * I, (n + 1) * I));
  }
  return dx;
};

// ∂s/∂window = dy Wᵀ of every output pixel, and a pixel of x gets the sum over the windows it lies in
// (col2im)
tinynet.conv2dBackward = function (dy, x, y, layer) {
  const { shape: [, , F], W } = layer;
  const dx = new Float64Array(x.length), window = new Float64Array(W.length / F);
  tinynet.everyWindow(layer, (i, j, n) => {
    tinynet.productBackward(dy, n * F, W, F, window);
    tinynet.scatter(window, layer, i, j, dx);
  });
  return Float32Array.from(dx);
};

// ∂s/∂x[pixel, c] = Σ dy[n, f] · W[u,v,0,f] over the windows it lies in, and the f with f // M = c
tinynet.depthwiseconv2dBackward = function (dy, x, y, layer) {
  const { shape: [, , F], multiplier: M, W } = layer, dx = new Float64Array(x.length);
  tinynet.everyWindow(layer, (i, j, n) => {
    tinynet.everyTap(layer, i, j, (pixel, tap) => {
      for (let f = 0; f < F; f++) dx[pixel * (F / M) + Math.floor(f / M)] += dy[n * F + f] * W[tap * F + f];
    });
  });
  return Float32Array.from(dx);
};

// Adds `window` (KH, KW, C) to dx (H, W, C) where window (i, j) lies: the transpose of `gather`.
tinynet.scatter = function (window, { inputShape: [, , C], rows, columns }, i, j, dx) {
  const firstRow = i * rows.stride - rows.before, firstColumn = j * columns.stride - columns.before;
  const [top, bottom] = tinynet.span(rows, i), [left, right] = tinynet.span(columns, j);
  for (let row = top; row < bottom; row++) {
    const to = (row * columns.length + left) * C, until = (row * columns.length + right) * C;
    const from = ((row - firstRow) * columns.size + left - firstColumn) * C;
    for (let k = 0; k < until - to; k++) dx[to + k] += window[from + k];
  }
};

// ∂s/∂x[pixel] = Σ dy of the windows it won
tinynet.maxpool2dBackward = function (dy, x, y, layer) {
  const dx = new Float64Array(x.length);
  tinynet.winners(x, layer).forEach((winner, n) => (dx[winner] += dy[n]));
  return Float32Array.from(dx);
};

// ∂s/∂x[pixel] = Σ dy / m over the windows it lies in, which hold m pixels each
tinynet.avgpool2dBackward = function (dy, x, y, layer) {
  const C = layer.shape[2], dx = new Float64Array(x.length);
  tinynet.everyWindow(layer, (i, j, n) => {
    const m = tinynet.pixels(layer, i, j);
    tinynet.everyPixel(layer, i, j, (pixel) => {
      for (let c = 0; c < C; c++) dx[pixel * C + c] += dy[n * C + c] / m;
    });
  });
  return Float32Array.from(dx);
};

// ∂s/∂x[i,j,c] = dy[c] / (H·W)
tinynet.globalaveragepoolBackward = function (dy, x, y, { inputShape: [H, W, C] }) {
  return x.map((value, k) => dy[k % C] / (H * W));
};

// ∂s/∂x = what f makes of dy + what the shortcut makes of dy, each from its last layer to its first
tinynet.residualBackward = function (dy, x, y, { layers, skip }) {
  const df = tinynet.back(layers, dy, x), ds = tinynet.back(skip, dy, x);
  return df.map((each, k) => each + ds[k]);
};

// ∂s/∂x of a branch, given dy behind it and x before it.
tinynet.back = function (branch, dy, x) {
  const values = tinynet.through(branch, x);
  return branch.reduceRight((slope, layer, n) => {
    return tinynet[`${layer.type.toLowerCase()}Backward`](slope, values[n], values[n + 1], layer);
  }, dy);
};

// ∂s/∂x = γ / √(σ² + ε) · dy: in evaluation μ and σ² are constants
tinynet.batchnormBackward = function (dy, x, y, { gamma, variance, epsilon }) {
  const C = gamma.length;
  return dy.map((each, k) => (gamma[k % C] / Math.sqrt(variance[k % C] + epsilon)) * each);
};

// ∂s/∂x = dy
tinynet.dropoutBackward = function (dy) {
  return dy.slice();
};

// ∂s/∂x = dy in the shape of x
tinynet.flattenBackward = function (dy) {
  return dy.slice();
};

// ∂s/∂x = dy in the shape of x
tinynet.reshapeBackward = function (dy) {
  return dy.slice();
};

// ∂s/∂x = scale · dy
tinynet.rescaleBackward = function (dy, x, y, { scale }) {
  return dy.map((each) => scale * each);
};

// ∂s/∂x = dy where y > 0, else 0
tinynet.reluBackward = function (dy, x, y) {
  return dy.map((each, k) => (y[k] > 0 ? each : 0));
};

// ∂s/∂x = dy or slope · dy
tinynet.leakyreluBackward = function (dy, x, y, { slope }) {
  return dy.map((each, k) => (x[k] > 0 ? each : slope * each));
};

// ∂s/∂x = dy or dy · (y + α)
tinynet.eluBackward = function (dy, x, y, { alpha }) {
  return dy.map((each, k) => (y[k] > 0 ? each : each * (y[k] + alpha)));
};

// ∂s/∂x = dy · ( Φ(x) + x · e^{-x²/2} / √(2π) )
//
// or with approximate = "tanh"
// dy · ( (1 + tanh u)/2 + x/2 · (1 - tanh² u) · √(2/π) · (1 + 3 · 0.044715 x²) )
tinynet.geluBackward = function (dy, x, y, { approximate }) {
  if (approximate !== "tanh") {
    const density = (value) => Math.exp((-value * value) / 2) / Math.sqrt(2 * Math.PI);
    return dy.map((each, k) => each * (tinynet.normalBelow(x[k]) + x[k] * density(x[k])));
  }
  return dy.map((each, k) => {
    const t = Math.tanh(tinynet.geluInner(x[k]));
    return each * ((1 + t) / 2 + (x[k] / 2) * (1 - t * t) * tinynet.geluInnerSlope(x[k]));
  });
};

// ∂s/∂x = dy · y · (1 - y)
tinynet.sigmoidBackward = function (dy, x, y) {
  return dy.map((each, k) => each * y[k] * (1 - y[k]));
};

// ∂s/∂x = dy · (1 - y²)
tinynet.tanhBackward = function (dy, x, y) {
  return dy.map((each, k) => each * (1 - y[k] ** 2));
};

// ∂s/∂xₖ = yₖ · (dyₖ - Σⱼ dyⱼ yⱼ)        along the last axis, of length K
tinynet.softmaxBackward = function (dy, x, y, { shape }) {
  const K = shape[shape.length - 1], means = new Float64Array(y.length / K);
  dy.forEach((each, k) => (means[Math.floor(k / K)] += each * y[k]));
  return dy.map((each, k) => y[k] * (each - means[Math.floor(k / K)]));
};
