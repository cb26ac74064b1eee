import { layersPanel } from "../layers.js";
import { widget } from "./anywidget.js";

export default widget("layers", layersPanel);
