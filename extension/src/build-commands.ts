/** A build, and one of its steps, by wardian's command and the system calls that a step comes to. */

import { asAnybody, asCall, type Section } from "./commands.js";
import { buildSays as says } from "./command-words.js";
import type { BuildFrame, BuildStep } from "./frames.js";
import { plain, quote, sh } from "./quoting.js";

/** The words of it that are ours. */
const FLAG = /^-{0,2}[a-z-]*$/;

export function buildCommands(frame: BuildFrame, step: BuildStep | null): Section[] {
  const words = frame.command.map((word) => {
    const said = FLAG.test(word) ? word : plain(word);
    return said === null || FLAG.test(word) ? said : quote(said);
  });
  const line = words.includes(null) ? null : words.join(" ");
  const [name] = frame.names;
  return [
    ...(step === null ? [] : [ofStep(step)]),
    {
      title: says.build,
      commands: [
        ...asAnybody(line === null ? null : `${line} < Dockerfile`, says.run),
        ...asAnybody(line === null ? null : `${line} --no-cache < Dockerfile`, says.noCache),
        ...(name === undefined ? [] : asAnybody(sh`wardian history ${name}`, says.history)),
        ...(name === undefined ? [] : asAnybody(sh`wardian run --rm -it ${name}`, says.start)),
      ],
    },
  ];
}

function ofStep({ instruction, layer }: BuildStep): Section {
  const isRun = /^RUN\b/i.test(instruction);
  const mount = 'mount("overlay", "merged", "overlay", 0, "lowerdir=0:1,upperdir=u,workdir=w");';
  return {
    title: instruction,
    commands: [
      ...(isRun
        ? [
            ...asCall(mount, says.mount),
            ...asCall(
              "clone3({.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | …});",
              says.clone
            ),
            ...asCall('execve("/bin/sh", {"/bin/sh", "-c", …}, environment);', says.exec),
          ]
        : []),
      ...(layer === "" ? [] : asAnybody("tar --create --directory u . | sha256sum", says.pack)),
    ],
    ...(isRun || layer !== "" ? {} : { note: says.noLayer }),
  };
}
