// What all charts share: elements, axes, and one class that draws a chart, marks its trials and hears pointer and keys.

const SVG = "http://www.w3.org/2000/svg";
const MANY = 1500; // trials from which dots are small, and a chart is drawn only when it comes into sight
const NEAR = 18; // pixels from a trial within which the pointer means it

/** An HTML element: its attributes, then its children; a string becomes text and never markup. */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const at = (value) => Math.round(value * 10) / 10;

// Axes: from a value to a place between two ends, with ticks.

/** A scale for these values of an axis: `{name, labels?, log?}`. Choices stand at even distances. */
function scaleOf(axis, values, low, high, numTicks = 5) {
  return axis.labels ? choiceScale(axis.labels, low, high) : numberScale(values, axis.log, low, high, numTicks);
}

function choiceScale(labels, low, high) {
  const place = (index) => low + ((index + 0.5) / labels.length) * (high - low);
  const scale = (value) => {
    const index = labels.indexOf(value);
    return index < 0 ? NaN : place(index);
  };
  scale.ticks = labels.map((label, index) => [place(index), label]);
  scale.isChoice = true;
  return scale;
}

function numberScale(values, log, low, high, numTicks) {
  const finite = values.filter(Number.isFinite);
  let least = Infinity,
    most = -Infinity;
  for (const value of finite) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  if (!finite.length) {
    least = 0;
    most = 1;
  }
  const isLog = Boolean(log) && least > 0;
  const to = isLog ? Math.log : (value) => value;
  let [begin, end] = [to(least), to(most)];
  if (begin === end) {
    begin -= isLog ? 0.5 : Math.abs(begin) * 0.1 || 0.5;
    end += isLog ? 0.5 : Math.abs(end) * 0.1 || 0.5;
  }
  const pad = (end - begin) * 0.04;
  begin -= pad;
  end += pad;
  const scale = (value) =>
    value === null || value === undefined ? NaN : low + ((to(value) - begin) / (end - begin)) * (high - low);
  scale.back = (place) => {
    const inner = begin + ((place - low) / (high - low)) * (end - begin);
    return isLog ? Math.exp(inner) : inner;
  };
  const ticks = isLog ? logTicks(Math.exp(begin), Math.exp(end)) : evenTicks(begin, end, numTicks, finite.every(Number.isInteger));
  scale.ticks = ticks.map((value) => [scale(value), tickText(value)]);
  return scale;
}

/** About so many ticks at even steps; at whole numbers only, where there is nothing between them. */
function evenTicks(begin, end, number, isWhole) {
  const rough = (end - begin) / number,
    power = 10 ** Math.floor(Math.log10(rough));
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power).filter((each) => !isWhole || Number.isInteger(each));
  const step = steps.find((each) => each >= rough) ?? 1;
  const ticks = [];
  for (let index = Math.ceil(begin / step); index * step <= end; index += 1)
    ticks.push(Number((index * step).toPrecision(12)));
  return ticks;
}

function logTicks(begin, end) {
  const factors = end < 100 * begin ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(begin)); power <= Math.log10(end); power += 1)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  const inside = ticks.filter((tick) => tick >= begin && tick <= end);
  return inside.length > 1 ? inside : [begin, end].map((value) => Number(value.toPrecision(2)));
}

function tickText(value) {
  for (const [unit, size] of [
    ["M", 1e6],
    ["k", 1e3],
  ])
    if (Math.abs(value) >= Math.max(size, 1e4)) return `${Number((value / size).toPrecision(6))}${unit}`;
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential().replace("e-", "e-") : String(value);
}

/** Space for data with its two axes: lines, ticks and names. `left` is as wide as the labels at the left. */
function frame(width, height, xAxis, yAxis, xValues, yValues) {
  const left = yAxis.labels
    ? Math.min(150, 14 + 6.2 * Math.max(...yAxis.labels.map((label) => plain(label, 22).length)))
    : 46;
  const inner = { left, right: width - 12, top: 24, bottom: height - 40 };
  const x = scaleOf(xAxis, xValues, inner.left, inner.right, Math.max(2, (inner.right - inner.left) / 90));
  const y = scaleOf(yAxis, yValues, inner.bottom, inner.top, 4);
  const grid = shape("g", { class: "axes" });
  for (const [place, label] of y.ticks) {
    grid.append(shape("path", { d: `M${at(inner.left)} ${at(place)}H${at(inner.right)}`, class: "grid" }));
    grid.append(shape("text", { x: at(inner.left - 6), y: at(place + 3.5), "text-anchor": "end" }, plain(label, 22)));
  }
  const room = (inner.right - inner.left) / Math.max(x.ticks.length, 1) / 6.4;
  let free = -Infinity;
  x.ticks.forEach(([place, label], index) => {
    grid.append(shape("path", { d: `M${at(place)} ${at(inner.bottom)}v4`, class: "tick" }));
    const text = plain(label, x.isChoice ? Math.max(4, Math.floor(room)) : 28),
      half = text.length * 3.1;
    if (place - half < free) return;
    free = place + half + 4;
    grid.append(shape("text", { x: at(place), y: inner.bottom + 17, "text-anchor": "middle" }, text));
  });
  grid.append(shape("path", { d: `M${at(inner.left)} ${inner.bottom}H${at(inner.right)}`, class: "tick" }));
  grid.append(
    shape(
      "text",
      { x: at((inner.left + inner.right) / 2), y: height - 6, class: "name", "text-anchor": "middle" },
      plain(xAxis.name, 40),
    ),
  );
  grid.append(shape("text", { x: 2, y: 12, class: "name" }, plain(yAxis.name, 40)));
  return { x, y, inner, grid };
}

/** Points of one kind as one path: a dot is a line without length, round or square by its class. */
const dots = (points, kind) =>
  points.length
    ? shape("path", { class: `dots ${kind}`, d: points.map(({ x, y }) => `M${at(x)} ${at(y)}h0`).join("") })
    : null;

/** A dot for each point: those of trials that the filter leaves out are pale, and hollow ones were cut short. */
function dotsByState(points) {
  const group = shape("g", { class: points.length > MANY ? "many" : null }),
    isShown = ({ number }) => page.shown.has(number);
  const kinds = STATES.map((state) => [
    state,
    points.filter((point) => page.byNumber.get(point.number).state === state),
  ]);
  for (const [, each] of kinds)
    group.append(
      dots(
        each.filter((point) => !isShown(point)),
        "pale",
      ) ?? "",
    );
  for (const [state, each] of [...kinds].reverse()) {
    const inside = each.filter(isShown);
    group.append(dots(inside, `of-${state}`) ?? "");
    if (["stopped", "paused"].includes(state)) group.append(dots(inside, `hole of-${state}`) ?? "");
  }
  return group;
}

/** A polyline through places; a place that is no number breaks it. */
function through(places) {
  let text = "",
    isDown = false;
  for (const [x, y] of places) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      isDown = false;
      continue;
    }
    text += `${isDown ? "L" : "M"}${at(x)} ${at(y)}`;
    isDown = true;
  }
  return text;
}

/** Finds the number of the nearest of these points. */
function nearest(points) {
  return (x, y) => {
    let best = null,
      least = NEAR * NEAR;
    for (const point of points) {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance <= least) {
        best = point.number;
        least = distance;
      }
    }
    return best;
  };
}

/** A dot of an overlay with its trial's number beside it. */
function dotAt(places, number) {
  const nodes = places
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
    .map(({ x, y }) => shape("circle", { cx: at(x), cy: at(y), r: 6 }));
  const first = places[0];
  if (nodes.length) nodes.push(shape("text", { x: at(first.x + 9), y: at(first.y - 7) }, String(number)));
  return nodes;
}

/** Takes each text away that would stand on an earlier one. */
function withoutCollisions(texts) {
  const kept = [];
  for (const text of texts) {
    const [x, y] = [Number(text.getAttribute("x")), Number(text.getAttribute("y"))];
    if (kept.some((other) => Math.abs(other.x - x) < 22 && Math.abs(other.y - y) < 12)) text.remove();
    else kept.push({ x, y });
  }
}

/** One chart. `build(width)` gives `{height, nodes, top, near, over, order}`: what is drawn below the marks and above
 * them, which trial is near a place, the nodes that mark a trial, and the trials in the order of the arrow keys. */
class Chart {
  constructor(host, label, build) {
    Object.assign(this, { host, build });
    this.svg = shape("svg", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${label}. Arrow keys walk through trials, Enter chooses one. The table of trials has the numbers.`,
    });
    this.over = shape("g", { class: "over", "aria-hidden": "true" });
    host.append(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => page.mark(null));
    this.svg.addEventListener("click", (event) => this.click(event));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("blur", () => page.mark(null));
    page.on("data", () => this.draw());
    page.on("filter", () => this.draw());
    page.on("mark", () => this.mark());
    page.on("choose", () => this.mark());
    new IntersectionObserver(([entry]) => this.come(entry.isIntersecting), { rootMargin: "50%" }).observe(host);
    addEventListener("beforeprint", () => this.come(true));
    new ResizeObserver(() => {
      if (host.clientWidth !== this.width) this.draw();
    }).observe(host);
  }
  draw() {
    const width = (this.width = this.host.clientWidth);
    this.isStale = page.trials.length > MANY && !this.isNear;
    if (!width || this.isStale) return;
    this.plot = this.build(width);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.plot.height}`);
    this.svg.replaceChildren(...this.plot.nodes.filter(Boolean), this.over, ...(this.plot.top ?? []));
    this.mark();
  }
  /** Comes into sight, or leaves it. */
  come(isNear) {
    this.isNear = isNear;
    if (isNear && this.isStale) this.draw();
  }
  mark() {
    if (!this.plot) return;
    const marks = page.chosen.map((number, index) => [number, `chosen c${index}`]);
    if (page.marked !== null) marks.push([page.marked, "marked"]);
    this.over.replaceChildren(...marks.map(([number, kind]) => shape("g", { class: kind }, ...this.plot.over(number))));
    withoutCollisions([...this.over.querySelectorAll(".marked text"), ...this.over.querySelectorAll(".chosen text")]);
  }
  place(event) {
    const box = this.svg.getBoundingClientRect(),
      scale = this.svg.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }
  point(event) {
    const number = this.plot?.near(...this.place(event)) ?? null;
    page.mark(number);
    tip.show(number, event.clientX, event.clientY);
    this.svg.classList.toggle("on-trial", number !== null);
  }
  click(event) {
    const number = this.plot?.near(...this.place(event)) ?? null;
    if (number !== null) page.choose(number);
  }
  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const order = this.plot.order,
        index = order.indexOf(page.marked);
      if (!order.length) return;
      page.mark(order[index < 0 ? (step > 0 ? 0 : order.length - 1) : (index + step + order.length) % order.length]);
      this.sayMarked();
    } else if (event.key === "Enter" && page.marked !== null) page.choose(page.marked);
    else if (event.key === "Escape") page.mark(null);
    else return;
    event.preventDefault();
  }
  sayMarked() {
    const circle = this.over.querySelector(".marked circle, .marked path"),
      box = (circle ?? this.svg).getBoundingClientRect();
    tip.show(page.marked, box.left + Math.min(box.width, 12), box.top);
    tip.say(page.marked);
  }
}

/** The box beside the pointer that says which trial is marked, and the words of it for a screen reader. */
const tip = {
  box: element("div", { class: "tip", hidden: true, "aria-hidden": "true" }),
  voice: element("div", { class: "unseen", "aria-live": "polite" }),
  show(number, x, y) {
    const trial = number === null ? null : page.byNumber.get(number);
    this.box.hidden = !trial;
    if (!trial) return;
    const rows = Object.entries(trial.values)
      .slice(0, 9)
      .map(([name, value]) =>
        element("tr", {}, element("th", { scope: "row" }, plain(name)), element("td", {}, plain(brief(value)))),
      );
    const scores = page.study.metrics.map((name, index) =>
      element(
        "tr",
        { class: "strong" },
        element("th", { scope: "row" }, plain(name)),
        element("td", {}, scoreText(trial.scores[index])),
      ),
    );
    this.box.replaceChildren(
      element("div", { class: "strong" }, `trial ${number} \u00b7 ${stateText(trial)} \u00b7 epoch ${trial.epochs}`),
      element("table", {}, ...scores, ...rows),
      whyText(trial) ? element("div", { class: "why" }, plain(whyText(trial), 120)) : null,
    );
    const box = this.box.getBoundingClientRect();
    this.box.style.left = `${Math.max(4, Math.min(x + 16, innerWidth - box.width - 8))}px`;
    this.box.style.top = `${y + 16 + box.height < innerHeight ? y + 16 : Math.max(4, y - box.height - 12)}px`;
  },
  say(number) {
    const trial = page.byNumber.get(number);
    const scoreIs = `${metric()} ${scoreText(score(trial))}`;
    this.voice.textContent = `trial ${number}, ${stateText(trial)}, ${scoreIs}, ${pairs(trial).slice(0, 300)}`;
  },
};
page.on("mark", () => {
  if (page.marked === null) tip.show(null);
});
