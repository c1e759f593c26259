/** The unit tests of what is not drawn; the panel itself is tested in a browser (`tests/ui`). */

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'happy-dom',
    // Five small files: one environment is enough.
    isolate: false,
    fileParallelism: false,
    include: ['test/**/*.test.ts'],
    // JupyterLab's packages are made for bundlers: their imports have no endings.
    server: { deps: { inline: [/@jupyterlab/, /@jupyter\//, /@lumino/] } }
  }
});
