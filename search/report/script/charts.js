// Charts of the trials: scores in order, slices, learning curves, two params.

const MOST_LINES = 400; // lines that a reader can tell apart, and that a phone draws at once
const MOST_DOTS = 4000;
const FEWEST_OF_GROUND = 8,
  MOST_OF_GROUND = 600;
const HIGH = 230; // of a small chart

/** The trials that are drawn where there are too many: the best quarter of `most`, and an even sample of the others. */
function drawn(trials, most) {
  if (trials.length <= most) return trials;
  const first = page.filter ? trials.filter((trial) => page.shown.has(trial.number)) : trials;
  const inside = new Set(first),
    best = page.best.filter((trial) => inside.has(trial)).slice(0, most / 4),
    taken = new Set(best);
  const others = (first.length > most / 2 ? first : trials).filter((trial) => !taken.has(trial));
  return [...best, ...evenly(others, most - best.length)];
}

/** So many of these items, at even distances; all where there are fewer. */
function evenly(items, most) {
  const step = Math.max(1, items.length / most);
  return items.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

/** What a chart says of the trials that it leaves out. */
const drawnText = (trials, most, what) =>
  trials.length <= most
    ? ""
    : `Drawn are ${counted(most)} of ${counted(trials.length)} ${what}: the best ${counted(most / 4)} and an even ` +
      "sample of the others; a filter draws from those that pass it.";

/** Points of trials on two scales. `over` and `near` of a chart of points. */
function pointChart(trials, xOf, yOf, { x, y }) {
  const place = (trial) => ({ number: trial.number, x: x(xOf(trial)), y: y(yOf(trial)) });
  const points = trials.map(place).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  const passing = points.filter((point) => page.shown.has(point.number));
  return {
    points,
    near: nearest(passing),
    over: (number) => (page.byNumber.has(number) ? dotAt([place(page.byNumber.get(number))], number) : []),
    order: [...passing].sort((a, b) => a.x - b.x || a.y - b.y).map((point) => point.number),
  };
}

const scoreAxis = () => ({ name: metric() });
const withScore = () => page.trials.filter((trial) => score(trial) !== null);

/** Scores in the order of the trials, and the best so far. */
function history(width) {
  const trials = drawn(withScore(), MOST_DOTS),
    height = 250;
  const box = frame(
    width,
    height,
    { name: "trial" },
    scoreAxis(),
    [0, ...page.trials.map((t) => t.number)],
    trials.map(score),
  );
  const chart = pointChart(trials, (trial) => trial.number, score, box);
  const failed = page.trials
    .filter((trial) => trial.state === "failed")
    .map((trial) => ({ x: box.x(trial.number), y: box.inner.bottom - 3 }));
  const best = shape("path", { class: "best-line", d: bestSoFar(box) });
  return { height, nodes: [box.grid, dotsByState(chart.points), dots(failed, "of-failed"), best], ...chart };
}

function bestSoFar({ x, y }) {
  let best = null,
    text = "";
  for (const trial of [...page.best].sort((a, b) => a.number - b.number)) {
    if (best !== null && !isBetter(score(trial), best)) continue;
    text +=
      best === null
        ? `M${at(x(trial.number))} ${at(y(score(trial)))}`
        : `H${at(x(trial.number))}V${at(y(score(trial)))}`;
    best = score(trial);
  }
  return text && `${text}H${at(x(page.trials.at(-1).number))}`;
}

/** Score against one param, with the lines of equal networks. */
const slice = (name) => (width) => {
  const param = page.study.params.find((each) => each.name === name);
  if (!param) return { height: 0, nodes: [], near: () => null, over: () => [], order: [] };
  const trials = drawn(
    withScore().filter((trial) => trial.values[name] !== undefined),
    MOST_DOTS,
  );
  const box = frame(
    width,
    HIGH,
    param,
    scoreAxis(),
    trials.map((trial) => trial.values[name]),
    trials.map(score),
  );
  const chart = pointChart(trials, (trial) => trial.values[name], score, box);
  return { height: HIGH, nodes: [box.grid, networkLines(box, param), dotsByState(chart.points)], ...chart };
};

function networkLines({ x, y, inner }, param) {
  if (param.labels) return null;
  const group = shape("g", { class: "networks" });
  for (const network of page.study.networks) {
    const step = network.steps[param.name],
      own = network.trials.map((number) => page.byNumber.get(number).values[param.name]).filter(isNumber);
    const [low, high] = step ?? [Math.min(...own), Math.max(...own)];
    const [left, right] = [low, high].map((value) => Math.max(inner.left, Math.min(inner.right, x(value)))),
      mean = y(network.mean);
    if (right > left) group.append(shape("path", { d: `M${at(left)} ${at(mean)}H${at(right)}` }));
    if (!network.interval) continue;
    const [worst, most] = network.interval.map((end) => Math.max(inner.top, Math.min(inner.bottom, y(end)))),
      middle = at((left + right) / 2);
    group.append(
      shape("path", {
        d: `M${middle} ${at(worst)}V${at(most)}M${middle - 3} ${at(worst)}h6M${middle - 3} ${at(most)}h6`,
      }),
    );
  }
  return group;
}

/** Learning curves: the metric of every epoch, `curve` in validation or `train`; ASHA's rungs as vertical lines. */
const curves = (part) => (width) => {
  const trials = drawn(
      page.trials.filter((trial) => trial[part]),
      MOST_LINES,
    ),
    epochs = page.study.max_epochs;
  const values = trials.flatMap((trial) => trial[part]).filter(isNumber);
  const box = frame(
    width,
    270,
    { name: "epoch" },
    { name: part === "train" ? "train_accuracy" : metric() },
    [1, epochs],
    values,
  );
  const places = (trial) => trial[part].map((value, index) => [box.x(index + 1), box.y(value)]);
  const line = (trial) => {
    const all = places(trial);
    return all.length === 1 ? `M${at(all[0][0] - 2)} ${at(all[0][1])}h4` : through(all);
  };
  const passing = trials.filter((trial) => page.shown.has(trial.number)),
    vertices = [];
  for (const trial of passing)
    for (const [x, y] of places(trial)) if (Number.isFinite(y)) vertices.push({ number: trial.number, x, y });
  const path = (some, kind) =>
    some.length ? shape("path", { class: `lines ${kind}`, d: some.map(line).join("") }) : null;
  const rungs = page.study.rungs.map((rung) => `M${at(box.x(rung))} ${box.inner.top}V${box.inner.bottom}`).join("");
  return {
    height: 270,
    nodes: [
      box.grid,
      rungs && shape("path", { class: "rung", d: rungs }),
      path(
        trials.filter((trial) => !page.shown.has(trial.number)),
        "pale",
      ),
      ...[...STATES].reverse().map((state) =>
        path(
          passing.filter((trial) => trial.state === state),
          `of-${state}`,
        ),
      ),
    ],
    near: nearest(vertices),
    over: (number) => {
      const trial = page.byNumber.get(number);
      if (!trial?.[part]) return [];
      const [x, y] = places(trial).findLast((place) => Number.isFinite(place[1])) ?? [NaN, NaN];
      return [shape("path", { d: line(trial) }), ...dotAt([{ x, y }], number)];
    },
    order: [...passing]
      .sort(
        (a, b) =>
          (page.place.get(a.number) ?? Infinity) - (page.place.get(b.number) ?? Infinity) || a.number - b.number,
      )
      .map((trial) => trial.number),
  };
};

// Colors of scores: nine steps from the worst to the best.

const NUM_SHADES = 9;

/** A function from a score to its shade. The lowest and the highest twentieth share the ends, so that one wild score
 * does not make all others alike. */
function shadeScale() {
  const scores = page.best.map(score).reverse();
  const worst = scores[Math.floor(scores.length * 0.05)],
    best = scores[Math.ceil(scores.length * 0.95) - 1] ?? scores.at(-1);
  const shade = (value) =>
    worst === best
      ? NUM_SHADES - 1
      : Math.max(0, Math.min(NUM_SHADES - 1, Math.floor(((value - worst) / (best - worst)) * NUM_SHADES)));
  return Object.assign(shade, { worst, best });
}

function shadeLegend() {
  const { worst, best } = shadeScale();
  if (worst === undefined) return element("span");
  const steps = Array.from({ length: NUM_SHADES }, (_, shade) =>
    shape("rect", { class: `q${shade}`, x: shade * 12, y: 0, width: 12, height: 10 }),
  );
  return element(
    "span",
    { class: "shades" },
    `${scoreText(worst)} `,
    shape(
      "svg",
      { viewBox: "0 0 108 10", width: 108, height: 10, role: "img", "aria-label": "from worse to better" },
      ...steps,
    ),
    ` ${scoreText(best)} ${metric()}`,
  );
}

/** Two params, or a param and a metric, against each other; the ground is shaded by a smoothed score. */
const pair = (names) => (width) => {
  const axes = [names.x, names.y].map((name) => page.study.params.find((param) => param.name === name) ?? { name });
  const both = page.trials.filter((trial) => axes.every(({ name }) => valueOf(trial, name) !== null));
  const trials = drawn(both, MOST_DOTS),
    height = Math.min(430, Math.max(300, width * 0.6));
  const [xOf, yOf] = axes.map(
    ({ name }) =>
      (trial) =>
        valueOf(trial, name),
  );
  const box = frame(width, height, axes[0], axes[1], trials.map(xOf), trials.map(yOf));
  const chart = pointChart(trials, xOf, yOf, box),
    shade = shadeScale(),
    able = new Set(page.place.keys());
  const inside = chart.points.filter(({ number }) => page.shown.has(number));
  const shades = Array.from({ length: NUM_SHADES }, (_, step) =>
    dots(
      inside.filter(({ number }) => able.has(number) && shade(score(page.byNumber.get(number))) === step),
      `ringed q${step}`,
    ),
  );
  const isOnParams = axes.every(({ name }) => page.study.params.some((param) => param.name === name));
  const points = evenly(page.best, MOST_OF_GROUND)
    .map((trial) => ({ x: box.x(xOf(trial)), y: box.y(yOf(trial)), score: score(trial) }))
    .filter(({ x, y }) => Number.isFinite(x + y));
  return {
    height,
    nodes: [
      isOnParams ? ground(points, box.inner, shade) : null,
      box.grid,
      dots(
        chart.points.filter(({ number }) => !page.shown.has(number)),
        "pale",
      ),
      dots(
        inside.filter(({ number }) => !able.has(number)),
        "of-stopped small",
      ),
      dots(
        inside.filter(({ number }) => able.has(number)),
        "ring",
      ),
      ...shades,
    ],
    ...chart,
  };
};

/** A grid of cells, each shaded by the mean score of the trials around it; a cell far from any trial stays empty. */
function ground(points, inner, shade) {
  if (points.length < FEWEST_OF_GROUND) return null;
  const columns = 28,
    rows = 18,
    wide = (inner.right - inner.left) / columns,
    high = (inner.bottom - inner.top) / rows;
  const reach = 0.09 * Math.hypot(inner.right - inner.left, inner.bottom - inner.top);
  const cells = Array.from({ length: NUM_SHADES }, () => "");
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1) {
      const x = inner.left + (column + 0.5) * wide,
        y = inner.top + (row + 0.5) * high;
      let weight = 0,
        sum = 0;
      for (const point of points) {
        const own = Math.exp(-((point.x - x) ** 2 + (point.y - y) ** 2) / (2 * reach * reach));
        weight += own;
        sum += own * point.score;
      }
      if (weight > 0.35) cells[shade(sum / weight)] += `M${at(x - wide / 2)} ${at(y)}h${at(wide + 0.4)}`;
    }
  return shape(
    "g",
    { class: "ground" },
    ...cells.map((d, step) => d && shape("path", { class: `q${step}`, d, "stroke-width": at(high + 0.6) })),
  );
}
