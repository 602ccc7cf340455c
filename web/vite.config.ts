import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { ProxyOptions } from "vite";
import { configDefaults, defineConfig } from "vitest/config";

/** Where `npm run dev` finds a running Parlour. */
const server = process.env["PARLOUR_URL"] ?? "http://127.0.0.1:7710";

/** The server accepts changes only from its own origin, so the proxy speaks with that origin. */
function door(ws = false): ProxyOptions {
  return { target: server, changeOrigin: true, ws, rewriteWsOrigin: ws, headers: { origin: server } };
}

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  build: {
    target: ["chrome123", "firefox120", "safari17.5"],
    // The page's content security policy allows files of its own origin and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": door(), "/auth": door(), "/ws": door(true) } },
  // Component code must be Svelte's browser build in tests as well.
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.ts"],
    exclude: configDefaults.exclude,
    restoreMocks: true,
  },
}));
