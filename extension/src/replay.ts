/** A recording on a page: its views, one clock for all of them, and what was recorded when and where. */

import type { Channel } from "./channel.js";
import { h, setText } from "./dom.js";
import { Drawer } from "./drawer.js";
import type { Frame, Frames, View } from "./frames.js";
import { Player } from "./player.js";
import { momentAfter, type Recording, type Reel } from "./recording.js";
import { Saver } from "./saver.js";
import { button, type Announce, type BuildPanel, type Panel } from "./shell.js";
import { recordingWords, words } from "./words.js";

export type Builders = { [V in View]: BuildPanel<Frames[V]> };

/** Nobody is there to be asked. */
const NOBODY: Channel = { listen: () => () => undefined, send: () => undefined };

/**
 * Puts a recording into `host`; returns how to take it away. It shows what was seen when `cell` had
 * run, or at the end.
 */
export function mountRecording(
  host: HTMLElement,
  recording: Recording,
  views: readonly View[],
  builders: Builders,
  cell?: number
): () => void {
  const replay = new Replay(recording, views, builders, momentAfter(recording, cell));
  host.append(replay.element);
  return () => {
    replay.dispose();
    replay.element.remove();
  };
}

class Replay {
  readonly element: HTMLElement;
  private readonly spoken = h("span", { class: "wd-spoken", aria: { live: "polite" } });
  private readonly scenes: Scene[] = [];
  private readonly player: Player;

  constructor(
    recording: Recording,
    views: readonly View[],
    builders: Builders,
    private at: number
  ) {
    const { head, reels, seconds, cells, why } = recording;
    for (const view of views) {
      const reel = reels.get(view);
      if (reel !== undefined) {
        const build = builders[view] as BuildPanel<Frame>;
        const announce = (text: string): void => setText(this.spoken, text);
        this.scenes.push(new Scene(view, reel, build, announce, () => this.show(this.at)));
      }
    }
    const film = { seconds, cells, times: () => this.times() };
    this.player = new Player(film, at, (moment) => this.show(moment));
    const label = `${recordingWords.title}: ${head.container}`;
    const saver = new Saver(() => ({
      element: this.element,
      what: recordingWords.title,
      of: head.container,
      when: new Date((head.begun_s + this.at) * 1000),
      announce: (text) => setText(this.spoken, text),
    }));
    this.element = h(
      "section",
      { class: "wd-view wd-replay", aria: { label }, data: { status: "recorded" } },
      h(
        "header",
        { class: "wd-head" },
        h("h3", {}, recordingWords.title),
        h("span", { class: "wd-container" }, head.container),
        h("span", { class: "wd-status" }, origin(recording)),
        this.scenes.length > 1 && this.chips(),
        saver.element
      ),
      this.player.element,
      why !== "" && h("p", { class: "wd-more" }, recordingWords.endedAs(why)),
      ...this.scenes.map((scene) => scene.element),
      this.spoken
    );
    this.show(at);
  }

  dispose(): void {
    this.player.dispose();
    for (const scene of this.scenes) scene.panel.dispose?.();
  }

  private show(at: number): void {
    this.at = at;
    for (const scene of this.scenes) scene.show(at);
  }

  private times(): number[] {
    const shown = this.scenes.filter((scene) => scene.isShown);
    return shown.flatMap((scene) => scene.reel.times).sort((one, other) => one - other);
  }

  private chips(): HTMLElement {
    const group = { role: "group", aria: { label: recordingWords.views } };
    return h("div", { class: "wd-chips", ...group }, ...this.scenes.map((scene) => scene.chip));
  }
}

/** One view of the recording. */
class Scene {
  readonly element: HTMLElement;
  readonly chip: HTMLButtonElement;
  readonly panel: Panel<Frame>;
  isShown = true;
  private readonly drawer: Drawer;
  private readonly notice = h("p", { class: "wd-notice" });
  private shown = -2;

  constructor(
    view: View,
    readonly reel: Reel,
    build: BuildPanel<Frame>,
    announce: Announce,
    private readonly changed: () => void
  ) {
    this.panel = build(NOBODY, announce, () => this.drawer.refresh());
    this.drawer = new Drawer({
      sections: () => (this.panel.element.hidden ? [] : this.panel.commands()),
      isPast: () => true,
      announce,
    });
    this.chip = button("wd-chip", () => this.toggle(), "", words[view]);
    this.chip.setAttribute("aria-pressed", "true");
    this.element = h(
      "section",
      { class: `wd-scene wd-${view}`, aria: { label: words[view] } },
      h("div", { class: "wd-scene-head" }, h("h4", {}, words[view]), this.drawer.toggle),
      this.notice,
      this.panel.element,
      this.drawer.element
    );
  }

  show(at: number): void {
    const index = this.reel.index(at);
    if (!this.isShown || index === this.shown) return;
    this.shown = index;
    const { frame, error } = this.reel.moment(index);
    setText(this.notice, error ?? recordingWords.unseen);
    this.notice.hidden = frame !== null && error === null;
    this.panel.element.hidden = frame === null;
    if (frame !== null) {
      const { reel } = this;
      this.panel.show(frame, {
        get past() {
          return reel.past(index);
        },
      });
    }
    this.drawer.refresh();
  }

  private toggle(): void {
    this.isShown = !this.isShown;
    this.shown = -2;
    this.element.hidden = !this.isShown;
    this.chip.setAttribute("aria-pressed", String(this.isShown));
    this.changed();
  }
}

/** When and where it was. */
function origin({ head }: Recording): string {
  const when = new Date(head.begun_s * 1000);
  const style = { dateStyle: "medium", timeStyle: "short" } as const;
  const said = recordingWords.recorded(when.toLocaleString(undefined, style));
  return [said, head.notebook, head.machine].filter((part) => part !== "").join(" · ");
}
