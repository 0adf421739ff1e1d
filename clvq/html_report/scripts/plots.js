/* The plots, drawn by Bokeh, on the screen and for printing. */
const views = [];
async function draw(item, id) {
  const place = byId(id);
  const [view] = await Bokeh.embed.embed_item(item, place);
  views.push([place, view]);
  return view;
}
/* On a phone, draw smaller discs and fewer names. On a dark page, draw names in a light colour. */
function fitMap(source, names) {
  if (byId("codebook-map").clientWidth < 600) {
    source.data = { ...source.data, size: Array.from(source.data.size, (size) => size * 0.6) };
    const { data, tags: [narrow] } = names.data_source;
    names.data_source.data = Object.fromEntries(
      Object.entries(data).map(([column, values]) => [column, Array.from(values).slice(0, narrow)]));
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ink = () => { names.glyph.text_color = { value: dark.matches ? "#e4e4e0" : "#1f2328" }; };
  dark.addEventListener("change", ink);
  ink();
}
async function drawAll() {
  await Promise.all(Object.entries(plots.figures).map(([id, item]) => draw(item, id)));
  if (plots.map) {
    const view = await draw(plots.map, "codebook-map");
    const named = (name) => view.model.document.get_model_by_name(name);
    const source = named("concepts");
    fitMap(source, view.model.renderers.find((renderer) => renderer.name === "names"));
    source.selected.properties.indices.change.connect(() => {
      const [index] = source.selected.indices;
      if (index !== undefined) location.hash = "concept-" + source.data.code[index];
    });
  }
  document.documentElement.dataset.drawn = "yes";
}
/* For printing, replace each plot by a picture, which can shrink with the page. */
const unprint = () => document.querySelectorAll("canvas.printed").forEach((picture) => picture.remove());
addEventListener("beforeprint", () => {
  unprint();
  for (const [place, view] of views) {
    const picture = view.export("png").canvas;
    picture.className = "printed";
    picture.removeAttribute("style");
    place.after(picture);
  }
});
addEventListener("afterprint", unprint);
drawAll();
