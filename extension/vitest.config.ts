import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "jsdom",
    testTimeout: 60_000, // of a busy machine
    include: ["tests/**/*.test.ts"],
    restoreMocks: true,
    setupFiles: "tests/setup.ts",
    // JupyterLab's packages leave the endings of what they import to a bundler.
    server: { deps: { inline: [/@jupyterlab/] } },
  },
});
