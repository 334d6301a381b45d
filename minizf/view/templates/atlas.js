// ---- a chapter: the cards of one layer; their pictures are put in as they come near the screen

let current = -1; // number of the layer shown
const cards = new Map(); // map number -> its card, of the layer shown

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    watcher.unobserve(entry.target);
    fill(entry.target);
  }
}, { rootMargin: "800px 0px" });

function fill(card) {
  const layer = layers[current], map = Number(card.dataset.map);
  for (const cell of card.querySelectorAll(".cell")) {
    (cell.classList.contains("projection") ? projection : patch)(layer, map, Number(cell.dataset.rank), cell);
  }
}

function makeCard(layer, map) {
  const count = winners(layer, map);
  const values = layer.value[map];
  const link = make("a", { href: `#${layer.name}/map/${map}`, textContent: map });
  const range = count ? `${strength(values[0])} … ${strength(values[count - 1])}` : "";
  const head = make("header", {}, make("h3", {}, link), make("span", { className: "range", textContent: range }));
  const card = make("article", { className: "map", tabIndex: -1 }, head);
  card.dataset.map = map;
  card.setAttribute("aria-label", `Map ${map}`);
  if (!count) {
    card.append(make("p", { className: "silent", textContent: "Silent: it never answered above zero on these images." }));
    return card;
  }
  const pair = make("div", { className: "pair" });
  for (const kind of ["projection", "photograph"]) {
    const block = make("div", { className: "block" });
    for (let rank = 0; rank < count; rank++) {
      const cell = frame(layer, map, rank, kind);
      cell.tabIndex = -1;
      block.append(cell);
    }
    pair.append(block);
  }
  const names = kinds(layer, map).map(([name, n]) => (n > 1 ? `${name} ×${n}` : name)).join(", ");
  card.append(pair, make("p", { className: "kinds", textContent: names, title: names }));
  watcher.observe(card);
  return card;
}

function showLayer(index) {
  if (index === current) return;
  current = index;
  const layer = layers[index];
  watcher.disconnect();
  cards.clear();
  for (let map = 0; map < layer.maps; map++) cards.set(map, makeCard(layer, map));
  [...$("tabs").children].forEach((tab, i) => {
    tab.setAttribute("aria-selected", i === index);
    tab.tabIndex = i === index ? 0 : -1;
  });
  const tab = $("tabs").children[index];
  $("tabs").scrollLeft = tab.offsetLeft - ($("tabs").clientWidth - tab.offsetWidth) / 2;
  const [high, wide] = layer.field;
  $("layer-title").textContent = `${layerTitle(layer)}: ${plural(layer.maps, "map")}`;
  $("layer-note").textContent =
    `${layer.name}: each unit sees ${high}×${wide} pixels` +
    (high > imageHeight || wide > imageWidth ? `, more than the image has (${imageHeight}×${imageWidth}).`
      : ` of the image's ${imageHeight}×${imageWidth}.`) +
    (layer.silent ? ` ${plural(layer.silent, "map")} stayed silent on all images.` : "");
  showFilters(layer);
  setContrast(chosenContrast ?? (index === 0 ? 1 : 2));
  fit();
  arrange();
}

function showFilters(layer) {
  $("filters").hidden = !filters || filters.layer !== layer.name;
  if ($("filters").hidden || $("filters").children.length) return;
  const row = make("div", { className: "row" });
  const source = `data:image/webp;base64,${filters.sprite}`;
  for (let map = 0; map < filters.count; map++) {
    const picture = make("img", { alt: `Filter ${map}`, src: source });
    picture.style.cssText = `width:${100 * filters.count}%;left:${-100 * map}%;top:0`;
    const link = make("a", { className: "cell", href: `#${layer.name}/map/${map}`, title: `Filter and map ${map}` }, picture);
    link.style.aspectRatio = `${filters.size[1]} / ${filters.size[0]}`;
    row.append(link);
  }
  const note = `The ${filters.count} filters of this layer act on pixels, so they are pictures themselves. ${FILTER_CAPTION}`;
  $("filters").append(row, make("p", { textContent: note }));
}

// the filters of the first layer fill the scale, projections from further up rarely do: until somebody chooses
let chosenContrast = null;
function setContrast(times) {
  $("contrast").value = times;
  document.documentElement.style.setProperty("--contrast", times);
}

// cells are whole pixels wide; those of small fields a whole multiple of the field, so that their pixels stay square
function fit() {
  const [high, wide] = layers[current].field;
  const columns = Math.ceil(Math.sqrt(layers[current].k));
  const narrow = matchMedia("(max-width: 40rem)").matches;
  const wanted = wide * Math.max(1, Math.round(56 / wide));
  const room = $("grid").clientWidth, between = narrow ? 12 : 16;
  const edges = 26 + 10 + 4 * (columns - 1); // of a card: padding, the gap in the middle, gaps between cells
  const across = Math.max(1, Math.floor((room + between) / (2 * columns * wanted + edges + between)));
  const filling = Math.floor(((room - between * (across - 1)) / across - edges) / (2 * columns));
  const cell = Math.max(16, narrow || wide >= 40 ? filling : Math.min(wanted, filling));
  const grid = $("grid").style;
  grid.setProperty("--cell", `${cell}px`);
  grid.setProperty("--across", across);
  grid.setProperty("--columns", columns);
  grid.setProperty("--tall", high / wide);
  grid.setProperty("--rendering", cell % wide === 0 || cell > 3 * wide ? "pixelated" : "auto");
}

// which cards, in which order: by the two choices in the bar
function arrange() {
  const layer = layers[current];
  const wanted = $("class-filter").value === "" ? null : Number($("class-filter").value);
  const ofClass = (map) => layer.image[map].filter((i) => i >= 0 && page.labels[i] === wanted).length;
  const purity = (map) => kinds(layer, map)[0]?.[1] ?? 0;
  let shown = [...cards.keys()];
  if (wanted !== null) shown = shown.filter((map) => ofClass(map));
  const keys = { number: () => 0, value: (map) => layer.value[map][0], purity };
  const rank = wanted !== null && $("order").value === "number" ? ofClass : keys[$("order").value];
  shown.sort((a, b) => rank(b) - rank(a) || a - b);
  $("grid").replaceChildren(...shown.map((map) => cards.get(map)));
  for (const cell of $("grid").querySelectorAll(".cell")) {
    const image = layer.image[cell.dataset.map][cell.dataset.rank];
    cell.classList.toggle("other", wanted !== null && page.labels[image] !== wanted);
  }
  $("status").textContent = wanted === null ? "" :
    `${plural(shown.length, "map")} of ${layer.maps} with “${classes[wanted]}” among the strongest.`;
  if (shown.length) cards.get(shown[0]).tabIndex = 0;
}

// ---- the large view

let open = null; // [layer number, map, rank] of the picture shown large

function showDetail(l, map, rank) {
  open = [l, map, rank];
  const layer = layers[l], image = layer.image[map][rank];
  const [high, wide] = layer.field, top = layer.top[map][rank], left = layer.left[map][rank];
  $("detail-title").textContent = `${layerTitle(layer)}, map ${map}: ${label(image)}`;
  const box = make("i");
  box.style.cssText = `left:${(100 * left) / imageWidth}%;top:${(100 * top) / imageHeight}%;` +
    `width:${(100 * wide) / imageWidth}%;height:${(100 * high) / imageHeight}%`;
  const photo = make("img", { src: photograph(image), alt: `Image ${page.images[image]}: ${label(image)}` });
  const whole = make("div", { className: "whole" }, photo, box);
  const pixels = [framed(layer, map, rank, "projection"), framed(layer, map, rank, "photograph")];
  for (const cell of pixels) cell.tabIndex = -1;
  const captions = [["Projection", "what the map answered to"], ["Patch", "the same pixels of the image"],
    ["Whole image", "and where the unit looked"]];
  $("detail-views").replaceChildren(...[...pixels, whole].map((view, i) => make("figure", {}, view,
    make("figcaption", {}, make("b", { textContent: captions[i][0] }), make("span", { textContent: ` ${captions[i][1]}` })))));
  $("detail-strip").replaceChildren(...Array.from({ length: winners(layer, map) }, (_, r) => {
    const cell = framed(layer, map, r, "projection");
    cell.setAttribute("aria-current", r === rank);
    return cell;
  }));
  const facts = [
    ["Strength", `${layer.value[map][rank]}, ${ordinal(rank + 1)} of ${winners(layer, map)}`],
    ["Image", page.names[image]],
    ["Unit", `row ${layer.row[map][rank]}, column ${layer.column[map][rank]}`],
    ["Sees rows", `${top} to ${top + high - 1}`],
    ["Sees columns", `${left} to ${left + wide - 1}`],
  ];
  $("detail-facts").replaceChildren(...facts.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  const all = places.get(image);
  $("places-title").textContent = all.length === 1 ? "This image appears nowhere else" : `This image appears ${all.length} times`;
  $("places").replaceChildren(...all.map(([pl, pm, pr]) => {
    const cell = make("span", { className: "cell projection" });
    cell.style.aspectRatio = `${layers[pl].field[1]} / ${layers[pl].field[0]}`;
    projection(layers[pl], pm, pr, cell);
    const words = make("span", {}, `${layerTitle(layers[pl])}, map ${pm}`,
      make("small", { textContent: `${ordinal(pr + 1)}, ${strength(layers[pl].value[pm][pr])}` }));
    const entry = make("button", { type: "button" }, cell, words);
    entry.setAttribute("aria-current", pl === l && pm === map && pr === rank);
    Object.assign(entry.dataset, { layer: pl, map: pm, rank: pr });
    return entry;
  }));
  if (!$("detail").open) $("detail").showModal();
  $("detail").scrollTop = 0;
  history.replaceState(null, "", `#${layer.name}/map/${map}/${rank + 1}`);
}

function stepPicture(by) {
  const [l, map, rank] = open, count = winners(layers[l], map);
  showDetail(l, map, (rank + by + count) % count);
}

// the next map in the order of the cards that has anything to show
function stepMap(by) {
  const [l, map] = open;
  const order = l === current ? [...$("grid").children].map((card) => Number(card.dataset.map)) : [...layers[l].image.keys()];
  const alive = order.filter((m) => winners(layers[l], m));
  showDetail(l, alive[(alive.indexOf(map) + by + alive.length) % alive.length], 0);
}

// ---- finding the way: addresses, search, keys, clicks

function goTo(l, map) {
  showLayer(l);
  if (map === undefined) return $("maps").scrollIntoView();
  if (!cards.get(map).isConnected) {
    $("class-filter").value = "";
    arrange();
  }
  focusCard(cards.get(map), "center");
}

function focusCard(card, block = "nearest") {
  for (const other of $("grid").children) other.tabIndex = -1;
  card.tabIndex = 0;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block });
}

function followAddress() {
  const [name, word, map, rank] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (!byName.has(name)) return;
  const l = byName.get(name), layer = layers[l];
  const known = word === "map" && Number(map) in layer.image;
  goTo(l, known ? Number(map) : undefined);
  if (known && rank && Number(rank) >= 1 && Number(rank) <= winners(layer, map)) showDetail(l, Number(map), Number(rank) - 1);
}

// to what the words name; whether there was such a thing
function find(words) {
  const image = /^\s*(?:image|img|i)\s*(\d+)\s*$/i.exec(words);
  const map = /^\s*(?:(?:layer\s*)?(\d+)\s*[/.:, ]\s*)?(?:map\s*)?(\d+)\s*$/i.exec(words);
  if (image) {
    const first = places.get(page.images.indexOf(Number(image[1])))?.[0];
    if (first) showDetail(...first);
    else $("status").textContent = `Image ${image[1]} is not among the strongest of any map.`;
    return Boolean(first);
  }
  const l = map?.[1] ? Number(map[1]) - 1 : current;
  if (map && layers[l] && Number(map[2]) < layers[l].maps) {
    location.hash = `${layers[l].name}/map/${Number(map[2])}`;
    goTo(l, Number(map[2]));
    return true;
  }
  $("status").textContent = `Found no “${words.trim()}”. Try 17, 3/17 or image 123; ` +
    `layer ${current + 1} has maps 0 to ${layers[current].maps - 1}.`;
  return false;
}

function moveFocus(key) {
  const list = [...$("grid").children];
  const here = list.indexOf(document.activeElement.closest?.(".map"));
  const perRow = Number($("grid").style.getPropertyValue("--across"));
  const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1, ArrowDown: perRow, ArrowUp: -perRow }[key];
  const to = here < 0 ? 0 : Math.min(list.length - 1, Math.max(0, here + by));
  if (list[to]) focusCard(list[to]);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const { key } = event;
  if ($("detail").open) {
    if (key === "ArrowRight") stepPicture(1);
    else if (key === "ArrowLeft") stepPicture(-1);
    else if (key === "j") stepMap(1);
    else if (key === "k") stepMap(-1);
    else return;
  } else if ($("help").open) return;
  else if (key === "?") $("help").showModal();
  else if (key === "/") $("search").focus();
  else if (/^[1-9]$/.test(key) && layers[key - 1]) location.hash = layers[key - 1].name;
  else if (key === "Enter" && document.activeElement.matches(".map")) document.activeElement.querySelector(".cell")?.click();
  else if (event.target.closest("[role=tablist]") && /^Arrow(Left|Right)$/.test(key)) {
    const next = (current + (key === "ArrowRight" ? 1 : -1) + layers.length) % layers.length;
    showLayer(next);
    $("tabs").children[next].focus();
  } else if (/^[jk]$/.test(key) || (/^Arrow/.test(key) && document.activeElement.closest(".map"))) moveFocus(key);
  else return;
  event.preventDefault();
}

function onClick(event) {
  const target = event.target.closest("[data-rank]");
  if (target) showDetail(Number(target.dataset.layer), Number(target.dataset.map), Number(target.dataset.rank));
  else if (event.target.closest("[data-close]") || event.target.matches("dialog")) event.target.closest("dialog").close();
}

// the same place in projection and patch is marked together
function onHover(event) {
  document.querySelectorAll(".twin").forEach((cell) => cell.classList.remove("twin"));
  const cell = event.target.closest?.(".block .cell");
  cell?.closest(".pair").querySelectorAll(`[data-rank="${cell.dataset.rank}"]`).forEach((twin) => twin.classList.add("twin"));
}

// ---- begin

layers.forEach((layer, l) => {
  const tab = make("button", { type: "button", textContent: layerTitle(layer), title: `${layer.name} (${l + 1})` });
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", "grid");
  tab.addEventListener("click", () => (location.hash === `#${layer.name}` ? goTo(l) : (location.hash = layer.name)));
  $("tabs").append(tab);
});
$("class-filter").append(new Option("all", ""), ...classes.map((name, i) => new Option(name, i)));
for (const choice of ["class-filter", "order"]) {
  $(choice).addEventListener("change", () => {
    arrange();
    $("maps").scrollIntoView();
  });
}
$("contrast").addEventListener("change", (event) => setContrast((chosenContrast = event.target.value)));
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.value.trim() && find(event.target.value)) event.target.value = "";
  if (event.key === "Escape") event.target.blur();
});
$("help-button").addEventListener("click", () => $("help").showModal());
$("detail-previous").addEventListener("click", () => stepPicture(-1));
$("detail-next").addEventListener("click", () => stepPicture(1));
$("detail").addEventListener("close", () => {
  const [l, map] = open;
  history.replaceState(null, "", `#${layers[l].name}/map/${map}`);
  if (l === current && cards.get(map)?.isConnected) focusCard(cards.get(map));
});
document.addEventListener("keydown", onKey);
document.addEventListener("click", onClick);
document.addEventListener("pointerover", onHover);
addEventListener("hashchange", followAddress);
addEventListener("resize", fit);
showLayer(0);
followAddress();
