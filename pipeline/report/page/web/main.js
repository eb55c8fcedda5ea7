// Joins all: the state is in the address, so that a filter and a picture can be bookmarked and sent.

const PRINTED = 200;
const state = { q: "", order: "", picture: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(state)) state[name] = given.get(name) || "";
}

function writeAddress() {
  const given = Object.entries(state).filter(([, value]) => value);
  const hash = given.length ? `#${new URLSearchParams(given)}` : "#";
  if (location.hash !== hash && (location.hash || hash !== "#")) history.replaceState(null, "", hash);
}

let isLoaded = false;

function showCount() {
  const all = rows.length.toLocaleString("en"), some = grid.places.length.toLocaleString("en");
  one("count").textContent = isLoaded ? (state.q ? `${some} of ${all} rows` : `${all} rows`) : `${all} rows, reading more`;
}

let facetTimer = 0;

// Filter, and show what is left; the facets follow as soon as nothing else is to do.
function applyFilter() {
  const { places, notes } = search(state.q, state.order);
  showPlaces(places);
  one("query-note").hidden = !notes.length;
  one("query-note").textContent = notes.join(" ");
  showCount();
  clearTimeout(facetTimer);
  facetTimer = setTimeout(() => showFacets(grid.places, state.q, toggleTerm), 60);
}

function setQuery(text) {
  state.q = text;
  if (one("query").value !== text) one("query").value = text;
  one("grid").scrollTop = 0;
  grid.active = 0;
  writeAddress();
  applyFilter();
}

function toggleTerm(term) {
  const query = state.q;
  setQuery((query.includes(term) ? query.replace(term, "") : `${query} ${term}`).replace(/\s+/g, " ").trim());
}

function openRank(rank) {
  grid.active = rank;
  state.picture = rows[grid.places[rank]][ID];
  writeAddress();
  showPicture(grid.places[rank], rank);
}

function openPlace(place) {
  const rank = grid.places.indexOf(place);
  state.picture = rows[place][ID];
  writeAddress();
  showPicture(place, rank);
}

function onClose() {
  dialog.turn++;
  state.picture = "";
  writeAddress();
  if (grid.places.length) moveTo(grid.active);
}

function applyAddress() {
  readAddress();
  one("query").value = state.q;
  one("order").value = state.order;
  applyFilter();
  const place = placeById.get(state.picture);
  if (place !== undefined) openPlace(place);
  else if (one("picture").open) one("picture").close();
}

function showForPrint() {
  const cards = grid.places.slice(0, PRINTED).map((place) => {
    const row = rows[place];
    const note = row[FAILURE] ? `failed: ${row[FAILURE][0]}` : money(row[PRICE], row[CURRENCY]);
    const picture = smallPicture(place);
    picture.querySelector("img")?.setAttribute("loading", "eager");
    return make("div", { class: "card" }, picture, make("span", { class: "name" }, said(row[TITLE] || row[ID])), make("span", { class: "sub" }, said(row[ID])), make("span", { class: "note" }, note));
  });
  const left = grid.places.length - cards.length;
  one("print-list").replaceChildren(...cards, left > 0 ? make("p", {}, `and ${left.toLocaleString("en")} more`) : "");
}

function startWeb() {
  const count = rows.filter((row) => isWeb(row[PICTURE])).length;
  one("load-web").hidden = !count || allWeb;
  one("load-web").textContent = `Load ${count.toLocaleString("en")} pictures from the web`;
}

function onKey(event) {
  if (event.key === "/" && !event.target.matches("input, select, textarea") && !one("picture").open) {
    event.preventDefault();
    one("query").focus();
  }
}

function listen() {
  let typing = 0;
  one("query").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => setQuery(event.target.value), 80);
  });
  one("query").addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); setQuery(""); } });
  one("filter").addEventListener("submit", (event) => { event.preventDefault(); setQuery(one("query").value); });
  one("order").addEventListener("change", (event) => { state.order = event.target.value; writeAddress(); applyFilter(); });
  one("grid").addEventListener("scroll", () => requestAnimationFrame(draw));
  one("grid").addEventListener("keydown", onGridKey);
  one("picture").addEventListener("close", onClose);
  one("picture").addEventListener("keydown", onPictureKey);
  one("download-csv").addEventListener("click", () => download("pictures.csv", "text/csv", asCsv(grid.places)));
  one("download-jsonl").addEventListener("click", () => download("pictures.jsonl", "application/x-ndjson", asJsonl(grid.places)));
  one("print").addEventListener("click", () => print());
  one("load-web").addEventListener("click", () => { allWeb = true; one("load-web").hidden = true; grid.drawn = ""; draw(); });
  addEventListener("beforeprint", showForPrint);
  addEventListener("afterprint", () => one("print-list").replaceChildren());
  addEventListener("keydown", onKey);
  addEventListener("hashchange", applyAddress);
  new ResizeObserver(measure).observe(one("grid"));
}

async function start() {
  grid.open = openRank;
  one("query-fields").textContent = FIELDS.join(", ");
  one("tools").hidden = one("shelf").hidden = false;
  readAddress();
  one("query").value = state.q;
  one("order").value = state.order;
  listen();
  hideBrokenPictures();
  await loadRows((from) => {
    indexFacets(from);
    if (!from) {
      applyFilter();
      requestAnimationFrame(() => setTimeout(() => performance.mark("first-rows")));
    } else showCount();
  });
  isLoaded = true;
  performance.mark("all-rows");
  startWeb();
  startChanges();
  showGroups();
  applyAddress();
  document.documentElement.dataset.loaded = "yes";
}

start();
