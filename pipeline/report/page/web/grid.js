// The grid: only the cards in sight are in the document, so that a hundred thousand rows cost no more than ten.

const CARD_HEIGHT = 214, CARD_WIDTH = 150, MARGIN_ROWS = 2;
// Browsers lose what lies deeper (Firefox: transforms past 8.9 million px), so the scroll bar is scaled from there on.
const MOST_HEIGHT = 8_000_000;

const grid = { places: [], columns: 1, active: 0, drawn: "", open: () => {} };

const lineCount = () => Math.ceil(grid.places.length / grid.columns);

// How many px of the real height one px of the scroll bar stands for.
function scale() {
  const real = lineCount() * CARD_HEIGHT, view = one("grid").clientHeight;
  return real <= MOST_HEIGHT ? 1 : (real - view) / (MOST_HEIGHT - view);
}

function showPlaces(places) {
  grid.places = places;
  grid.active = Math.min(grid.active, Math.max(0, places.length - 1));
  one("grid").hidden = !places.length;
  one("nothing").hidden = places.length > 0;
  measure();
}

function measure() {
  const view = one("grid");
  grid.columns = Math.max(1, Math.floor(view.clientWidth / CARD_WIDTH));
  view.style.setProperty("--columns", grid.columns);
  view.setAttribute("aria-rowcount", lineCount());
  view.setAttribute("aria-colcount", grid.columns);
  one("canvas").style.height = `${Math.min(lineCount() * CARD_HEIGHT, MOST_HEIGHT)}px`;
  grid.drawn = "";
  draw();
}

function draw() {
  const view = one("grid");
  if (view.hidden || !grid.places.length) return;
  const top = view.scrollTop * scale();
  const first = Math.max(0, Math.floor(top / CARD_HEIGHT) - MARGIN_ROWS);
  const last = Math.min(lineCount(), Math.ceil((top + view.clientHeight) / CARD_HEIGHT) + MARGIN_ROWS);
  const activeLine = Math.floor(grid.active / grid.columns);
  const key = `${first} ${last} ${grid.columns}`;
  const hadFocus = view.contains(document.activeElement);
  if (key !== grid.drawn) {
    const lines = [];
    for (let line = first; line < last; line++) lines.push(drawLine(line));
    one("canvas").replaceChildren(...lines);
    grid.drawn = key;
  }
  for (const line of one("canvas").children) {
    line.style.transform = `translateY(${view.scrollTop + Number(line.dataset.line) * CARD_HEIGHT - top}px)`;
  }
  const isSeen = activeLine >= first && activeLine < last;
  if (!isSeen) grid.active = Math.min(Math.ceil(top / CARD_HEIGHT) * grid.columns, grid.places.length - 1);
  markActive(hadFocus && isSeen);
}

function drawLine(line) {
  const cells = [];
  for (let column = 0; column < grid.columns; column++) {
    const rank = line * grid.columns + column;
    if (rank < grid.places.length) cells.push(drawCard(rank, column));
  }
  return make("div", { role: "row", class: "line", "aria-rowindex": line + 1, "data-line": line }, ...cells);
}

function drawCard(rank, column) {
  const place = grid.places[rank], row = rows[place];
  const note = row[FAILURE] ? row[FAILURE][0] : [money(row[PRICE], row[CURRENCY]), row[TAGS].slice(0, 2).map((tag) => tag[0]).join(", ")].filter(Boolean).join(" · ");
  return make("div", {
    role: "gridcell", class: `card ${row[STATUS]}`, "aria-colindex": column + 1, tabindex: -1, "data-rank": rank,
    onclick: () => { grid.active = rank; grid.open(rank); },
  },
  smallPicture(place),
  make("span", { class: "name" }, said(row[TITLE] || row[ID])),
  make("span", { class: "sub" }, said(row[TITLE] ? row[ID] : "")),
  make("span", { class: "note" }, row[STATUS] === "ok" ? "" : make("b", {}, row[FAILURE] ? "failed: " : "no insight "), said(note)));
}

function markActive(focus) {
  for (const card of one("canvas").querySelectorAll(".card")) {
    const isActive = Number(card.dataset.rank) === grid.active;
    card.tabIndex = isActive ? 0 : -1;
    if (isActive && focus) card.focus({ preventScroll: true });
  }
}

// Make a card the active one, and bring its line into sight.
function moveTo(rank) {
  const view = one("grid"), ratio = scale();
  grid.active = Math.max(0, Math.min(grid.places.length - 1, rank));
  const start = Math.floor(grid.active / grid.columns) * CARD_HEIGHT, top = view.scrollTop * ratio;
  if (start < top) view.scrollTop = start / ratio;
  else if (start + CARD_HEIGHT > top + view.clientHeight) view.scrollTop = Math.ceil((start + CARD_HEIGHT - view.clientHeight) / ratio);
  draw();
  markActive(true);
}

function onGridKey(event) {
  const page = Math.max(1, Math.floor(one("grid").clientHeight / CARD_HEIGHT)) * grid.columns;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns, PageDown: page, PageUp: -page };
  if (event.key in steps) moveTo(grid.active + steps[event.key]);
  else if (event.key === "Home") moveTo(event.ctrlKey ? 0 : grid.active - (grid.active % grid.columns));
  else if (event.key === "End") moveTo(event.ctrlKey ? grid.places.length - 1 : grid.active - (grid.active % grid.columns) + grid.columns - 1);
  else if (event.key === "Enter" || event.key === " ") grid.open(grid.active);
  else return;
  event.preventDefault();
}
