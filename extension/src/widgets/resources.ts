import { resourcesPanel } from "../resources.js";
import { widget } from "./anywidget.js";

export default widget("resources", resourcesPanel);
