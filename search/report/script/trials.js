// The table of trials, and up to five of them side by side.

const ROWS = 20;  // at first; each click shows five times as many more

/** The columns of the table: a title, what to sort by, and the text of a cell. */
function columnsOf() {
  const { metrics, params } = page.study;
  return [
    { title: "trial", value: (trial) => trial.number },
    { title: "state", value: (trial) => STATES.indexOf(trial.state), text: (trial) => [stateText(trial), whyText(trial)].filter(Boolean).join(": ") },
    ...metrics.map((title, index) => ({ title, value: (trial) => trial.scores[index], text: (trial) => scoreText(trial.scores[index]), isBest: page.study.modes[index] })),
    { title: "epochs", value: (trial) => trial.epochs },
    { title: "time", value: (trial) => trial.seconds, text: (trial) => duration(trial.seconds) },
    ...(page.networks.size < page.trials.length
      ? [{ title: "same network", value: (trial) => sameAs(trial).length, text: (trial) => numbersText(sameAs(trial)) }] : []),
    ...params.map(({ name }) => ({ title: name, value: (trial) => trial.values[name] ?? null })),
  ];
}

const numbersText = (numbers) => numbers.length > 6 ? `${numbers.slice(0, 5).join(", ")} and ${numbers.length - 5} more` : numbers.join(", ");

/** The table: sorted by a click on a column's name, the best first until then. */
class TrialTable {
  constructor(host) {
    this.sort = null;
    this.most = ROWS;
    this.rows = new Map();
    this.table = element("table", { class: "trials" });
    this.count = element("p", { class: "note" });
    this.more = element("button", { type: "button", onclick: () => { this.most += 5 * ROWS; this.draw(); } });
    host.append(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of trials" }, this.table), this.count, this.more);
    page.on("data", () => this.draw());
    page.on("filter", () => { this.most = ROWS; this.draw(); });
    page.on("mark", () => this.mark());
    page.on("choose", () => this.mark());
  }
  draw() {
    const columns = columnsOf(), focus = this.focused();
    const trials = this.sorted(page.trials.filter((trial) => page.shown.has(trial.number)), columns), some = trials.slice(0, this.most);
    this.rows = new Map(some.map((trial) => [trial.number, this.row(trial, columns)]));
    this.table.replaceChildren(element("caption", { class: "unseen" }, "Trials. The buttons in the first row sort."),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, element("span", { class: "unseen" }, "side by side")), ...columns.map((column) => this.head(column)))),
      element("tbody", {}, ...this.rows.values()));
    const left = trials.length - some.length;
    this.count.textContent = trials.length ? "" : "No trial passes the filter.";
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${Math.min(left, 5 * ROWS)} more of ${left.toLocaleString("en")}`;
    this.mark();
    focus?.();
  }
  /** Gives the focus back to what had it before the table was drawn again. */
  focused() {
    const key = this.table.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    return key && (() => [...this.table.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus());
  }
  head(column) {
    const direction = this.sort?.title === column.title ? (this.sort.down ? "descending" : "ascending") : null;
    const arrow = element("span", { "aria-hidden": "true" }, direction === "descending" ? " ↓" : direction ? " ↑" : "");
    return element("th", { scope: "col", "aria-sort": direction },
      element("button", { type: "button", "data-key": `sort ${column.title}`, onclick: () => this.sortBy(column) }, plain(column.title), arrow));
  }
  /** Best values first at the first click, the other way at the second, the best trials first at the third. */
  sortBy(column) {
    const first = column.isBest === "max", { title } = column;
    if (this.sort?.title !== title) this.sort = { title, down: first };
    else this.sort = this.sort.down === first ? { title, down: !first } : null;
    this.draw();
  }
  sorted(trials, columns) {
    const column = columns.find(({ title }) => title === this.sort?.title), sign = this.sort?.down ? -1 : 1;
    const placed = (trial) => page.place.get(trial.number) ?? Infinity;
    if (!column) return trials.sort((a, b) => (placed(a) === placed(b) ? a.number - b.number : placed(a) - placed(b)));
    return trials.sort((a, b) => sign * compared(column.value(a), column.value(b), sign) || a.number - b.number);
  }
  row(trial, columns) {
    const box = element("input", { type: "checkbox", "data-key": `trial ${trial.number}`, "aria-label": `trial ${trial.number} side by side`,
      onchange: () => page.choose(trial.number), onfocus: () => page.mark(trial.number), onblur: () => page.mark(null) });
    const cells = columns.map((column, index) => this.cell(trial, column, index));
    return element("tr", { onpointerenter: () => page.mark(trial.number), onpointerleave: () => page.mark(null) }, element("td", {}, box), ...cells);
  }
  cell(trial, column, index) {
    const value = column.value(trial), text = column.text ? column.text(trial) : brief(value);
    const inner = element("div", { class: column.title === "state" ? `cell of-${trial.state}` : "cell" }, text);
    return index ? element("td", { class: isNumber(value) && column.title !== "state" ? "number" : null }, inner)
      : element("th", { scope: "row" }, inner, " ", page.place.get(trial.number) === 0 ? element("span", { class: "badge" }, "best") : null);
  }
  mark() {
    for (const [number, row] of this.rows) {
      const place = page.chosen.indexOf(number);
      row.className = `${number === page.marked ? "marked" : ""} ${place < 0 ? "" : `chosen c${place}`}`;
      row.querySelector("input").checked = place >= 0;
    }
  }
}

/** -1, 0 or 1; what has no value comes last in either direction. */
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) === (b === null) ? 0 : a === null ? sign : -sign;
  return isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b));
}

/** The chosen trials side by side: how they did, the params that differ, and their configs to be copied. */
class SideBySide {
  constructor(host) {
    this.host = host;
    page.on("data", () => this.draw());
    page.on("choose", () => this.draw());
  }
  draw() {
    const trials = page.chosen.map((number) => page.byNumber.get(number)).filter(Boolean);
    if (!trials.length) {
      this.host.replaceChildren(element("p", { class: "note" }, "Choose up to five trials, by their boxes in the table or by a click in any chart, and they stand here side by side."));
      return;
    }
    const open = [...this.host.querySelectorAll("details")].map((each) => each.open);
    this.host.replaceChildren(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials side by side" }, this.table(trials)), ...this.same(trials));
    [...this.host.querySelectorAll("details")].forEach((each, index) => { each.open = open[index] ?? false; });
  }
  table(trials) {
    const rows = [
      ["state", (trial) => [stateText(trial), whyText(trial)].filter(Boolean).join(": ")],
      ...page.study.metrics.map((name, index) => [name, (trial) => scoreText(trial.scores[index])]),
      ["epochs", (trial) => `${trial.epochs} of ${page.study.max_epochs}`], ["time", (trial) => duration(trial.seconds)],
      ["seed", (trial) => String(trial.seed)], ["same network", (trial) => numbersText(sameAs(trial)) || "-"],
    ];
    const { different } = compareConfigs(trials);
    return element("table", { class: "compare" }, element("caption", { class: "unseen" }, "Trials side by side"),
      element("thead", {}, element("tr", {}, element("td"), ...trials.map((trial, index) => this.head(trial, index)))),
      element("tbody", {}, ...rows.map(([name, text]) => this.row(name, trials.map(text))),
        ...different.map(([name, values]) => this.row(name, values, trials.length > 1))),
      element("tfoot", {}, element("tr", {}, element("th", { scope: "row" }, "config"), ...trials.map((trial) => element("td", {}, ...this.copies(trial))))));
  }
  head(trial, index) {
    return element("th", { scope: "col", class: `chosen c${index}` }, element("span", { class: "swatch", "aria-hidden": "true" }), `trial ${trial.number} `,
      page.place.get(trial.number) === 0 ? element("span", { class: "badge" }, "best") : null,
      element("button", { type: "button", class: "quiet", "aria-label": `let trial ${trial.number} go`, onclick: () => page.choose(trial.number) }, "×"));
  }
  row(name, texts, isDifferent = false) {
    return element("tr", { class: isDifferent ? "different" : null }, element("th", { scope: "row" }, plain(name, 40)), ...texts.map((text) => element("td", {}, element("div", { class: "cell" }, text))));
  }
  copies(trial) {
    const parts = [["YAML", yamlOf(trial)], ...(trial.epochs ? [["command", `${commandOf(trial)}\n`]] : [])];
    return [...parts.map(([what, text]) => copyButton(what, text, trial)),
      element("details", {}, element("summary", {}, "show"), element("pre", { tabindex: 0 }, parts.map(([, text]) => text).join("\n")))];
  }
  same(trials) {
    const { alike } = compareConfigs(trials);
    if (trials.length < 2 || !alike.length) return [];
    return [element("details", {}, element("summary", {}, `${alike.length} params are the same`), element("pre", { tabindex: 0 }, alike.join("\n")))];
  }
}

/** Of some configs: the params that differ, each with its values, and the lines of those that do not. */
function compareConfigs(trials) {
  const configs = trials.map(configOf), names = new Set(configs.flatMap((config) => [...config.keys()]));
  const different = [], alike = [];
  for (const name of names) {
    const lines = configs.map((config) => config.get(name));
    const isVarying = page.study.params.some((param) => param.name === name);
    if (trials.length > 1 ? new Set(lines).size > 1 : isVarying) different.push([name, lines.map((line) => line?.slice(name.length + 2) ?? "-")]);
    else alike.push(lines[0]);
  }
  return { different, alike };
}

function copyButton(what, text, trial) {
  const button = element("button", { type: "button", "aria-label": `copy ${what} of trial ${trial.number}`, onclick: async () => {
    button.textContent = (await copied(text)) ? "copied" : "not copied: select it below";
    setTimeout(() => { button.textContent = `copy ${what}`; }, 1500);
  } }, `copy ${what}`);
  return button;
}

/** Puts a text on the clipboard; by the old way where the browser does not give the new one to a file. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    return isDone;
  }
}
