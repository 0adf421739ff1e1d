/* The search: for texts with all of several words, or for a regular expression. The matches are marked. */
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
function compiled(pattern, flags) {
  try {
    return new RegExp(pattern, flags + "u");
  } catch {
    return new RegExp(pattern, flags); /* accept e.g. a needless backslash, which the flag u refuses */
  }
}
/* A query tells whether a text fits, and which patterns to mark; it has an `error` where the regular expression is
   invalid. Each word and each sentence is a line of its own, so that ^awful$ finds the word. */
function asked(field, regex) {
  const written = field.value.trim();
  const query = { empty: !written, patterns: [], error: null, fits: () => true };
  if (!written) return query;
  if (regex.checked) {
    try {
      const pattern = compiled(written, "gim");
      query.patterns = [pattern];
      query.fits = (code, text) => text.search(pattern) >= 0;
    } catch (error) {
      query.error = "This is no regular expression: " + error.message.replace(/^Invalid regular expression: /, "");
    }
  } else {
    const terms = written.split(/\s+/).map((term) => ({
      code: /^#?\d+$/.test(term) ? Number(term.replace("#", "")) : null,
      pattern: /^#\d+$/.test(term) ? null : compiled(escaped(term), "gi"),
    }));
    query.patterns = terms.map((term) => term.pattern).filter(Boolean);
    query.fits = (code, text) => terms.every((term) =>
      (term.code !== null && term.code === code) || (term.pattern !== null && text.search(term.pattern) >= 0));
  }
  field.setAttribute("aria-invalid", String(query.error !== null));
  return query;
}

function unmark(root) {
  for (const hit of root.querySelectorAll("mark.hit")) {
    const { parentNode } = hit;
    hit.replaceWith(...hit.childNodes);
    parentNode.normalize();
  }
}
/* Mark the matches in a field. Its words may be separate elements, so a match may span several elements. */
function markHits(field, patterns) {
  const text = field.textContent;
  const spans = patterns.flatMap((pattern) => Array.from(text.matchAll(pattern), (m) => [m.index, m.index + m[0].length]))
    .filter(([start, end]) => end > start).sort((a, b) => a[0] - b[0]);
  if (!spans.length) return;
  const nodes = [];
  const walker = document.createTreeWalker(field, NodeFilter.SHOW_TEXT);
  for (let at = 0; walker.nextNode(); at += walker.currentNode.length) nodes.push([walker.currentNode, at]);
  for (const [node, at] of nodes) {
    let done = 0;
    const pieces = [];
    const { data: own } = node;
    for (const [start, end] of spans) {
      const from = Math.max(start - at, done);
      const to = Math.min(end - at, own.length);
      if (to <= from) continue;
      if (from > done) pieces.push(own.slice(done, from));
      pieces.push(make("mark", { className: "hit", textContent: own.slice(from, to) }));
      done = to;
    }
    if (done) node.replaceWith(...pieces, own.slice(done));
  }
}
const SEARCHED = ".given, .words bdi, .words-table th bdi, .concept q, .found q, .sentence";
function mark(root, patterns) {
  unmark(root);
  if (patterns.length) root.querySelectorAll(SEARCHED).forEach((field) => markHits(field, patterns));
}

/* The searches are kept in the page's address, after the anchor: #concept-17?search=awful&page=2. */
const KEPT = { search: "concept-search", regex: "concept-regex", order: "concept-sort", label: "concept-label",
  rows: "concept-rows", significant: "concept-significant", page: "concept-page", in: "explanation-search",
  inregex: "explanation-regex", concept: "explanation-code", predicted: "explanation-label", wrong: "explanation-wrong",
  links: "flow-code" };
const setting = (field) => (field.type === "checkbox" ? (field.checked ? "1" : "") : field.value);
const usual = (field) =>
  field.type === "checkbox" ? "" : field.tagName === "SELECT" ? field.options[0].value : field.defaultValue;
const place = () => location.hash.slice(1).split("?")[0];
let waiting = null;
function keepSearch() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const kept = new URLSearchParams();
    for (const [name, id] of Object.entries(KEPT)) {
      const field = byId(id);
      if (field && setting(field) !== usual(field)) kept.set(name, setting(field));
    }
    const hash = place() + (kept.size ? "?" + kept : "");
    try {
      if (location.hash.slice(1) !== hash) history.replaceState(history.state, "", "#" + hash);
    } catch { /* this browser lets no page change its address: the search is not kept */ }
  }, 200);
}
function keptSearch() {
  const [, kept] = location.hash.slice(1).split(/\?(.*)/s);
  if (kept === undefined) return false;
  const given = new URLSearchParams(kept);
  for (const [name, id] of Object.entries(KEPT)) {
    const field = byId(id);
    if (!field) continue;
    const value = given.get(name) ?? usual(field);
    if (field.type === "checkbox") field.checked = value === "1";
    else field.value = field.type !== "number" || /^\d*$/.test(value) ? value : usual(field);
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.selectedIndex = 0;
  }
  return true;
}
keptSearch();
