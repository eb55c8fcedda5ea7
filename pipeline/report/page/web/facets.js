// The facets: for each field with few values, how many of the filtered rows have each. Values are numbered once.

const MOST_VALUES = 200, SHOWN = 8;
const facetNames = ["status", "code", "copy", "changed", "format", "provider", ...facts.carry.map((name) => name.toLowerCase()), "tag"];
const facets = [...new Set(facetNames)].filter((name) => name in TEXTS)
  .map((name) => ({ name, values: new Map(), rows: [], least: name === "tag" || name === "copy" ? 1 : 2, isOpen: name === "tag", tooMany: false }));

// Number the values of the rows from `from` on. Tags may be many: then the rare ones are left out, other facets wholly.
function indexFacets(from) {
  for (const facet of facets) {
    if (facet.tooMany) continue;
    const read = TEXTS[facet.name];
    for (let place = from; place < rows.length; place++) {
      const numbers = [];
      for (const value of new Set(read(rows[place]))) {
        if (value === "") continue;
        if (!facet.values.has(value)) {
          if (facet.values.size >= MOST_VALUES && !facet.isOpen) facet.tooMany = true;
          if (facet.values.size >= 10 * MOST_VALUES) continue;
          facet.values.set(value, facet.values.size);
        }
        numbers.push(facet.values.get(value));
      }
      facet.rows.push(numbers);
    }
    if (facet.tooMany) facet.rows = [];
  }
}

function countFacet(facet, places) {
  const counts = new Uint32Array(facet.values.size);
  for (const place of places) for (const number of facet.rows[place]) counts[number]++;
  const counted = [...facet.values.keys()].map((value, number) => [value, counts[number]]);
  return counted.sort((a, b) => b[1] - a[1]);
}

// Show the facets of the filtered rows; `toggle(term)` adds or removes a term of the filter.
function showFacets(places, query, toggle) {
  const groups = [];
  for (const facet of facets) {
    if (facet.tooMany || facet.values.size < facet.least || facet.values.size > Math.max(8, rows.length / 2)) continue;
    const counted = countFacet(facet, places);
    const terms = counted.map(([value, count]) => [value, count, `${quotedName(facet.name)}=${quoted(value)}`]);
    const shown = terms.filter(([, count, term], rank) => (count && rank < SHOWN) || query.includes(term));
    if (!shown.length) continue;
    const buttons = shown.map(([value, count, term]) => make("li", {}, make("button", {
      type: "button", class: "facet", "aria-pressed": String(query.includes(term)), onclick: () => toggle(term),
    }, said(value), make("small", {}, ` ${count.toLocaleString("en")}`))));
    groups.push(make("section", {}, make("h3", {}, facet.name), make("ul", {}, ...buttons)));
  }
  one("facets").replaceChildren(...groups);
}

const quotedName = (name) => (/\s/.test(name) ? `"${name}"` : name);
