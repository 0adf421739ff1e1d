/* The catalogue: a row a concept, its panel when it is opened, search, order and filters. */
function labelBar(concept) {
  const { counts } = concept.labels;
  const total = counts.reduce((sum, n) => sum + n, 0) || 1;
  const told = counts.map((n, index) => labelName(index) + " " + percent(n / total)).join(", ");
  const bar = make("span", { className: "label-bar" + (significant(concept) ? "" : " by-chance"), role: "img" });
  bar.setAttribute("aria-label", plain(told));
  bar.title = plain(told);
  counts.forEach((n, index) => {
    if (n) bar.append(make("i", { style: { "flex-grow": n, "background-color": colour(index) } }));
  });
  return bar;
}

function conceptRow(concept) {
  const words = make("span", { className: "words" });
  if (concept.of_sentence_rows) words.append(make("span", { className: "tag", textContent: "sentence rows" }), " ");
  concept.top.slice(0, 12).forEach(([word], index) => {
    if (index) words.append("\u00a0· ");
    words.append(bdi(word, index < 3 ? "first" : ""));
  });
  const association = concept.labels === null ? null : make(
    "span", { className: "association" }, labelBar(concept),
    significant(concept)
      ? make("small", {}, bdi(labelName(concept.labels.label)), " " + percent(concept.labels.share))
      : make("small", { className: "quiet", textContent: "none stands out" }),
  );
  const summary = make(
    "summary", {}, make("span", { className: "code", textContent: concept.code }), words, association,
    make("span", { className: "count" }, count(concept.words), make("small", { textContent: " words" })),
  );
  const details = make("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector(".concept")) details.append(conceptPanel(concept));
  });
  return make("li", { id: "concept-" + concept.code }, details);
}

function marked(text, start, end) {
  const points = Array.from(text);
  const part = (from, to) => plain(points.slice(from, to).join(""));
  const sentence = make("q", { dir: "auto" }, part(0, start));
  if (end > start) sentence.append(make("mark", { textContent: part(start, end) }));
  sentence.append(part(end, points.length));
  return sentence;
}

function conceptPanel(concept) {
  const left = make("div", { className: "concept-words" }, make("h3", { textContent: "Words" }));
  if (concept.top.length) {
    const widest = Math.max(...concept.top.map((entry) => entry[2]), 1e-9);
    const rows = concept.top.map(([word, n, share, recall]) =>
      make("tr", {}, make("th", { scope: "row" }, bdi(word)),
        make("td", { className: "share" },
          make("span", { className: "bar" }, make("span", { style: { width: percent(share / widest, 1) } })),
          percent(share, 1)),
        make("td", { textContent: count(n) }), make("td", { textContent: percent(recall) })));
    const heads = ["word", "share of the concept", "times", "of the word"];
    const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col", textContent: name })));
    left.append(make("table", { className: "words-table" }, make("thead", {}, head), make("tbody", {}, ...rows)));
  } else left.append(make("p", { className: "quiet", textContent: "Sentence rows only." }));

  const right = make("div", { className: "concept-facts" });
  if (concept.labels !== null) {
    const { counts, label, lift, q } = concept.labels;
    const list = make("table", { className: "labels-table" });
    const total = counts.reduce((sum, n) => sum + n, 0) || 1;
    counts.forEach((n, index) => list.append(make("tr", {},
      make("th", { scope: "row" }, bdi(labelName(index))),
      make("td", { className: "share" }, make("span", { className: "bar" },
        make("span", { style: { width: percent(n / total, 1), "background-color": colour(index) } }))),
      make("td", { textContent: percent(n / total) }), make("td", { textContent: count(n) }))));
    right.append(make("h3", { textContent: "Labels of its sentences" }), list,
      make("p", { className: "quiet" }, bdi(labelName(label)), ` is ${lift.toFixed(2)} times as frequent as overall; q ` +
        probability(q) + (significant(concept) ? "." : ", which may be chance.")));
  }
  const facts = [
    plural(concept.words, "word") + " (" + percent(concept.share, 2) + " of all), " + plural(concept.types, "type") +
      ", " + plural(concept.sentences, "sentence"),
    "spread " + concept.spread.toFixed(2) + " (0 tight, 1 as wide as all words)",
  ];
  if (concept.sentence_rows) facts.push(plural(concept.sentence_rows, "sentence row"));
  right.append(make("h3", { textContent: "Size" }), make("p", { textContent: facts.join("; ") + "." }));
  if (concept.near.length) {
    right.append(make("h3", { textContent: "Neighbours" }), make("ul", { className: "near" },
      ...concept.near.map(([code, cosine]) => make("li", {}, conceptLink(code, 4),
        make("small", { className: "quiet", textContent: " " + cosine.toFixed(2).replace("-", "−") })))));
  }
  const used = uses.get(concept.code).length;
  if (data.explanations.length) {
    right.append(make("h3", { textContent: "Explanations" }), make("p", {}, used
      ? make("a", { href: "#explanations-of-" + concept.code, className: "to-explanations",
          textContent: "Matters in " + plural(used, "explained sentence") })
      : make("span", { className: "quiet", textContent: "Matters in none of the explained sentences." })));
  }

  const examples = make("div", { className: "concept-examples" }, make("h3", { textContent: "Nearest sentences" }),
    make("ol", {}, ...concept.examples.map(([text, start, end, label]) => make("li", {}, marked(text, start, end),
      label === null ? null : make("small", { className: "label", style: { "--hue": colour(label) } }, " ", bdi(labelName(label)))))));
  return make("div", { className: "concept" }, left, right, examples);
}

function conceptLink(code, limit) {
  const concept = byCode.get(code);
  if (!concept) return make("span", { textContent: code });
  return make("a", { href: "#concept-" + code }, make("span", { className: "code", textContent: code }), " ",
    bdi(firstWords(concept, limit)));
}

const ORDERS = {
  words: (a, b) => b.words - a.words,
  sentences: (a, b) => b.sentences - a.sentences,
  strength: (a, b) => significant(b) - significant(a) || (b.labels?.lift ?? 0) - (a.labels?.lift ?? 0),
  spread: (a, b) => a.spread - b.spread,
  code: (a, b) => a.code - b.code,
};
const terms = (field) => field.value.toLowerCase().split(/\s+/).filter(Boolean);
const holds = (haystack, wanted) => wanted.every((term) => haystack.includes(term));

const catalogue = byId("catalogue");
if (catalogue) startCatalogue();
function startCatalogue() {
  const rows = data.concepts.map((concept) => ({
    concept,
    row: conceptRow(concept),
    text: [...concept.top, ...concept.examples].map((entry) => entry[0]).join("\n").toLowerCase(),
  }));
  const controls = byId("concept-controls");
  const [search, sort, label, kind, only] = ["search", "sort", "label", "rows", "significant"]
    .map((name) => byId("concept-" + name));
  function filter() {
    const wanted = terms(search);
    let shown = 0;
    for (const { concept, row, text } of rows) {
      const fits = holds(text, wanted) &&
        (!label || !label.value || (concept.labels !== null && concept.labels.label === Number(label.value))) &&
        (!kind.value || concept.of_sentence_rows === (kind.value === "sentences")) &&
        (!only || !only.checked || significant(concept));
      row.hidden = !fits;
      shown += fits;
    }
    byId("concept-status").textContent =
      shown === rows.length ? plural(shown, "concept") : `${count(shown)} of ${plural(rows.length, "concept")}`;
  }
  function order() {
    const compare = ORDERS[sort.value];
    rows.sort((a, b) => compare(a.concept, b.concept) || a.concept.code - b.concept.code);
    catalogue.append(...rows.map(({ row }) => row));
  }
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", (event) => (event.target === sort ? order() : filter()));
  controls.addEventListener("reset", () => setTimeout(filter));
  order();
  filter();
}
