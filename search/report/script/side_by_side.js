// Up to five trials side by side: how they did, what differs, and their configs to be copied.

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
      this.host.replaceChildren(
        element(
          "p",
          { class: "note" },
          "Choose up to five trials, by their boxes in the table or by a click in any chart: they stand here side by side.",
        ),
      );
      return;
    }
    const open = [...this.host.querySelectorAll("details")].map((each) => each.open);
    this.host.replaceChildren(
      element(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials side by side" },
        this.table(trials),
      ),
      ...this.same(trials),
    );
    [...this.host.querySelectorAll("details")].forEach((each, index) => {
      each.open = open[index] ?? false;
    });
  }
  table(trials) {
    const rows = [
      ["state", (trial) => [stateText(trial), whyText(trial)].filter(Boolean).join(": ")],
      ...page.study.metrics.map((name, index) => [name, (trial) => scoreText(trial.scores[index])]),
      ["epochs", (trial) => `${trial.epochs} of ${page.study.max_epochs}`],
      ["time", (trial) => duration(trial.seconds)],
      ["seed", (trial) => String(trial.seed)],
      ["same network", (trial) => numbersText(sameAs(trial)) || "-"],
    ];
    const { different } = compareConfigs(trials);
    return element(
      "table",
      { class: "compare" },
      element("caption", { class: "unseen" }, "Trials side by side"),
      element("thead", {}, element("tr", {}, element("td"), ...trials.map((trial, index) => this.head(trial, index)))),
      element(
        "tbody",
        {},
        ...rows.map(([name, text]) => this.row(name, trials.map(text))),
        ...different.map(([name, values]) => this.row(name, values, trials.length > 1)),
      ),
      element(
        "tfoot",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "row" }, "config"),
          ...trials.map((trial) => element("td", {}, ...this.copies(trial))),
        ),
      ),
    );
  }
  head(trial, index) {
    return element(
      "th",
      { scope: "col", class: `chosen c${index}` },
      element("span", { class: "swatch", "aria-hidden": "true" }),
      `trial ${trial.number} `,
      page.place.get(trial.number) === 0 ? element("span", { class: "badge" }, "best") : null,
      element(
        "button",
        {
          type: "button",
          class: "quiet",
          "aria-label": `let trial ${trial.number} go`,
          onclick: () => page.choose(trial.number),
        },
        "\u00d7",
      ),
    );
  }
  row(name, texts, isDifferent = false) {
    return element(
      "tr",
      { class: isDifferent ? "different" : null },
      element("th", { scope: "row" }, plain(name, 40)),
      ...texts.map((text) => element("td", {}, element("div", { class: "cell" }, text))),
    );
  }
  copies(trial) {
    const parts = [["YAML", yamlOf(trial)], ...(trial.epochs ? [["command", `${commandOf(trial)}\n`]] : [])];
    return [
      ...parts.map(([what, text]) => copyButton(what, text, trial)),
      element(
        "details",
        {},
        element("summary", {}, "show"),
        element("pre", { tabindex: 0 }, parts.map(([, text]) => text).join("\n")),
      ),
    ];
  }
  same(trials) {
    const { alike } = compareConfigs(trials);
    if (trials.length < 2 || !alike.length) return [];
    return [
      element(
        "details",
        {},
        element("summary", {}, `${alike.length} params are the same`),
        element("pre", { tabindex: 0 }, alike.join("\n")),
      ),
    ];
  }
}

/** Of some configs: the params that differ, each with its values, and the lines of those that do not. */
function compareConfigs(trials) {
  const configs = trials.map(configOf),
    names = new Set(configs.flatMap((config) => [...config.keys()]));
  const different = [],
    alike = [];
  for (const name of names) {
    const lines = configs.map((config) => config.get(name));
    const isVarying = page.study.params.some((param) => param.name === name);
    if (trials.length > 1 ? new Set(lines).size > 1 : isVarying)
      different.push([name, lines.map((line) => line?.slice(name.length + 2) ?? "-")]);
    else alike.push(lines[0]);
  }
  return { different, alike };
}

function copyButton(what, text, trial) {
  const button = element(
    "button",
    {
      type: "button",
      "aria-label": `copy ${what} of trial ${trial.number}`,
      onclick: async () => {
        button.textContent = (await copied(text)) ? "copied" : "not copied: select it below";
        setTimeout(() => {
          button.textContent = `copy ${what}`;
        }, 1500);
      },
    },
    `copy ${what}`,
  );
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
