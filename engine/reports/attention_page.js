"use strict";
// Draws the attention of one or two models from the data beside it: all heads small, one pair of heads large.
const data = JSON.parse(document.getElementById("attention").textContent);
const models = data.models.map(model => ({
  ...model,
  bytes: Uint8Array.from(atob(model.maps), letter => letter.charCodeAt(0)),
}));
const page = document.querySelector("#attention-view");
const NS = "http://www.w3.org/2000/svg";
const probe = document.createElement("canvas").getContext("2d");

// light-dark() in a custom property is not resolved by getPropertyValue: an element's own colour is.
function channels(name) {
  const span = document.createElement("span");
  span.style.color = `var(--${name})`;
  page.append(span);
  probe.fillStyle = getComputedStyle(span).color;
  span.remove();
  return [1, 3, 5].map(at => parseInt(probe.fillStyle.slice(at, at + 2), 16));
}

function element(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function drawn(kind, attributes, ...children) {
  const made = document.createElementNS(NS, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const value = (model, layer, head, from, to) =>
  model.bytes[((layer * model.heads + head) * model.tokens.length + from) * model.tokens.length + to] / 255;

function mix(low, high, share) {
  return low.map((part, at) => Math.round(part + (high[at] - part) * share));
}

// All heads of all layers, a row a layer: one picture, a pixel a pair of tokens.
function mosaic(model) {
  const side = model.tokens.length + 1;
  const canvas = element("canvas", {width: model.heads * side - 1, height: model.layers * side - 1, tabIndex: 0});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label",
    `All ${model.layers} layers by ${model.heads} heads of the ${model.role}. Arrow keys choose a head.`);
  const frame = element("span", {className: "frame"});
  const box = element("div", {className: "mosaic"}, canvas, frame);
  model.paint = () => {
    const picture = canvas.getContext("2d").createImageData(canvas.width, canvas.height);
    const [empty, full] = [channels("empty"), channels(model.role)];
    const shades = Array.from({length: 256}, (_, level) => mix(empty, full, (level / 255) ** 0.6));
    for (let layer = 0, at = 0; layer < model.layers; layer++)
      for (let head = 0; head < model.heads; head++)
        for (let from = 0; from < side - 1; from++)
          for (let to = 0; to < side - 1; to++, at++) {
            const pixel = 4 * ((layer * side + from) * canvas.width + head * side + to);
            picture.data.set([...shades[model.bytes[at]], 255], pixel);
          }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  };
  model.mark = () => Object.assign(frame.style, {
    left: `${100 * model.head / model.heads}%`, width: `${100 / model.heads}%`,
    top: `${100 * model.layer / model.layers}%`, height: `${100 / model.layers}%`,
  });
  canvas.addEventListener("click", event => {
    const area = canvas.getBoundingClientRect();
    open(model, Math.floor((event.clientY - area.top) / area.height * model.layers),
      Math.floor((event.clientX - area.left) / area.width * model.heads));
  });
  canvas.addEventListener("keydown", event => {
    const [down, right] = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    open(model, model.layer + down, model.head + right);
  });
  return box;
}

// One square of cells with its tokens; `shade` gives a cell's colour, `say` its words.
function square(tokens, shade, say, title) {
  const cell = 18, margin = 12 + 7.2 * Math.min(14, Math.max(...tokens.map(token => token.length)));
  const size = margin + cell * tokens.length + 4;
  const svg = drawn("svg", {viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": title});
  tokens.forEach((token, at) => {
    const short = token.length > 14 ? token.slice(0, 13) + "…" : token, middle = margin + cell * (at + 0.5);
    svg.append(drawn("text", {x: margin - 6, y: middle + 4, "text-anchor": "end"}, short));
    svg.append(drawn("text", {transform: `translate(${middle + 4} ${margin - 6}) rotate(-90)`}, short));
    tokens.forEach((_, to) => svg.append(drawn("rect", {
      x: margin + cell * to, y: margin + cell * at, width: cell - 1, height: cell - 1, fill: shade(at, to),
    }, drawn("title", {}, say(at, to)))));
  });
  return svg;
}

function strongest(model) {
  const found = [], last = model.tokens.length - 1;
  for (let from = 1; from < last; from++)
    for (let to = 1; to < last; to++)
      found.push([value(model, model.layer, model.head, from, to), from, to]);
  const words = found.sort((a, b) => b[0] - a[0]).slice(0, 3)
    .map(([share, from, to]) => `${model.tokens[from]} → ${model.tokens[to]} ${Math.round(100 * share)}%`);
  return words.length ? "Strongest between words: " + words.join(", ") + "." : "";
}

function figure(title, svg, caption) {
  return element("figure", {}, element("strong", {textContent: title}), svg,
    element("figcaption", {textContent: caption}));
}

function large() {
  const rgb = parts => `rgb(${parts.join(" ")})`, empty = channels("empty");
  const figures = models.map(model => {
    const full = channels(model.role), tokens = model.tokens;
    const at = (from, to) => value(model, model.layer, model.head, from, to);
    const name = `${model.label}, layer ${model.layer + 1}, head ${model.head + 1}`;
    return figure(name, square(tokens, (from, to) => rgb(mix(empty, full, at(from, to) ** 0.6)),
      (from, to) => `${tokens[from]} looks at ${tokens[to]}: ${(100 * at(from, to)).toFixed(1)}%`, name), strongest(model));
  });
  const [one, two] = models;
  if (two && one.tokens.join("\n") === two.tokens.join("\n")) {
    const gap = (from, to) => value(two, two.layer, two.head, from, to) - value(one, one.layer, one.head, from, to);
    let sum = 0;
    one.tokens.forEach((_, from) => one.tokens.forEach((_, to) => { sum += Math.abs(gap(from, to)); }));
    const moved = Math.round(50 * sum / one.tokens.length);
    figures.push(figure("Difference, student minus teacher", square(one.tokens,
      (from, to) => rgb(mix(empty, channels(gap(from, to) > 0 ? "student" : "teacher"), Math.abs(gap(from, to)) ** 0.6)),
      (from, to) => `${one.tokens[from]} looks at ${one.tokens[to]}: ${(100 * gap(from, to)).toFixed(1)} points`,
      "Difference of the two heads"),
      `${moved}% of the attention stands elsewhere. The teacher's colour: only it looks there; the student's likewise.`));
  }
  document.querySelector("#large").replaceChildren(...figures);
}

// Opens a head, and in the other model the one in its place: the same relative depth, the same number or the last.
function open(model, layer, head) {
  model.layer = Math.max(0, Math.min(model.layers - 1, layer));
  model.head = Math.max(0, Math.min(model.heads - 1, head));
  for (const other of models)
    if (other !== model) {
      other.layer = Math.max(0, Math.round((model.layer + 1) * other.layers / model.layers) - 1);
      other.head = Math.min(model.head, other.heads - 1);
    }
  models.forEach(other => other.mark());
  large();
}

const overview = element("div", {className: "beside"}, ...models.map(model =>
  element("figure", {}, element("strong", {textContent: model.label}), mosaic(model),
    element("figcaption", {textContent: "A row of squares is a layer, from the first; a column a head."}))));
page.replaceChildren(overview, element("div", {id: "large", className: "beside"}));
const paint = () => { models.forEach(model => model.paint()); open(models[0], models[0].layer, models[0].head); };
models.forEach(model => { model.layer = data.open.layer; model.head = data.open.head; });
models[0].layer = Math.min(models[0].layer, models[0].layers - 1);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
paint();
