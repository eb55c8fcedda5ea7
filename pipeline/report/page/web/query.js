// The filter language: words, "quoted words", -not, field:contains, field=is, field>number, several values by comma.

const NUMBERS = {
  price: (row) => row[PRICE],
  pages: (row) => row[COUNTS][0],
  similar: (row) => row[COUNTS][1],
  offers: (row) => row[COUNTS][2],
  copies: (row) => row[COUNTS][3],
  width: (row) => row[SIZE][0],
  height: (row) => row[SIZE][1],
  bytes: (row) => row[SIZE][2],
  tags: (row) => row[TAGS].length,
};
const TEXTS = {
  id: (row) => [row[ID]],
  status: (row) => [row[STATUS]],
  code: (row) => (row[FAILURE] ? [row[FAILURE][0]] : []),
  stage: (row) => (row[FAILURE] ? [row[FAILURE][2]] : []),
  title: (row) => [row[TITLE]],
  tag: (row) => row[TAGS].map((tag) => tag[0]),
  text: (row) => row[LINES].map((line) => line[0]),
  entity: (row) => row[ENTITIES],
  picture: (row) => [row[PICTURE]],
  format: (row) => [row[FORMAT]],
  currency: (row) => [row[CURRENCY]],
  provider: (row) => [row[PROVIDER]],
};
const changedFields = new Map(); // what has changed in the last run, by id
for (const change of facts.changes) {
  if (!changedFields.has(change.id)) changedFields.set(change.id, []);
  changedFields.get(change.id).push(change.name);
}
TEXTS.changed = (row) => changedFields.get(row[ID]) || [];
const copyKinds = new Map(); // what a row is in its group of copies, by id
for (const group of facts.groups) for (const [, id, kind] of group) copyKinds.set(id, kind);
TEXTS.copy = (row) => (copyKinds.has(row[ID]) ? [copyKinds.get(row[ID])] : []);
facts.carry.forEach((name, column) => {
  const key = name.toLowerCase();
  if (key in NUMBERS || key in TEXTS) return;
  TEXTS[key] = (row) => (row[CARRY][column] === null ? [] : [String(row[CARRY][column])]);
  NUMBERS[key] = (row) => (row[CARRY][column] === null || row[CARRY][column] === "" ? null : Number(row[CARRY][column]));
});
const FIELDS = [...new Set([...Object.keys(TEXTS), ...Object.keys(NUMBERS)])].sort();
// "-", a field and what compares it, then "quoted" or plain text up to a space.
const TERM = /(-?)(?:([^\s":=<>]+|"[^"]+")(<=|>=|[:=<>]))?((?:"[^"]*"|[^\s"])*)/gy;
const COMPARE = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
};

const unquoted = (text) => text.replaceAll('"', "");
const quoted = (text) => (/[\s,]/.test(text) ? `"${text}"` : text);
const splitValues = (text) => (text.match(/(?:"[^"]*"|[^,])+/g) || []).map((value) => unquoted(value).toLowerCase());

// Return the test of one term, and a note where a field is unknown.
function compileTerm(name, operator, value) {
  const field = unquoted(name || "").toLowerCase();
  const values = splitValues(value);
  if (!operator || (!(field in TEXTS) && !(field in NUMBERS))) {
    const text = unquoted((name || "") + (operator || "") + value).toLowerCase();
    const note = operator && field ? `There is no field “${field}”: “${text}” is looked for as text.` : "";
    return [(row, place) => haystacks[place].includes(text), note];
  }
  if (!values.length) return [() => true, ""];
  const number = Number(values[0]);
  if (/[<>]/.test(operator) || (operator === "=" && !(field in TEXTS))) {
    if (!(field in NUMBERS) || Number.isNaN(number)) return [() => false, `“${field}${operator}” needs a field and a value that are numbers.`];
    const read = NUMBERS[field], compare = COMPARE[operator];
    return [(row) => { const own = read(row); return own !== null && !Number.isNaN(own) && compare(own, number); }, ""];
  }
  const read = TEXTS[field] || ((row) => [String(NUMBERS[field](row))]);
  const matches = operator === "="
    ? (own) => values.includes(own.toLowerCase())
    : (own) => { const text = own.toLowerCase(); return values.some((each) => text.includes(each)); };
  return [(row) => read(row).some(matches), ""];
}

// Return the test of a whole filter, of a row and its place, and notes about it.
function compile(text) {
  const tests = [], notes = [];
  TERM.lastIndex = 0;
  while (TERM.lastIndex < text.length) {
    const start = TERM.lastIndex;
    const [all, minus, name, operator, value] = TERM.exec(text) || [""];
    if (!all) {
      TERM.lastIndex = start + 1;
      continue;
    }
    if (all === "-" || (!operator && !unquoted(value))) continue;
    const [test, note] = compileTerm(name, operator, value);
    tests.push(minus ? (row, place) => !test(row, place) : test);
    if (note) notes.push(note);
  }
  const test = tests.length === 1 ? tests[0] : (row, place) => tests.every((each) => each(row, place));
  return { test, notes };
}

const ORDERS = {
  title: (a, b) => rows[a][TITLE].localeCompare(rows[b][TITLE]),
  cheap: (a, b) => (rows[a][PRICE] ?? Infinity) - (rows[b][PRICE] ?? Infinity),
  dear: (a, b) => (rows[b][PRICE] ?? -Infinity) - (rows[a][PRICE] ?? -Infinity),
  copies: (a, b) => rows[b][COUNTS][3] - rows[a][COUNTS][3],
  late: (a, b) => rows[b][AT] - rows[a][AT],
};

// Return the places of the rows that a filter lets through.
function search(text, order) {
  const { test, notes } = compile(text);
  const places = [];
  for (let place = 0; place < rows.length; place++) if (test(rows[place], place)) places.push(place);
  if (order in ORDERS) places.sort((a, b) => ORDERS[order](a, b) || a - b);
  return { places, notes };
}
