/* Explained sentences: shaded words, filters, one page at a time. */
function explanationCard(explanation) {
  const { id, label, prediction, target, text } = explanation;
  const wrong = data.classes && label !== null && label !== prediction;
  const head = make("p", { className: "verdict" },
    make("a", { href: "#explanation-" + id, className: "number", textContent: id }), " ",
    make("span", { className: "quiet", textContent: explanation.probability === null ? "score of " : "predicted " }),
    bdi(target, "prediction"),
    " " + (explanation.probability === null ? explanation.score.toPrecision(3) : percent(explanation.probability, 1)));
  if (data.classes) head.querySelector(".prediction").style.setProperty("--hue", colour(prediction));
  if (wrong) head.append(" ", make("span", { className: "wrong" }, "wrong: labelled ", bdi(labelName(label))));
  else if (label !== null && !data.classes) head.append(make("span", { className: "quiet" }, ", labelled ",
    bdi(explanation.labelled || labelName(label))));

  const points = Array.from(text);
  const part = (from, to) => plain(points.slice(from, to).join(""));
  const rationale = explanation.rationale || [];
  const person = (start, end) => rationale.some(([from, to]) => start < to && end > from);
  const strongest = Math.max(...explanation.words.map((word) => Math.abs(word[2])), 1e-12);
  const sentence = make("p", { className: "sentence", dir: "auto" });
  let place = 0;
  const gap = (to) => {
    if (to > place) {
      const between = part(place, to);
      sentence.append(person(place, to) && place ? make("span", { className: "rationale", textContent: between }) : between);
    }
  };
  const because = [];
  for (const [start, end, attribution, code, salient] of explanation.words) {
    gap(start);
    const known = byCode.has(code);
    const share = Math.abs(attribution) / strongest;
    const word = make(known ? "a" : "span", {
      className: "word shade " + (attribution < 0 ? "against" : "for") + (salient ? " salient" : "") +
        (person(start, end) ? " rationale" : ""),
      textContent: part(Math.max(start, place), end) || "·",  // a token inside a character that is shown already
      tabIndex: salient ? 0 : -1,
      style: { "--strength": share.toFixed(2) },
    });
    if (known) word.href = "#concept-" + code;
    if (known && salient) because.push([part(start, end), code]);
    aboutWord.set(word, { word: part(start, end), attribution, share, code, target });
    sentence.append(word);
    place = Math.max(place, end);
  }
  gap(points.length);
  const words = Array.from(sentence.querySelectorAll(".word"));
  if (words.length && !words.some((word) => word.tabIndex === 0)) words[0].tabIndex = 0;
  const reasons = make("ul", { className: "because" }, ...because.map(([word, code]) =>
    make("li", {}, bdi(word, "of"), " ", conceptLink(code, 5))));
  const details = make("p", { className: "fine", textContent:
    `explained difference ${explanation.difference.toFixed(2).replace("-", "−")}, completeness error ` +
    `${percent(explanation.completeness_error, 1)}, ${plural(explanation.steps, "step")}, ` +
    `${percent(explanation.special_share)} on tokens that are no words` });
  return make("article", { className: "explanation" + (wrong ? " is-wrong" : ""), id: "explanation-" + id },
    head, sentence, reasons, details);
}

const list = byId("explanation-list");
const explanations = list ? startExplanations() : null;
function startExplanations() {
  const [search, code, label, wrong] = ["search", "code", "label", "wrong"].map((name) => byId("explanation-" + name));
  const more = byId("explanation-more");
  const regex = byId("explanation-regex");
  const texts = new Map(data.explanations.map((explanation) => [explanation, plain(explanation.text)]));
  let query = asked(search, regex);
  let fitting = [];
  let shown = 0;
  function show(upTo) {
    const cards = fitting.slice(shown, upTo).map(explanationCard);
    cards.forEach((one) => mark(one, query.patterns));
    list.append(...cards);
    shown = Math.min(upTo, fitting.length);
    more.hidden = shown >= fitting.length;
    const all = fitting.length === data.explanations.length;
    const of = code.value === "" ? "" : ` in which concept ${code.value} matters`;
    byId("explanation-status").textContent = query.error ??
      `${count(shown)} shown of ${plural(fitting.length, "explanation")}${of}` +
      (all ? "" : `, ${count(data.explanations.length)} in all`);
  }
  function filter() {
    query = asked(search, regex);
    keepSearch();
    if (query.error !== null) {
      byId("explanation-status").textContent = query.error;
      return;
    }
    hideCard();
    const users = code.value === "" ? null : new Set(uses.get(Number(code.value)) || []);
    fitting = data.explanations.filter((explanation) =>
      query.fits(null, texts.get(explanation)) && (users === null || users.has(explanation)) &&
      (!label || !label.value || explanation.prediction === Number(label.value)) &&
      (!wrong || !wrong.checked || (explanation.label !== null && explanation.label !== explanation.prediction)));
    list.replaceChildren();
    shown = 0;
    show(PAGE);
  }
  const controls = byId("explanation-controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", filter);
  more.addEventListener("click", () => {
    const before = shown;
    show(shown + PAGE);
    list.children[before].querySelector("a").focus({ preventScroll: true });
  });
  startCards(list);
  filter();
  return {
    filter,
    of(number) {
      controls.reset();
      code.value = number;
      filter();
    },
    reveal(id) {
      if (!fitting.some((explanation) => explanation.id === id)) {
        controls.reset();
        filter();
      }
      const place = fitting.findIndex((explanation) => explanation.id === id);
      if (place >= shown) show(Math.ceil((place + 1) / PAGE) * PAGE);
    },
  };
}
