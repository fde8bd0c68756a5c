// The table of trials.

const ROWS = 20; // at first; each click shows five times as many more

/** The columns of the table: a title, what to sort by, and the text of a cell. */
function columnsOf() {
  const { metrics, params } = page.study;
  return [
    { title: "trial", value: (trial) => trial.number },
    {
      title: "state",
      value: (trial) => STATES.indexOf(trial.state),
      text: (trial) => [stateText(trial), whyText(trial)].filter(Boolean).join(": "),
    },
    ...metrics.map((title, index) => ({
      title,
      value: (trial) => trial.scores[index],
      text: (trial) => scoreText(trial.scores[index]),
      isBest: page.study.modes[index],
    })),
    { title: "epochs", value: (trial) => trial.epochs },
    { title: "time", value: (trial) => trial.seconds, text: (trial) => duration(trial.seconds) },
    ...(page.networks.size < page.trials.length
      ? [{ title: "same network", value: (trial) => sameAs(trial).length, text: (trial) => numbersText(sameAs(trial)) }]
      : []),
    ...params.map(({ name }) => ({ title: name, value: (trial) => trial.values[name] ?? null })),
  ];
}

const numbersText = (numbers) =>
  numbers.length > 6 ? `${numbers.slice(0, 5).join(", ")} and ${numbers.length - 5} more` : numbers.join(", ");

/** The table: sorted by a click on a column's name, the best first until then. */
class TrialTable {
  constructor(host) {
    this.sort = null;
    this.most = ROWS;
    this.rows = new Map();
    this.table = element("table", { class: "trials" });
    this.count = element("p", { class: "note" });
    this.more = element("button", {
      type: "button",
      onclick: () => {
        this.most += 5 * ROWS;
        this.draw();
      },
    });
    host.append(
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of trials" }, this.table),
      this.count,
      this.more,
    );
    page.on("data", () => this.draw());
    page.on("filter", () => {
      this.most = ROWS;
      this.draw();
    });
    page.on("mark", () => this.mark());
    page.on("choose", () => this.mark());
  }
  draw() {
    const columns = columnsOf(),
      focus = this.focused();
    const trials = this.sorted(
        page.trials.filter((trial) => page.shown.has(trial.number)),
        columns,
      ),
      some = trials.slice(0, this.most);
    this.rows = new Map(some.map((trial) => [trial.number, this.row(trial, columns)]));
    this.table.replaceChildren(
      element("caption", { class: "unseen" }, "Trials. The buttons in the first row sort."),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, element("span", { class: "unseen" }, "side by side")),
          ...columns.map((column) => this.head(column)),
        ),
      ),
      element("tbody", {}, ...this.rows.values()),
    );
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
    return (
      key && (() => [...this.table.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus())
    );
  }
  head(column) {
    const direction = this.sort?.title === column.title ? (this.sort.down ? "descending" : "ascending") : null;
    const sign = { ascending: " \u2191", descending: " \u2193" }[direction] ?? "";
    const arrow = element("span", { "aria-hidden": "true" }, sign);
    return element(
      "th",
      { scope: "col", "aria-sort": direction },
      element(
        "button",
        { type: "button", "data-key": `sort ${column.title}`, onclick: () => this.sortBy(column) },
        plain(column.title),
        arrow,
      ),
    );
  }
  /** Best values first at the first click, the other way at the second, the best trials first at the third. */
  sortBy(column) {
    const first = column.isBest === "max",
      { title } = column;
    if (this.sort?.title !== title) this.sort = { title, down: first };
    else this.sort = this.sort.down === first ? { title, down: !first } : null;
    this.draw();
  }
  sorted(trials, columns) {
    const column = columns.find(({ title }) => title === this.sort?.title),
      sign = this.sort?.down ? -1 : 1;
    const placed = (trial) => page.place.get(trial.number) ?? Infinity;
    if (!column) return trials.sort((a, b) => (placed(a) === placed(b) ? a.number - b.number : placed(a) - placed(b)));
    return trials.sort((a, b) => sign * compared(column.value(a), column.value(b), sign) || a.number - b.number);
  }
  row(trial, columns) {
    const box = element("input", {
      type: "checkbox",
      "data-key": `trial ${trial.number}`,
      "aria-label": `trial ${trial.number} side by side`,
      onchange: () => page.choose(trial.number),
      onfocus: () => page.mark(trial.number),
      onblur: () => page.mark(null),
    });
    const cells = columns.map((column, index) => this.cell(trial, column, index));
    return element(
      "tr",
      { onpointerenter: () => page.mark(trial.number), onpointerleave: () => page.mark(null) },
      element("td", {}, box),
      ...cells,
    );
  }
  cell(trial, column, index) {
    const value = column.value(trial),
      text = column.text ? column.text(trial) : brief(value);
    const inner = element("div", { class: column.title === "state" ? `cell of-${trial.state}` : "cell" }, text);
    return index
      ? element("td", { class: isNumber(value) && column.title !== "state" ? "number" : null }, inner)
      : element(
          "th",
          { scope: "row" },
          inner,
          " ",
          page.place.get(trial.number) === 0 ? element("span", { class: "badge" }, "best") : null,
        );
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
