// The rows of the page: unpacked piece by piece, so that the first ones are shown before the last ones are read.

const facts = JSON.parse(document.getElementById("facts").textContent);
const thumbnails = JSON.parse(document.getElementById("thumbnails").textContent);

// The places of an entry's values: entries.py writes them in this order.
const ID = 0, STATUS = 1, TITLE = 2, PICTURE = 3, TAGS = 4, LINES = 5, PRICE = 6, CURRENCY = 7, COUNTS = 8, ENTITIES = 9,
  CARRY = 10, FAILURE = 11, SIZE = 12, FORMAT = 13, PROVIDER = 14, AT = 15, PLACE = 16;

const rows = [];
const haystacks = []; // for each row, all its text in lower case
const placeById = new Map();

async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

function haystack(row) {
  const parts = [row[ID], row[TITLE], row[PICTURE], ...row[ENTITIES]];
  for (const tag of row[TAGS]) parts.push(tag[0]);
  for (const line of row[LINES]) parts.push(line[0]);
  for (const value of row[CARRY]) if (value !== null) parts.push(value);
  if (row[FAILURE]) parts.push(row[FAILURE][0], row[FAILURE][1]);
  return parts.join("\n").toLowerCase();
}

// Read all rows; calls `added(from)` after each piece.
async function loadRows(added) {
  for (const element of document.querySelectorAll("script.rows")) {
    const from = rows.length;
    for (const row of await unpack(element)) {
      placeById.set(row[ID], rows.length);
      rows.push(row);
      haystacks.push(haystack(row));
    }
    element.remove();
    added(from);
    await new Promise((resolve) => setTimeout(resolve));
  }
}

// Whole records: the first ones are in the page, others are read from insights.jsonl once the user has chosen that file.
const recordPieces = [...document.querySelectorAll("script.records")];
const unpackedRecords = new Map();
let recordsFile = null;

async function wholeRecord(place) {
  if (place < facts.records) {
    const piece = Math.floor(place / facts.per_piece);
    if (!unpackedRecords.has(piece)) unpackedRecords.set(piece, unpack(recordPieces[piece]));
    return (await unpackedRecords.get(piece))[place % facts.per_piece];
  }
  const row = rows[place];
  if (!recordsFile || row[FAILURE]) return null;
  const [offset, length] = row[PLACE];
  try {
    const record = JSON.parse(await recordsFile.slice(offset, offset + length).text());
    return record.id === row[ID] ? record : null;
  } catch {
    return null;
  }
}

const isWeb = (address) => /^https?:\/\//i.test(address);
const isElsewhere = (address) => /^(token:|[a-z][a-z0-9+.-]+:\/\/)/i.test(address);

// The address of a row's file relative to this page; empty where it has none.
function fileAddress(row) {
  const name = row[PICTURE];
  if (facts.base === null || !name || isElsewhere(name)) return "";
  return facts.base + name.split("/").map(encodeURIComponent).join("/");
}

function host(address) {
  try {
    return new URL(address).host;
  } catch {
    return "";
  }
}
