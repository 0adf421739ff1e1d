/* Ways through the page: #concept-17, #explanation-3, #explanations-of-17. */
function arrive(node) {
  document.querySelectorAll(".arrived").forEach((other) => other.classList.remove("arrived"));
  node.classList.add("arrived");
  node.scrollIntoView({ block: "start" });
}
function go() {
  const found = /^#(concept|explanation|explanations-of)-(\d+)$/.exec(location.hash);
  if (!found) return;
  const number = Number(found[2]);
  if (found[1] === "concept") {
    const row = byId("concept-" + number);
    if (!row) return;
    if (row.hidden) {
      byId("concept-search").form.querySelectorAll("input[type=search], select").forEach((field) => {
        if (field.id !== "concept-sort") field.value = "";
      });
      const only = byId("concept-significant");
      if (only) only.checked = false;
      byId("concept-search").dispatchEvent(new Event("input", { bubbles: true }));
    }
    const details = row.querySelector("details");
    details.open = true;
    arrive(row);
    details.querySelector("summary").focus({ preventScroll: true });
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
addEventListener("hashchange", go);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='#']");
  if (link && link.getAttribute("href") === location.hash) go(); /* no hashchange, the reader may have moved on */
});
go();
