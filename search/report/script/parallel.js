// Parallel coordinates: complete trials as lines through their params to their scores. A drag along an axis filters.

const MOST_AXES = 8;

/** The axes: the first params of the study, and at the end the score. */
const axesOf = () => [...page.study.params.slice(0, MOST_AXES), scoreAxis()];

/** Draws the lines, and gives each axis a strip that can be brushed. */
function parallel(width) {
  const height = 300,
    top = 44,
    bottom = height - 14,
    left = 40,
    right = width - 40,
    axes = axesOf();
  const all = page.best,
    trials = [...drawn(all, MOST_LINES)].sort((a, b) => page.place.get(b.number) - page.place.get(a.number));
  const columns = axes.map((axis, index) => ({
    axis,
    x: left + (index * (right - left)) / (axes.length - 1 || 1),
    scale: scaleOf(axis, all.map((trial) => valueOf(trial, axis.name)).filter(isNumber), bottom, top),
  }));
  const places = (trial) => columns.map(({ axis, x, scale }) => [x, scale(valueOf(trial, axis.name))]);
  const passing = trials.filter((trial) => page.shown.has(trial.number)),
    shade = shadeScale();
  const path = (some, kind) =>
    some.length
      ? shape("path", { class: `lines ${kind}`, d: some.map((trial) => through(places(trial))).join("") })
      : null;
  return {
    height,
    columns,
    nodes: [
      path(
        trials.filter((trial) => !page.shown.has(trial.number)),
        "pale",
      ),
      ...Array.from({ length: NUM_SHADES }, (_, step) =>
        path(
          passing.filter((trial) => shade(score(trial)) === step),
          `q${step}`,
        ),
      ),
    ],
    top: columns.map((column, index) =>
      axisOf(column, index, axes.length - 1, top, bottom, (right - left) / (axes.length - 1 || 1)),
    ),
    near: nearLine(passing, places),
    over: (number) =>
      page.place.has(number)
        ? [
            shape("path", { d: through(places(page.byNumber.get(number))) }),
            ...ends(places(page.byNumber.get(number)), number),
          ]
        : [],
    order: [...passing].reverse().map((trial) => trial.number),
  };
}

const ends = (places, number) => dotAt([{ x: places.at(-1)[0], y: places.at(-1)[1] }], number);

/** The trial whose line is nearest above or below a place. */
function nearLine(trials, places) {
  const lines = trials.map((trial) => [trial.number, places(trial)]);
  return (x, y) => {
    let best = null,
      least = NEAR;
    for (const [number, line] of lines) {
      const next = line.findIndex(([place], index) => index > 0 && place >= x);
      if (next < 0 || x < line[0][0] - NEAR) continue;
      const [[x0, y0], [x1, y1]] = [line[next - 1], line[next]];
      const distance = Math.abs(y0 + ((y1 - y0) * (x - x0)) / (x1 - x0) - y);
      if (distance < least) {
        best = number;
        least = distance;
      }
    }
    return best;
  };
}

function axisOf({ axis, x, scale }, index, last, top, bottom, room) {
  const labels = scale.isChoice
    ? scale.ticks
    : [scale.ticks[0], scale.ticks.at(-1)].filter((tick, place, both) => tick && both.indexOf(tick) === place);
  const most = Math.max(4, Math.floor(room / 6.5)),
    name = plain(axis.name, Math.max(6, Math.floor((2 * room) / 6.8)));
  // the outer names stay inside the page
  const [anchor, shift] = index === 0 ? ["start", -36] : index === last ? ["end", 36] : ["middle", 0];
  return shape(
    "g",
    { class: "axis" },
    shape("path", { class: "tick", d: `M${at(x)} ${top}V${bottom}` }),
    shape("text", { class: "name", x: at(x + shift), y: index % 2 ? 26 : 12, "text-anchor": anchor }, name),
    ...labels.map(([place, label]) =>
      shape("text", { class: "paper", x: at(x), y: at(place + 3.5), "text-anchor": "middle" }, plain(label, most)),
    ),
  );
}

/** Lets a drag along an axis write its range into the filter, and a click beside the lines take it away. */
class Parallel extends Chart {
  constructor(host, label) {
    super(host, `${label} A drag along an axis filters by it; the filter takes the same in words`, parallel);
    this.svg.addEventListener("pointerdown", (event) => this.begin(event));
    this.svg.addEventListener("pointerup", (event) => this.end(event));
    this.svg.addEventListener("pointercancel", () => {
      this.brush = null;
    });
  }
  begin(event) {
    const [x, y] = this.place(event),
      column = this.plot.columns.find((each) => Math.abs(each.x - x) < 14);
    this.isOnAxis = Boolean(column);
    if (!column || event.button) return;
    this.brush = { column, from: y, box: shape("rect", { class: "brush", x: at(column.x - 9), width: 18 }) };
    this.svg.append(this.brush.box);
    this.svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  }
  point(event) {
    if (!this.brush) return super.point(event);
    const [, y] = this.place(event);
    this.brush.box.setAttribute("y", at(Math.min(y, this.brush.from)));
    this.brush.box.setAttribute("height", at(Math.abs(y - this.brush.from)));
  }
  end(event) {
    if (!this.brush) return;
    const [, y] = this.place(event),
      { column, from, box } = this.brush;
    this.brush = null;
    box.remove();
    page.setFilter(
      withTerms(column.axis.name, Math.abs(y - from) < 4 ? [] : termsOf(column, Math.min(from, y), Math.max(from, y))),
    );
  }
  click(event) {
    if (!this.isOnAxis) super.click(event);
  }
}

/** A stretch of an axis as terms of the filter. */
function termsOf({ axis, scale }, top, bottom) {
  if (scale.isChoice) {
    const inside = scale.ticks.filter(([place]) => top <= place && place <= bottom).map(([, label]) => quoted(label));
    return inside.length ? [`${axis.name}=${inside.join("|")}`] : [];
  }
  const [low, high] = [scale.back(bottom), scale.back(top)].map((value) => Number(value.toPrecision(3)));
  return [`${axis.name}>=${low}`, `${axis.name}<=${high}`];
}
