/* The panel of an opened concept: its words, labels, distances, effects, neighbours and sentences. */
function marked(text, start, end) {
  const points = Array.from(text);
  const part = (from, to) => plain(points.slice(from, to).join(""));
  const sentence = make("q", { dir: "auto" }, part(0, start));
  if (end > start) sentence.append(make("mark", { textContent: part(start, end) }));
  sentence.append(part(end, points.length));
  return sentence;
}

const heading = (text) => make("h3", { textContent: text });
const quiet = (text) => make("p", { className: "quiet", textContent: text });

function wordsOf(concept) {
  if (!concept.top.length) return quiet("Sentence rows only.");
  const widest = Math.max(...concept.top.map((entry) => entry[2]), 1e-9);
  const rows = concept.top.map(([word, n, share, recall]) =>
    make("tr", {}, make("th", { scope: "row" }, bdi(word)),
      make("td", { className: "share" },
        make("span", { className: "bar" }, make("span", { style: { width: percent(share / widest, 1) } })),
        percent(share, 1)),
      make("td", { textContent: count(n) }), make("td", { textContent: percent(recall) })));
  const heads = ["word", "share of the concept", "times", "of the word"];
  const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col", textContent: name })));
  return make("table", { className: "words-table" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

function labelsOf(concept) {
  const { counts, texts, label, lift, q } = concept.labels;
  const list = make("table", { className: "labels-table" });
  const total = texts || 1;
  counts.forEach((n, index) => list.append(make("tr", {},
    make("th", { scope: "row" }, bdi(labelName(index))),
    make("td", { className: "share" }, make("span", { className: "bar" },
      make("span", { style: { width: percent(n / total, 1), "background-color": colour(index) } }))),
    make("td", { textContent: percent(n / total) }), make("td", { textContent: count(n) }))));
  return [list, make("p", { className: "quiet" }, bdi(labelName(label)),
    ` is ${lift.toFixed(2)} times as frequent as overall; `, term("q", "q"), " " + probability(q) +
      (significant(concept) ? "." : ", which may be chance."))];
}

/* The effect of removing the concept, beyond that of a coherent random step; by predicted class. */
function effectOf({ effect }) {
  const line = (name, sentences, flips, [value, low, high]) => make("tr", {}, make("th", { scope: "row" }, name),
    make("td", {}, signed(value), make("small", { className: "span", textContent: `[${signed(low)}, ${signed(high)}]` })),
    make("td", { textContent: percent(flips, 1) }), make("td", { textContent: count(sentences) }));
  const heads = ["sentences", "effect", "flips", "times"].map((name) => make("th", { scope: "col", textContent: name }));
  heads[0].textContent = effect.classes.length ? "predicted" : "";
  heads[3].textContent = "sentences";
  const rows = effect.classes.map(([, name, sentences, flips, ...beyond]) => line(bdi(name), sentences, flips, beyond));
  const pooled = effect.asked ? bdi(effect.asked) : effect.classes.length ? "all" : "all sentences";
  if (!(effect.asked && effect.classes.length)) rows.push(line(pooled, effect.sentences, effect.flips, effect.coherent));
  const q = effect.coherent[3];
  const shown = q === null ? ["Too few sentences for a test, or no matching control."] : [term("q", "q"),
    ` ${probability(q)} over all concepts` + (effect.own[3] === null ? "" :
      `; beyond the words’ own deviations ${signed(effect.own[0])}, q ${probability(effect.own[3])}`) + "."];
  return [
    make("table", { className: "effect-table" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)),
    make("p", { className: "quiet" }, "Effect: how much more the answer falls than under a ",
      term("Coherent control", "coherent random step"), ". ", ...shown),
  ];
}

const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, properties, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
/* A histogram of the distances of the words, and below it a mark for each sentence that is shown. */
function histogramOf({ distances, examples, range }) {
  const { low, median, high, shares } = distances;
  const most = Math.max(...shares);
  const at = (value) => (high > low ? Math.min(Math.max((100 * (value - low)) / (high - low), 0), 100) : 0).toFixed(2);
  const width = 100 / shares.length;
  const picture = drawn("svg", { viewBox: "0 0 100 44", preserveAspectRatio: "none", class: "histogram", role: "img",
    "aria-label": `Distances of the words to the code, from ${three(low)} to ${three(high)}, half of them below ${three(median)}` });
  shares.forEach((share, index) => picture.append(drawn("rect", {
    x: (index * width).toFixed(2), width: (width - 0.4).toFixed(2),
    y: (34 - (32 * share) / most).toFixed(2), height: ((32 * share) / most).toFixed(2) })));
  const middle = at(median);
  picture.append(drawn("line", { class: "median", x1: middle, x2: middle, y1: 0, y2: 34 }));
  for (const [kind, from, entries] of [["near", 36, examples], ["over", 40, range]]) {
    for (const entry of entries) {
      const x = at(entry[4]);
      picture.append(drawn("line", { class: kind, x1: x, x2: x, y1: from, y2: from + 3.5 }));
    }
  }
  return make("figure", { className: "distances" }, picture,
    make("p", { className: "ends", ariaHidden: "true" }, make("span", { textContent: three(low) }),
      make("span", { textContent: "median " + three(median) }), make("span", { textContent: three(high) })));
}

function sentencesOf(examples, far) {
  return make("ol", {}, ...examples.map(([text, start, end, label, distance]) => make("li", {},
    far ? make("small", { className: "distance", textContent: three(distance) }) : null, far ? " " : null,
    marked(text, start, end),
    label === null ? null : make("small", { className: "label", style: { "--hue": colour(label) } }, " ", bdi(labelName(label))))));
}

function conceptPanel(concept) {
  const left = make("div", { className: "concept-words" }, namingOf(concept), heading("Words"), wordsOf(concept));
  const right = make("div", { className: "concept-facts" });
  if (concept.effect) right.append(heading("When it is removed"), ...effectOf(concept));
  if (concept.labels !== null) right.append(heading(`Labels of its ${data.unit}s`), ...labelsOf(concept));
  const facts = [
    plural(concept.words, "word") + " (" + percent(concept.share, 2) + " of all), " + plural(concept.types, "type") +
      ", " + plural(concept.sentences, "sentence") + "; ",
    term("Spread", "spread"), " " + concept.spread.toFixed(2) + " (0 tight, 1 as wide as all words)",
  ];
  if (concept.sentence_rows) {
    facts.push("; " + count(concept.sentence_rows) + " ",
      term("Sentence row", concept.sentence_rows === 1 ? "sentence row" : "sentence rows"));
  }
  right.append(heading("Size"), make("p", {}, ...facts, "."));
  if (concept.distances) right.append(heading("Distances of its words"), histogramOf(concept));
  if (concept.near.length) {
    right.append(heading("Neighbours"), make("ul", { className: "near" },
      ...concept.near.map(([code, cosine]) => make("li", {}, conceptLink(code, 4),
        make("small", { className: "quiet", textContent: " " + cosine.toFixed(2).replace("-", "−") })))));
  }
  if (linksOf.has(concept.code)) right.append(heading("Into other layers"), flowOf(concept));
  if (data.explanations.length) {
    const used = uses.get(concept.code).length;
    right.append(heading("Explanations"), make("p", {}, used
      ? make("a", { href: "#explanations-of-" + concept.code, className: "to-explanations",
          textContent: "Matters in " + plural(used, "explained sentence") })
      : make("span", { className: "quiet", textContent: "Matters in none of the explained sentences." })));
  }
  const nearest = make("div", { className: "concept-examples nearest" }, heading("Nearest sentences"),
    sentencesOf(concept.examples, false));
  const over = concept.range.length === 0 ? null : make("div", { className: "concept-examples over" },
    heading("Sentences from all over its distances"),
    quiet("Drawn at random, one from each tenth of its words, the nearest tenth first; before each its squared distance."),
    sentencesOf(concept.range, true));
  return make("div", { className: "concept" }, left, right, nearest, over);
}

function conceptLink(code, limit) {
  const concept = byCode.get(code);
  if (!concept) return make("span", { textContent: code });
  const named = bdi(firstWords(concept, limit));
  Object.assign(named.dataset, { wordsOf: code, limit });
  return make("a", { href: "#concept-" + code }, make("span", { className: "code", textContent: code }), " ",
    named);
}
