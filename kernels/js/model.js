// A net from the table that `tinynet export` embeds in a page: built, run, and asked why.
//
//     const net = tinynet.load(JSON.parse(document.getElementById("model").textContent));
//     const { outputs } = net.forward(pixels);          // H·W·C numbers from 0 to 255, row after row
//     const believed = net.probabilities(outputs);      // one number a class

"use strict";

globalThis.tinynet ??= {};

// Of every layer: its settings with their defaults, its window, the shapes of its output and of its weights.
tinynet.KINDS = {
  Dense: {
    shape: ({ units, inputShape }) => [...inputShape.slice(0, -1), units],
    weights: ({ units, inputShape }) => ({ W: [...inputShape.slice(-1), units], b: [units] }),
  },
  Conv2D: {
    defaults: { kernel: 3, stride: 1, padding: "valid" },
    window: ({ kernel }) => kernel,
    shape: ({ filters }, rows, columns) => [rows, columns, filters],
    weights: ({ kernel, filters, inputShape: [, , channels] }) => ({
      W: [...tinynet.pair(kernel), channels, filters],
      b: [filters],
    }),
  },
  DepthwiseConv2D: {
    defaults: { kernel: 3, stride: 1, padding: "valid", multiplier: 1 },
    window: ({ kernel }) => kernel,
    shape: ({ multiplier: M, inputShape: [, , C] }, rows, columns) => [rows, columns, C * M],
    weights: ({ kernel, multiplier: M, inputShape: [, , C] }) => ({
      W: [...tinynet.pair(kernel), 1, C * M],
      b: [C * M],
    }),
  },
  MaxPool2D: {
    defaults: { window: 2, stride: null, padding: "valid" },
    window: ({ window }) => window,
    shape: ({ inputShape: [, , channels] }, rows, columns) => [rows, columns, channels],
  },
  AvgPool2D: {
    defaults: { window: 2, stride: null, padding: "valid" },
    window: ({ window }) => window,
    shape: ({ inputShape: [, , channels] }, rows, columns) => [rows, columns, channels],
  },
  GlobalAveragePool: { shape: ({ inputShape: [, , channels] }) => [channels] },
  BatchNorm: {
    defaults: { epsilon: 1e-5 },
    weights: ({ inputShape }) => {
      const channels = inputShape.slice(-1);
      return { gamma: channels, beta: channels, mean: channels, variance: channels };
    },
  },
  Residual: { defaults: { shortcut: [] }, shape: ({ layers }) => layers[layers.length - 1].shape },
  Dropout: {},
  Flatten: { shape: ({ inputShape }) => [tinynet.count(inputShape)] },
  Reshape: { shape: ({ shape }) => shape },
  Rescale: { defaults: { scale: 1 / 255, offset: 0 } },
  ReLU: {},
  LeakyReLU: { defaults: { slope: 0.01 } },
  ELU: { defaults: { alpha: 1 } },
  GELU: { defaults: { approximate: "none" } },
  Sigmoid: {},
  Tanh: {},
  Softmax: {},
};

// Layers that finish what the one before began. With it they are a block: see tinynet/blocks.py.
tinynet.FOLLOWERS = new Set(
  ["BatchNorm", "Dropout", "ReLU", "LeakyReLU", "ELU", "GELU", "Sigmoid", "Tanh", "Softmax"],
);

// How many numbers an array of this shape holds.
tinynet.count = function (shape) {
  return shape.reduce((a, b) => a * b, 1);
};

// --- building ----------------------------------------------------------------------------------------------

// The net of { config, weights, loss? }: `config` is what Sequential.config() gives, `weights` maps
// "layer.name" to { shape, dtype: "float32" or "float16", data: base64 }, `loss` is the table of the loss
// that it was trained with. Throws an Error for a layer that is not known, or weights that are missing or of
// another shape.
tinynet.load = function ({ config, weights, loss }) {
  const layers = tinynet.buildAll(config.layers, config.input_shape);
  for (const layer of tinynet.walk(layers)) Object.assign(layer, tinynet.weightsOf(layer, weights));
  return new tinynet.Net(config.input_shape, layers, loss);
};

// The layers that tables describe, one after another. `owner` begins the names of those inside another layer;
// `used` counts the names that are taken, by their kind.
tinynet.buildAll = function (tables, inputShape, owner = "", used = {}) {
  return tables.map((table) => {
    used[table.type] = (used[table.type] ?? 0) + 1;
    const layer = tinynet.build(table, `${owner}${table.type.toLowerCase()}_${used[table.type]}`, inputShape);
    inputShape = layer.shape;
    return layer;
  });
};

// Every layer, each followed by those inside it.
tinynet.walk = function (layers) {
  const inside = ({ layers = [], skip = [] }) => tinynet.walk([...layers, ...skip]);
  return layers.flatMap((layer) => [layer, ...inside(layer)]);
};

// Builds the layers inside a Residual: of its shortcut, where it names none, the simplest that leads from its
// input to the shape of its output.
tinynet.buildBranches = function (layer) {
  const { name, inputShape: from } = layer, used = {};
  layer.layers = tinynet.buildAll(layer.layers, from, `${name}.`, used);
  const to = layer.layers[layer.layers.length - 1].shape, units = to[to.length - 1];
  const isAlike = from.join() === to.join(), stride = [0, 1].map((axis) => Math.ceil(from[axis] / to[axis]));
  const convolution = { type: "Conv2D", filters: units, kernel: 1, stride };
  const projection = isAlike ? [] : [to.length === 3 ? convolution : { type: "Dense", units }];
  layer.skip = tinynet.buildAll(layer.shortcut.length ? layer.shortcut : projection, from, `${name}.`, used);
};

// The layer that a table of its settings describes, for inputs of `inputShape`: with its shape and its
// windows.
tinynet.build = function (table, name, inputShape) {
  const known = Object.keys(tinynet.KINDS), kind = tinynet.KINDS[table.type];
  if (!known.includes(table.type)) throw new Error(`unknown layer ${table.type}; known: ${known.join(", ")}`);
  const layer = { ...kind.defaults, ...table, name, inputShape };
  if (kind.window) {
    const size = tinynet.pair(kind.window(layer)), stride = tinynet.pair(layer.stride ?? size);
    const padding = tinynet.pair(layer.padding);
    layer.rows = tinynet.axis(inputShape[0], size[0], stride[0], padding[0]);
    layer.columns = tinynet.axis(inputShape[1], size[1], stride[1], padding[1]);
    if (!(layer.rows.count > 0 && layer.columns.count > 0)) {
      throw new Error(`${name}: no window fits into an input of ${inputShape.join(" x ")}`);
    }
  }
  if (layer.layers) tinynet.buildBranches(layer);
  layer.shape = kind.shape ? kind.shape(layer, layer.rows?.count, layer.columns?.count) : inputShape;
  return layer;
};

// The weights of a layer by their names, as Float32Array.
tinynet.weightsOf = function (layer, weights) {
  const shapes = tinynet.KINDS[layer.type].weights?.(layer) ?? {};
  const found = Object.entries(shapes).map(([name, shape]) => {
    const tensor = weights[`${layer.name}.${name}`];
    const values = tensor ? tinynet.decode(tensor) : [];
    if (values.length !== tinynet.count(shape)) {
      const expected = `expected ${shape.join(" x ")} numbers, received ${values.length}`;
      throw new Error(`${layer.name}.${name}: ${expected}`);
    }
    return [name, values];
  });
  return Object.fromEntries(found);
};

// The numbers of { dtype, data: base64 of little-endian numbers }, as Float32Array.
tinynet.decode = function ({ dtype, data }) {
  const width = { float32: 4, float16: 2 }[dtype], characters = atob(data);
  if (!width) throw new Error(`unknown dtype ${dtype}; known: float32, float16`);
  const view = new DataView(new ArrayBuffer(characters.length));
  for (let n = 0; n < characters.length; n++) view.setUint8(n, characters.charCodeAt(n));
  const values = new Float32Array(characters.length / width);
  for (let n = 0; n < values.length; n++) {
    values[n] = width === 4 ? view.getFloat32(4 * n, true) : tinynet.half(view.getUint16(2 * n, true));
  }
  return values;
};

// The number of the 16 bits s eeeee mmmmmmmmmm: (-1)^s · 2^(e - 15) · (1 + m/1024), and (-1)^s · 2^-14 ·
// m/1024 where e is 0. (IEEE 754: binary16; with e = 31 it is ∞, or no number where m > 0.)
tinynet.half = function (bits) {
  const sign = bits & 0x8000 ? -1 : 1, e = (bits >> 10) & 31, m = bits & 1023;
  if (e === 31) return m ? NaN : sign * Infinity;
  return sign * (e ? 2 ** (e - 25) * (1024 + m) : 2 ** -24 * m);
};

// --- the net -----------------------------------------------------------------------------------------------

tinynet.Net = class {
  constructor(inputShape, layers, loss) {
    this.inputShape = inputShape;
    this.layers = layers;
    // "conv2d_1:3": filters and units that are switched off, as the layer's name and the channel's number.
    // From that layer to the end of its block their outputs are 0, so nothing behind sees them.
    this.disabled = new Set();
    const last = layers[layers.length - 1];
    const endsInScores = last.type === "Softmax" || last.type === "Sigmoid";
    // A logit is the score of a class before a softmax or sigmoid at the end.
    this.logitsEnd = layers.length - (endsInScores ? 1 : 0);
    this.loss = loss?.type ?? (endsInScores ? "CrossEntropy" : "SoftmaxCrossEntropy");
    this.values = null;
  }

  // Multiply-adds that one `forward` costs: of dense layers and convolutions.
  get cost() {
    const costs = tinynet.walk(this.layers).map(({ W, shape }) => {
      return W ? tinynet.count(shape.slice(0, -1)) * W.length : 0;
    });
    return costs.reduce((a, b) => a + b, 0);
  }

  // { outputs, logits } of one sample, an array of numbers; with `keep` also `activations`: of every layer
  // { name, type, shape, data }. All stays in `values`, the sample itself first, until the next forward.
  forward(pixels, { keep = false } = {}) {
    if (pixels.length !== tinynet.count(this.inputShape)) {
      throw new Error(`expected ${this.inputShape.join(" x ")} numbers, received ${pixels.length}`);
    }
    const off = this.silenced();
    const values = [Float32Array.from(pixels)];
    this.layers.forEach((layer, n) => {
      const forward = tinynet[layer.type.toLowerCase()];
      values.push(tinynet.silence(forward(values[n], layer), layer.shape, off[n]));
    });
    this.values = values;
    const result = { outputs: values[this.layers.length], logits: values[this.logitsEnd] };
    if (keep) {
      const shown = ({ name, type, shape }, n) => ({ name, type, shape, data: values[n + 1] });
      result.activations = this.layers.map(shown);
    }
    return result;
  }

  // What the net believes of each class, from its outputs: as the loss has it that it was trained with.
  probabilities(outputs) {
    if (this.loss === "SoftmaxCrossEntropy") {
      return tinynet.softmax(outputs, { shape: [outputs.length] });
    }
    if (this.loss === "BinaryCrossEntropy") {
      const yes = tinynet.sigmoid(outputs);
      return this.isBinary ? Float32Array.of(1 - yes[0], yes[0]) : yes;
    }
    if (this.loss !== "CrossEntropy") throw new Error(`${this.loss} has no class probabilities`);
    const scores = Float64Array.from(outputs, (each) => Math.max(each, 2 ** -126)); // float32's least
    const sum = scores.reduce((a, b) => a + b);
    return Float32Array.from(scores, (each) => each / sum);
  }

  // ∂s/∂(what each layer was given), and last dy itself, for s = Σₖ weightsₖ · logitₖ of one sample.
  gradients(pixels, weights) {
    this.forward(pixels);
    const off = this.silenced(), found = [Float32Array.from(weights)];
    for (let n = this.logitsEnd - 1; n >= 0; n--) {
      const layer = this.layers[n], backward = tinynet[`${layer.type.toLowerCase()}Backward`];
      const dy = tinynet.silence(found[0].slice(), layer.shape, off[n]);
      found.unshift(backward(dy, this.values[n], this.values[n + 1], layer));
    }
    return found;
  }

  // Whether a single output z is the logit of class 1 against class 0. It counts as the logits -z/2 and z/2
  // of the two: these differ by z, and softmax makes σ(z) of them.
  get isBinary() {
    const last = this.layers[this.layers.length - 1];
    return this.loss === "BinaryCrossEntropy" && tinynet.count(last.shape) === 1;
  }

  // The logit of each class, from the logits that `forward` gives.
  scores(logits) {
    return this.isBinary ? Float32Array.of(-logits[0] / 2, logits[0] / 2) : logits;
  }

  // Weights for `gradients`: 1 for class k, 0 for the others.
  oneHot(k) {
    if (this.isBinary) return Float32Array.of(k ? 0.5 : -0.5);
    const classes = tinynet.count(this.layers[this.logitsEnd - 1].shape);
    return Float32Array.from({ length: classes }, (_, each) => (each === k ? 1 : 0));
  }

  // What a sample and the net's answer have to do with each other: see explain.js.
  saliency(pixels, k) {
    return tinynet.saliency(this, pixels, k);
  }

  margin(pixels, first, second) {
    return tinynet.margin(this, pixels, first, second);
  }

  gradCam(pixels, k, layerName) {
    return tinynet.gradCam(this, pixels, k, layerName);
  }

  gradCamMap(pixels, k, layerName) {
    return tinynet.gradCamMap(this, pixels, k, layerName);
  }

  explainUnit(position, unit) {
    return tinynet.explainUnit(this, position, unit);
  }

  // The position of the layer of this name.
  position(name) {
    const position = this.layers.findIndex((layer) => layer.name === name);
    if (position < 0) throw new Error(`no layer is called ${name}`);
    return position;
  }

  // The last position of the block that the layer at a position belongs to.
  blockEnd(position) {
    let end = position;
    while (end + 1 < this.layers.length && tinynet.FOLLOWERS.has(this.layers[end + 1].type)) end++;
    return end;
  }

  // Of every layer the channels that are switched off.
  silenced() {
    const off = this.layers.map(() => []);
    for (const each of this.disabled) {
      const [name, text] = each.split(":"), position = this.position(name), channel = Number(text);
      const channels = this.layers[position].shape.slice(-1)[0];
      if (!Number.isInteger(channel) || channel < 0 || channel >= channels) {
        throw new Error(`${name} has channels 0 to ${channels - 1}, not ${text}`);
      }
      for (let n = position; n <= this.blockEnd(position); n++) off[n].push(channel);
    }
    return off;
  }
};

// y of this shape (…, C) with 0 in these channels; y itself is changed.
tinynet.silence = function (y, shape, channels) {
  const C = shape[shape.length - 1];
  for (const c of channels) for (let n = c; n < y.length; n += C) y[n] = 0;
  return y;
};
