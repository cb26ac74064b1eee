/** The plugin of JupyterLab's settings: it tells them to those who follow them. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";
import { told } from "./dialogs.js";
import { preferences } from "./preferences.js";
import { keepDefaults } from "./server.js";
import { speak } from "./words.js";

const ID = "wardian:settings";

/** The server translates no schema of an extension that is not in a language pack. */
function translated(
  schema: ISettingRegistry.ISchema,
  trans: TranslationBundle
): ISettingRegistry.ISchema {
  const say = (context: string, text?: string): string | undefined =>
    text === undefined ? undefined : trans._p(context, text);
  const properties = Object.entries(schema.properties ?? {}).map(([name, property]) => [
    name,
    {
      ...property,
      title: say("settings", property.title),
      description: say("settings", property.description),
    },
  ]);
  return {
    ...schema,
    title: say("schema", schema.title) ?? "",
    description: say("schema", schema.description) ?? "",
    properties: Object.fromEntries(properties) as typeof schema.properties,
  };
}

/** What is chosen, without what says "no limit". */
function chosen(settings: ISettingRegistry.ISettings): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings.composite).filter(([, value]) => value));
}

async function follow(registry: ISettingRegistry): Promise<void> {
  const settings = await registry.load(ID);
  let kept = "";
  const tell = async (): Promise<void> => {
    const words = chosen(settings);
    preferences.image = settings.composite.image as string;
    preferences.refresh_s = Number(words.refresh ?? 0);
    const now = JSON.stringify(words);
    if (now === kept) {
      return;
    }
    kept = now;
    await told(keepDefaults(words));
  };
  settings.changed.connect(() => void tell());
  await tell();
}

export const settings: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "What new notebooks get, and how often is looked.",
  autoStart: true,
  requires: [ISettingRegistry],
  optional: [ITranslator],
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load("wardian");
    speak(trans);
    registry.transform(ID, {
      fetch: (plugin) => ({ ...plugin, schema: translated(plugin.schema, trans) }),
    });
    void follow(registry);
  },
};
