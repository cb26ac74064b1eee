import { expect, test, vi } from "vitest";
import type { Section } from "../src/commands.js";
import type { ImageFrame } from "../src/frames.js";
import { imageCommands } from "../src/image-commands.js";
import { layersCommands } from "../src/layers-commands.js";
import { layersPanel } from "../src/layers.js";
import { networkCommands } from "../src/network-commands.js";
import { mapOf } from "../src/network-map.js";
import { processesCommands } from "../src/processes-commands.js";
import { processesPanel } from "../src/processes.js";
import { resourcesCommands } from "../src/resources-commands.js";
import { entry, layersFrame, processesFrame, resourcesFrame, row } from "./frames.js";
import { all, host, mountView, one } from "./host.js";
import { image } from "./images.js";
import { DNAT, lab, link, rule, space, street } from "./network-frames.js";

const NOTHING = { layer: null, path: null, versions: [] };

/** Its lines, in their order. */
function lines(sections: readonly Section[]): string[] {
  return sections.flatMap((section) => section.commands.map((command) => command.line));
}

function titles(sections: readonly Section[]): string[] {
  return sections.map((section) => section.title);
}

test("the overlay is mounted by its lower, upper and work directories", () => {
  const said = lines(layersCommands(layersFrame([]), NOTHING));
  const options = "lowerdir=/state/1:/state/0,upperdir=/state/upper,workdir=/state/work";
  expect(said).toContain(`mount -t overlay overlay -o ${options} /mnt`);
  expect(said).toContain(`mount("overlay", "merged", "overlay", MS_NODEV, "${options}");`);
  expect(said).toContain("findmnt --task 5 /");
  expect(said).toContain("find /state/upper -mindepth 1");
});

test("directories that mount(8) would take apart get no mount line", () => {
  const odd = { work_host_path: "/a,b/work" };
  const said = lines(layersCommands(layersFrame([], odd), NOTHING));
  expect(said.filter((line) => line.includes("lowerdir"))).toEqual([]);
  expect(said).toContain("find /state/upper -mindepth 1");
});

test("a chosen file is looked at in each layer that has it", () => {
  const frame = layersFrame([
    entry("/etc/a b", { mark: "modified", hides: "lower 0", hidden_bytes: 4 }),
  ]);
  const [first] = layersCommands(frame, { ...NOTHING, path: "/etc/a b" });
  expect(first?.title).toBe("/etc/a b");
  expect(first?.commands.map((command) => command.line)).toEqual([
    "stat '/state/upper/etc/a b'",
    "stat '/state/0/etc/a b'",
    "diff -u --no-dereference '/state/0/etc/a b' '/state/upper/etc/a b'",
    "stat '/proc/5/root/etc/a b'",
  ]);
  const version = { size_bytes: 1, mode: 0o644, modified_s: 0, wins: false };
  const versions = ["upper", "lower 1", "lower 0"].map((layer) => {
    return { layer, kind: "file", ...version } as const;
  });
  const told = lines(layersCommands(frame, { layer: null, path: "/etc/a b", versions }));
  expect(told.slice(0, 3)).toEqual([
    "stat '/state/upper/etc/a b'",
    "stat '/state/1/etc/a b'",
    "stat '/state/0/etc/a b'",
  ]);
});

test("the two versions that are compared are those of the lines, and a copy has its mark", () => {
  const up = { mark: "modified", hides: "lower 1", is_copied_up: true } as const;
  const frame = layersFrame([entry("/f", { ...up, hidden_bytes: 4 })]);
  const version = { size_bytes: 1, mode: 0o644, modified_s: 0, wins: false };
  const versions = ["upper", "lower 1", "lower 0"].map((layer) => {
    return { layer, kind: "file", ...version } as const;
  });
  const compared = ["lower 0", "upper"] as const;
  const said = lines(layersCommands(frame, { layer: null, path: "/f", versions, compared }));
  expect(said).toContain("diff -u --no-dereference /state/0/f /state/upper/f");
  expect(said).toContain("getfattr -d -m 'overlay.*origin' -e hex /state/upper/f");
  const below = { layer: null, path: "/g", versions: versions.slice(2) };
  expect(lines(layersCommands(frame, below)).slice(0, 2)).toEqual([
    "stat /state/0/g",
    "stat /proc/5/root/g",
  ]);
});

test("a whiteout has nothing to compare", () => {
  const frame = layersFrame([
    entry("/x", { mark: "deleted", kind: "whiteout", hides: "lower 1", hidden_bytes: 9 }),
  ]);
  const [first] = layersCommands(frame, { ...NOTHING, path: "/x" });
  expect(lines(first ? [first] : [])).not.toContainEqual(expect.stringContaining("diff"));
  expect(first?.commands[0]?.says).toContain("whiteout");
});

test("a hostile name is one word, and one that is cut has no line", () => {
  const evil = "/srv/$(id)\\x1b[2J';id;'";
  const cut = "/long…#00c0ffee";
  const frame = layersFrame([entry(evil), entry(cut)]);
  expect(lines(layersCommands(frame, { ...NOTHING, path: evil }))[0]).toBe(
    `stat "$(printf '/state/upper/srv/$(id)\\033[2J\\047;id;\\047')"`
  );
  const [first] = layersCommands(frame, { ...NOTHING, path: cut });
  expect([first?.commands, first?.note]).toEqual([[], expect.stringContaining("No line")]);
});

test("opaque directories are asked for where there are any", () => {
  const asks = (isOpaque: boolean): boolean =>
    lines(layersCommands(layersFrame([entry("/d", { is_opaque: isOpaque })]), NOTHING)).some(
      (line) => line.startsWith("getfattr")
    );
  expect([asks(false), asks(true)]).toEqual([false, true]);
});

test("processes are asked for by the pids of both sides", () => {
  const frame = processesFrame([row(101, { container_pids: [1] }), row(104)]);
  expect(lines(processesCommands(frame, null))).toEqual([
    "pgrep --ns 101 --nslist pid --list-full .",
    "lsns -p 101",
    "cat /proc/101/cgroup",
    "nsenter -t 101 -p -m ps",
  ]);
  const chosen = processesCommands(frame, "104:1040");
  expect(titles(chosen)).toEqual(["p104 (104)", "All processes"]);
  expect(lines(chosen)).toEqual(
    expect.arrayContaining(["grep NSpid /proc/104/status", "kill -s TERM 104", "lsns -p 104"])
  );
});

test("of PID 1 it is said which signals it gets", () => {
  const frame = processesFrame([row(101, { container_pids: [1] })]);
  const asks = processesCommands(frame, "101:1010")[0]?.commands.find((command) => {
    return command.line === "kill -s TERM 101";
  });
  expect(asks?.says).toContain("pid_namespaces(7)");
});

test("an ended process has no lines: its pid can be another's", () => {
  const frame = processesFrame([row(104, { ended_s: 1, exit_status: 0 })]);
  const [first] = processesCommands(frame, "104:1040");
  expect([first?.commands, first?.note]).toEqual([[], expect.stringContaining("ended")]);
});

test("plain processes have no namespaces to enter", () => {
  const frame = { ...processesFrame([row(101), row(102)]), is_container: false };
  expect(lines(processesCommands(frame, null))).toEqual([
    "ps -o pid,ppid,user,stat,pcpu,rss,nlwp,args --forest -p 101,102",
  ]);
});

test("figures are files of cgroup v2, and limits are written to them", () => {
  const at = "/sys/fs/cgroup/wardian/a";
  const said = lines(resourcesCommands(resourcesFrame({ cgroup_host_paths: { unified: at } })));
  expect(said).toEqual(
    expect.arrayContaining([
      `cat ${at}/memory.current`,
      `grep -E '^(anon|file|kernel|slab) ' ${at}/memory.stat`,
      `cat ${at}/io.stat`,
      `grep -H . ${at}/cpu.pressure ${at}/memory.pressure ${at}/io.pressure`,
      `echo ${64 << 20} > ${at}/memory.max`,
      `echo '50000 100000' > ${at}/cpu.max`,
      `echo 100 > ${at}/pids.max`,
    ])
  );
});

test("figures are other files of cgroup v1, one directory a controller", () => {
  const paths = { memory: "/c/memory/a", cpu: "/c/cpu,cpuacct/a", unified: "/c/unified/a" };
  const frame = resourcesFrame({ cgroup: "cgroup v1, hybrid with v2", cgroup_host_paths: paths });
  const sections = resourcesCommands(frame);
  expect(titles(sections)).toEqual(["Memory", "CPU", "Pressure"]);
  expect(lines(sections)).toEqual(
    expect.arrayContaining([
      "cat /c/memory/a/memory.usage_in_bytes",
      `echo ${64 << 20} > /c/memory/a/memory.limit_in_bytes`,
      "echo 50000 > /c/cpu,cpuacct/a/cpu.cfs_quota_us",
    ])
  );
});

test("where there is no cgroup, or none was recorded, that is said", () => {
  const notes = [
    resourcesCommands(resourcesFrame({ is_container: false })),
    resourcesCommands(resourcesFrame()),
  ].map((sections) => [lines(sections), sections[0]?.note]);
  expect(notes).toEqual([
    [[], expect.stringContaining("no cgroup")],
    [[], expect.stringContaining("not been recorded")],
  ]);
});

test("a network is asked on both sides of its wires", () => {
  const bridge = rule({ family: "bridge", chain: "forward" });
  const frame = street({
    namespaces: [
      space("host"),
      space("main", { host_pid: 4711 }),
      space("web", { host_pid: 4712 }),
    ],
    networks: [lab({ rules: [DNAT, bridge], words: ["", ""], iptables: ["", ""] })],
  });
  const said = lines(networkCommands(frame, mapOf(frame), { key: null, ends: [] }));
  expect(said).toEqual(
    expect.arrayContaining([
      "nsenter -t 4711 -n ip addr",
      "nsenter -t 4711 -n ss -tan",
      "bridge link",
      "nft list table inet wardian_br-lab",
      "nft list table bridge wardian_br-lab",
      "ip link show master br-lab",
    ])
  );
  expect(said).not.toContainEqual(expect.stringContaining("4712"));
  const chosen = networkCommands(frame, mapOf(frame), { key: "web/eth0", ends: ["web"] });
  expect(lines(chosen)[0]).toBe("nsenter -t 4712 -n ip -d -s link show dev eth0");
  expect(titles(chosen)).toContain("The namespace of web");
});

test("a link that a container named is one word", () => {
  const frame = street({
    namespaces: [space("host"), space("web", { host_pid: 4712 })],
    links: [link("web", "$(id);x")],
  });
  const said = lines(networkCommands(frame, mapOf(frame), { key: "web/$(id);x", ends: [] }));
  expect(said[0]).toBe("nsenter -t 4712 -n ip -d -s link show dev '$(id);x'");
});

test("a published port leads to its chain, or to its proxy", () => {
  const frame = street();
  const [led] = mapOf(frame).publications;
  const key = led?.key ?? "";
  expect(lines(networkCommands(frame, mapOf(frame), { key, ends: [] }))[0]).toBe(
    "nft list chain inet wardian_br-lab prerouting"
  );
  const alone = street({ networks: [lab({ rules: [], words: [], iptables: [] })] });
  expect(lines(networkCommands(alone, mapOf(alone), { key, ends: [] }))[0]).toBe(
    "ss -tlnp 'sport = :8080'"
  );
});

test("a user's own network is not asked for in the host's namespace", () => {
  const frame = street({ is_on_host: false });
  const sections = networkCommands(frame, mapOf(frame), { key: null, ends: [] });
  expect(lines(sections)).toEqual(["lsns -t net"]);
  expect(sections[0]?.note).toContain("nsenter");
});

function stored(facts: Partial<ImageFrame> = {}): ImageFrame {
  return image({ store_host_path: "/state", layout_name: "a/web", ...facts });
}

test("an image is asked for by name, and its documents by digest", () => {
  const frame = stored();
  expect(lines(imageCommands(frame, null))).toEqual([
    "wardian --root /state image inspect a/web",
    "skopeo inspect oci:/state/content:a/web",
    "cat /state/content/index.json",
    `cat /state/content/blobs/sha256/${frame.manifest.digest.slice(7)}`,
    `cat /state/content/blobs/sha256/${frame.config.digest.slice(7)}`,
  ]);
});

test("a chosen layer is its archive and what came of it", () => {
  const frame = stored();
  const blob = `/state/content/blobs/sha256/${frame.layers[0]?.blob.digest.slice(7)}`;
  expect(lines(imageCommands(frame, 0)).slice(0, 4)).toEqual([
    `tar tf ${blob}`,
    `sha256sum ${blob}`,
    `zcat ${blob} | sha256sum`,
    `find /state/layers/${frame.layers[0]?.diff_id.slice(7)} -mindepth 1`,
  ]);
});

test("an image without a name goes by its digest, and skopeo has no word for it", () => {
  const said = lines(imageCommands(stored({ layout_name: "" }), null));
  expect(said[0]).toMatch(/^wardian --root \/state image inspect sha256:/);
  expect(said).not.toContainEqual(expect.stringContaining("skopeo"));
  expect(imageCommands(image(), null)[0]?.note).toContain("not been recorded");
});

// The drawer

const toggle = (): HTMLElement => one(".wd-show-commands");
const shown = (): (string | null)[] => all(".wd-commands code").map((code) => code.textContent);

function press(element: HTMLElement, key: string): void {
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}

test("nothing is made of commands until they are asked for", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101)]));
  expect(one(".wd-drawer").hidden).toBe(true);
  expect(one(".wd-drawer").childElementCount).toBe(0);
  expect(toggle().getAttribute("aria-expanded")).toBe("false");
  toggle().click();
  expect(shown()).toContain("lsns -p 101");
  expect(toggle().getAttribute("aria-expanded")).toBe("true");
  expect(toggle().getAttribute("aria-controls")).toBe(one(".wd-drawer").id);
});

test("commands ask the host for nothing", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101)]));
  const asked = host.requests.length;
  toggle().click();
  expect(host.requests).toHaveLength(asked);
});

test("what is chosen comes first, and goes with the choice", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101), row(104)]));
  toggle().click();
  one('[data-key="104:1040"]').click();
  expect(one(".wd-drawer h5").textContent).toBe("p104 (104)");
  one('[data-key="104:1040"]').click();
  expect(one(".wd-drawer h5").textContent).toBe("All processes");
});

test("Escape closes the drawer, its focus goes back, and no key reaches the notebook", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101)]));
  const reached = vi.fn();
  document.body.addEventListener("keydown", reached);
  toggle().click();
  expect(document.activeElement).toBe(one(".wd-drawer"));
  const copy = one(".wd-drawer .wd-copy");
  copy.focus();
  press(copy, "x");
  expect(one(".wd-drawer").hidden).toBe(false);
  press(copy, "Escape");
  document.body.removeEventListener("keydown", reached);
  expect(one(".wd-drawer").hidden).toBe(true);
  expect(document.activeElement).toBe(toggle());
  expect(reached).not.toHaveBeenCalled();
});

test("a line that goes while it has the focus leaves it to the drawer", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101), row(104)]));
  one('[data-key="104:1040"]').click();
  toggle().click();
  one(".wd-drawer .wd-copy").focus();
  host.show("processes", processesFrame([row(101)]));
  expect(document.activeElement).toBe(one(".wd-drawer"));
});

test("a long id takes little room, and is whole for who selects it", () => {
  const id = "0123456789abcdef".repeat(4);
  const layers = [{ name: "upper", host_path: `/state/${id}/upper`, digest: "" }];
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([], { layers }));
  toggle().click();
  expect(shown()).toContain(`find /state/${id}/upper -mindepth 1`);
  expect(one(".wd-hex").textContent).toBe(id);
});

test("a line is copied as it is", async () => {
  const written: string[] = [];
  vi.stubGlobal("navigator", {
    clipboard: {
      writeText: (text: string) => {
        written.push(text);
        return Promise.resolve();
      },
    },
  });
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([entry("/<img src=x>")]));
  one('[data-path="/<img src=x>"]').click();
  toggle().click();
  one(".wd-drawer .wd-copy").click();
  await vi.waitFor(() => expect(one(".wd-view > .wd-spoken").textContent).toBe("Copied"));
  expect(written).toEqual(["stat '/state/upper/<img src=x>'"]);
  expect(all("img")).toHaveLength(0);
  vi.unstubAllGlobals();
});

test("of a moment that is past no line changes anything, and it is said why", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame([row(101)]));
  one('[data-key="101:1010"]').click();
  toggle().click();
  expect(shown()).toContain("kill -s TERM 101");
  expect(one(".wd-past").hidden).toBe(true);
  one(".wd-toggle").click();
  expect(shown()).toContain("grep NSpid /proc/101/status");
  expect(shown().filter((line) => /kill|nsenter/.test(line ?? ""))).toEqual([]);
  expect(one(".wd-past").hidden).toBe(false);
});
