/* A card beside the word of an explanation that has the pointer or the focus: the word's attribution and concept. */
const aboutWord = new WeakMap();
const card = make("div", { id: "word-card", className: "card", role: "tooltip", hidden: true });
document.body.append(card);
let carded = null;

function cardOf({ word, attribution, share, code, target }) {
  const concept = byCode.get(code);
  const lines = [make("p", {}, make("b", {}, bdi(word)), " ",
    make("span", { className: "figure", textContent: signed(attribution) }),
    attribution < 0 ? " against " : " for ", bdi(target), `, ${percent(share)} of the strongest word`)];
  if (code === null) lines.push(quiet("No concept: an attention sink."));
  else if (!concept) lines.push(make("p", { textContent: "Concept " + code }));
  else {
    lines.push(make("p", {}, "Concept " + code + ": ", bdi(concept.name ?? concept.made)));
    if (concept.name) lines.push(make("p", { className: "quiet" }, bdi(concept.made)));
    if (concept.labels !== null && significant(concept)) {
      lines.push(make("p", { className: "quiet" }, percent(concept.labels.share) + ` of its ${data.unit}s `,
        bdi(labelName(concept.labels.label))));
    }
  }
  return lines;
}
function showCard(word) {
  if (carded === word) return;
  hideCard();
  card.replaceChildren(...cardOf(aboutWord.get(word)));
  card.hidden = false;
  const [first] = word.getClientRects();
  const width = document.documentElement.clientWidth;
  const left = Math.max(8, Math.min(first.left, width - card.offsetWidth - 8));
  const below = first.bottom + 6 + card.offsetHeight <= innerHeight || first.top < card.offsetHeight + 6;
  card.style.left = left + scrollX + "px";
  card.style.top = (below ? first.bottom + 4 : first.top - card.offsetHeight - 4) + scrollY + "px";
  word.setAttribute("aria-describedby", card.id);
  carded = word;
}
function hideCard() {
  carded?.removeAttribute("aria-describedby");
  carded = null;
  card.hidden = true;
}
const wordAt = (node) => node.closest?.(".word") ?? null;

function startCards(list) {
  let leaving = null;
  let tapped = null;
  const stay = () => clearTimeout(leaving);
  const leave = () => {
    stay();
    leaving = setTimeout(() => {
      const focused = wordAt(document.activeElement);
      if (focused?.matches(":focus-visible")) showCard(focused);
      else hideCard();
    }, 120);
  };
  list.addEventListener("pointerover", (event) => {
    const word = wordAt(event.target);
    if (!word || event.pointerType === "touch") return;
    stay();
    showCard(word);
  });
  list.addEventListener("pointerout", (event) => event.pointerType !== "touch" && wordAt(event.target) && leave());
  card.addEventListener("pointerenter", stay);
  card.addEventListener("pointerleave", leave);
  list.addEventListener("focusin", (event) => {
    const word = wordAt(event.target);
    if (word?.matches(":focus-visible")) showCard(word);
  });
  list.addEventListener("focusout", leave);
  /* On a touch screen, the first tap shows the card, and the second tap follows the link. */
  list.addEventListener("pointerdown", (event) => {
    tapped = event.pointerType === "touch" && wordAt(event.target) !== carded ? wordAt(event.target) : null;
  });
  list.addEventListener("click", (event) => {
    const word = wordAt(event.target);
    if (!word || word !== tapped) return;
    event.preventDefault();
    event.stopPropagation();
    stay();
    showCard(word);
    tapped = null;
  });
  document.addEventListener("pointerdown", (event) => {
    if (!wordAt(event.target) && !card.contains(event.target)) hideCard();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideCard();
  });
  /* The Tab key moves through the salient words; the arrow keys move through all words of a sentence. */
  list.addEventListener("keydown", (event) => {
    const word = wordAt(event.target);
    if (!word || event.ctrlKey || event.metaKey || event.altKey) return;
    const words = Array.from(word.closest(".sentence").querySelectorAll(".word"));
    const at = words.indexOf(word);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: words.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    words[next]?.focus();
  });
}
