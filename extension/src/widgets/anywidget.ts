/** A view as an anywidget: the model's comm is the channel. */

import type { AnyModel, Render } from "@anywidget/types";
import { decode, type Channel, type HostMessage } from "../channel.js";
import type { FrameMessage, Frames, View } from "../frames.js";
import { mount, type BuildPanel } from "../shell.js";
import { speakAsPage } from "./language.js";

interface State {
  container: string;
  /** The last frame that was saved: bytes of a "full" message, or nothing. */
  frame: DataView | null;
}

export function widget<V extends View>(
  view: V,
  build: BuildPanel<Frames[V]>
): { render: Render<State> } {
  return {
    render({ model, el }) {
      el.classList.add("wd-host");
      const frame = model.get("frame");
      const beginning = {
        view,
        container: model.get("container"),
        frame: frame && frame.byteLength > 0 ? (decode(frame) as FrameMessage) : null,
      };
      const show = (): (() => void) => mount(view, el, beginning, channelOf(model), build);
      const stop = speakAsPage(model, () => {
        unmount();
        unmount = show();
      });
      let unmount = show();
      return () => {
        stop();
        unmount();
      };
    },
  };
}

function channelOf(model: AnyModel<State>): Channel {
  return {
    listen(listener) {
      const onMessage = (_content: unknown, buffers: DataView[]): void => {
        for (const buffer of buffers) {
          listener(decode(buffer) as HostMessage);
        }
      };
      model.on("msg:custom", onMessage);
      return () => model.off("msg:custom", onMessage);
    },
    send(request) {
      model.send(request);
    },
  };
}
