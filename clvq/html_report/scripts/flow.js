/* Links between the concepts here and those of another layer pair, as two columns. */
const linksOf = new Map();
for (const link of data.flow?.links ?? []) {
  if (!linksOf.has(link[0])) linksOf.set(link[0], []);
  linksOf.get(link[0]).push(link);
}
const nameThere = (code) => {
  const [name, words] = data.flow.others[code] ?? ["", []];
  return [name, words.slice(0, 4).join("\u00a0· ")];
};
function there(code) {
  const [name, words] = nameThere(code);
  return make("span", {}, make("span", { className: "code", textContent: code }), " ", bdi(name || words));
}
/* The three strongest links of a concept, for its panel. */
function flowOf(concept) {
  return make("ul", { className: "near" }, ...linksOf.get(concept.code).slice(0, 3).map(([, other, , share]) =>
    make("li", {}, there(other), make("small", { className: "quiet", textContent: " " + percent(share) + " of its words" }))),
    make("li", {}, make("a", { href: "#flow-of-" + concept.code, textContent: "Its links" })));
}

const flowing = byId("flow-links") ? startFlow() : null;
function startFlow() {
  const [code, status, place] = [byId("flow-code"), byId("flow-status"), byId("flow-links")];
  /* Each code once, with the number of words of all its links. */
  function column(links, side) {
    const words = new Map();
    for (const link of links) words.set(link[side], (words.get(link[side]) ?? 0) + link[2]);
    return words;
  }
  function ordered(links) {
    const here = column(links, 0);
    const left = [...here.keys()].sort((a, b) => here.get(b) - here.get(a) || a - b);
    const at = new Map(left.map((one, index) => [one, index]));
    const total = column(links, 1);
    const middle = new Map();
    for (const [from, to, words] of links) middle.set(to, (middle.get(to) ?? 0) + at.get(from) * words / total.get(to));
    const right = [...total.keys()].sort((a, b) => middle.get(a) - middle.get(b) || a - b);
    return [left, right];
  }
  function list(name, codes, node, height) {
    const items = codes.map((one) => make("li", { style: { height: (height / codes.length).toFixed(1) + "px" } }, node(one)));
    items.forEach((item, index) => { item.dataset[name] = codes[index]; });
    return make("ol", { className: name }, ...items);
  }
  function picture(links, left, right, height) {
    const most = Math.max(...links.map((link) => link[2]));
    const centre = (codes, one) => ((codes.indexOf(one) + 0.5) * height) / codes.length;
    const svg = drawn("svg", { viewBox: `0 0 100 ${height}`, height, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const [from, to, words] of links) {
      const [y, end] = [centre(left, from).toFixed(1), centre(right, to).toFixed(1)];
      svg.append(drawn("path", { d: `M0 ${y}C50 ${y} 50 ${end} 100 ${end}`, "data-from": from, "data-to": to,
        "stroke-width": (1 + 11 * Math.sqrt(words / most)).toFixed(1) }));
    }
    return svg;
  }
  function light(item) {
    const key = item ? (item.dataset.here !== undefined ? ["from", item.dataset.here] : ["to", item.dataset.there]) : null;
    place.classList.toggle("lit", item !== null);
    place.querySelectorAll("path").forEach((path) => {
      path.classList.toggle("on", key !== null && path.dataset[key[0]] === key[1]);
    });
  }
  function show() {
    const all = data.flow.links;
    const chosen = code.value === "" ? null : Number(code.value);
    const links = chosen === null ? all.slice(0, data.flow.strongest) : all.filter(([from]) => from === chosen);
    const [left, right] = ordered(links);
    const height = Math.max(left.length, right.length) * 44;
    place.replaceChildren();
    if (links.length) {
      place.append(list("here", left, (one) => conceptLink(one, 4), height), picture(links, left, right, height),
        list("there", right, (one) => Object.assign(there(one), { tabIndex: 0, title: plain(nameThere(one)[1]) }), height));
    }
    status.textContent = chosen === null ? `The ${count(links.length)} strongest links` :
      links.length ? `The strongest of the links of concept ${chosen}: ${count(links.length)}` : `Concept ${chosen} has no word there.`;
    byId("flow-table").tBodies[0].replaceChildren(...links.map(([from, to, words, share, other, lift]) => make("tr", {},
      make("th", { scope: "row" }, conceptLink(from, 3)), make("td", {}, there(to)), make("td", { textContent: count(words) }),
      make("td", { textContent: percent(share) }), make("td", { textContent: percent(other) }),
      make("td", { textContent: three(lift) }))));
    keepSearch();
  }
  const item = (event) => event.target.closest?.("li") ?? null;
  place.addEventListener("pointerover", (event) => light(item(event)));
  place.addEventListener("pointerleave", () => light(null));
  place.addEventListener("focusin", (event) => light(item(event)));
  place.addEventListener("focusout", () => light(null));
  byId("flow-controls").addEventListener("submit", (event) => event.preventDefault());
  byId("flow-controls").addEventListener("input", show);
  show();
  return {
    show,
    of(number) {
      code.value = number;
      show();
    },
  };
}
