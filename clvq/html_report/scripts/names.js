/* Names and notes that the reader gives. They are kept in this browser for this training, and can be exported as a JSON
   file for other people and for `clvq codebook --names`. */
const LONGEST = { name: 60, note: 2000 };
const FORMAT = "clvq-names-export";
const drawer = "clvq-names:" + data.fingerprint;
for (const concept of data.concepts) concept.stored = { name: concept.name ?? "", note: concept.note ?? "" };

function keptEdits() {
  try {
    const kept = JSON.parse(localStorage.getItem(drawer) ?? "{}");
    return typeof kept === "object" && kept !== null && !Array.isArray(kept) ? kept : {};
  } catch {
    return {};
  }
}
/* The reader's changes to the names and notes in the report, by code. */
const edits = keptEdits();
const cut = (text, limit) => Array.from(text).slice(0, limit).join("");
const tidy = {
  name: (text) => cut(text.replace(/\s+/gu, " ").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "").trim(), LONGEST.name),
  note: (text) => cut(text.replace(/\r\n?/g, "\n").replace(/[^\P{C}\n\t]|[\p{Zl}\p{Zp}]/gu, "").trim(), LONGEST.note),
};
function edit(concept, kind, text) {
  const value = tidy[kind](text);
  const own = { ...edits[concept.code], [kind]: value };
  if (value === concept.stored[kind]) delete own[kind];
  if (Object.keys(own).length) edits[concept.code] = own;
  else delete edits[concept.code];
  concept[kind] = value || null;
}
for (const concept of data.concepts) {
  for (const kind of ["name", "note"]) {
    const value = edits[concept.code]?.[kind];
    if (typeof value === "string") edit(concept, kind, value);
  }
}

function givenName(concept) {
  const node = bdi(concept.name ?? "", "given");
  node.dataset.nameOf = concept.code;
  return node;
}
/* Show the name of a concept wherever it stands already. */
function retitled(concept) {
  document.querySelectorAll(`[data-name-of="${concept.code}"]`).forEach((node) => { node.textContent = plain(concept.name ?? ""); });
  document.querySelectorAll(`[data-words-of="${concept.code}"]`).forEach((node) => {
    node.textContent = firstWords(concept, Number(node.dataset.limit));
  });
}
function renamed(concept) {
  retitled(concept);
  catalogued?.renamed(concept);
}
function keepEdits() {
  let kept = true;
  try {
    if (Object.keys(edits).length) localStorage.setItem(drawer, JSON.stringify(edits));
    else localStorage.removeItem(drawer);
  } catch {
    kept = false;
  }
  tellEdits(kept ? "" : " This browser keeps nothing for this page: export them before you close it.");
}
function tellEdits(more) {
  const number = Object.keys(edits).length;
  byId("naming-status").textContent = (number ? plural(number, "concept") + " named or noted in this browser." : "") + more;
}

/* The fields for the name and note of a concept, in its panel. */
function namingOf(concept) {
  const fields = [["name", "input", "Name"], ["note", "textarea", "Note"]].map(([kind, tag, title]) => {
    const field = make(tag, { className: "own-" + kind, maxLength: LONGEST[kind], value: concept[kind] ?? "",
      placeholder: kind === "name" ? plain(concept.made) : "", autocomplete: "off" });
    field.addEventListener("input", () => {
      edit(concept, kind, field.value);
      keepEdits();
      renamed(concept);
    });
    field.addEventListener("change", () => { field.value = concept[kind] ?? ""; });
    return make("label", {}, title, field);
  });
  return make("div", { className: "naming" }, ...fields);
}

function exported() {
  const body = { format: FORMAT, format_version: 1, checkpoint: data.fingerprint, names: {}, notes: {} };
  for (const concept of data.concepts) {
    /* A deleted name is exported as an empty one, so that importing the file deletes it there too. */
    if (concept.name !== null || concept.stored.name) body.names[concept.code] = concept.name ?? "";
    if (concept.note !== null || concept.stored.note) body.notes[concept.code] = concept.note ?? "";
  }
  return JSON.stringify(body, null, 1) + "\n";
}
function imported(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return "That is no JSON file.";
  }
  if (found?.format !== FORMAT) return "That is no file of names that a report has exported.";
  if (found.checkpoint !== data.fingerprint) return `Those names are of another training, ${plain(String(found.checkpoint))}.`;
  const codes = new Set();
  for (const [kind, given] of [["name", found.names], ["note", found.notes]]) {
    for (const [code, value] of Object.entries(given ?? {})) {
      const concept = byCode.get(Number(code));
      if (!concept || typeof value !== "string") continue;
      edit(concept, kind, value);
      codes.add(concept);
    }
  }
  for (const concept of codes) {
    renamed(concept);
    byId("concept-" + concept.code)?.querySelector(".naming")?.replaceWith(namingOf(concept));
  }
  keepEdits();
  return ` ${plural(codes.size, "concept")} read from the file.`;
}

if (byId("naming-status")) {
  byId("names-export").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
    make("a", { href: url, download: "concept-names.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
  const chosen = byId("names-file");
  byId("names-import").addEventListener("click", () => chosen.click());
  chosen.addEventListener("change", async () => {
    const [file] = chosen.files;
    if (!file) return;
    tellEdits(" " + imported(await file.text()).trim());
    chosen.value = "";
  });
  tellEdits("");
}
