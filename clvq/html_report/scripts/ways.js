/* Links within the page: #concept-17, #explanation-3, #explanations-of-17, #flow-of-17, #word-fvu. */
function arrive(node) {
  document.querySelectorAll(".arrived").forEach((other) => other.classList.remove("arrived"));
  node.classList.add("arrived");
  node.scrollIntoView({ block: "start" });
}
function go() {
  const found = /^(concept|explanation|explanations-of|flow-of)-(\d+)$/.exec(place());
  const meaning = place().startsWith("word-") ? byId(place()) : null;
  if (meaning) {
    meaning.closest("details").open = true;
    arrive(meaning);
    meaning.closest("details").querySelector("summary").focus({ preventScroll: true });
    return;
  }
  if (!found) {
    /* The browser itself would look for an element whose id includes the search. */
    if (place() && location.hash.includes("?")) byId(place())?.scrollIntoView({ block: "start" });
    return;
  }
  const number = Number(found[2]);
  if (found[1] === "concept") {
    const row = catalogued?.reveal(number);
    if (!row) return;
    const details = row.querySelector("details");
    details.open = true;
    arrive(row);
    details.querySelector("summary").focus({ preventScroll: true });
  } else if (found[1] === "flow-of") {
    flowing?.of(number);
    byId("flow-controls")?.scrollIntoView({ block: "start" });
    byId("flow-code")?.focus({ preventScroll: true });
  } else if (explanations && found[1] === "explanation") {
    explanations.reveal(number);
    const card = byId("explanation-" + number);
    if (card) arrive(card);
  } else if (explanations) {
    explanations.of(number);
    byId("explanation-controls").scrollIntoView({ block: "start" });
    byId("explanation-code").focus({ preventScroll: true });
  }
}
addEventListener("hashchange", () => {
  if (keptSearch()) {
    catalogued?.filter();
    explanations?.filter();
    flowing?.show();
  }
  go();
  keepSearch();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='#']");
  if (link && link.getAttribute("href") === "#" + place()) go(); /* there is no hashchange, but perhaps a scroll */
});
data.concepts.filter((concept) => concept.name).forEach(retitled); /* in the tables that came with the page */
go();
