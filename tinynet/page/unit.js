// The arithmetic of one unit, with the numbers of this drawing.

const SHOWN_MAPS = 3; // of a convolution's inputs, so many are shown as tables: those that add most
const SHOWN_TERMS = 10; // of a dense layer's

let unitSpeech = 0;

function startUnit() {
  byId("unit").append(
    make("h3", { id: "unit-heading" }),
    make("div", { class: "tools", id: "unit-fields" }),
    make("div", { id: "unit-sum" }),
  );
}

function showUnit() {
  const panel = byId("unit");
  panel.hidden = !chosen || !seen;
  if (panel.hidden) return;
  const { layer: position, unit } = chosen, layer = net.layers[position];
  const row = rowOf(position);
  if (panel.parentElement !== row) row.append(panel);
  const found = net.explainUnit(position, unit);
  const isLast = position === net.layers.length - 1;
  byId("unit-heading").textContent = `${layer.name}: ${nameOf(unit)}${isLast ? `, class ${classes[net.isBinary ? 1 : unit[0]]}` : ""}`;
  showFields(layer, unit);
  byId("unit-sum").replaceChildren(...arithmetic(found, position));
  clearTimeout(unitSpeech);
  const said = `${layer.name}, ${nameOf(unit)}: ${result(found)}`;
  unitSpeech = setTimeout(() => (byId("unit-value").textContent = said), SETTLED);
}

// "map 3, row 2, column 5", counted from 1.
function nameOf(unit) {
  const place = unit.map((value) => value + 1);
  return place.length === 3 ? `map ${place[2]}, row ${place[0]}, column ${place[1]}` : `unit ${place.join(", ")}`;
}

function placeIn(shape, n) {
  const unit = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    unit.unshift(n % shape[axis]);
    n = Math.floor(n / shape[axis]);
  }
  return unit;
}

// The last number of the layer's block, and what it was made of.
function result({ off, before, after, steps }) {
  if (off) return "switched off, so it gives 0";
  const way = [before, ...steps.map((step) => step.value), after].map((value) => number(value));
  return way.filter((text, n) => n === 0 || text !== way[n - 1]).join(", then ");
}

// Fields for its place, and the switch of its filter: made once for each layer, so they keep the focus.
function showFields(layer, unit) {
  const fields = byId("unit-fields"), names = unit.length === 3 ? ["Row", "Column", "Map"] : unit.map(() => "Unit");
  if (fields.dataset.layer !== layer.name) {
    fields.dataset.layer = layer.name;
    const inputs = names.map((name, axis) => {
      const input = make("input", { type: "number", min: 1, max: layer.shape[axis], id: `unit-axis-${axis}` });
      input.addEventListener("change", () => {
        const value = Math.round(Number(input.value)) || 1;
        const next = [...chosen.unit];
        next[axis] = Math.max(0, Math.min(value, layer.shape[axis]) - 1);
        choose(chosen.layer, next);
      });
      return make("span", { class: "field" }, make("label", { for: `unit-axis-${axis}` }, name), input);
    });
    const toggle = make("button", { type: "button", id: "switch-off" });
    toggle.addEventListener("click", () => {
      const key = `${layer.name}:${chosen.unit[chosen.unit.length - 1]}`;
      if (!net.disabled.delete(key)) net.disabled.add(key);
      switched();
    });
    fields.replaceChildren(...inputs, toggle);
  }
  unit.forEach((value, axis) => (byId(`unit-axis-${axis}`).value = value + 1));
  const map = unit[unit.length - 1], isOff = net.disabled.has(`${layer.name}:${map}`);
  byId("switch-off").textContent = `Switch ${unit.length === 3 ? "map" : "unit"} ${map + 1} ${isOff ? "on" : "off"}`;
}

// --- the sum -----------------------------------------------------------------------------------------------

function arithmetic(found, position) {
  const write = { Conv2D: ofConvolution, DepthwiseConv2D: ofConvolution, Dense: ofDense, MaxPool2D: ofPool, AvgPool2D: ofPool,
    GlobalAveragePool: ofAverage, Softmax: ofSoftmax, Residual: ofResidual }[found.kind] ?? ofOne;
  return [...write(found, position), chain(found)].filter(Boolean);
}

const line = (...parts) => make("p", { class: "line" }, ...parts);

// sum + bias = before
function sumLine({ sum, bias, before }) {
  return line("sum of the products ", make("b", { class: "sum" }, number(sum)), " + bias ",
    make("b", { class: "bias" }, number(bias)), " = ", make("b", { class: "before" }, number(before)));
}

// What the rest of the block makes of it.
function chain({ steps, off }) {
  if (off) return line("This filter is switched off: its output counts as ", make("b", {}, "0"), ".");
  if (!steps.length) return null;
  return line("then ", ...steps.flatMap(({ name, value }, n) => [
    n ? ", " : "", `${name} → `, make("b", { class: "step" }, number(value))]));
}

function ofConvolution(found, position) {
  const { size: [rows, columns, maps], window, kernel, products } = found;
  const ofMap = (values, map) => Array.from({ length: rows * columns }, (_, n) => values[n * maps + map]);
  const total = (map) => ofMap(products, map).reduce((a, b) => a + b, 0);
  const sums = Array.from({ length: maps }, (_, map) => ({ map, sum: total(map) }));
  sums.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const shown = sums.slice(0, SHOWN_MAPS), others = sums.slice(SHOWN_MAPS);
  const most = farthest(products);
  const blocks = shown.map(({ map, sum }) => make("div", { class: "trio" },
    matrix(`${inputName(position)}${maps > 1 ? `, map ${map + 1}` : ""}`, ofMap(window, map), columns, farthest(window)),
    make("span", { class: "sign", "aria-hidden": "true" }, "×"),
    matrix("kernel", ofMap(kernel, map), columns, farthest(kernel)),
    make("span", { class: "sign", "aria-hidden": "true" }, "="),
    matrix(`products: ${number(sum)}`, ofMap(products, map), columns, most),
  ));
  const rest = others.reduce((a, { sum }) => a + sum, 0);
  const more = others.length && make("details", {},
    make("summary", {}, `The other ${others.length} maps add ${number(rest)}`),
    termTable(["map", "sum of its products"], others.map(({ map, sum }) => [map + 1, number(sum)])));
  return [...blocks, more, sumLine(found)];
}

// A small table of numbers, coloured as the maps are.
function matrix(caption, values, columns, most) {
  const colour = scale(most), rows = [];
  for (let at = 0; at < values.length; at += columns) {
    rows.push(make("tr", {}, ...values.slice(at, at + columns).map((value) => {
      const cell = make("td", {}, number(value, 2)), back = colour(value);
      cell.style.backgroundColor = `rgb(${back.map(Math.round).join(" ")})`;
      cell.style.color = readable(back);
      return cell;
    })));
  }
  return make("table", { class: "matrix" }, make("caption", {}, caption), make("tbody", {}, ...rows));
}

// Black or white, whichever stands out more against a colour (WCAG's relative luminance).
function readable(colour) {
  const [r, g, b] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

const inputName = (position) => (position ? net.layers[position - 1].name : "the input");
const inputShapeOf = (position) => net.layers[position].inputShape;

function ofDense(found, position) {
  const { window, kernel, products, sources } = found, shape = inputShapeOf(position);
  const order = [...products.keys()].sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]));
  const row = (k) => [nameOf(placeIn(shape, sources[k])), number(window[k]), number(kernel[k]), number(products[k])];
  const head = [`of ${inputName(position)}`, "value", "× weight", "= product"];
  const rest = order.slice(SHOWN_TERMS), more = rest.length && make("details", {},
    make("summary", {}, `The other ${rest.length} products add ${number(rest.reduce((sum, k) => sum + products[k], 0))}`));
  // Thousands of rows take a moment: they are made when they are asked for.
  more && more.addEventListener("toggle", () => more.append(termTable(head, rest.map(row))), { once: true });
  return [termTable(head, order.slice(0, SHOWN_TERMS).map(row)), more, sumLine(found)];
}

function termTable(head, rows) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${head.join(", ")}` },
    make("table", { class: "terms" },
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, String(cell))))))));
}

function ofPool({ kind, size: [, columns], window, before }, position) {
  const caption = `window on ${inputName(position)}`, how = kind === "MaxPool2D" ? "largest" : "mean";
  return [make("div", { class: "trio" }, matrix(caption, [...window], columns, farthest(window))),
    line(`the ${how} of them is `, make("b", { class: "before" }, number(before)))];
}

function ofAverage({ size: [rows, columns], before }) {
  return [line(`the mean of all ${rows} × ${columns} units of this map is `, make("b", { class: "before" }, number(before)))];
}

function ofSoftmax({ window, products, sum, after }) {
  const rows = [...products].map((power, k) => [classes[k] ?? k + 1, number(window[k]), number(power)]);
  return [termTable(["class", "score", "e to the power of (score − largest)"], rows),
    line("this power over their sum ", make("b", { class: "sum" }, number(sum)), " is ", make("b", {}, number(after)))];
}

function ofResidual({ products: [f, s], before }) {
  return [line("its layers give ", make("b", {}, number(f)), ", its shortcut gives ", make("b", {}, number(s)),
    ": together ", make("b", { class: "before" }, number(before)))];
}

// One number makes one number: an activation f(x), or slope · x + bias.
function ofOne({ kind, window, kernel, bias, before, after }) {
  if (tinynet.ACTIVATIONS.has(kind)) {
    return [line(`${kind}(`, make("b", { class: "before" }, number(before)), ") = ", make("b", {}, number(after)))];
  }
  if (kernel[0] === 1 && bias === 0) return [line("passed on as it is: ", make("b", { class: "before" }, number(before)))];
  return [line(make("b", { class: "sum" }, number(window[0])), ` × ${number(kernel[0], 5)} + ${number(bias, 5)} = `,
    make("b", { class: "before" }, number(before)))];
}
