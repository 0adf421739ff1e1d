/* What the other scripts share. Text is put into the page only through textContent. */
const data = JSON.parse(document.getElementById("data").textContent);
const plots = JSON.parse(document.getElementById("plots").textContent);
const byId = (id) => document.getElementById(id);
const byCode = new Map(data.concepts.map((concept) => [concept.code, concept]));
const PAGE = 25;

/* Characters that change the writing direction or are invisible are written out, as in U+202E. */
const HIDING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
const plain = (text) =>
  text.replace(HIDING, (c) => "\u27e8U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "\u27e9");

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") for (const [key, set] of Object.entries(value)) node.style.setProperty(key, set);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null) node.append(child);
  return node;
}
/* A word of the glossary at the end of the page, as a link to its meaning. */
const term = (name, shown) =>
  make("a", { className: "term", href: "#word-" + name.toLowerCase().replaceAll(" ", "-"), textContent: shown });
const bdi = (text, className = "") => make("bdi", { className, textContent: plain(text) });
const count = (value) => value.toLocaleString("en-US");
const percent = (value, digits = 0) => (100 * value).toFixed(digits) + "%";
const three = (value) => Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });
const signed = (value) => {
  const text = value.toFixed(3);
  return Number(text) === 0 ? "0.000" : (value > 0 ? "+" : "") + text.replace("-", "−");
};
const plural = (number, one) => count(number) + " " + one + (number === 1 ? "" : "s");
const labelName = (index) =>
  index === null ? null : data.labels && index in data.labels ? data.labels[index] : String(index);
const colour = (index) => data.colours[index % data.colours.length];
const significant = (concept) => concept.labels !== null && concept.labels.q !== null && concept.labels.q <= data.fdr;
const probability = (p) =>
  p < 1e-99 ? "< 1e−99" : "= " + (p < 0.001 ? p.toExponential(0).replace("e-", "e−") : p.toFixed(3));
const firstWords = (concept, limit) =>
  (concept.name ? plain(concept.name) + ": " : "") +
  (concept.top.length ? concept.top.slice(0, limit).map((entry) => plain(entry[0])).join("\u00a0· ") : "sentence rows");

const uses = new Map(data.concepts.map((concept) => [concept.code, []]));
for (const explanation of data.explanations) {
  for (const code of new Set(explanation.words.filter((word) => word[4]).map((word) => word[3]))) {
    if (uses.has(code)) uses.get(code).push(explanation);
  }
}
