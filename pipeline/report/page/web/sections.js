// The lists of changes and of copies, a part at a time.

const CHANGES_AT_ONCE = 50, GROUPS_AT_ONCE = 20;

// By how many percent a number has moved; Infinity where one of both is none.
function movedPercent({ before, after }) {
  return typeof before === "number" && typeof after === "number" && before ? Math.abs(100 * (after - before) / before) : Infinity;
}

function changeValue(value, currency) {
  if (value === null) return make("span", { class: "sub" }, "nothing");
  return said(typeof value === "number" && currency ? money(value, currency) : value);
}

function changeRow(change) {
  const place = placeById.get(change.id);
  const name = place === undefined ? said(change.id)
    : make("button", { type: "button", class: "link", onclick: () => openPlace(place) }, said(change.id));
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, said(change.name), change.item ? make("small", {}, " ", said(change.item)) : ""),
    make("td", {}, changeValue(change.before, change.currency)), make("td", {}, changeValue(change.after, change.currency)));
}

function showChanges(most = CHANGES_AT_ONCE) {
  const kind = one("changes-kind").value, percent = Number(one("changes-percent").value);
  const chosen = facts.changes.filter((change) => (!kind || change.name === kind) && (!percent || movedPercent(change) >= percent));
  const head = make("tr", {}, ...["Row", "What", "Before", "After"].map((text) => make("th", { scope: "col" }, text)));
  const more = chosen.length > most ? make("button", { type: "button", onclick: () => showChanges(most + CHANGES_AT_ONCE) }, `Show more of ${chosen.length}`) : null;
  const body = chosen.length
    ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...chosen.slice(0, most).map(changeRow)))
    : make("p", {}, "No change is like that.");
  one("changes-list").replaceChildren(...[body, more].filter(Boolean));
}

function startChanges() {
  if (!facts.changes.length) return;
  for (const kind of [...new Set(facts.changes.map((change) => change.name))].sort()) {
    one("changes-kind").append(make("option", { value: kind }, kind));
  }
  one("changes-filter").hidden = one("changes-list").hidden = false;
  one("changes-filter").addEventListener("input", () => showChanges());
  one("changes-filter").addEventListener("submit", (event) => event.preventDefault());
  showChanges();
}

// A picture that failed often can't be shown either: its name then says enough.
function hideBrokenPictures() {
  for (const image of one("failures").querySelectorAll("img")) {
    const hide = () => image.replaceWith(make("span", { class: "stand" }, "can't be shown"));
    if (image.complete && !image.naturalWidth) hide();
    else image.addEventListener("error", hide, { once: true });
  }
}

function showGroups(most = GROUPS_AT_ONCE) {
  const groups = facts.groups.slice(0, most).map((group) => make("ul", { class: "copies" }, ...group.map(copyFigure)));
  const more = facts.groups.length > most ? make("button", { type: "button", onclick: () => showGroups(most + GROUPS_AT_ONCE) }, `Show more of ${facts.groups.length}`) : null;
  const lead = facts.groups.length === 1 ? "1 group of copies." : `${facts.groups.length} groups of copies.`;
  one("copies").replaceChildren(make("p", {}, facts.groups.length ? lead : "No copies are known."), ...groups, ...(more ? [more] : []));
}
