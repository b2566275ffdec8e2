// The page: five screens behind one header. #label/3 is photo 3, #train, #results, #audit, #export the others.

import { App } from "./app.js";
import { AuditScreen } from "./audit.js";
import { button, change, el } from "./dom.js";
import { ExportScreen } from "./export.js";
import { Keys } from "./keys.js";
import { LabelScreen } from "./label.js";
import { ResultsScreen } from "./results.js";
import { TrainScreen } from "./train.js";

const SCREENS = [
  ["label", "Label", LabelScreen, "Shift+l"],
  ["train", "Train", TrainScreen, "Shift+t"],
  ["results", "Results", ResultsScreen, "Shift+r"],
  ["audit", "Audit", AuditScreen, "Shift+q"],
  ["export", "Export", ExportScreen, "Shift+e"],
];

const app = new App();
const keys = new Keys(document);
const built = new Map();
let shown = null;
const find = (id) => document.getElementById(id);

const everywhere = [
  { group: "Page", keys: ["?", "F1"], what: "This list of keys", run: () => help() },
  ...SCREENS.map(([name, label, , key]) => ({
    group: "Page",
    keys: [key],
    what: label,
    run: () => app.go(`#${name}`),
  })),
  { group: "Page", keys: ["Shift+p"], what: "Colour-blind palette on or off", run: () => togglePalette() },
];

for (const [name, label] of SCREENS) find("screens").append(el("a", { href: `#${name}`, "data-screen": name }, label));
find("help").addEventListener("click", help);
find("colours").addEventListener("click", togglePalette);

function togglePalette() {
  app.settings.set("colourBlind", !app.settings.get("colourBlind"));
  change(find("colours"), { "aria-pressed": app.settings.get("colourBlind") });
}

function help() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = el("dialog", { class: "keys", "aria-label": "Keys" });
  dialog.append(
    el(
      "div",
      { class: "row" },
      el("h2", {}, "Keys"),
      el("span", { class: "gap" }),
      button("Close", "Esc", () => dialog.close()),
    ),
    el("div", { class: "keylist" }, keys.list()),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "?") dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
}

async function route() {
  const [name, argument] = location.hash.slice(1).split("/");
  const [chosen, label, Screen] = SCREENS.find((s) => s[0] === name) ?? SCREENS[0];
  for (const link of find("screens").children)
    change(link, { "aria-current": link.dataset.screen === chosen ? "page" : null });
  document.title = `${label}: ${app.project.name}`;
  if (!app.project.photos.length) return find("main").replaceChildren(nothing());
  if (!built.has(chosen)) built.set(chosen, new Screen(app));
  const screen = built.get(chosen);
  if (screen !== shown) {
    for (const notice of document.querySelectorAll('.notice[data-kind="note"]')) notice.remove();
    find("main").replaceChildren(screen.element);
    shown = screen;
  }
  keys.use(screen.keys ?? [], everywhere);
  try {
    await screen.enter(argument);
  } catch (error) {
    app.say(error.message, "error");
  }
}

function nothing() {
  return el(
    "div",
    { class: "empty" },
    el("h1", {}, "No photos here yet"),
    el(
      "p",
      {},
      "Put photos (JPEG, PNG, TIFF, WebP ...) into the folder that the page was opened with, and start it again.",
    ),
  );
}

function features({ done, total }) {
  change(find("features"), { hidden: !total || done >= total });
  change(find("features-done"), { value: done, max: total });
  find("features-told").textContent = `Reading photos: ${done} of ${total}`;
}

app.on("features", features);
app.on("project", (project) => {
  find("project").textContent = project.name;
  features(project.features);
});

try {
  await app.start();
  change(find("colours"), { "aria-pressed": app.settings.get("colourBlind") });
  addEventListener("hashchange", route);
  await route();
  document.body.dataset.ready = "yes";
} catch (error) {
  const refused = error.status === 403;
  find("main").replaceChildren(
    el(
      "div",
      { class: "empty", role: "alert" },
      el("h1", {}, refused ? "This page needs its key" : "The project could not be opened"),
      el("p", {}, refused ? "Open the whole address that l2m page printed, with the token at its end." : error.message),
    ),
  );
}
