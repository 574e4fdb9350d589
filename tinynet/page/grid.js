// Drawing by keyboard, or by taps: a grid of cells over the sheet. Painted cells that touch are joined by
// strokes, so the net sees the same kind of line as from a pen.

const CELLS = 9; // a side
let cursor = 0; // the one cell that Tab reaches

function startGrid() {
  const grid = byId("grid"), toggle = byId("grid-switch");
  for (let row = 0; row < CELLS; row++) {
    const cells = Array.from({ length: CELLS }, (_, column) => make("div", { role: "gridcell" }));
    grid.append(make("div", { role: "row" }, ...cells));
  }
  toggle.addEventListener("click", () => {
    openGrid(grid.hidden);
    if (!grid.hidden) goToCell(cursor);
  });
  grid.addEventListener("click", ({ target }) => {
    const cell = cellsOf(grid).indexOf(target.closest("[role=gridcell]"));
    if (cell < 0) return;
    goToCell(cell);
    paint(cell, !drawing.cells.includes(cell));
  });
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = Math.floor(cursor / CELLS), column = cursor % CELLS, last = CELLS - 1;
    const actions = {
      ArrowUp: () => goToCell(Math.max(row - 1, 0) * CELLS + column),
      ArrowDown: () => goToCell(Math.min(row + 1, last) * CELLS + column),
      ArrowLeft: () => goToCell(row * CELLS + Math.max(column - 1, 0)),
      ArrowRight: () => goToCell(row * CELLS + Math.min(column + 1, last)),
      Home: () => goToCell(row * CELLS),
      End: () => goToCell(row * CELLS + last),
      " ": () => paint(cursor, true),
      Delete: () => paint(cursor, false),
      Backspace: () => paint(cursor, false),
      Escape: () => {
        openGrid(false);
        toggle.focus();
      },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}

const cellsOf = (grid) => [...grid.querySelectorAll("[role=gridcell]")];

function openGrid(open) {
  byId("grid").hidden = byId("grid-help").hidden = !open;
  byId("grid-switch").setAttribute("aria-pressed", open);
  showGrid();
}

function goToCell(cell) {
  cursor = cell;
  showGrid();
  cellsOf(byId("grid"))[cell].focus();
}

function paint(cell, ink) {
  if (drawing.cells.includes(cell) === ink) return;
  const others = drawing.cells.filter((each) => each !== cell);
  change({ ...drawing, picture: null, cells: ink ? [...others, cell] : others });
}

function showGrid() {
  if (byId("grid").hidden) return;
  cellsOf(byId("grid")).forEach((element, cell) => {
    const painted = drawing.cells.includes(cell);
    const place = `row ${Math.floor(cell / CELLS) + 1}, column ${(cell % CELLS) + 1}`;
    element.setAttribute("aria-label", painted ? `${place}, ink` : place);
    element.setAttribute("aria-selected", painted);
    element.tabIndex = cell === cursor ? 0 : -1;
  });
}

// Strokes through painted cells: from each to its neighbours on the right and below, and across a corner
// where no other way leads. A cell without neighbours is a point.
function cellStrokes(cells) {
  const painted = new Set(cells), strokes = [], joined = new Set();
  const at = (row, column) => {
    const inside = row >= 0 && row < CELLS && column >= 0 && column < CELLS;
    return inside && painted.has(row * CELLS + column);
  };
  const middle = (row, column) => [((column + 0.5) / CELLS) * SIDE, ((row + 0.5) / CELLS) * SIDE];
  for (const cell of cells) {
    const row = Math.floor(cell / CELLS), column = cell % CELLS;
    for (const [down, right] of [[0, 1], [1, 0], [1, 1], [1, -1]]) {
      const otherWay = down && right && (at(row + down, column) || at(row, column + right));
      if (!at(row + down, column + right) || otherWay) continue;
      strokes.push([middle(row, column), middle(row + down, column + right)]);
      joined.add(cell).add((row + down) * CELLS + column + right);
    }
  }
  const alone = cells.filter((cell) => !joined.has(cell));
  return [...strokes, ...alone.map((cell) => [middle(Math.floor(cell / CELLS), cell % CELLS)])];
}
