/* The catalogue: a row a concept, search, order and filters. */
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

const ORDERS = {
  words: (a, b) => b.words - a.words,
  sentences: (a, b) => b.sentences - a.sentences,
  strength: (a, b) => significant(b) - significant(a) || (b.labels?.lift ?? 0) - (a.labels?.lift ?? 0),
  spread: (a, b) => a.spread - b.spread,
  effect: (a, b) => (b.effect?.coherent[0] ?? -Infinity) - (a.effect?.coherent[0] ?? -Infinity) || 0,
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
    text: [...concept.top, ...concept.examples, ...concept.range].map((entry) => entry[0]).join("\n").toLowerCase(),
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
