// Puts the charts into their places, and begins.

/** A heading of a chart with a line below it that can change with the data. */
function titled(host, title, noteOf = () => "") {
  const note = element("p", { class: "note" }),
    body = element("div", { class: "body" });
  host.append(...(title ? [element("h3", {}, title)] : []), body, note);
  const draw = () => {
    const text = noteOf();
    note.textContent = text;
    note.hidden = !text;
  };
  page.on("data", draw);
  page.on("filter", draw);
  return body;
}

const CHARTS = {
  history: (host) =>
    new Chart(
      titled(host, "Scores in the order of the trials", () => drawnText(withScore(), MOST_DOTS, "trials")),
      "Scores in the order of the trials, and the best so far",
      history,
    ),
  trials: (host) => new TrialTable(host),
  compare: (host) => {
    host.id = "side-by-side";
    host.append(element("h3", {}, "Side by side"));
    const body = element("div");
    host.append(body);
    return new SideBySide(body);
  },
  slices: (host) => {
    host.classList.add("grid-of-charts");
    const made = new Set();
    const add = () => {
      for (const { name } of page.study.params)
        if (!made.has(name)) {
          made.add(name);
          const cell = element("div");
          host.append(cell);
          new Chart(cell, `${plain(name)}: the score against it`, slice(name));
        }
    };
    page.on("data", add);
  },
  pair: (host) => {
    const names = { x: null, y: null },
      legend = element("span"),
      bar = element("p", { class: "pickers" }),
      body = titled(host, null, () =>
        [
          page.best.length < FEWEST_OF_GROUND
            ? ""
            : "The ground is the mean score of the complete trials around a place, nearer ones weighing more: a picture " +
              "of the data, not a model of them.",
          "Small dots were cut short.",
        ]
          .filter(Boolean)
          .join(" "),
      );
    const chart = new Chart(body, "Two params against each other, shaded by the score", (width) => pair(names)(width));
    host.prepend(bar);
    const draw = () => {
      const { params, metrics } = page.study,
        all = [...params.map((param) => param.name), ...metrics, "epochs", "seconds"];
      if (!names.isChosen) {
        names.x = all[0];
        names.y = params.length > 1 ? all[1] : metrics[0];
      }
      const picker = (axis) =>
        element(
          "label",
          {},
          `${axis} `,
          element(
            "select",
            {
              onchange: (event) => {
                names[axis] = event.target.value;
                names.isChosen = true;
                chart.draw();
              },
            },
            ...all.map((name) => element("option", { value: name, selected: names[axis] === name }, plain(name, 40))),
          ),
        );
      legend.replaceChildren(shadeLegend());
      bar.replaceChildren(picker("x"), " ", picker("y"), " ", legend);
    };
    page.listeners.data.unshift(draw);
  },
  curves: (host) => {
    const body = titled(host, "Learning curves", () =>
      [
        page.study.rungs.length ? `Dotted lines are rungs: after epoch ${page.study.rungs.join(", ")}.` : "",
        drawnText(
          page.trials.filter((trial) => trial.curve),
          MOST_LINES,
          "curves",
        ),
        withoutCurve(),
      ]
        .filter(Boolean)
        .join(" "),
    );
    body.classList.add("grid-of-charts", "two");
    const cells = { train: element("div"), curve: element("div") };
    body.append(cells.train, cells.curve);
    page.on("data", () => {
      cells.train.hidden = !page.study.with_train;
    });
    new Chart(cells.train, "Accuracy on the training part, epoch by epoch", curves("train"));
    new Chart(cells.curve, "The metric of every epoch", curves("curve"));
  },
  timeline: (host) =>
    new Chart(
      titled(
        host,
        "Trials on workers",
        () =>
          "A row is a place on a node where one trial runs at a time. A notch is a promotion: the trial goes on from a " +
          "rung at which it waited; the mark of a trial has a thin line through its waits. Where it waited more than " +
          "once the record knows their sum alone, and they are drawn equally long.",
      ),
      "When each trial was trained, and where",
      (width) =>
        page.trials.some((trial) => trial.stretches.length)
          ? timeline(width)
          : { height: 20, nodes: [], near: () => null, over: () => [], order: [] },
    ),
  parallel: (host) => {
    const legend = element("p", { class: "pickers" });
    page.on("data", () => legend.replaceChildren(shadeLegend()));
    host.append(legend);
    new Parallel(
      titled(host, null, () =>
        [
          "Drag along an axis to filter by it, click on it to take that away.",
          page.study.params.length > MOST_AXES ? `The first ${MOST_AXES} of ${page.study.params.length} params.` : "",
          drawnText(page.best, MOST_LINES, "lines"),
        ]
          .filter(Boolean)
          .join(" "),
      ),
      "Parallel coordinates of the complete trials.",
    );
  },
};

const withoutCurve = () => {
  const left = page.trials.filter((trial) => trial.epochs && !trial.curve).length;
  return left
    ? `${left.toLocaleString("en")} trials have no curve on this page, which would be too large; the record has them.`
    : "";
};

/** What is folded away is there on paper. */
function unfoldForPrint() {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("section > details:not([open])")];
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });
}

function start() {
  document.documentElement.classList.add("script");
  document.body.append(tip.box, tip.voice);
  document.querySelector("main > section").before(new Bar().node);
  for (const host of document.querySelectorAll("[data-chart]")) CHARTS[host.dataset.chart](host);
  for (const each of document.querySelectorAll("section > details")) each.open = false;
  unfoldForPrint();
  const data = document.getElementById("data"),
    first = JSON.parse(data.textContent);
  page.take(first);
  if (data.dataset.news) watch(data.dataset.news, first.version);
}

// Of a page that a server shows while the study runs.

const EVERY_MS = 1000;

/** Asks for news, again and again; says where none came. */
function watch(address, version) {
  const state = element("span", { class: "note", role: "status" });
  document.querySelector(".bar output").after(state);
  const show = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  show(page.study.state);
  const ask = async () => {
    try {
      const news = await (await fetch(`${address}?since=${version}`, { cache: "no-store" })).json();
      version = news.version;
      if (news.study) {
        page.take(news);
        write("about", news.study.about);
        write("answer", news.study.answer);
      }
      show(page.study.state);
    } catch {
      show("no news: the server does not answer");
    }
    setTimeout(ask, EVERY_MS);
  };
  setTimeout(ask, EVERY_MS);
}

/** A text into an element, what stands between backticks as code. */
function write(id, text) {
  document
    .getElementById(id)
    .replaceChildren(
      ...text.split(/`([^`]+)`/).map((piece, index) => (index % 2 ? element("code", {}, piece) : piece)),
    );
}

start();
