// The walk of alignment: words and semantics stand still, tokens walk. All data comes with the widget; no network.
const KINDS = ["words", "users", "semantics", "items"];
const SECONDS = 1.2; // from one moment to the next, while it plays
const REACH = 12; // pixels within which the pointer finds a point

const make = (tag, look = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), look);
  node.append(...children);
  return node;
};

class Walk {
  constructor(model, root) {
    this.model = model;
    this.scene = model.get("scene");
    this.at = model.get("moment"); // a place between two moments while it plays
    this.view = { zoom: 1, x: 0, y: 0 };
    this.last = this.scene.moments.length - 1;
    this.build(root);
    this.watch();
    this.resize();
    this.tell();
  }

  // ---- what is on the page

  build(root) {
    const { scene } = this;
    // JupyterLab's shortcuts stay away from keys that are typed here; the attribute counts on what has the focus
    root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
    this.play = make("button", { type: "button", textContent: "▶ play" });
    this.slider = make("input", { type: "range", min: 0, max: this.last, step: 1, value: this.at });
    this.slider.setAttribute("aria-label", "moment");
    this.label = make("output");
    const list = `walk-${Math.random().toString(36).slice(2)}`;
    this.search = make("input", { type: "search", placeholder: "find a title" });
    this.search.setAttribute("list", list);
    this.search.setAttribute("aria-label", "find a title");
    this.titles = make("datalist", { id: list }, ...scene.items.map((it) => make("option", { value: it.title })));
    this.colour = make("select", {}, ...scene.ways.map((way) => make("option", { textContent: `colour: ${way.name}` })));
    this.lines = make(
      "select", {}, ...["own", "random", "none"].map((value) => make("option", { value, textContent: `lines: ${value}` })),
    );
    this.people = make("input", { type: "checkbox" });
    const users = make("label", {}, this.people, " users");
    this.canvas = make("canvas", { tabIndex: 0 });
    this.canvas.setAttribute(
      "aria-label", "Map. Arrow keys move it, plus and minus zoom, 0 shows all; the search box finds a title.",
    );
    this.tip = make("div", { className: "tip", hidden: true });
    this.legend = make("div", { className: "legend" });
    this.side = make("div", { className: "side" });
    this.side.setAttribute("aria-live", "polite");
    this.table = make("div", { className: "table" });
    const bar = make("div", { className: "bar" }, this.play, this.slider, this.label, this.search, this.titles,
      this.colour, this.lines, users);
    const map = make("div", { className: "map" }, this.canvas, this.tip);
    const hint = make("div", { className: "hint", textContent:
      "click a point: its trail and its words · drag: move · shift and drag: a lasso · ctrl and wheel: zoom" });
    root.append(make("div", { className: "sellarec-walk" }, bar, make("div", { className: "body" },
      make("div", { className: "left" }, map, this.legend, hint), this.side), this.table));
  }

  watch() {
    const { model, canvas, scene } = this;
    this.play.onclick = () => this.toggle();
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.search.onkeydown = (event) => event.key === "Enter" && this.find(this.search.value);
    this.search.oninput = () => scene.items.some((it) => it.title === this.search.value) && this.find(this.search.value);
    for (const control of [this.colour, this.lines, this.people]) control.onchange = () => this.draw();
    canvas.onpointerdown = (event) => this.press(event);
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerup = (event) => this.release(event);
    canvas.onpointerleave = () => { this.tip.hidden = true; };
    canvas.onkeydown = (event) => this.key(event);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.heard = { "change:moment": () => this.go(model.get("moment")), "change:item": () => this.tell(),
      "change:selected": () => this.tell() };
    for (const [name, hear] of Object.entries(this.heard)) model.on(name, hear);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(canvas.parentElement);
  }

  remove() {
    for (const [name, hear] of Object.entries(this.heard)) this.model.off(name, hear);
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // ---- what a person does

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  go(moment) {
    this.at = moment;
    this.slider.value = Math.round(moment);
    if (Number.isInteger(moment) && moment !== this.model.get("moment")) this.set("moment", moment);
    this.tell();
  }

  toggle() {
    if (this.frame) return this.stop();
    if (this.at >= this.last) this.at = 0;
    this.play.textContent = "❚❚ pause";
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    let before;
    const step = (now) => {
      const next = Math.min(this.last, this.at + (before === undefined ? 0 : (now - before) / 1000 / SECONDS));
      before = now;
      const another = Math.round(next) !== Math.round(this.at);
      this.at = next;
      this.slider.value = Math.round(next);
      if (another) this.tell();
      this.draw(still ? Math.round(next) : next);
      if (next >= this.last) return this.stop();
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.play.textContent = "▶ play";
    this.go(Math.round(this.at));
  }

  find(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return;
    const { items } = this.scene;
    const found = items.find((it) => it.title.toLowerCase() === wanted)
      || items.find((it) => it.title.toLowerCase().includes(wanted));
    if (found) this.set("item", found.id);
    else this.side.replaceChildren(make("p", { textContent: `No title on the map holds “${text}”.` }));
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.down = { x: event.offsetX, y: event.offsetY, view: { ...this.view }, moved: false };
    this.lasso = event.shiftKey ? [[event.offsetX, event.offsetY]] : null;
  }

  move(event) {
    const { offsetX: x, offsetY: y } = event;
    if (!this.down) return this.hover(x, y);
    this.down.moved ||= Math.hypot(x - this.down.x, y - this.down.y) > 3;
    if (this.lasso) this.lasso.push([x, y]);
    else Object.assign(this.view, { x: this.down.view.x + x - this.down.x, y: this.down.view.y + y - this.down.y });
    this.draw();
  }

  release(event) {
    const { lasso, down } = this;
    this.down = this.lasso = null;
    if (lasso && lasso.length > 2) this.set("selected", this.inside(lasso));
    else if (down && !down.moved) {
      const hit = this.nearest(event.offsetX, event.offsetY);
      if (hit && hit.kind !== "words" && hit.kind !== "users") this.set("item", this.scene.items[hit.place].id);
    }
    this.draw();
  }

  wheel(event) {
    if (!event.ctrlKey) return; // a page that is scrolled goes on scrolling
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
  }

  zoom(by, x = this.width / 2, y = this.height / 2) {
    const { view } = this;
    Object.assign(view, { zoom: view.zoom * by, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
    this.draw();
  }

  key(event) {
    const pan = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (pan) { this.view.x += pan[0]; this.view.y += pan[1]; }
    else if (event.key === "+" || event.key === "=") return this.zoom(1.25);
    else if (event.key === "-") return this.zoom(0.8);
    else if (event.key === "0") this.view = { zoom: 1, x: 0, y: 0 };
    else return;
    event.preventDefault();
    this.draw();
  }

  hover(x, y) {
    const hit = this.nearest(x, y);
    this.tip.hidden = !hit;
    if (!hit) return;
    this.tip.textContent = this.text(hit);
    Object.assign(this.tip.style, { left: `${Math.min(x + 14, this.width - 230)}px`, top: `${y + 14}px` });
  }

  // ---- where things are

  place([x, y]) {
    const { zoom, x: dx, y: dy } = this.view;
    const [[left, right], [bottom, top]] = this.scene.frame;
    return [(((x - left) / (right - left)) * this.width) * zoom + dx,
      ((1 - (y - bottom) / (top - bottom)) * this.height) * zoom + dy];
  }

  points(kind, at = this.at) {
    const { xy } = this.scene[kind === "items" ? "walked" : kind === "users" ? "people" : kind];
    if (xy.length === 1) return xy[0];
    const before = Math.floor(at), after = Math.min(before + 1, xy.length - 1), share = at - before;
    return xy[before].map(([x, y], i) => [x + (xy[after][i][0] - x) * share, y + (xy[after][i][1] - y) * share]);
  }

  shown() {
    return KINDS.filter((kind) => kind !== "users" || this.people.checked);
  }

  nearest(x, y) {
    let best = null, least = REACH;
    for (const kind of this.shown())
      this.points(kind).forEach((point, place) => {
        const [a, b] = this.place(point), far = Math.hypot(a - x, b - y);
        if (far <= least) [best, least] = [{ kind, place }, far];
      });
    return best;
  }

  inside(lasso) {
    const within = ([x, y]) => lasso.reduce((odd, [x1, y1], i) => {
      const [x2, y2] = lasso[(i + 1) % lasso.length];
      return y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1 ? !odd : odd;
    }, false);
    const { items } = this.scene;
    return this.points("items").flatMap((point, i) => (within(this.place(point)) ? [items[i].id] : []));
  }

  near(kind, place, moment = Math.round(this.at)) {
    const { near } = this.scene[kind === "items" ? "walked" : kind === "users" ? "people" : kind];
    return near[Math.min(moment, near.length - 1)][place];
  }

  text({ kind, place }) {
    if (kind === "words") return this.scene.words.names[place];
    const who = kind === "users" ? this.scene.users[place].title : this.scene.items[place].title;
    return `${who}${kind === "semantics" ? " (what is said of it)" : ""}\nnear: ${this.near(kind, place)}`;
  }

  // ---- the picture

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect(), dots = window.devicePixelRatio || 1;
    [this.width, this.height] = [Math.max(200, box.width), Math.max(200, box.height)];
    Object.assign(this.canvas, { width: this.width * dots, height: this.height * dots });
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(dots, 0, 0, dots, 0, 0);
    this.draw();
  }

  draw(at = this.at) {
    const { pen, scene } = this, way = scene.ways[this.colour.selectedIndex];
    const now = Object.fromEntries(this.shown().map((kind) => [kind, this.points(kind, at).map((p) => this.place(p))]));
    pen.clearRect(0, 0, this.width, this.height);
    if (this.lines.value !== "none") this.drawLines(now, this.lines.value === "random");
    for (const kind of this.shown()) {
      const colours = way.colours[KINDS.indexOf(kind)];
      pen.globalAlpha = 0.7;
      now[kind].forEach((point, i) => this.mark(kind, point, Array.isArray(colours) ? colours[i] : colours));
    }
    pen.globalAlpha = 1;
    this.drawChosen(now.items);
    this.drawNames(now.words);
    if (this.lasso) this.path(this.lasso, scene.ink, 1.5);
    this.drawLegend(way);
    this.label.textContent = `training step: ${scene.moments[Math.round(at)].name}`;
  }

  mark(kind, [x, y], colour, size = kind === "words" ? 2.5 : 4) {
    const { pen } = this;
    pen.fillStyle = colour;
    pen.beginPath();
    if (kind === "words") pen.arc(x, y, size, 0, 7);
    else if (kind === "semantics") pen.rect(x - size, y - size, 2 * size, 2 * size);
    else {
      const low = kind === "users" ? [[x + size, y], [x, y + size]] : [[x + size, y + size]];
      pen.moveTo(x, y - size);
      for (const corner of low) pen.lineTo(...corner);
      pen.lineTo(x - size, kind === "users" ? y : y + size);
    }
    pen.fill();
  }

  path(points, colour, width) {
    const { pen } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
  }

  drawLines(now, random) {
    this.pen.globalAlpha = 0.5;
    now.items.forEach((from, i) =>
      this.path([from, now.semantics[random ? this.scene.partners[i] : i]], this.scene.grey, 0.6));
    this.pen.globalAlpha = 1;
  }

  drawChosen(items) {
    const chosen = this.chosen(), { ink } = this.scene;
    const picked = new Set(this.model.get("selected"));
    this.scene.items.forEach((it, i) => picked.has(it.id) && this.ring(items[i], 7));
    if (chosen < 0) return;
    const trail = this.scene.walked.xy.map((moment) => this.place(moment[chosen]));
    this.path(trail, ink, 2);
    trail.forEach((point) => this.mark("words", point, ink, 3));
    this.path([items[chosen], this.place(this.scene.semantics.xy[0][chosen])], ink, 1);
    this.ring(items[chosen], 10);
  }

  ring([x, y], size) {
    const { pen } = this;
    pen.strokeStyle = this.scene.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, size, 0, 7);
    pen.stroke();
  }

  drawNames(places) {
    const { pen, scene } = this, boxes = [];
    Object.assign(pen, { font: "bold 13px Helvetica, Arial, sans-serif", textAlign: "center", lineWidth: 3 });
    for (const i of scene.words.shown) {
      const [x, y] = places[i], name = scene.words.names[i], half = pen.measureText(name).width / 2 + 2;
      if (boxes.some(([a, b, c]) => Math.abs(a - x) < half + c && Math.abs(b - y) < 15)) continue;
      boxes.push([x, y, half]);
      pen.strokeStyle = "white";
      pen.strokeText(name, x, y - 6);
      pen.fillStyle = scene.ink;
      pen.fillText(name, x, y - 6);
    }
  }

  drawLegend(way) {
    const signs = { circle: "●", diamond: "◆", square: "■", "triangle-up": "▲" };
    this.legend.replaceChildren(...way.legend.map(([label, colour, symbol]) => {
      const sign = make("span", { textContent: `${signs[symbol]} ` });
      sign.style.color = colour;
      return make("span", { className: "entry" }, sign, label);
    }));
  }

  // ---- words beside it

  chosen() {
    return this.scene.items.findIndex((it) => it.id === this.model.get("item"));
  }

  rows(head, body, current = -1) {
    const cells = (row, tag) => row.map((cell) => make(tag, { textContent: cell }));
    return make("table", {}, make("thead", {}, make("tr", {}, ...cells(head, "th"))), make("tbody", {},
      ...body.map((row, i) => make("tr", { className: i === current ? "now" : "" }, ...cells(row, "td")))));
  }

  tell() {
    const { scene } = this, chosen = this.chosen(), moment = Math.round(this.at);
    this.draw();
    const numbers = this.rows(["items against semantics", "here", "control"], scene.moments[moment].scores);
    if (chosen < 0) this.side.replaceChildren(numbers);
    else {
      const it = scene.items[chosen];
      const open = make("button", { type: "button", textContent: "open in the workbench" });
      open.onclick = () => this.model.send({ open: it.id });
      const walk = scene.moments.map(({ name }, s) => [name, this.near("items", chosen, s), scene.cosines[s][chosen]]);
      this.side.replaceChildren(make("h4", { textContent: it.title }), make("p", { textContent: it.note }),
        make("p", { textContent: `Said of it, nearest words: ${this.near("semantics", chosen)}` }),
        this.rows(["step", "nearest words of its token", "cosine to its partner"], walk, moment), open, numbers);
    }
    const picked = new Set(this.model.get("selected")), body = scene.items.flatMap((it, i) =>
      (picked.has(it.id) ? [[it.title, it.note, this.near("items", i), scene.cosines[moment][i]]] : []));
    this.table.replaceChildren(...(body.length ? [make("p", { textContent: `${body.length} titles in the lasso` }),
      this.rows(["title", "what is known", "nearest words", "cosine to its partner"], body)] : []));
  }
}

export default {
  render({ model, el }) {
    const walk = new Walk(model, el);
    return () => walk.remove();
  },
};
