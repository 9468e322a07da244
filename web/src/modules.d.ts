/** ONNX Runtime's WebAssembly, compressed: its address (see vite.config.ts). */
declare module "virtual:ort.wasm.gz" {
  const url: string;
  export default url;
}
