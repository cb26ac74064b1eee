/** A recording as an anywidget: the file's content is all that it needs. */

import type { Render } from "@anywidget/types";
import { fill, h } from "../dom.js";
import type { View } from "../frames.js";
import { PANELS } from "../panels.js";
import { unpack, type Recording } from "../recording.js";
import { mountRecording } from "../replay.js";
import { recordingWords as words } from "../words.js";
import { speakAsPage } from "./language.js";

interface State {
  /** The file. */
  recording: DataView;
  views: View[];
  /** The number of a cell: what was seen when it had run is seen first. */
  cell?: number;
}

const render: Render<State> = ({ model, el }) => {
  el.classList.add("wd-host");
  let recording: Recording | null = null;
  let isGone = false;
  let unmount: () => void = () => undefined;
  const show = (): void => {
    if (isGone || recording === null) return;
    unmount();
    fill(el);
    unmount = mountRecording(el, recording, model.get("views"), PANELS, model.get("cell"));
  };
  const stop = speakAsPage(model, show);
  const notice = h("p", { class: "wd-notice", role: "status" }, words.reading);
  el.append(h("section", { class: "wd-view", aria: { label: words.title } }, notice));
  unpack(model.get("recording")).then(
    (unpacked) => {
      recording = unpacked;
      show();
    },
    () => fill(notice, words.unreadable)
  );
  return () => {
    isGone = true;
    stop();
    unmount();
  };
};

export default { render };
