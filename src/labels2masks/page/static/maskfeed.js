// The mask of the photo that is open: the model's at once, a moment later the same sharpened, GrabCut's when it is
// asked for. An answer that a newer one has overtaken is not shown.

import { getPlanes, postPlanes } from "./api.js";

export class MaskFeed {
  #i = null;
  #shown = "";
  #turn = 0;
  #asked = false;
  #asking = false;
  #due = false;
  #sharpening = false;

  /** version() -> of what was said of the photo. sharp() -> shall masks be sharpened? shown(planes, how) with how
   *  "model", "crf" or "grabcut". missing(message): there is no mask yet. */
  constructor({ version, sharp, shown, missing }) {
    Object.assign(this, { version, sharp, shown, missing });
  }

  open(i) {
    this.#i = i;
    this.#shown = "";
    this.#turn++;
  }

  /** The newest mask. Asked for again when the model moved on meanwhile, never twice at a time. */
  async refresh() {
    this.#asked = true;
    if (this.#asking) return;
    this.#asking = true;
    while (this.#asked) {
      this.#asked = false;
      const i = this.#i;
      const said = this.version();
      try {
        const found = await getPlanes(`/api/photos/${i}/mask?size=full`);
        const stamp = `${found.version} ${said}`;
        if (i !== this.#i || stamp === this.#shown) continue;
        this.#shown = stamp;
        this.#turn++;
        this.shown(found, "model");
        if (this.sharp()) this.#sharpenSoon();
      } catch (error) {
        if (i === this.#i && error.status === 404) this.missing(error.message);
      }
    }
    this.#asking = false;
  }

  /** "crf" or "grabcut", now. Raises what the server says against it. */
  async sharpen(how) {
    const turn = ++this.#turn;
    const found = await postPlanes(`/api/photos/${this.#i}/sharpen`, { how });
    if (turn === this.#turn) this.shown(found, how);
  }

  /** Behind the drawing: where the pen is quicker, only the last mask is sharpened. */
  async #sharpenSoon() {
    this.#due = true;
    if (this.#sharpening) return;
    this.#sharpening = true;
    while (this.#due) {
      this.#due = false;
      const turn = this.#turn;
      try {
        const found = await postPlanes(`/api/photos/${this.#i}/sharpen`, { how: "crf" });
        if (turn === this.#turn) this.shown(found, "crf");
      } catch {
        /* the mask as it is stays */
      }
    }
    this.#sharpening = false;
  }
}
