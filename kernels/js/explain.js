// Why a net answers as it does: gradients on the pixels, Grad-CAM, and the arithmetic of one unit. The first
// two are those of tinynet/analysis.

"use strict";

globalThis.tinynet ??= {};

// --- gradients ---------------------------------------------------------------------------------------------

// M = |∂zₖ/∂x|, the largest over channels: (H, W), per grey level.
//
// Where a small change of a pixel changes the score of class k most. (Simonyan, Vedaldi, Zisserman: "Deep
// inside convolutional networks", 2014, section 3.)
tinynet.saliency = function (net, pixels, k) {
  const [slopes] = net.gradients(pixels, net.oneHot(k));
  return tinynet.overChannels(slopes.map(Math.abs), net.inputShape, Math.max);
};

// M = ∂(z_first - z_second)/∂x, summed over channels: (H, W), signed, per grey level.
//
// Above 0 where more ink favours the first class over the second, below 0 where the second.
tinynet.margin = function (net, pixels, first, second) {
  const other = net.oneHot(second), weights = net.oneHot(first).map((each, n) => each - other[n]);
  const [slopes] = net.gradients(pixels, weights);
  return tinynet.overChannels(slopes, net.inputShape, (a, b) => a + b);
};

// (H, W) from x (H, W, C): the channels of each pixel joined into one number.
tinynet.overChannels = function (x, [H, W, C], join) {
  return Float32Array.from({ length: H * W }, (_, pixel) => {
    let joined = x[pixel * C];
    for (let c = 1; c < C; c++) joined = join(joined, x[pixel * C + c]);
    return joined;
  });
};

// --- Grad-CAM ----------------------------------------------------------------------------------------------

// M = ReLU( Σ_f α_f A[:, :, f] ),   α_f = (1/hw) Σᵢⱼ ∂zₖ/∂A[i, j, f]        A (h, w, F)   M (h, w)
//
// Where a block, of output A, finds evidence for class k: the block of the layer of this name, or of the last
// convolution. Gives { name, shape: [h, w], data: M, place: where M lies on the input }, or null where there
// is no convolution and no name. (Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: "Grad-CAM: visual
// explanations from deep networks via gradient-based localization", 2017, equations 1 and 2.)
tinynet.gradCamMap = function (net, pixels, k, layerName) {
  const position = tinynet.camPosition(net, layerName);
  if (position === null) return null;
  const slopes = net.gradients(pixels, net.oneHot(k))[position + 1], A = net.values[position + 1];
  const { name, shape: [h, w, F] } = net.layers[position];
  const alpha = new Float64Array(F);
  slopes.forEach((slope, n) => (alpha[n % F] += slope / (h * w)));
  const data = Float32Array.from({ length: h * w }, (_, pixel) => {
    return Math.max(alpha.reduce((sum, each, f) => sum + each * A[pixel * F + f], 0), 0);
  });
  return { name, shape: [h, w], data, place: tinynet.place(net, position) };
};

// The same on the pixels of the input, (H, W): each has the number of the place of the map in which it lies,
// 0 where the map does not reach.
tinynet.gradCam = function (net, pixels, k, layerName) {
  const map = tinynet.gradCamMap(net, pixels, k, layerName), [H, W] = net.inputShape;
  if (map === null) return null;
  const { shape: [h, w], data, place: { left, right, top, bottom } } = map;
  return Float32Array.from({ length: H * W }, (_, pixel) => {
    const i = Math.floor(((Math.floor(pixel / W) - top) / (bottom - top)) * h);
    const j = Math.floor((((pixel % W) - left) / (right - left)) * w);
    return i >= 0 && i < h && j >= 0 && j < w ? data[i * w + j] : 0;
  });
};

// The position whose output Grad-CAM looks at: the end of the block of the layer of this name, or of the last
// convolution; null where there is no convolution and no name.
tinynet.camPosition = function (net, layerName) {
  const convolves = (layer) => tinynet.walk([layer]).some(({ type }) => type.endsWith("Conv2D"));
  const convolutions = net.layers.filter(convolves);
  const name = layerName ?? convolutions[convolutions.length - 1]?.name;
  if (name === undefined) return null;
  const position = net.blockEnd(net.position(name));
  if (net.layers[position].shape.length !== 3) {
    throw new Error(`Grad-CAM cannot look at ${name}: its output has no rows and columns`);
  }
  return position;
};

// Where on the input the output (h, w, F) at a position lies: its edges in pixels, counted from the middle of
// the first.
//
// Each place of a map lies at the middle of its receptive field. A window of size k and stride s, padded by p
// before, moves the first of them by (k - 1)/2 - p steps and makes the steps s times larger. After a layer
// that rearranges values (Reshape) no place is known: then the map covers the whole input. A Residual lies
// where its layers put it.
tinynet.place = function (net, position) {
  const [H, W] = net.inputShape, [h, w] = net.layers[position].shape;
  let [y, x, down, across] = [0, 0, 1, 1];
  for (const { rows, columns, shape, inputShape } of tinynet.path(net.layers.slice(0, position + 1))) {
    if (rows) {
      y += down * ((rows.size - 1) / 2 - rows.before);
      x += across * ((columns.size - 1) / 2 - columns.before);
      down *= rows.stride;
      across *= columns.stride;
    } else if (shape[0] !== inputShape[0] || shape[1] !== inputShape[1]) {
      return { left: -0.5, right: W - 0.5, top: -0.5, bottom: H - 0.5 };
    }
  }
  return {
    left: x - across / 2,
    right: x + across * (w - 0.5),
    top: y - down / 2,
    bottom: y + down * (h - 0.5),
  };
};

// The layers one after another, each Residual replaced by its layers.
tinynet.path = function (layers) {
  return layers.flatMap((layer) => (layer.layers ? tinynet.path(layer.layers) : [layer]));
};

// --- the arithmetic of one unit ----------------------------------------------------------------------------

// How the output `unit` ([h, w, c] or [c]) of the layer at a position came about in the last forward:
//
//     before = Σₖ window[k] · kernel[k] + bias        after: what the rest of its block makes of it
//
// { kind, name, size, sources, window, kernel, products, sum, bias, before, steps, after, off }. `size` is
// the window's shape, (KH, KW, C) of a convolution; sources[k] is the place of window[k] in the layer's
// input, -1 in the padding, where window[k] is 0. `steps` are { name, type, value } of the layers behind it
// in its block, `after` the last of these values; `off` says whether the unit is switched off.
//
// An activation is y = f(x): of it `before` is x and `after` is y. Softmax has its powers as `products`, a
// Residual what its layers and its shortcut give.
tinynet.explainUnit = function (net, position, unit) {
  if (!net.values) throw new Error("explainUnit tells of the last forward: there was none");
  const layer = net.layers[position], x = net.values[position], n = tinynet.index(unit, layer.shape);
  const terms = tinynet.TERMS[layer.type] ?? tinynet.oneTerm();
  const { size, sources, kernel, bias, products: given } = terms(layer, n, x);
  const window = Float32Array.from(sources, (source) => (source < 0 ? 0 : x[source]));
  const products = given ?? Float64Array.from(window, (value, k) => value * kernel[k]);
  const sum = products.reduce((a, b) => a + b, 0), isActivation = tinynet.ACTIVATIONS.has(layer.type);
  const behind = net.layers.slice(position + 1, net.blockEnd(position) + 1);
  const steps = behind.map(({ name, type }, m) => ({ name, type, value: net.values[position + m + 2][n] }));
  const own = net.values[position + 1][n];
  return {
    kind: layer.type,
    name: layer.name,
    size,
    sources,
    window,
    kernel,
    products,
    sum,
    bias,
    before: isActivation ? x[n] : sum + bias,
    steps,
    after: isActivation || steps.length === 0 ? own : steps[steps.length - 1].value,
    off: net.silenced()[position].includes(unit[unit.length - 1]),
  };
};

// The number of [h, w, c] in an array of this shape, row after row; Error where it lies outside.
tinynet.index = function (unit, shape) {
  const isOnAxis = (each, axis) => Number.isInteger(each) && each >= 0 && each < shape[axis];
  const isInside = unit.length === shape.length && unit.every(isOnAxis);
  if (!isInside) throw new Error(`no unit ${unit} in an output of ${shape.join(" x ")}`);
  return unit.reduce((n, each, axis) => n * shape[axis] + each, 0);
};

tinynet.ACTIVATIONS = new Set(["ReLU", "LeakyReLU", "ELU", "GELU", "Sigmoid", "Tanh", "Softmax"]);

// A layer whose outputs come from one number each: y = slope · x + bias, for those that compute no more.
tinynet.oneTerm = function (slope = () => 1, bias = () => 0) {
  return (layer, n) => ({ size: [1], sources: [n], kernel: [slope(layer, n)], bias: bias(layer, n) });
};

// Of the other layers: where the numbers come from that make output n, and by what each is multiplied.
tinynet.TERMS = {
  Dense(layer, n) {
    const O = layer.b.length, I = layer.W.length / O, o = n % O, first = Math.floor(n / O) * I;
    const kernel = Float32Array.from({ length: I }, (_, i) => layer.W[i * O + o]);
    return { size: [I], sources: Array.from({ length: I }, (_, i) => first + i), kernel, bias: layer.b[o] };
  },
  Conv2D(layer, n) {
    const F = layer.shape[2], C = layer.inputShape[2], f = n % F;
    const pixels = tinynet.windowPixels(layer, Math.floor(n / F));
    const channels = Array.from({ length: C }, (_, c) => c);
    const sources = pixels.flatMap((pixel) => channels.map((c) => (pixel < 0 ? -1 : pixel * C + c)));
    const kernel = Float32Array.from(sources, (_, k) => layer.W[k * F + f]);
    return { size: [layer.rows.size, layer.columns.size, C], sources, kernel, bias: layer.b[f] };
  },
  DepthwiseConv2D(layer, n) {
    const { W, b, multiplier: M } = layer, F = b.length, f = n % F;
    const pixels = tinynet.windowPixels(layer, Math.floor(n / F));
    const sources = pixels.map((pixel) => (pixel < 0 ? -1 : pixel * (F / M) + Math.floor(f / M)));
    const kernel = Float32Array.from(sources, (_, k) => W[k * F + f]);
    return { size: [layer.rows.size, layer.columns.size, 1], sources, kernel, bias: b[f] };
  },
  MaxPool2D(layer, n, x) {
    const winner = tinynet.winners(x, layer)[n];
    return tinynet.poolTerms(layer, n, (source) => (source === winner ? 1 : 0));
  },
  AvgPool2D(layer, n) {
    const pixels = tinynet.windowPixels(layer, Math.floor(n / layer.shape[2]));
    const m = pixels.filter((pixel) => pixel >= 0).length;
    return tinynet.poolTerms(layer, n, (source) => (source < 0 ? 0 : 1 / m));
  },
  GlobalAveragePool({ inputShape: [H, W, C] }, c) {
    const sources = Array.from({ length: H * W }, (_, pixel) => pixel * C + c);
    return { size: [H, W, 1], sources, kernel: sources.map(() => 1 / (H * W)), bias: 0 };
  },
  BatchNorm: tinynet.oneTerm(
    (layer, n) => tinynet.batchnormSlope(layer, n),
    (layer, n) => {
      const c = n % layer.gamma.length;
      return layer.beta[c] - layer.mean[c] * tinynet.batchnormSlope(layer, n);
    },
  ),
  Residual({ layers, skip }, n, x) {
    const products = [layers, skip].map((branch) => tinynet.through(branch, x).pop()[n]);
    return { size: [2], sources: [-1, -1], kernel: null, products: Float64Array.from(products), bias: 0 };
  },
  Rescale: tinynet.oneTerm(({ scale }) => scale, ({ offset }) => offset),
  Softmax(layer, n, x) {
    const K = layer.shape[layer.shape.length - 1], first = n - (n % K);
    const sources = Array.from({ length: K }, (_, k) => first + k);
    const largest = Math.max(...sources.map((source) => x[source]));
    const products = Float64Array.from(sources, (source) => Math.exp(x[source] - largest));
    return { size: [K], sources, kernel: null, products, bias: 0 };
  },
};

// γ / √(σ² + ε) of the channel of number n
tinynet.batchnormSlope = function ({ gamma, variance, epsilon }, n) {
  const c = n % gamma.length;
  return gamma[c] / Math.sqrt(variance[c] + epsilon);
};

// Of pooling: the window of output n, in its own channel.
tinynet.poolTerms = function (layer, n, weight) {
  const C = layer.shape[2];
  const pixels = tinynet.windowPixels(layer, Math.floor(n / C));
  const sources = pixels.map((pixel) => (pixel < 0 ? -1 : pixel * C + (n % C)));
  return { size: [layer.rows.size, layer.columns.size, 1], sources, kernel: sources.map(weight), bias: 0 };
};

// The pixels of window number `which`, row after row; -1 in the padding.
tinynet.windowPixels = function ({ rows, columns }, which) {
  const i = Math.floor(which / columns.count), j = which % columns.count, pixels = [];
  for (let u = 0; u < rows.size; u++) {
    for (let v = 0; v < columns.size; v++) {
      const row = i * rows.stride - rows.before + u, column = j * columns.stride - columns.before + v;
      const isInside = row >= 0 && row < rows.length && column >= 0 && column < columns.length;
      pixels.push(isInside ? row * columns.length + column : -1);
    }
  }
  return pixels;
};
