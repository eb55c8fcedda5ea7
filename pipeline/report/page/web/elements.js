// Elements made from values: text is only ever text, and addresses are those of files or of the web.

const one = (id) => document.getElementById(id);

// Make an element; strings among the children become text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== "" && child !== undefined));
  return element;
}

// A text of somebody else, whose direction has no effect on what is around it.
const said = (text) => make("bdi", {}, String(text));

// A link to the web, or text where the address is none.
function webLink(address, text) {
  if (!isWeb(address)) return said(text);
  return make("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, said(text));
}

const webAllowed = new Set(); // addresses that the user has asked for
let allWeb = false;

// The small picture of a row: its thumbnail, its file, or what stands for it.
function smallPicture(place) {
  const row = rows[place];
  const box = make("span", { class: "small" });
  const webp = thumbnails[place];
  const address = webp ? `data:image/webp;base64,${webp}` : fileAddress(row);
  const web = isWeb(row[PICTURE]) && (allWeb || webAllowed.has(row[PICTURE])) ? row[PICTURE] : "";
  const stand = make("span", { class: "stand" }, isWeb(row[PICTURE]) ? host(row[PICTURE]) : row[PICTURE] ? "no picture" : "");
  if (!address && !web) {
    box.append(stand);
    return box;
  }
  const image = make("img", { src: address || web, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(stand), { once: true });
  box.append(image);
  return box;
}

const money = (price, currency) => (price === null ? "" : `${price.toLocaleString("en", { minimumFractionDigits: 2 })} ${currency}`.trim());

function fileSize(bytes) {
  if (!bytes) return "";
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const sizeText = ([width, height, bytes], format) =>
  [width ? `${width} × ${height} px` : "", fileSize(bytes), format].filter(Boolean).join(", ");
