/** What `make lint` looks for beside the types: JupyterLab's own habits, and promises nobody waits for. */

import eslint from '@eslint/js';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib', 'style'] },
  eslint.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    files: ['{src,test}/**/*.{ts,tsx}'],
    plugins: { 'react-hooks': hooks },
    languageOptions: {
      parserOptions: {
        projectService: true,
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      // JupyterLab's way to name commands.
      '@typescript-eslint/no-namespace': 'off',
      curly: 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'react-hooks/rules-of-hooks': 'error',
      'react-hooks/exhaustive-deps': 'error'
    }
  },
  {
    // As for Python: a room that grows past what one person can hold is split by meaning.
    files: ['src/**/*.{ts,tsx}'],
    ignores: ['src/core/catalogue.ts', 'src/core/model.ts'],
    rules: {
      'max-lines': ['error', 600],
      'max-lines-per-function': [
        'error',
        { max: 80, skipBlankLines: true, skipComments: true }
      ]
    }
  },
  {
    files: ['*.mjs'],
    ...tseslint.configs.disableTypeChecked
  }
);
