/** What is chosen in JupyterLab's settings and concerns JupyterLab's own parts. */

import { type ISignal, Signal } from "@lumino/signaling";

class Preferences {
  /** What new containers are made from. */
  image = "wardian/base";
  private seconds = 0;
  private readonly signal = new Signal<this, void>(this);

  /** The least time between two looks; 0 leaves it to each part. */
  get refresh_s(): number {
    return this.seconds;
  }

  set refresh_s(seconds: number) {
    if (seconds !== this.seconds) {
      this.seconds = seconds;
      this.signal.emit();
    }
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }
}

export const preferences = new Preferences();
