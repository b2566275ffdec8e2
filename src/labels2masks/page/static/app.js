// What all screens share: the project, the settings, the messages, and the server's events handed on.

import { get, listen, post } from "./api.js";
import { Book } from "./book.js";
import { button, change, el } from "./dom.js";
import { colours } from "./palette.js";
import { Settings } from "./settings.js";

const SAVING = {
  saved: "All saved",
  saving: "Saving …",
  lost: "No server: your marks are kept here and saved when it is back",
  refused: "The server was started anew: open the address that it printed. Your marks are kept here until then",
};

export class App {
  project = { name: "", classes: [], photos: [], features: { done: 0, total: 0 }, model: {}, can: {} };
  #listeners = new Map();
  #asked = null;
  #connected = true;

  constructor() {
    this.settings = new Settings(localStorage);
    this.book = new Book({
      photos: () => this.project.photos,
      store: { read: () => localStorage.getItem(this.#place()), write: (text) => this.#keep(text) },
      post,
      say: (text, kind) => this.say(text, kind),
      saving: (state) => this.saving(state),
    });
  }

  /** Open the project, then hear what happens to it. */
  async start() {
    await this.reload();
    this.book.outbox.restore();
    this.book.outbox.flush();
    listen(
      (name, data) => this.#heard(name, data),
      (state) => this.#stream(state),
    );
  }

  /** Asked for twice at once, the later answer counts: the earlier may be from before a change. */
  reload() {
    const asked = get("/api/project").then((project) => {
      if (this.#asked !== asked) return this.#asked;
      this.project = project;
      this.tell("project", project);
    });
    this.#asked = asked;
    return asked;
  }

  on(name, run) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), run]);
  }

  tell(name, data) {
    for (const run of this.#listeners.get(name) ?? []) run(data);
  }

  go(hash) {
    if (location.hash === hash) dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = hash;
  }

  /** The index of the class that means "none of the others", or null. */
  get background() {
    const found = this.project.classes.findIndex((c) => c.background);
    return found < 0 ? null : found;
  }

  /** "#rrggbb" of every class, as the person wants to see them. */
  colours() {
    const { classes, palettes } = this.project;
    const blind = this.settings.get("colourBlind");
    return blind && palettes?.["colour-blind"]?.length === classes.length
      ? palettes["colour-blind"]
      : colours(classes, blind);
  }

  /** A message that goes by itself, or stays until it is read where something failed. */
  say(text, kind = "note") {
    const notices = document.getElementById("notices");
    if ([...notices.children].some((n) => n.dataset.text === text)) return;
    const notice = el("div", { class: "notice", "data-kind": kind, "data-text": text }, el("span", {}, text));
    notice.append(button("Close", "", () => notice.remove(), { kind: "quiet" }));
    notices.append(notice);
    if (notices.children.length > 3) notices.firstChild.remove();
    if (kind !== "error") setTimeout(() => notice.remove(), 6000);
  }

  saving(state) {
    const place = document.getElementById("saving");
    if (!this.#connected && state !== "refused") state = "lost";
    if (place.dataset.state === state) return;
    change(place, { "data-state": state });
    place.textContent = SAVING[state];
  }

  #stream(state) {
    this.#connected = state === "open";
    if (state !== "open") return this.saving(state);
    this.saving(this.book.outbox.size ? "saving" : "saved");
    this.book.outbox.flush();
    this.#caughtUp();
  }

  /** What happened while nobody listened is asked for. A server that was gone may know other photos now; then numbers
   *  mean other photos, and the page starts anew. */
  async #caughtUp() {
    const names = this.project.photos.map((p) => p.name).join("\n");
    try {
      await this.reload();
    } catch {
      return; // gone again: the stream will say when it is back
    }
    if (names !== this.project.photos.map((p) => p.name).join("\n")) return location.reload();
    this.project.photos.forEach((p) => this.book.heard(p.i, p.version));
    this.tell("model", { photos: null });
  }

  async #heard(name, data) {
    if (name === "photo") {
      const photo = this.project.photos[data.i];
      if (photo) Object.assign(photo, data);
      this.book.heard(data.i, data.version);
      this.tell("photos", [data.i]);
    } else if (name === "classes") {
      await this.reload();
      this.book.reopenAll();
    } else if (name === "model") {
      this.project.model = { ...this.project.model, ...data };
      this.#newConfidence(data);
    } else if (name === "features") {
      this.project.features = data;
    } else if (name === "error") {
      this.say(data.message, "error");
    }
    if (name !== "photo") this.tell(name, data);
  }

  /** A new model: how sure it is of each photo comes with the project, asked for at most once a second. */
  #newConfidence() {
    if (this.asking) return;
    this.asking = setTimeout(async () => {
      this.asking = null;
      try {
        const { photos, model, can } = await get("/api/project");
        Object.assign(this.project, { model, can });
        const changed = photos.filter(
          (p, i) => p.state !== this.project.photos[i]?.state || p.confidence !== this.project.photos[i]?.confidence,
        );
        changed.forEach((p) => Object.assign(this.project.photos[p.i], { state: p.state, confidence: p.confidence }));
        this.tell(
          "photos",
          changed.map((p) => p.i),
        );
        this.tell("can", can);
      } catch {
        /* the stream says that the server is gone */
      }
    }, 1000);
  }

  #place() {
    return `labels2masks unsaved ${this.project.name}`;
  }

  #keep(text) {
    try {
      if (text === null) localStorage.removeItem(this.#place());
      else localStorage.setItem(this.#place(), text);
    } catch {
      /* full or forbidden: the page itself still has it */
    }
  }
}
