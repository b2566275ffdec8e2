// How the person likes the page, kept in this browser alone.

const PLACE = "labels2masks settings";
const DEFAULTS = { colourBlind: false, shown: "mask", opacity: 0.7, sharp: true, marks: true, width: 0 };

export class Settings extends EventTarget {
  #values = { ...DEFAULTS };

  constructor(storage) {
    super();
    this.storage = storage;
    try {
      Object.assign(this.#values, JSON.parse(storage.getItem(PLACE)) ?? {});
    } catch {
      /* what can not be read is as if it had never been set */
    }
  }

  get(name) {
    return this.#values[name];
  }

  set(name, value) {
    this.#values[name] = value;
    try {
      this.storage.setItem(PLACE, JSON.stringify(this.#values));
    } catch {
      /* a browser that may not remember still works */
    }
    this.dispatchEvent(new CustomEvent("changed", { detail: { name, value } }));
  }
}
