// Downloads of the filtered rows, made here: nothing is sent anywhere.

function plainRow(place) {
  const row = rows[place];
  const failure = row[FAILURE] || ["", "", "", ""];
  return {
    id: row[ID], status: row[STATUS], title: row[TITLE], picture: row[PICTURE],
    tags: row[TAGS].map((tag) => tag[0]), text: row[LINES].map((line) => line[0]).join("\n"),
    price: row[PRICE], currency: row[CURRENCY],
    pages: row[COUNTS][0], similar: row[COUNTS][1], offers: row[COUNTS][2], copies: row[COUNTS][3],
    entities: row[ENTITIES], code: failure[0], message: failure[1],
    width: row[SIZE][0], height: row[SIZE][1], bytes: row[SIZE][2], format: row[FORMAT], provider: row[PROVIDER],
    at: row[AT] ? new Date(1000 * row[AT]).toISOString() : "",
    ...Object.fromEntries(facts.carry.map((name, column) => [`carry.${name}`, row[CARRY][column]])),
  };
}

// One cell of CSV. A spreadsheet would run a text that begins like a formula, so that gets an apostrophe in front.
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = Array.isArray(value) ? value.join("; ") : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function asCsv(places) {
  const lines = places.map(plainRow);
  const names = lines.length ? Object.keys(lines[0]) : ["id"];
  return "\ufeff" + [names.map(cell), ...lines.map((line) => names.map((name) => cell(line[name])))].map((cells) => cells.join(",") + "\r\n").join("");
}

const asJsonl = (places) => places.map((place) => JSON.stringify(plainRow(place)) + "\n").join("");

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
