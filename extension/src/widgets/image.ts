import { imagePanel } from "../image.js";
import { widget } from "./anywidget.js";

export default widget("image", imagePanel);
