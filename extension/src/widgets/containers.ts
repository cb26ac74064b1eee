import { containersPanel } from "../containers.js";
import { widget } from "./anywidget.js";

export default widget("containers", containersPanel);
