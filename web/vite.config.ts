import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUT = join(import.meta.dirname, "../src/wholebody/serve/page");
const WASM = "virtual:ort.wasm.gz";

/** ONNX Runtime's WebAssembly as a compressed file: 3.7 MB instead of 14, whatever the host does. */
function compressedWasm(): Plugin {
  let serving = false;
  return {
    name: "compressed-wasm",
    configResolved(config) {
      serving = config.command === "serve";
    },
    resolveId: (id) => (id === WASM ? `\0${WASM}` : null),
    load(id) {
      if (id !== `\0${WASM}`) return null;
      const path = createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm");
      if (serving) return `export default ${JSON.stringify(`/@fs${path}`)}`;
      const source = readFileSync(path);
      const hash = createHash("sha256").update(source).digest("hex").slice(0, 8);
      const fileName = `assets/ort-${hash}.wasm.gz`;
      this.emitFile({ type: "asset", fileName, source: gzipSync(source, { level: 9 }) });
      return `export default ${JSON.stringify(fileName)}`;
    },
  };
}

/** The service worker with the list of all files, and a note of the sources that they were built from. */
function serviceWorker(): Plugin {
  return {
    name: "service-worker",
    apply: "build",
    closeBundle() {
      const files = readdirSync(OUT, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !["sw.js", "sources.txt"].includes(entry.name))
        .map((entry) => join(entry.parentPath, entry.name).slice(OUT.length + 1))
        .sort();
      const hash = createHash("sha256");
      for (const file of files) hash.update(file).update(readFileSync(join(OUT, file)));
      const urls = ["./", ...files.filter((file) => file !== "index.html")];
      const code = readFileSync(join(import.meta.dirname, "src/sw.js"), "utf8")
        .replace("__FILES__", JSON.stringify(urls))
        .replace("__VERSION__", JSON.stringify(hash.digest("hex").slice(0, 12)));
      writeFileSync(join(OUT, "sw.js"), code);
      writeFileSync(join(OUT, "sources.txt"), `${sources()}\n`);
    },
  };
}

/** A digest of everything that the page is built from; tests/serve/test_page.py makes the same. */
function sources(): string {
  const here = import.meta.dirname;
  const inside = ["src", "public"].flatMap((folder) => readdirSync(join(here, folder)).map((name) => `${folder}/${name}`));
  const hash = createHash("sha256");
  for (const name of [...inside, "index.html", "package-lock.json", "vite.config.ts"].sort()) {
    hash.update(name).update(readFileSync(join(here, name)));
  }
  return hash.digest("hex");
}

/** Some hosts do not know .mjs for a script. */
const output = {
  assetFileNames: ({ names }: { names: string[] }) =>
    names[0]?.endsWith(".mjs") ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]",
};

export default defineConfig({
  base: "./",
  plugins: [compressedWasm(), serviceWorker()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"] },
  worker: { format: "es", plugins: () => [compressedWasm()], rolldownOptions: { output } },
  build: { outDir: OUT, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, rolldownOptions: { output } },
  test: { environment: "node", include: ["test/*.test.ts"] },
});
