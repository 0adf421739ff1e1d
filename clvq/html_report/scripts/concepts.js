/* The catalogue: one row per concept, in pages, with search, order and filters. */
const ROWS = 50;

function labelBar(concept) {
  const { counts, texts } = concept.labels;
  const total = texts || 1;
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
  const words = make("span", { className: "words" }, givenName(concept));
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
  const row = make("li", { id: "concept-" + concept.code }, details);
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector(".concept")) {
      details.append(conceptPanel(concept));
      mark(row, catalogued.patterns());
    }
  });
  return row;
}

const ORDERS = {
  words: (a, b) => b.words - a.words,
  sentences: (a, b) => b.sentences - a.sentences,
  strength: (a, b) => significant(b) - significant(a) || (b.labels?.lift ?? 0) - (a.labels?.lift ?? 0),
  spread: (a, b) => a.spread - b.spread,
  effect: (a, b) => (a.effect?.rank ?? Infinity) - (b.effect?.rank ?? Infinity) || 0,
  code: (a, b) => a.code - b.code,
};

const catalogued = byId("catalogue") ? startCatalogue() : null;
function startCatalogue() {
  const catalogue = byId("catalogue");
  const controls = byId("concept-controls");
  const [search, regex, sort, label, kind, only, page, pager, status] =
    ["search", "regex", "sort", "label", "rows", "significant", "page", "pager", "status"]
      .map((name) => byId("concept-" + name));
  const rows = new Map();
  const texts = new Map();
  let fitting = [];
  let query = asked(search, regex);
  const examples = (concept) => [...concept.examples, ...concept.range].map((entry) => entry[0]);
  function text(concept) {
    if (!texts.has(concept)) {
      texts.set(concept, [concept.name ?? "", concept.note ?? "", ...concept.top.map((entry) => entry[0]),
        ...examples(concept)].map(plain).join("\n"));
    }
    return texts.get(concept);
  }
  /* If a row does not show the match of a search, add the first note or sentence that has the match. */
  function found(concept, row) {
    row.querySelector(".found")?.remove();
    const shown = Array.from(row.querySelectorAll(".words bdi"), (word) => word.textContent).join("\n");
    if (query.empty || query.patterns.every((pattern) => shown.search(pattern) >= 0)) return;
    const line = [concept.note ?? "", ...examples(concept)].map(plain)
      .find((one) => query.patterns.some((pattern) => one.search(pattern) >= 0));
    if (!line) return;
    const at = Math.min(...query.patterns.map((pattern) => line.search(pattern)).filter((start) => start >= 0));
    const from = at > 60 ? line.indexOf(" ", at - 50) + 1 : 0;
    row.querySelector("summary").append(make("small", { className: "found" },
      make("q", { dir: "auto", textContent: (from ? "…" : "") + line.slice(from, at + 90) + (line.length > at + 90 ? "…" : "") })));
  }
  function row(concept) {
    if (!rows.has(concept)) rows.set(concept, conceptRow(concept));
    const node = rows.get(concept);
    unmark(node);
    found(concept, node);
    mark(node, query.patterns);
    return node;
  }
  const pages = () => Math.max(Math.ceil(fitting.length / ROWS), 1);
  function show() {
    const number = Math.min(Math.max(Math.floor(Number(page.value)) || 1, 1), pages());
    page.value = number;
    page.max = pages();
    catalogue.replaceChildren(...fitting.slice((number - 1) * ROWS, number * ROWS).map(row));
    pager.hidden = pages() === 1;
    byId("concept-pages").textContent = "of " + count(pages());
    byId("concept-previous").disabled = number === 1;
    byId("concept-next").disabled = number === pages();
    const all = data.concepts.length;
    status.textContent = query.error ??
      (fitting.length === all ? plural(all, "concept") : `${count(fitting.length)} of ${plural(all, "concept")}`);
    keepSearch();
  }
  function filter() {
    query = asked(search, regex);
    if (query.error === null) {
      fitting = data.concepts.filter((concept) => query.fits(concept.code, text(concept)) &&
        (!label || !label.value || (concept.labels !== null && concept.labels.label === Number(label.value))) &&
        (!kind.value || concept.of_sentence_rows === (kind.value === "sentences")) &&
        (!only || !only.checked || significant(concept)));
      const compare = ORDERS[sort.value];
      fitting.sort((a, b) => compare(a, b) || a.code - b.code);
    }
    show();
  }
  const changed = () => {
    page.value = 1;
    filter();
  };
  function turn(number) {
    page.value = number;
    show();
    controls.scrollIntoView({ block: "start" });
    catalogue.querySelector("summary").focus({ preventScroll: true });
  }
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", changed);
  controls.addEventListener("reset", () => setTimeout(changed));
  page.addEventListener("change", () => turn(page.value));
  byId("concept-previous").addEventListener("click", () => turn(Number(page.value) - 1));
  byId("concept-next").addEventListener("click", () => turn(Number(page.value) + 1));
  /* When printing, show the rows of all pages, since a reader on paper cannot turn them. */
  addEventListener("beforeprint", () => catalogue.replaceChildren(...fitting.map(row)));
  addEventListener("afterprint", show);
  filter();
  return {
    filter,
    patterns: () => query.patterns,
    renamed(concept) {
      texts.delete(concept);
    },
    /* Show the page with the row of a code, and return the row. If filters hide the row, reset them. */
    reveal(code) {
      const concept = byCode.get(code);
      if (!concept) return null;
      if (!fitting.includes(concept)) {
        search.value = kind.value = "";
        regex.checked = false;
        if (label) label.value = "";
        if (only) only.checked = false;
        filter();
      }
      const number = Math.floor(fitting.indexOf(concept) / ROWS) + 1;
      if (number !== Number(page.value) || !byId("concept-" + code)) {
        page.value = number;
        show();
      }
      return byId("concept-" + code);
    },
  };
}
