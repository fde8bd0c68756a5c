// Some studies side by side: how their best became what it is, by trials and by time, and its params.

/** The best so far of each study as steps; `place` says which part of a step is its x. */
function bestChart(studies, width, name, place, size) {
  const height = 280,
    steps = studies.flatMap((study) => study.steps),
    metrics = [...new Set(studies.map((study) => study.metric))];
  const box = frame(
    width,
    height,
    { name },
    { name: `best ${metrics.join(", ")} so far` },
    [0, ...steps.map((step) => step[place] / size)],
    steps.map((step) => step[2]),
  );
  const lines = studies.map((study, index) => {
    const path = study.steps
      .map((step, at_) => `${at_ ? "H" : "M"}${at(box.x(step[place] / size))}${at_ ? "V" : " "}${at(box.y(step[2]))}`)
      .join("");
    return shape("g", { class: `over c${index}` }, shape("path", { d: path }));
  });
  return shape(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `Best so far by ${name}. The table below has the best of each study.`,
    },
    box.grid,
    ...lines,
  );
}

function compareTable(studies) {
  const names = [...new Set(studies.flatMap((study) => Object.keys(study.params)))],
    texts = (name) => studies.map((study) => study.params[name] ?? "-");
  const differs = (name) => new Set(texts(name)).size > 1;
  const row = (name, cells, isDifferent = false) =>
    element(
      "tr",
      { class: isDifferent ? "different" : null },
      element("th", { scope: "row" }, plain(name, 40)),
      ...cells.map((text) => element("td", {}, element("div", { class: "cell" }, text))),
    );
  const head = studies.map((study, index) =>
    element(
      "th",
      { scope: "col", class: `c${index}` },
      element("span", { class: "swatch", "aria-hidden": "true" }),
      element("a", { href: `${encodeURIComponent(study.name)}/` }, plain(study.name, 60)),
    ),
  );
  const alike = names.filter((name) => !differs(name));
  return [
    element(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the studies" },
      element(
        "table",
        { class: "compare" },
        element("thead", {}, element("tr", {}, element("td"), ...head)),
        element(
          "tbody",
          {},
          ...["state", "trials", "best", "data", "sampler"].map((name) =>
            row(
              name,
              studies.map((study) => study[name] ?? "-"),
            ),
          ),
          ...names.filter(differs).map((name) => row(name, texts(name), true)),
        ),
      ),
    ),
    alike.length
      ? element(
          "details",
          {},
          element("summary", {}, `${alike.length} params of the best trials are the same`),
          element("pre", { tabindex: 0 }, alike.map((name) => `${name}: ${texts(name)[0]}`).join("\n")),
        )
      : "",
  ];
}

/** What nobody may overlook: scores of different metrics or data are not to be compared. */
function cautionsOf(studies) {
  const many = (name) => new Set(studies.map((study) => study[name])).size > 1;
  return [
    ...(many("metric") ? ["These studies are compared by different metrics: do not compare their scores."] : []),
    ...(many("data") ? ["These studies have different data or splits: do not compare their scores."] : []),
  ];
}

function drawStudies({ studies }) {
  const host = document.getElementById("studies"),
    wide = host.clientWidth,
    width = wide > 800 ? wide / 2 - 12 : wide;
  const longest = Math.max(...studies.flatMap((study) => study.steps.map((step) => step[1])), 1),
    [unit, size] = longest > 10800 ? ["hours", 3600] : longest > 180 ? ["minutes", 60] : ["seconds", 1];
  const open = host.querySelector("details")?.open ?? false;
  host.replaceChildren(
    ...cautionsOf(studies).map((text) => element("p", { class: "red" }, text)),
    element(
      "div",
      { class: "grid-of-charts two" },
      element("div", {}, bestChart(studies, width, "trials ended", 0, 1)),
      element("div", {}, bestChart(studies, width, unit, 1, size)),
    ),
    ...compareTable(studies),
  );
  if (open) host.querySelector("details").open = true;
}

function compareStudies() {
  let data = JSON.parse(document.getElementById("data").textContent);
  document.documentElement.classList.add("script");
  drawStudies(data);
  addEventListener("resize", () => drawStudies(data));
  const ask = async () => {
    try {
      const news = await (await fetch(`compare/news${location.search}`)).json();
      if (JSON.stringify(news) !== JSON.stringify(data)) drawStudies((data = news));
    } catch {
      /* the next question may be answered */
    }
    setTimeout(ask, 2000);
  };
  setTimeout(ask, 2000);
}

compareStudies();
