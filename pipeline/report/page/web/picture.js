// One picture: its file with boxes over it, what is known of it, its copies side by side, its whole record.

const SVG = "http://www.w3.org/2000/svg";
const dialog = { rank: -1, shows: { tags: true, text: true }, turn: 0 };

// Draw the boxes of tags or of lines of text over the picture; they are in thousandths of it.
function boxLayer(kind, items) {
  const layer = document.createElementNS(SVG, "g");
  layer.setAttribute("class", `boxes ${kind}`);
  for (const [text, box] of items) {
    const [x0, y0, x1, y1] = box;
    const points = box.length === 4 ? [x0, y0, x1, y0, x1, y1, x0, y1] : box;
    const shape = document.createElementNS(SVG, "polygon");
    shape.setAttribute("points", points.join(" "));
    const title = document.createElementNS(SVG, "title");
    title.textContent = text;
    shape.append(title);
    layer.append(shape);
  }
  return layer;
}

function boxesOf(row) {
  return {
    tags: row[TAGS].filter((tag) => tag[2]).map((tag) => [tag[0], tag[2]]),
    text: row[LINES].filter((line) => line[1]).map((line) => [line[0], line[1]]),
  };
}

function overlay(row) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 1000 1000");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [kind, items] of Object.entries(boxesOf(row))) if (dialog.shows[kind]) svg.append(boxLayer(kind, items));
  return svg;
}

function boxSwitches(row, stage) {
  return Object.entries(boxesOf(row)).filter(([, items]) => items.length).map(([kind, items]) => {
    const box = make("input", { type: "checkbox", onchange: (event) => {
      dialog.shows[kind] = event.target.checked;
      stage.querySelector("svg")?.replaceWith(overlay(row));
    } });
    box.checked = dialog.shows[kind];
    return make("label", {}, box, ` Boxes of ${kind} (${items.length})`);
  });
}

// The large picture: the file; where it can't be shown, the thumbnail; from the web only if the user asks for it.
function stageOf(place) {
  const row = rows[place], stage = make("div", { class: "stage" });
  const thumbnail = thumbnails[place] ? `data:image/webp;base64,${thumbnails[place]}` : "";
  const show = (address, instead) => {
    const image = make("img", { src: address, alt: row[TITLE] || row[ID], referrerpolicy: "no-referrer" });
    image.addEventListener("error", instead, { once: true });
    stage.replaceChildren(make("div", { class: "frame" }, image, overlay(row)));
  };
  const stand = () => stage.replaceChildren(make("p", { class: "stand" }, "The picture can't be shown here."));
  const small = () => (thumbnail ? show(thumbnail, stand) : stand());
  const file = fileAddress(row);
  if (file) show(file, small);
  else small();
  if (isWeb(row[PICTURE])) {
    if (allWeb || webAllowed.has(row[PICTURE])) show(row[PICTURE], small);
    else stage.append(make("button", { type: "button", onclick: () => { webAllowed.add(row[PICTURE]); show(row[PICTURE], small); } }, `Load it from ${host(row[PICTURE])}`));
  }
  return stage;
}

const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

function factList(row) {
  const counts = ["pages", "similar", "offers", "copies"].map((name, number) => [name, row[COUNTS][number]]);
  const pairs = [
    ["id", row[ID]], ["status", row[STATUS]], ["size", sizeText(row[SIZE], row[FORMAT])],
    ["lowest price", money(row[PRICE], row[CURRENCY])],
    ...counts.filter(([, count]) => count),
    ...facts.carry.map((name, column) => [name, row[CARRY][column]]),
    ["entities", row[ENTITIES].join(", ")],
    ["at", row[AT] ? new Date(1000 * row[AT]).toISOString().replace(".000", "") : ""],
  ];
  const shown = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return make("dl", { class: "facts" }, ...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, said(value)))));
}

function fileLine(row) {
  const address = fileAddress(row) || (isWeb(row[PICTURE]) ? row[PICTURE] : "");
  if (!row[PICTURE]) return null;
  if (!address) return make("p", {}, said(row[PICTURE]));
  return make("p", {}, make("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, said(row[PICTURE])));
}

function insightSections(row) {
  const parts = [];
  if (row[FAILURE]) {
    const [code, message, stage, retried] = row[FAILURE];
    parts.push(section("Why it failed", make("p", {}, make("b", {}, code), " (", stage, "): ", said(message)),
      make("p", {}, retried ? "The next run tries it again." : "The next run tries it again only after image-insights retry.")));
  }
  if (row[TAGS].length) parts.push(section("Tags", make("ul", { class: "chips" },
    ...row[TAGS].map(([name, percent]) => make("li", {}, said(name), percent === null ? "" : make("small", {}, ` ${percent}%`))))));
  if (row[LINES].length) parts.push(section("Text", make("p", { class: "text" }, said(row[LINES].map((line) => line[0]).join("\n")))));
  return parts;
}

// What only the whole record has: offers and pages, as links.
function recordSections(record) {
  const parts = [];
  const offers = (record.offers || []).slice(0, 10).map((offer) => make("li", {},
    webLink(offer.url || "", offer.name || offer.url || "offer"), " ", make("b", {}, money(offer.low_price ?? offer.price ?? null, offer.currency || "")), " ", said(offer.seller?.name || "")));
  if (offers.length) parts.push(section("Offers", make("ul", {}, ...offers)));
  const pages = (record.pages || []).slice(0, 10).map((page) => make("li", {},
    webLink(page.host_page_url || "", page.name || page.host_page_url || "page"), " ", make("small", {}, said(page.host_page_display_url || host(page.host_page_url || "")))));
  if (pages.length) parts.push(section("Pages", make("ul", {}, ...pages)));
  return parts;
}

function copyFigure([place, id, kind, score]) {
  const row = rows[place];
  const label = kind === "keep" ? "keep this one" : kind === "exact" ? "exact copy" : `${kind}, ${Math.round(100 * score)}%`;
  return make("li", { class: kind },
    make("button", { type: "button", disabled: !row, onclick: () => openPlace(place) },
      row ? smallPicture(place) : null,
      make("b", {}, label), said(id), make("small", {}, row ? sizeText(row[SIZE], row[FORMAT]) : "")));
}

const groupOf = (row) => facts.groups.find((group) => group.some(([, id]) => id === row[ID]));

async function addRecord(place, holder, turn) {
  const row = rows[place], record = await wholeRecord(place);
  if (turn !== dialog.turn) return;
  if (record) {
    holder.append(...recordSections(record), make("details", {}, make("summary", {}, "The whole record"),
      make("pre", { tabindex: 0 }, JSON.stringify(record, null, 2))));
  } else if (!row[FAILURE]) {
    const chooser = make("input", { type: "file", accept: ".jsonl", onchange: (event) => {
      recordsFile = event.target.files[0];
      holder.replaceChildren();
      addRecord(place, holder, turn);
    } });
    holder.append(make("label", { class: "choose" },
      recordsFile ? `The chosen file does not hold this record; choose the ${facts.file} beside this page. ` : `The whole record is in ${facts.file}; choose that file to see it here. `, chooser));
  }
}

// Show the picture of a row; `rank` is its place among the filtered ones, -1 where it is not one of them.
function showPicture(place, rank) {
  const row = rows[place], box = one("picture"), turn = ++dialog.turn;
  dialog.rank = rank;
  const stage = stageOf(place), record = make("div", {}), group = groupOf(row);
  const step = (by, text) => make("button", { type: "button", disabled: rank < 0 || rank + by < 0 || rank + by >= grid.places.length, onclick: () => grid.open(rank + by) }, text);
  box.replaceChildren(
    make("div", { class: "row bar" },
      make("h2", { id: "picture-title", tabindex: "-1" }, said(row[TITLE] || row[ID])), make("span", { class: "spread" }),
      step(-1, "Previous"), step(1, "Next"), make("button", { type: "button", onclick: () => box.close() }, "Close")),
    make("div", { class: "sides" },
      make("div", {}, stage, make("div", { class: "row" }, ...boxSwitches(row, stage)), fileLine(row)),
      make("div", {}, factList(row), ...insightSections(row),
        ...(group ? [section("Copies", make("ul", { class: "copies" }, ...group.map(copyFigure)))] : []), record)));
  if (!box.open) box.showModal();
  box.scrollTop = 0;
  one("picture-title").focus();
  addRecord(place, record, turn);
}

function onPictureKey(event) {
  if (event.target.matches("input, select, pre")) return;
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const next = dialog.rank + by;
  if (by && dialog.rank >= 0 && next >= 0 && next < grid.places.length) grid.open(next);
}
