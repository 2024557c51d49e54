import { defineConfig } from "vitest/config";

// Convex's functions run in an environment of the edge, not in Node.
export default defineConfig({
  test: {
    environment: "edge-runtime",
    server: { deps: { inline: ["convex-test"] } },
  },
});
