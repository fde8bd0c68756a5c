// The bar at the top: what is shown, what is chosen, light or dark.

/** The bar that stays at the top: the filter, the states, what is chosen, light or dark. */
class Bar {
  constructor() {
    this.input = element("input", {
      type: "search",
      id: "filter",
      spellcheck: "false",
      autocomplete: "off",
      "aria-describedby": "filter-count",
      oninput: () => page.setFilter(this.input.value),
    });
    this.states = element("span", { class: "states", role: "group", "aria-label": "states" });
    this.count = element("output", { id: "filter-count", class: "note" });
    this.compare = element("a", { href: "#side-by-side", hidden: true });
    this.clear = element("button", { type: "button", hidden: true, onclick: () => page.setFilter("") }, "clear");
    this.node = element(
      "form",
      { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      element("label", { for: "filter" }, "Filter"),
      this.input,
      this.clear,
      this.states,
      this.count,
      this.compare,
      themeButton(),
    );
    for (const event of ["data", "filter", "choose"]) page.on(event, () => this.draw());
  }
  draw() {
    const { trials, shown, chosen, unknown, study } = page;
    if (this.input.value !== page.filter) this.input.value = page.filter;
    this.input.placeholder = [
      ...study.params
        .filter((param) => !param.labels)
        .slice(0, 1)
        .map((param) => `${param.name}<\u2026`),
      ...study.params
        .filter((param) => param.labels)
        .slice(0, 1)
        .map((param) => `${param.name}=${quoted(plain(param.labels[0], 12))}`),
      "state=complete",
    ].join(" ");
    this.input.setAttribute("aria-invalid", String(unknown.length > 0));
    this.clear.hidden = !page.filter;
    this.count.textContent = unknown.length
      ? `no trial has ${plain(unknown[0])}`
      : `${shown.size.toLocaleString("en")} of ${trials.length.toLocaleString("en")} trials`;
    this.compare.hidden = !chosen.length;
    this.compare.textContent = `${chosen.length} side by side`;
    this.states.replaceChildren(
      ...STATES.map((state) => [state, trials.filter((trial) => trial.state === state).length])
        .filter(([, number]) => number)
        .map((each) => this.state(...each)),
    );
  }
  /** A button that shows the trials of one state alone, or all again. */
  state(state, number) {
    const term = `state=${state}`,
      isOn = page.filter.split(/\s+/).includes(term);
    return element(
      "button",
      {
        type: "button",
        "aria-pressed": String(isOn),
        onclick: () => page.setFilter(withTerms("state", isOn ? [] : [term])),
      },
      shape("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, ...symbol(state)),
      ` ${number.toLocaleString("en")} ${stateName(state)}`,
    );
  }
}

const symbol = (state) =>
  [
    dots([{ x: 6, y: 6 }], `of-${state}`),
    ["stopped", "paused"].includes(state) ? dots([{ x: 6, y: 6 }], `hole of-${state}`) : null,
  ].filter(Boolean);

/** Light, dark, or as the system says: kept for the next time where the browser keeps anything. */
function themeButton() {
  const themes = ["system", "light", "dark"],
    kept = { get: () => null, set: () => {} };
  try {
    Object.assign(kept, {
      get: () => localStorage.getItem("mgc-theme"),
      set: (theme) => localStorage.setItem("mgc-theme", theme),
    });
    kept.get();
  } catch {
    kept.get = () => null;
  }
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `\u25d0 ${theme}`;
    button.setAttribute("aria-label", `colors: ${theme}`);
  };
  const button = element("button", {
    type: "button",
    class: "theme",
    onclick: () => {
      const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
      show(next);
      try {
        kept.set(next);
      } catch {
        /* a page in a frame may keep nothing */
      }
    },
  });
  show(themes.includes(kept.get()) ? kept.get() : "system");
  return button;
}
