"use strict";

// ---- what the page carries: numbers at once, pictures when they are first needed

const read = (selector) => JSON.parse(document.querySelector(selector).textContent);
const page = read("#page");
const filters = document.querySelector("#filter-data") ? read("#filter-data") : null;
const { layers, classes } = page;
const [imageHeight, imageWidth] = page.size;
const byName = new Map(layers.map((layer, index) => [layer.name, index]));

const stored = new Map(); // selector of a script -> its list of base64 strings
const addresses = new Map(); // key of a picture -> blob address

function address(selector, index, type) {
  const key = `${selector} ${index}`;
  if (!addresses.has(key)) {
    if (!stored.has(selector)) stored.set(selector, read(selector));
    const bytes = Uint8Array.from(atob(stored.get(selector)[index]), (c) => c.charCodeAt(0));
    addresses.set(key, URL.createObjectURL(new Blob([bytes], { type })));
  }
  return addresses.get(key);
}
const sprite = (layer, map) => address(`[data-projections="${CSS.escape(layer.name)}"]`, map, "image/webp");
const photograph = (image) => address("#photographs", image, "image/jpeg");

// every place where an image is among the strongest of a map, strongest layers first: image -> [[layer, map, rank], ...]
const places = new Map();
layers.forEach((layer, l) =>
  layer.image.forEach((row, map) =>
    row.forEach((image, rank) => {
      if (image >= 0) places.set(image, [...(places.get(image) ?? []), [l, map, rank]]);
    })));

// ---- small words

const $ = (id) => document.getElementById(id);
function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}
const layerTitle = (layer) => `Layer ${byName.get(layer.name) + 1}`;
const label = (image) => classes[page.labels[image]];
const winners = (layer, map) => layer.image[map].filter((image) => image >= 0).length;
const ordinal = (n) => n + (n % 100 >= 11 && n % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th");
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

function strength(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

// classes of a map's winners, most frequent first: [[name, count], ...]
function kinds(layer, map) {
  const counts = new Map();
  for (const image of layer.image[map]) if (image >= 0) counts.set(label(image), (counts.get(label(image)) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

// ---- pictures: a frame, and behind it a larger picture shifted so that the right part shows

function projection(layer, map, rank, frame) {
  const columns = Math.ceil(Math.sqrt(layer.k));
  const picture = make("img", { alt: "", decoding: "async", src: sprite(layer, map) });
  picture.style.cssText =
    `width:${100 * columns}%;left:${-100 * (rank % columns)}%;top:${-100 * Math.floor(rank / columns)}%`;
  frame.append(picture);
}

function patch(layer, map, rank, frame) {
  const [high, wide] = layer.field;
  const picture = make("img", { alt: "", decoding: "async", src: photograph(layer.image[map][rank]) });
  const left = layer.left[map][rank], top = layer.top[map][rank];
  picture.style.cssText = `width:${(100 * imageWidth) / wide}%;left:${(-100 * left) / wide}%;top:${(-100 * top) / high}%`;
  frame.append(picture);
}

function describe(layer, map, rank) {
  const image = layer.image[map][rank];
  return `${layerTitle(layer)}, map ${map}, ${ordinal(rank + 1)} strongest: ${strength(layer.value[map][rank])}, ` +
    `image ${page.images[image]}, ${label(image)}`;
}

function frame(layer, map, rank, kind) {
  const cell = make("button", { type: "button", className: `cell ${kind}`, title: describe(layer, map, rank) });
  cell.setAttribute("aria-label", `${kind === "projection" ? "Projection" : "Patch"}. ${describe(layer, map, rank)}`);
  cell.style.aspectRatio = `${layer.field[1]} / ${layer.field[0]}`;
  Object.assign(cell.dataset, { layer: byName.get(layer.name), map, rank });
  return cell;
}

function framed(layer, map, rank, kind) {
  const cell = frame(layer, map, rank, kind);
  (kind === "projection" ? projection : patch)(layer, map, rank, cell);
  return cell;
}
