// The time line: when each trial was trained, and on which node.

/** When each trial was trained: a row is a place on a node where one trial runs at a time. */
function timeline(width) {
  const trials = page.trials.filter((trial) => trial.stretches.length),
    begin = Math.min(...trials.map((trial) => trial.stretches[0][0]));
  const lanes = inLanes(trials).reverse(),
    thick = Math.max(4, Math.min(16, 600 / Math.max(lanes.length, 1)));
  const height = 64 + lanes.length * (thick + 4),
    end = Math.max(...trials.map((trial) => trial.stretches.at(-1)[1]));
  const [unit, size] = end - begin > 10800 ? ["hours", 3600] : end - begin > 180 ? ["minutes", 60] : ["seconds", 1];
  const box = frame(
    width,
    height,
    { name: `${unit} since the first trial began` },
    { name: "", labels: lanes.map((lane) => lane.label) },
    [0, (end - begin) / size],
    [],
  );
  const bars = lanes.flatMap((lane, row) =>
    lane.bars.map((bar) => ({
      ...bar,
      y: box.y.ticks[row][0],
      left: box.x((bar.begin - begin) / size),
      right: Math.max(box.x((bar.end - begin) / size), box.x((bar.begin - begin) / size) + 1.5),
    })),
  );
  const inside = bars.filter(({ number }) => page.shown.has(number));
  const path = (some, kind) =>
    some.length
      ? shape("path", {
          class: `bars ${kind}`,
          "stroke-width": thick,
          d: some.map((bar) => `M${at(bar.left)} ${at(bar.y)}H${at(Math.max(bar.left + 1, bar.right - 0.8))}`).join(""),
        })
      : null;
  const promoted = inside
    .filter((bar) => bar.index > 0 && bar.right - bar.left > 4)
    .map((bar) => `M${at(bar.left)} ${at(bar.y - thick / 2)}l4 ${thick / 2}l-4 ${thick / 2}z`)
    .join("");
  const byNumber = Map.groupBy ? Map.groupBy(bars, (bar) => bar.number) : groupBy(bars, (bar) => bar.number);
  return {
    height,
    nodes: [
      box.grid,
      path(
        bars.filter(({ number }) => !page.shown.has(number)),
        "pale",
      ),
      ...STATES.map((state) =>
        path(
          inside.filter((bar) => page.byNumber.get(bar.number).state === state),
          `of-${state}`,
        ),
      ),
      promoted && shape("path", { class: "promoted", d: promoted }),
    ],
    near: (x, y) =>
      inside.find((bar) => Math.abs(bar.y - y) <= thick / 2 + 2 && bar.left - 1 <= x && x <= bar.right + 1)?.number ??
      null,
    over: (number) => waits(byNumber.get(number) ?? [], thick),
    order: trials
      .filter((trial) => page.shown.has(trial.number))
      .sort((a, b) => a.stretches[0][0] - b.stretches[0][0])
      .map((trial) => trial.number),
  };
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** A trial's bars outlined, with a thin line through the times at which it waited. */
function waits(bars, thick) {
  const boxes = bars.map((bar) =>
    shape("rect", {
      x: at(bar.left - 1),
      y: at(bar.y - thick / 2 - 1),
      width: at(bar.right - bar.left + 2),
      height: thick + 2,
    }),
  );
  const between = bars
    .slice(1)
    .map((bar, index) => `M${at(bars[index].right)} ${at(bars[index].y)}L${at(bar.left)} ${at(bar.y)}`)
    .join("");
  return [
    between && shape("path", { class: "wait", d: between }),
    ...boxes,
    ...(bars.length
      ? [shape("text", { x: at(bars[0].left), y: at(bars[0].y - thick / 2 - 4) }, String(bars[0].number))]
      : []),
  ].filter(Boolean);
}

/** The stretches of all trials on as few rows as they need, node by node. */
function inLanes(trials) {
  const bars = trials.flatMap((trial) =>
    trial.stretches.map(([begin, end], index) => ({
      number: trial.number,
      node: trial.node ?? "node",
      begin,
      end,
      index,
    })),
  );
  const nodes = new Map();
  for (const bar of bars.sort((a, b) => a.begin - b.begin)) {
    if (!nodes.has(bar.node)) nodes.set(bar.node, []);
    const lanes = nodes.get(bar.node);
    let lane = lanes.find((each) => each.end <= bar.begin + 0.3);
    if (!lane) lanes.push((lane = { bars: [] }));
    lane.bars.push(bar);
    lane.end = bar.end;
  }
  return [...nodes]
    .sort(([a], [b]) => a.localeCompare(b))
    .flatMap(([node, lanes]) =>
      lanes.map((lane, index) => ({
        ...lane,
        label: lanes.length > 1 ? `${plain(node, 16)} ${index + 1}` : plain(node, 18),
      })),
    );
}
