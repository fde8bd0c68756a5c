"use strict";
// The study as the page knows it: its trials, which of them are shown, marked and chosen. Draws nothing.

const MOST_CHOSEN = 5;
const STATES = ["complete", "stopped", "paused", "failed", "running"];
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The study, and what the reader does with it. Whoever shows something of it listens. */
const page = {
  study: null,
  trials: [], // in the order of their numbers
  byNumber: new Map(),
  best: [], // the complete trials that keep all limits, best first
  place: new Map(), // number -> place among them, the best at 0
  networks: new Map(), // key of an effective network -> the numbers of its trials
  filter: "",
  shown: new Set(), // the numbers of the trials that pass the filter
  marked: null, // the number of the trial under the pointer, or under the keyboard's focus
  chosen: [], // up to MOST_CHOSEN numbers, to be laid side by side
  listeners: { data: [], filter: [], mark: [], choose: [] },

  on(event, listener) {
    this.listeners[event].push(listener);
  },
  tell(event) {
    for (const listener of this.listeners[event]) listener();
  },

  /** Takes the whole study, or news of it: trials that are new or have changed. */
  take(data) {
    this.study = data.study;
    for (const trial of data.trials) this.byNumber.set(trial.number, trial);
    this.trials = [...this.byNumber.values()].sort((a, b) => a.number - b.number);
    this.best = ranked(this.trials);
    this.place = new Map(this.best.map((trial, place) => [trial.number, place]));
    this.networks = new Map();
    for (const { network, number } of this.trials) {
      if (this.networks.has(network)) this.networks.get(network).push(number);
      else this.networks.set(network, [number]);
    }
    this.pass();
    this.tell("data");
  },
  setFilter(text) {
    if (text === this.filter) return;
    this.filter = text;
    this.pass();
    this.tell("filter");
  },
  pass() {
    const { passes, unknown } = readFilter(this.filter);
    this.unknown = unknown;
    this.shown = new Set(this.trials.filter(passes).map((trial) => trial.number));
  },
  mark(number) {
    if (number === this.marked) return;
    this.marked = number;
    this.tell("mark");
  },
  /** Chooses a trial, or lets it go; of more than MOST_CHOSEN the first one goes. */
  choose(number) {
    const others = this.chosen.filter((each) => each !== number);
    this.chosen = others.length < this.chosen.length ? others : [...others, number].slice(-MOST_CHOSEN);
    this.tell("choose");
  },
};

const metric = () => page.study.metrics[0];
const isMax = () => page.study.modes[0] === "max";
const score = (trial) => trial.scores[0];
const isBetter = (a, b) => (isMax() ? a > b : a < b);

/** The complete trials that keep all limits and have a score, best first. */
function ranked(trials) {
  const able = trials.filter((trial) => trial.state === "complete" && !trial.infeasible && score(trial) !== null);
  const sign = isMax() ? -1 : 1;
  return able.sort((a, b) => sign * (score(a) - score(b)) || a.number - b.number);
}

/** The numbers of the other trials with a trial's effective network. */
const sameAs = (trial) => page.networks.get(trial.network).filter((number) => number !== trial.number);

/** What a trial has under a name: a number, a text, or null. */
function valueOf(trial, name) {
  switch (name) {
    case "trial":
      return trial.number;
    case "state":
      return trial.state;
    case "epochs":
      return trial.epochs;
    case "seconds":
      return trial.seconds;
    case "seed":
      return trial.seed;
  }
  const index = page.study.metrics.indexOf(name);
  return index >= 0 ? trial.scores[index] : (trial.values[name] ?? null);
}

const isName = (name) =>
  ["trial", "state", "epochs", "seconds", "seed", ...page.study.metrics].includes(name) ||
  page.study.params.some((param) => param.name === name);

// The filter: words with spaces between. `lr<0.01`, `optimizer=adam|sgd`, `channels="[32, 64]"`; any other word is
// looked for in a trial's params and in the reason for which it ended.

const ONE = String.raw`(?:"(?:[^"\\]|\\.)*"|[^\s|"]+)`;
const TERM = new RegExp(String.raw`([^\s<>=!"]+)(<=|>=|!=|=|<|>)(${ONE}(?:\|${ONE})*)|${ONE}`, "g");

/** A function that tells which trials pass, and the names in the text that no trial has. */
function readFilter(text) {
  const unknown = [],
    tests = [];
  for (const [word, name, operator, values] of text.matchAll(TERM)) {
    if (name === undefined) tests.push(hasText(unquoted(word)));
    else if (!isName(name)) unknown.push(name);
    else tests.push(hasValue(name, operator, values.match(new RegExp(ONE, "g")).map(unquoted)));
  }
  return { passes: (trial) => tests.every((test) => test(trial)), unknown };
}

function unquoted(word) {
  if (!word.startsWith('"')) return word;
  try {
    return JSON.parse(word);
  } catch {
    return word.replaceAll('"', "");
  }
}
const quoted = (text) => (/^[^\s|"<>=!]+$/.test(text) ? text : JSON.stringify(text));

function hasText(word) {
  const wanted = word.toLowerCase();
  return (trial) =>
    `${trial.number} ${trial.state} ${pairs(trial)} ${trial.reason ?? ""}`.toLowerCase().includes(wanted);
}

function hasValue(name, operator, wanted) {
  const isWanted = (value) => wanted.some((each) => brief(value) === each || (each !== "" && Number(each) === value));
  const limit = Number(wanted[0]);
  switch (operator) {
    case "=":
      return (trial) => isWanted(valueOf(trial, name));
    case "!=":
      return (trial) => !isWanted(valueOf(trial, name));
    case "<":
      return (trial) => isNumber(valueOf(trial, name)) && valueOf(trial, name) < limit;
    case ">":
      return (trial) => isNumber(valueOf(trial, name)) && valueOf(trial, name) > limit;
    case "<=":
      return (trial) => isNumber(valueOf(trial, name)) && valueOf(trial, name) <= limit;
    default:
      return (trial) => isNumber(valueOf(trial, name)) && valueOf(trial, name) >= limit;
  }
}

/** The filter with other terms for a name; an empty list takes those that there are away. */
function withTerms(name, terms) {
  const others = [...page.filter.matchAll(TERM)].filter((match) => match[1] !== name).map((match) => match[0]);
  return [...others, ...terms].join(" ");
}

// How things are written for people.

const counted = (number) => number.toLocaleString("en");

const isNumber = (value) => typeof value === "number";

function brief(value) {
  if (value === null || value === undefined) return "-";
  if (!isNumber(value)) return value;
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

function scoreText(value) {
  if (value === null || value === undefined) return "-";
  return Number.isInteger(value) && Math.abs(value) > 1 ? value.toLocaleString("en") : value.toPrecision(3);
}

function duration(seconds) {
  if (seconds < 1) return seconds > 0 ? `${seconds.toPrecision(1)} s` : "0 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A text as one line of a chart or a tip: without marks that turn the text around it, and not longer than `most`. */
function plain(text, most = 28) {
  const line = String(text).replace(INVISIBLE, "");
  return line.length > most ? `${line.slice(0, most - 1)}\u2026` : line;
}

const pairs = (trial) =>
  Object.entries(trial.values)
    .map(([name, value]) => `${name} = ${brief(value)}`)
    .join(", ");

/** A state as people call it: a running trial of a study that nobody runs was interrupted. */
function stateName(state) {
  const isRun = page.study.is_open && (page.study.state ?? "running") === "running";
  return state === "running" && !isRun ? "interrupted" : state;
}

const stateText = (trial) => stateName(trial.state) + (trial.infeasible ? ", infeasible" : "");

/** Why a trial ended as it did; empty where there is nothing to say. */
function whyText(trial) {
  if (trial.reuse !== undefined) return `it copies the scores of trial ${trial.reuse}, which has the same network`;
  return [trial.reason, trial.infeasible].filter(Boolean).join("; ");
}

/** The lines of a trial's config, by name, as a space file has them. */
function configOf(trial) {
  const left = Object.entries(page.study.base).filter(([name]) => !trial.without.includes(name));
  return new Map([...left, ...Object.entries(trial.lines)]);
}

const yamlOf = (trial) => ["params:", ...[...configOf(trial).values()].map((line) => `  ${line}`)].join("\n") + "\n";

const commandOf = (trial) => page.study.command.join(trial.number);
